"""The `device` table of a site file: transports, register maps, all faults at once."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ems.domain import DeviceAddress
from ems.domain.address import PlainRegister, SerialLine, TlsFiles
from ems.settings import TEMPLATE, check
from ems.settings.devices import Device
from ems.settings.registers import out_of_reach

DOC = Path(__file__).parents[2] / "docs" / "sunspec.md"
OF_THE_BATTERY = 'device = { host = "127.0.0.1", port = 5022 }'

MISREAD_MAP = """
[bes.device]
host = "h"
[bes.device.registers]
p_kw = { address = 1, unit = "pct_of_rating" }
hz = { address = 2, unit = "pct_of_rating" }
p_set_kw = { address = 5, scale = 100, offset = 50 }
q_set_kvar = { address = 6, type = "uint16", scale = 0.1, offset = 0.1 }
enable = { address = 7, scale = 10, offset = 1, nan = 0 }
reversion_s = { address = 8, unit = "pct_of_rating" }
controller_heartbeat = { address = 9, scale = 0.5 }
"""
BAD_MAP = """
[bes.device]
host = "h"
[bes.device.registers]
p_kw = { address = 1, scale = 0.0 }
cap_kw = { address = 5, function = "input" }
p_set_kw = { address = 5 }
reversion_kw = { address = 65535, type = "int32" }
"""


def told(folder: Path, device: str) -> list[str]:
    """Faults of the shipped site with this device for its battery."""
    site = folder / "site.toml"
    text = TEMPLATE.read_text(encoding="utf-8")
    assert OF_THE_BATTERY in text
    site.write_text(text.replace(OF_THE_BATTERY, device), encoding="utf-8")
    return [str(f).removeprefix("site.toml: bes[0].device") for f in check(site, {}).faults]


def address(**table: Any) -> DeviceAddress:
    return Device.model_validate(table).to_address(Path("/etc/geems"))


def test_each_transport_has_its_address() -> None:
    assert address(host="h") == DeviceAddress(host="h", port=502)
    tls = {"ca_file": "ca.pem", "cert_file": "/x/c.pem", "key_file": "k.pem"}
    files = TlsFiles(
        ca_file=Path("/etc/geems/ca.pem"),
        cert_file=Path("/x/c.pem"),
        key_file=Path("/etc/geems/k.pem"),
    )
    assert address(transport="tls", host="h", **tls) == DeviceAddress(host="h", port=802, tls=files)
    assert address(transport="tls", host="h", port=502, **tls).port == 502
    line = SerialLine(path="/dev/ttyS0", baud=19_200, parity="none")
    found = address(transport="rtu", path="/dev/ttyS0", baud=19_200, parity="none", unit=3)
    assert found == DeviceAddress(serial=line, unit=3)
    assert (line.stop_bits, SerialLine(path="").stop_bits) == (2, 1)


def test_messages_name_a_device_by_where_it_is() -> None:
    assert str(address(host="h")) == "h:502"
    assert str(address(host="h", unit=7)) == "h:502 unit 7"
    assert str(address(transport="rtu", path="/dev/ttyS0")) == "/dev/ttyS0 unit 1"


def test_units_of_one_host_or_line_have_that_in_common() -> None:
    assert address(host="H", unit=1).line == address(host="h", unit=2).line
    assert address(host="h", port=1).line != address(host="h", port=2).line
    rtu = {"transport": "rtu", "path": "/dev/ttyS0"}
    assert address(**rtu, unit=1).line == address(**rtu, unit=2).line


def test_a_register_map_becomes_registers() -> None:
    found = address(
        host="h",
        registers={
            "p_kw": {"address": 1, "type": "int32", "scale": 0.1, "word_order": "low_first"},
            "cap_kw": {"address": 3, "unit": "pct_of_rating", "nan": -1},
            "hz": {"address": 5, "function": "input", "offset": 45},
        },
    )
    assert found.registers == {
        "p_kw": PlainRegister(address=1, type="int32", scale=0.1, low_word_first=True),
        "cap_kw": PlainRegister(address=3, of_rating=True, nan=-1),
        "hz": PlainRegister(address=5, input=True, offset=45),
    }


@pytest.mark.parametrize(
    ("device", "faults"),
    [
        ("device = { port = 1 }", [".host: missing: Host name or address"]),
        (
            'device = { transport = "tls", host = "h" }',
            [".ca_file: missing", ".cert_file: missing", ".key_file: missing"],
        ),
        (
            'device = { transport = "rtu", host = "h", port = 5, server_name = "n" }',
            [
                ".path: missing: Serial line",
                '.server_name: belongs to transport = "tls", not "rtu"',
                ".host: a serial line has none; it has path",
                ".port: a serial line has none; it has path",
            ],
        ),
        (
            'device = { host = "h", baud = 300, key_file = "k" }',
            ['.baud: belongs to transport = "rtu"', '.key_file: belongs to transport = "tls"'],
        ),
        ('device = { transport = "tsl", host = "h" }', ['did you mean "tls"?']),
        (
            '[bes.device]\nhost = "h"\nbase = 0\nregisters.p_kw = { address = 1 }',
            [
                ".base: belongs to SunSpec devices",
                ".registers.q_kvar: missing: name its register",
                ".registers.p_set_kw: missing: name its register",
                ".registers.soc_pct: missing: name its register",
                ".registers.q_set_kvar: missing: name its register or set q_max_kvar = 0",
            ],
        ),
        (
            '[bes.device]\nhost = "h"\n[bes.device.registers]\nq_kvar = { adress = 1 }',
            [
                ".registers.p_kw: missing: Active power [kW].",
                ".registers.q_kvar.adress: unknown key; did you mean address?",
            ],
        ),
        (
            BAD_MAP,
            [
                ".registers.p_kw.scale: must not be 0",
                ".registers.cap_kw.function: input registers cannot be written",
                ".registers.p_set_kw.address: register 5 is written as cap_kw too",
                ".registers.reversion_kw.address: int32 does not fit behind 65535",
                ".registers.p_set_kw: a PV plant has cap_kw",
                ".registers.reversion_kw: means nothing without reversion_s",
            ],
        ),
        (
            MISREAD_MAP,
            [
                ".registers.hz.unit: hz is no share of a rating",
                ".registers.p_set_kw.offset: 0 cannot be expressed: no count of int16 is 0",
                ".registers.q_set_kvar.offset: 0 cannot be expressed: no count of uint16",
                ".registers.enable.scale: enable takes no scale",
                ".registers.enable.offset: enable takes no offset",
                ".registers.enable.nan: enable takes no nan",
                ".registers.reversion_s.unit: reversion_s is no share of a rating",
                ".registers.controller_heartbeat.scale: controller_heartbeat takes no scale",
            ],
        ),
    ],
)
def test_all_faults_are_told_at_once_each_at_its_key(
    tmp_path: Path, device: str, faults: list[str]
) -> None:
    found = told(tmp_path, device)
    assert len(found) == len(faults), found
    for fault, said in zip(faults, found, strict=True):
        assert fault in said


@pytest.mark.parametrize(
    "name",
    [
        *("reversion_s", "enable", "heartbeat", "controller_heartbeat", "connected", "local"),
        *("soc_pct", "v_pu", "hz", "rated_kw"),
    ],
)
def test_only_power_is_a_share_of_a_rating(name: str) -> None:
    registers = {"p_kw": {"address": 1}, name: {"address": 2, "unit": "pct_of_rating"}}
    with pytest.raises(ValidationError, match=f"{name} is no share of a rating"):
        Device.model_validate({"host": "h", "registers": registers})


@pytest.mark.parametrize(
    "register",
    [
        {"offset": 45.0, "scale": 0.5, "type": "int16"},
        {"offset": -500.0, "scale": 0.1, "type": "uint16"},
        {"offset": 0.3, "type": "float32"},
    ],
)
def test_an_offset_from_which_0_can_be_reached_is_sound(register: dict[str, Any]) -> None:
    registers = {"p_kw": {"address": 1}, "p_set_kw": {"address": 2, **register}}
    assert Device.model_validate({"host": "h", "registers": registers}).registers is not None


@pytest.mark.parametrize(
    ("kind", "name", "register", "problem"),
    [
        (
            "dg",
            "p_set_kw",
            {"scale": 0.001},
            "holds -32.768 to 32.767 kW, and the device reaches 2",
        ),
        ("bes", "p_set_kw", {"type": "uint16"}, "holds 0 to 65535 kW, and the device reaches -200"),
        ("bes", "p_kw", {"type": "uint16"}, "reaches -200"),
        ("pv", "cap_kw", {"scale": 0.01, "unit": "pct_of_rating"}, None),
        ("pv", "cap_kw", {"scale": 0.001, "unit": "pct_of_rating"}, "holds -65.536 to 65.534 kW"),
        ("pv", "q_set_kvar", {"scale": 0.001}, "holds -32.768 to 32.767 kvar"),
        ("dg", "p_set_kw", {"scale": 1000.0}, "one count is 1000 kW, more than the 200 it may be"),
        ("bes", "p_set_kw", {"type": "float32", "scale": 1000.0}, None),
        ("bes", "p_set_kw", {"scale": -0.01}, None),
        ("dg", "p_set_kw", {"type": "uint16", "scale": 0.01}, None),
    ],
)
def test_a_register_that_cannot_hold_its_rating_is_told(
    kind: str, name: str, register: dict[str, Any], problem: str | None
) -> None:
    found = [*out_of_reach(kind, {name: {"address": 1, **register}}, 200.0, 100.0)]
    assert len(found) == (problem is not None), found
    for (place, *_), said in found:
        assert place == name
        assert problem is not None
        assert problem in said


def test_what_the_documentation_shows_is_valid() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    tables, battery = blocks
    for line in tables.strip().splitlines():
        Device.model_validate(tomllib.loads(line)["device"])
    Device.model_validate(tomllib.loads(battery)["bes"][0]["device"])


def test_every_key_of_the_table_is_documented() -> None:
    text = DOC.read_text(encoding="utf-8")
    client = DOC.with_name("ieee2030_5.md").read_text(encoding="utf-8")
    tables = (
        text.partition("## The `device` table")[2].partition("## Plain registers")[0],
        client.partition("| key of `device` |")[2].partition("\n\n")[0],
    )
    described = {
        key
        for line in "\n".join(tables).splitlines()
        if line.startswith("| `")
        for key in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert described == set(Device.model_fields)
    registers = Device.model_fields["registers"].annotation
    maps = text.partition("## Plain registers")[2].partition("## Speed")[0]
    assert registers is not None
    for key in ("p_kw", "soc_pct", "controller_heartbeat", "reversion_kw"):
        assert f"`{key}`" in maps
