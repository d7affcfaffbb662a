"""`geems discover`: what it finds behind a host, and the section it writes."""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import tomllib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ems.cli import main
from ems.protocols.loop_thread import LoopThread
from ems.protocols.sunspec import MARKER
from ems.settings import TEMPLATE
from tests.protocol import reference
from tests.protocol.certificates import Authority
from tests.protocol.lines import SerialPair
from tests.protocol.locked_key import locked
from tests.protocol.reference import ReferenceDevice, Served

Serve = Callable[[dict[int, ReferenceDevice]], Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    loop = LoopThread("test-devices")
    opened: list[Served] = []

    def start(devices: dict[int, ReferenceDevice]) -> Served:
        served = Served(devices)
        loop.run(served.start())
        opened.append(served)
        return served

    yield start
    for served in opened:
        loop.run(served.stop())
    loop.close()


def discover(served: Served, *options: str) -> Result:
    return CliRunner().invoke(
        main, ["discover", "127.0.0.1", "--port", str(served.port), "--timeout", "2", *options]
    )


def numbered(device: ReferenceDevice, serial: str) -> ReferenceDevice:
    models = [(1, reference.COMMON[1] | {"SN": serial}), *device.models[1:]]
    return ReferenceDevice(models, device.base)


def test_every_unit_behind_a_host_is_found(serve: Serve) -> None:
    served = serve(
        {
            1: reference.newest_pv(),
            3: numbered(reference.newest_bes(), "B 7/2"),
            4: numbered(reference.older_pv(), ""),
            5: numbered(reference.older_bes(), "B 7/2!"),
        }
    )
    done = discover(served, "--unit", "1-6", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    found = document["found"]
    assert [f["unit"] for f in found] == [1, 3, 4, 5]
    assert [f["kind"] for f in found] == ["pv", "bes", "pv", "bes"]
    assert [f["rated_kw"] for f in found] == [100, 50, 20, 10]
    assert [f["q_max_kvar"] for f in found] == [40, 20, 12, None]
    assert [f["capacity_kwh"] for f in found] == [None, 100, None, 30]
    assert found[0]["models"] == [1, 701, 702, 704, 122, 715]
    assert (found[0]["manufacturer"], found[0]["model"]) == ("Acme", "Inverter")
    assert (found[0]["serial"], found[0]["base"]) == ("A-0001", 40_000)
    assert found[2]["dc_inputs"] == [
        {"name": "east", "p_kw": 7.0, "v": 610.0},
        {"name": "west", "p_kw": 5.6, "v": 600.0},
    ]
    sections = tomllib.loads(document["toml"])
    assert [s["name"] for s in sections["pv"]] == ["pv-A-0001", "pv"]
    assert [s["name"] for s in sections["bes"]] == ["bes-B-7-2", "bes-B-7-2-2"]
    assert document["remarks"] == []


def test_its_section_makes_a_valid_site_once_the_bus_is_filled_in(
    serve: Serve, tmp_path: Path
) -> None:
    served = serve({1: reference.newest_pv(), 3: reference.newest_bes(), 4: reference.older_pv()})
    for unit, device in served.devices.items():
        served.devices[unit].registers = numbered(device, f"N{unit}").registers
    done = discover(served, "--unit", "1-4")
    assert done.exit_code == 0, done.output
    filled = done.stdout.replace('# bus = ""', 'bus = "B13" #')
    site = tmp_path / "site.toml"
    head = TEMPLATE.read_text(encoding="utf-8").partition("[[pv]]")[0]
    site.write_text(head + filled, encoding="utf-8")
    checked = CliRunner().invoke(main, ["validate", str(site)])
    assert checked.exit_code == 0, checked.output
    unfilled = tmp_path / "unfilled.toml"
    unfilled.write_text(head + done.stdout, encoding="utf-8")
    checked = CliRunner().invoke(main, ["validate", str(unfilled)])
    assert checked.exit_code == 2
    assert "bus: missing" in checked.stderr


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (
            {"VAMaxRtg": 1020},
            "s_max_kva = 102",
        ),
        (
            {"VAMaxRtg": 1100},
            "# s_max_kva = 110 # limits nothing that rated_kw and q_max_kvar do not",
        ),
        (
            {"VAMaxRtg": 900},
            "# s_max_kva = 90 # fill in: the device says this, which is less than its rated_kw",
        ),
        (
            {"VAMaxRtg": None, "VAMax": None},
            "# s_max_kva = # fill in where P and Q together are limited: the device does not say",
        ),
    ],
)
def test_the_apparent_power_that_a_device_tells_is_written_and_what_it_does_not_tell_asked_for(
    serve: Serve, told: dict[str, int | None], line: str
) -> None:
    """Of 100 kW and 44 kvar each way: 109.3 kVA is what both together come to."""
    device = reference.newest_pv()
    vars_ = {"VarMaxInjRtg": 440, "VarMaxAbsRtg": 440, "Var_SF": 2}
    models = []
    for number, values in device.models:
        changed = {**values, **vars_, **told} if number == 702 else values
        models.append((number, {k: v for k, v in changed.items() if v is not None}))
    done = discover(serve({1: ReferenceDevice(models)}), "--unit", "1")
    assert done.exit_code == 0, done.output
    assert [x for x in done.stdout.splitlines() if "s_max_kva" in x] == [line]


def test_a_device_that_takes_any_unit_for_its_own_is_one(serve: Serve) -> None:
    device = reference.newest_pv()
    done = discover(serve(dict.fromkeys((1, 2, 9), device)), "--unit", "1-9", "--json")
    (found,) = json.loads(done.stdout)["found"]
    assert (found["unit"], found["also_units"]) == (1, [2, 9])


@pytest.mark.parametrize("base", [0, 50_000])
def test_every_usual_base_is_tried(serve: Serve, base: int) -> None:
    device = reference.newest_pv()
    device.base = base
    done = discover(serve({1: device}), "--unit", "1")
    assert done.exit_code == 0, done.output
    assert "base" not in tomllib.loads(done.stdout)["pv"][0]["device"]


@pytest.mark.parametrize("options", [("--scan",), ("--base", "1234")])
def test_any_other_base_is_found_and_written_down(serve: Serve, options: tuple[str, ...]) -> None:
    device = reference.newest_pv()
    device.base = 1234
    done = discover(serve({1: device}), "--unit", "1", *options)
    assert done.exit_code == 0, done.output
    assert tomllib.loads(done.stdout)["pv"][0]["device"]["base"] == 1234


def test_a_device_without_sunspec_is_told_from_silence(serve: Serve) -> None:
    device = reference.newest_pv()
    device.base = 1234
    done = discover(serve({1: device}), "--unit", "1")
    assert done.exit_code == 1
    assert "answers, but holds no `SunS` at 40000, 0, 50000" in done.stderr
    assert "--scan" in done.stderr
    assert done.stdout == ""


def test_a_device_with_half_a_scale_is_told_and_the_others_are_found(serve: Serve) -> None:
    broken = reference.newest_pv()
    broken.put(702, "W_SF", None)
    done = discover(serve({1: broken, 2: reference.newest_bes()}), "--unit", "1-2")
    assert done.exit_code == 0
    assert "WMaxRtg of model 702 cannot be read: its scale factor W_SF" in done.stderr
    assert "[[bes]]" in done.stdout


@pytest.mark.parametrize(
    ("written", "told"),
    [("127.0.0.1:5020", "write 127.0.0.1 --port 5020"), ("http://x", "without http://")],
)
def test_what_is_no_host_is_refused_before_anything_waits(written: str, told: str) -> None:
    done = CliRunner().invoke(main, ["discover", written])
    assert done.exit_code == 2
    assert told in done.stderr


def test_nobody_at_the_host_is_one_clear_message(free_port: int) -> None:
    done = CliRunner().invoke(
        main, ["discover", "127.0.0.1", "--port", str(free_port), "--unit", "1-3", "--json"]
    )
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["ok"] is False
    assert "no connection" in document["faults"][0]["problem"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ((), "give a HOST, or --serial PATH"),
        (("h", "--serial", "/dev/x"), "give a HOST, or --serial PATH"),
        (("--serial", "/dev/x", "--port", "5"), "neither --port nor --tls"),
        (("h", "--server-name", "n"), "belongs to --tls"),
        (("h", "--unit", "5-1"), "no unit and no range"),
        (("h", "--unit", "1-300"), "no unit and no range"),
    ],
)
def test_a_call_that_means_nothing_is_bad_input(options: tuple[str, ...], problem: str) -> None:
    done = CliRunner().invoke(main, ["discover", *options])
    assert done.exit_code == 2
    assert problem in done.stderr


def test_the_installed_command_prints_sections_and_nothing_else(serve: Serve) -> None:
    served = serve({1: reference.newest_pv()})
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("geems")), "discover", "127.0.0.1",
            "--port", str(served.port), "--unit", "1", "--timeout", "5",
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    section: dict[str, Any] = tomllib.loads(done.stdout)
    (pv,) = section["pv"]
    assert pv == {
        "name": "pv-A-0001", "rated_kw": 100, "q_max_kvar": 40,
        "device": {"host": "127.0.0.1", "port": served.port, "unit": 1},
    }  # fmt: skip
    assert "Acme Inverter 1.2" in done.stderr


def test_devices_on_a_serial_line_are_found() -> None:
    loop = LoopThread("test-devices")
    with SerialPair() as pair:
        served = Served({2: reference.newest_bes()})
        loop.run(served.start_serial(pair.ends[0]))
        done = CliRunner().invoke(
            main,
            [
                *("discover", "--serial", pair.ends[1], "--baud", "115200", "--parity", "none"),
                *("--unit", "1-3", "--timeout", "2"),
            ],
        )
        loop.run(served.stop())
    loop.close()
    assert done.exit_code == 0, done.output
    (bes,) = tomllib.loads(done.stdout)["bes"]
    assert bes["device"] == {
        "transport": "rtu", "path": pair.ends[1], "baud": 115_200, "parity": "none", "unit": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "rubbish"),
    [
        (lambda _: b"\x11\x83\x02\x00\x00\x41", True),  # as at another rate
        (lambda request: request, False),  # the adapter's own echo
        (lambda _: b"\0", False),  # a glitch as the line turns around
    ],
)
def test_octets_without_a_sound_checksum_are_told_from_silence(
    answer: Callable[[bytes], bytes], *, rubbish: bool
) -> None:
    loop = LoopThread("test-devices")

    async def talk(end: int) -> None:
        asyncio.get_running_loop().add_reader(end, lambda: os.write(end, answer(os.read(end, 300))))

    async def fall_silent(end: int) -> None:
        asyncio.get_running_loop().remove_reader(end)

    with SerialPair() as pair:
        end = os.open(pair.ends[0], os.O_RDWR | os.O_NOCTTY)
        loop.run(talk(end))
        done = CliRunner().invoke(
            main,
            [
                *("discover", "--serial", pair.ends[1], "--baud", "115200", "--parity", "none"),
                *("--unit", "1-2", "--timeout", "0.3"),
            ],
        )
        loop.run(fall_silent(end))
        os.close(end)
    loop.close()
    assert done.exit_code == 1
    said = "units 1–2: something answers, but no Modbus frame with a sound checksum came in time"
    assert (said in done.stderr) is rubbish
    assert ("nobody answered" in done.stderr) is not rubbish


def test_a_device_behind_mutual_tls_is_found_and_its_files_written_down(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    own, ours = authority.pair("127.0.0.1"), authority.pair("ems")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.cert, own.key)
    context.load_verify_locations(authority.cert)
    context.verify_mode = ssl.CERT_REQUIRED
    loop = LoopThread("test-devices")
    served = Served({1: reference.newest_pv()})
    loop.run(served.start(context))
    files = [str(authority.cert), str(ours.cert), str(ours.key)]
    done = discover(served, "--unit", "1", "--tls", *files)
    loop.run(served.stop())
    loop.close()
    assert done.exit_code == 0, done.output
    (pv,) = tomllib.loads(done.stdout)["pv"]
    assert pv["device"] == {
        "transport": "tls", "host": "127.0.0.1", "port": served.port, "unit": 1,
        "ca_file": files[0], "cert_file": files[1], "key_file": files[2],
    }  # fmt: skip


@pytest.mark.parametrize("as_json", [False, True])
def test_tls_files_that_cannot_be_used_are_told_before_anybody_is_asked(
    tmp_path: Path, free_port: int, *, as_json: bool
) -> None:
    authority = Authority(tmp_path, "ours")
    ours, other = authority.pair("ems"), authority.pair("other")
    encrypted = locked(ours.key)
    for ca, key, places in (
        (authority.cert, encrypted, {"--tls KEY": f"{encrypted} is encrypted, and nobody can be"}),
        (authority.cert, other.key, {"--tls KEY": f"{other.key} is not the key of {ours.cert}"}),
        (
            ours.key,
            authority.cert,
            {
                "--tls CA": f"{ours.key} holds no certificate",
                "--tls KEY": f"{authority.cert} holds no private key",
            },
        ),
    ):
        done = asked(free_port, "--tls", str(ca), str(ours.cert), str(key), *(["--json"] * as_json))
        assert done.exit_code == 2
        for place, problem in places.items():
            assert f"{place}: {problem}" in done.stderr
        if as_json:
            faults = json.loads(done.stdout)["faults"]
            assert [f["place"] for f in faults] == [*places]


@pytest.mark.parametrize(
    ("full", "controls", "told"),
    [
        (reference.older_pv, {123}, "has neither model 704 nor 123: it can only be read"),
        (reference.older_bes, {124}, "has neither model 704 nor 124: it can only be read"),
    ],
)
def test_a_device_without_controls_is_written_as_a_comment(
    serve: Serve, full: Callable[[], ReferenceDevice], controls: set[int], told: str
) -> None:
    models = [m for m in full().models if m[0] not in controls]
    served = serve({1: ReferenceDevice(models)})
    done = discover(served, "--unit", "1")
    assert done.exit_code == 0, done.output
    assert told in done.stderr
    assert f"# {told}" in done.stdout
    assert tomllib.loads(done.stdout) == {}
    assert "lifts a cap" not in done.stdout
    assert f"port = {served.port}" in done.stdout
    document = json.loads(discover(served, "--unit", "1", "--json").stdout)
    assert document["found"][0]["only_read"] == told
    commanded = discover(serve({1: full()}), "--unit", "1", "--json")
    assert json.loads(commanded.stdout)["found"][0]["only_read"] == ""


def test_a_device_that_lacks_companions_of_its_controls_can_only_be_read(serve: Serve) -> None:
    older = [m for m in reference.older_pv().models if m[0] != 123]
    controls = next(m for m in reference.newest_pv().models if m[0] == 704)
    done = discover(serve({1: ReferenceDevice([*older, controls])}), "--unit", "1")
    assert "has neither models 701, 702 and 704 together nor 123: it can only" in done.stderr
    assert tomllib.loads(done.stdout) == {}


def test_a_generator_and_a_meter_are_told_by_their_models(serve: Serve) -> None:
    controls = dict(reference.newest_bes().models)[704]
    generator = [m for m in numbered(reference.newest_bes(), "G").models if m[0] != 713]
    assert controls["WSetEna"] == 0
    meter: list[tuple[int, reference.Values]] = [
        reference.COMMON,
        (203, {"W": 1234, "W_SF": 1, "VAR": 5, "VAR_SF": 1}),
    ]
    stranger: list[tuple[int, reference.Values]] = [reference.COMMON, (160, {"module": []})]
    served = serve({1: ReferenceDevice(generator), 2: ReferenceDevice(meter)})
    done = discover(served, "--unit", "1-2")
    assert done.exit_code == 0, done.output
    sections = tomllib.loads(done.stdout)
    (dg,) = sections["dg"]
    assert (dg["name"], dg["rated_kw"], dg["device"]["unit"]) == ("dg-G", 50, 1)
    assert "cost_usd_per_kwh = # fill in" in done.stdout
    assert sections["load"] == {"device": dg["device"] | {"unit": 2}}
    other = discover(serve({1: ReferenceDevice(stranger)}), "--unit", "1", "--json")
    assert json.loads(other.stdout)["found"][0]["kind"] == "other"


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def listener(talk: Talk) -> Iterator[int]:
    """Somebody who takes connections and then does as told; gives the port."""
    loop = LoopThread("test-devices")
    ended: list[asyncio.Event] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(asyncio.Event())
        mine = ended[-1]
        try:
            await talk(reader, writer)
        except ConnectionError:
            pass  # the other end let go first
        finally:
            writer.close()
            mine.set()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(take, "127.0.0.1", 0)

    async def stop(server: asyncio.Server) -> None:
        server.close()
        for event in ended:
            await event.wait()

    server = loop.run(start())
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        loop.run(stop(server))
        loop.close()


async def keep_silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(300):
        pass


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(300)
    writer.close()  # without an answer


async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(300):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def begin_an_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while request := await reader.read(300):
        writer.write(request[:4] + bytes([0, 200]) + request[6:9])  # 198 octets never follow


async def answer_no_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while request := await reader.read(300):
        writer.write(b"\x70\x00" + request[2:4] + b"\0\5" + request[6:8] + b"\2\0\0")


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(300):
        writer.write(bytes(100_000))


async def answer_the_request_before(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    before = b""
    while request := await reader.read(300):
        if before:
            writer.write(before[:4] + b"\0\3" + before[6:7] + b"\x83\2")
        before = request


def asked(port: int, *options: str) -> Result:
    return CliRunner().invoke(
        main, ["discover", "127.0.0.1", "--port", str(port), "--timeout", "0.2", *options]
    )


def test_somebody_who_accepts_and_never_answers_is_told_so() -> None:
    with listener(keep_silent) as port:
        done = asked(port, "--unit", "1-2")
    assert done.exit_code == 1
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert "no SunSpec device among units 1 to 2; nobody answered within 0.2 s" in done.stderr


@pytest.mark.parametrize(
    ("talk", "told"),
    [
        (begin_an_answer, "something answers, but no whole Modbus frame came in time"),
        (answer_no_request, "something answers, but not Modbus"),
    ],
)
def test_rubbish_is_told_from_silence(talk: Talk, told: str) -> None:
    with listener(talk) as port:
        done = asked(port, "--unit", "1-2")
    assert done.exit_code == 1
    assert f"device at 127.0.0.1:{port} units 1–2: {told}" in done.stderr
    assert "nobody answered" not in done.stderr


def test_more_octets_than_any_answer_has_are_told_from_silence() -> None:
    with listener(pour) as port:
        done = asked(port, "--unit", "1")
    assert done.exit_code == 1
    assert "Modbus" in done.stderr  # how the octets are cut decides who finds out
    assert "nobody answered" not in done.stderr


def test_an_answer_that_comes_late_is_no_rubbish() -> None:
    with listener(answer_the_request_before) as port:
        done = asked(port, "--unit", "1-3", "--json")
    assert json.loads(done.stdout)["remarks"] == []


def test_another_protocol_is_told_once_and_nobody_else_is_asked() -> None:
    with listener(speak_http) as port:
        done = asked(port, "--json")
    (remark,) = json.loads(done.stdout)["remarks"]
    assert remark == f"device at 127.0.0.1:{port}: what answers does not speak Modbus TCP"


def test_what_is_said_of_many_units_is_one_line() -> None:
    with listener(hang_up) as port:
        done = asked(port, "--json")
    (remark,) = json.loads(done.stdout)["remarks"]
    said = f"device at 127.0.0.1:{port} units 1–247: connection lost; does it speak TLS?"
    assert remark == said


def test_units_that_are_not_neighbours_are_ranges(serve: Serve) -> None:
    strange = reference.newest_pv()
    strange.base = 1234
    units = dict.fromkeys((1, 2, 4, 6, 7), strange) | {5: reference.newest_bes()}
    done = discover(serve(units), "--unit", "1-7", "--json")
    document = json.loads(done.stdout)
    (remark,) = document["remarks"]
    assert " units 1–2, 4, 6–7: answers, but holds no `SunS`" in remark
    assert [f["unit"] for f in document["found"]] == [5]


@pytest.mark.parametrize(
    ("registers", "problem"),
    [
        ([0xFFFF, 0], "holds no model"),
        ([0] * 20, "holds models without registers"),
        ([64_001, 1, 0] * 140, "does not end after 128 models"),
        ([64_001, 65_000], "does not end before register 65535"),
    ],
)
def test_a_chain_that_cannot_be_one_is_no_device(
    serve: Serve, registers: list[int], problem: str
) -> None:
    broken = reference.newest_pv()
    broken.registers = [*MARKER, *registers]
    done = discover(serve({1: broken}), "--unit", "1", "--json")
    assert done.exit_code == 1
    (remark,) = json.loads(done.stdout)["remarks"]
    assert "answers nonsense: its chain of models at 40000" in remark
    assert problem in remark


def test_a_plain_device_asked_by_tls_and_the_other_way_round_are_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    own, ours = authority.pair("127.0.0.1"), authority.pair("ems")
    files = [str(authority.cert), str(ours.cert), str(ours.key)]
    for talk in (keep_silent, hang_up, speak_http):
        with listener(talk) as port:
            done = asked(port, "--unit", "1", "--tls", *files)
        assert "no connection" in done.stderr
        assert "; does it speak TLS?" in done.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.cert, own.key)
    loop = LoopThread("test-devices")
    served = Served({1: reference.newest_pv()})
    loop.run(served.start(context))
    done = discover(served, "--unit", "1")
    loop.run(served.stop())
    loop.close()
    assert "; does it speak TLS?" in done.stderr
