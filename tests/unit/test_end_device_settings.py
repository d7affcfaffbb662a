"""The `device` table of a DER that is a client of our IEEE 2030.5 server, and `[utility]`."""

from pathlib import Path

import pytest

from ems.domain import EndDeviceAddress
from ems.errors import BadInput
from ems.settings import TEMPLATE, load_settings

CLIENT = 'device = { protocol = "ieee2030_5", enddevice = "roof" }'
SERVER = """
[ieee2030_5]
poll_rate_s = 40
cert_file = "server.pem"
key_file = "server.key"
ca_file = "root.pem"
[[ieee2030_5.device]]
name = "roof"
lfdi = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
"""
UTILITY = """
[utility]
url = "https://utility.example:8443/dcap"
ca_file = "root.pem"
cert_file = "site.pem"
key_file = "site.key"
"""


def site(folder: Path, device: str = CLIENT, more: str = SERVER, **control: int) -> Path:
    text = TEMPLATE.read_text(encoding="utf-8")
    text = text.replace('device = { host = "127.0.0.1", port = 5021 }', device)
    for key, value in control.items():
        text = text.replace(f"\n{key} = ", f"\n{key} = {value} # ")
    path = folder / "site.toml"
    path.write_text(text + more, encoding="utf-8")
    return path


def faults(path: Path) -> str:
    with pytest.raises(BadInput) as told:
        load_settings(path, {})
    return str(told.value)


def test_a_der_names_its_end_device_and_the_others_stay_on_modbus(tmp_path: Path) -> None:
    settings = load_settings(site(tmp_path), {})
    assert settings.end_devices() == {"pv": EndDeviceAddress(enddevice="roof", answer_s=55.0)}
    assert set(settings.addresses()) == {"bes", "dg", "load"}


def test_the_time_for_an_answer_may_be_given(tmp_path: Path) -> None:
    device = CLIENT.replace(" }", ", timeout_s = 50, disconnect_at_zero = true }")
    (address,) = load_settings(site(tmp_path, device), {}).end_devices().values()
    assert address == EndDeviceAddress(enddevice="roof", answer_s=50.0, disconnect_at_zero=True)


def test_keys_of_the_other_protocol_are_refused_all_at_once(tmp_path: Path) -> None:
    device = 'device = { protocol = "ieee2030_5", host = "10.0.0.1", unit = 3 }'
    told = faults(site(tmp_path, device))
    assert "pv[0].device.enddevice: missing" in told
    assert 'pv[0].device.host: belongs to protocol = "modbus"' in told
    assert 'pv[0].device.unit: belongs to protocol = "modbus"' in told
    device = 'device = { host = "127.0.0.1", enddevice = "roof", timeout_s = 61 }'
    told = faults(site(tmp_path, device))
    assert 'pv[0].device.enddevice: belongs to protocol = "ieee2030_5"' in told
    assert "pv[0].device.timeout_s: must be at most 60, got 61" in told


def test_a_client_needs_a_server_that_knows_it(tmp_path: Path) -> None:
    told = faults(site(tmp_path, more=""))
    assert "pv[0].device.protocol: needs the table [ieee2030_5]" in told
    told = faults(site(tmp_path, CLIENT.replace("roof", "rooff")))
    assert 'no [[ieee2030_5.device]] is called "rooff"; did you mean "roof"?' in told


def test_who_may_register_by_himself_need_not_stand_in_the_file(tmp_path: Path) -> None:
    more = SERVER.replace("[ieee2030_5]", '[ieee2030_5]\nregistration = "open"')
    assert load_settings(site(tmp_path, CLIENT.replace("roof", "shed"), more), {}).end_devices()


def test_two_ders_are_never_one_end_device(tmp_path: Path) -> None:
    path = site(tmp_path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('device = { host = "127.0.0.1", port = 5022 }', CLIENT))
    assert '"roof" is the end device of pv[0] too' in faults(path)


def test_clients_hear_of_a_renewal_before_their_control_ends(tmp_path: Path) -> None:
    more = SERVER.replace("poll_rate_s = 40", "poll_rate_s = 100\npost_rate_s = 200")
    told = faults(site(tmp_path, more=more))
    assert "ieee2030_5.poll_rate_s: a control is renewed when half of reversion_s (300)" in told
    assert "at most 90 with keep_alive_s = 60, got 100" in told
    assert "ieee2030_5.post_rate_s: must be below control.stale_after_s (120), got 200" in told


def test_a_cycle_that_waits_for_answers_outlasts_no_timer(tmp_path: Path) -> None:
    more = SERVER.replace("poll_rate_s = 40", "poll_rate_s = 60")
    told = faults(site(tmp_path, more=more))
    assert "ieee2030_5.poll_rate_s: a cycle may wait 4 times for answers" in told
    assert "raise control.reversion_s above 360" in told
    device = CLIENT.replace(" }", ", timeout_s = 300 }")
    told = faults(site(tmp_path, device))
    assert "pv[0].device.timeout_s: a cycle may wait 4 times" in told
    assert "below 60, got 300" in told
    load_settings(site(tmp_path, device, reversion_s=1300), {})


def test_no_other_program_goes_as_far_ahead_as_the_dispatch(tmp_path: Path) -> None:
    more = f'{SERVER}\n[[ieee2030_5.program]]\nname = "feeder"\nprimacy = 0\n'
    assert "ieee2030_5.program[0].primacy" in faults(site(tmp_path, more=more))


def test_a_measurement_may_follow_as_late_as_it_is_posted(tmp_path: Path) -> None:
    assert load_settings(site(tmp_path), {}).to_policy().response_s == 90.0
    assert load_settings(TEMPLATE, {}).to_policy().response_s == 30.0


def test_a_server_beyond_loopback_makes_the_site_advisory(tmp_path: Path) -> None:
    assert load_settings(site(tmp_path), {}).to_policy().control == "auto"
    more = SERVER.replace("[ieee2030_5]", '[ieee2030_5]\nhost = "10.0.0.5"')
    assert load_settings(site(tmp_path, more=more), {}).to_policy().control == "advisory"


def test_a_utility_is_a_server_with_tls_and_the_site_has_a_certificate(tmp_path: Path) -> None:
    settings = load_settings(site(tmp_path, more=SERVER + UTILITY), {})
    assert settings.utility is not None
    assert settings.utility.lost_after_s == 300.0
    told = faults(site(tmp_path, more=SERVER + '[utility]\nurl = "http://utility.example/dcap"\n'))
    assert 'utility.url: "http://utility.example/dcap" is no address of a server' in told
    for key in ("ca_file", "cert_file", "key_file"):
        assert f"utility.{key}: missing" in told
