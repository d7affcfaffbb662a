"""Who a server's file lets register and speak, over real TLS."""

import hashlib
from pathlib import Path

import pytest

from ems.derms.certificates import Pki, make_pki
from tests.derms_process import Caller, Got, serving, write_file

PROGRAM = '[[ieee2030_5.program]]\nname = "feeder"\n'


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder = tmp_path_factory.mktemp("pki")
    return make_pki(folder, ["listed", "other"], administrators=["operator"])


def listed(pki: Pki, more: str = "") -> str:
    return (
        f'{PROGRAM}[[ieee2030_5.device]]\nname = "listed"\npin = 111115\ngroups = ["feeder"]\n'
        f'cert_file = "{pki.device["listed"].cert_file}"\n{more}'
    )


def register(caller: Caller, sfdi: int) -> Got:
    told = f"<EndDevice><sFDI>{sfdi}</sFDI><changedTime>0</changedTime></EndDevice>"
    return caller.send("POST", "/edev", told)


def test_a_device_of_the_file_is_there_and_nobody_else_may_register(
    tmp_path: Path, pki: Pki
) -> None:
    with serving(write_file(tmp_path, pki, listed(pki)), pki) as server:
        with server.caller(pki.device["listed"]) as device:
            assert device.get("/edev").texts("EndDevice/lFDI") == [pki.device["listed"].lfdi]
            assert device.get("/derp").texts("DERProgram/description") == ["feeder"]
        with server.caller(pki.device["other"]) as stranger:
            assert register(stranger, pki.device["other"].sfdi).status == 403
            assert stranger.ask("GET", "/derp").status == 403


def test_with_access_only_the_devices_of_the_file_register_themselves(
    tmp_path: Path, pki: Pki
) -> None:
    file = write_file(tmp_path, pki, listed(pki), mode='"register_access_only"')
    with serving(file, pki) as server:
        assert server.announced["devices"] == 0
        with server.caller(pki.device["listed"]) as device:
            assert device.ask("GET", "/derp").status == 403
            own = register(device, pki.device["listed"].sfdi).location
            assert device.get(f"{own}/reg").texts("pIN") == ["111115"]
            assert device.get("/derp").texts("DERProgram/description") == ["feeder"]
        with server.caller(pki.device["other"]) as stranger:
            assert register(stranger, pki.device["other"].sfdi).status == 403
        server.kill()
    with serving(file, pki) as server, server.caller(pki.device["listed"]) as device:
        assert device.get(own).texts("lFDI") == [pki.device["listed"].lfdi]


def test_with_open_registration_whoever_has_a_certificate_of_ours_registers(
    tmp_path: Path, pki: Pki
) -> None:
    file = write_file(tmp_path, pki, PROGRAM, registration='"open"')
    with serving(file, pki) as server, server.caller(pki.device["other"]) as device:
        own = register(device, pki.device["other"].sfdi).location
        assert device.get(own).texts("sFDI") == [str(pki.device["other"].sfdi)]
        assert device.get("/derp").attribute("all") == "0"  # an administrator assigns programs
        with server.caller(pki.administrator["operator"]) as admin:
            [made, registered] = admin.get("/admin/v1/audit").json["entries"]
        assert (made["who"], made["what"]) == ("file", f"{file.name}: program feeder")
        assert (registered["who"], registered["what"]) == (pki.device["other"].lfdi, "POST /edev")
        assert registered["before"] is None
        assert registered["after"]["href"] == own


def test_in_file_mode_a_device_is_served_under_the_identity_of_its_file(
    tmp_path: Path, pki: Pki
) -> None:
    octets = pki.device["listed"].cert_file.read_bytes()
    expected = hashlib.sha256(octets).hexdigest()[:40].upper()
    file = write_file(tmp_path, pki, listed(pki), lfdi_mode='"file"')
    with serving(file, pki) as server, server.caller(pki.device["listed"]) as device:
        assert device.get("/edev").texts("EndDevice/lFDI") == [expected]


def test_a_disabled_device_is_refused(tmp_path: Path, pki: Pki) -> None:
    file = write_file(tmp_path, pki, listed(pki, "enabled = false\n"))
    with serving(file, pki) as server, server.caller(pki.device["listed"]) as device:
        assert device.ask("GET", "/edev").status == 403
