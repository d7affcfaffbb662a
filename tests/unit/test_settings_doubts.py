"""What a sound site file hardly means, and which mode it leads to."""

from pathlib import Path

import pytest

from ems.settings import TEMPLATE, Settings, load_settings
from ems.settings.doubts import doubts

METER = 'device = { host = "127.0.0.1", port = 5020 }'


def settings(tmp_path: Path, *changes: tuple[str, str]) -> Settings:
    text = TEMPLATE.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (tmp_path / "site.toml").write_text(text)
    return load_settings(tmp_path / "site.toml", {})


def test_the_template_leaves_no_doubt(tmp_path: Path) -> None:
    assert list(doubts(settings(tmp_path))) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("longitude_deg = -122.42", "longitude_deg = 122.42", "did you mean -122.42? East"),
        ("longitude_deg = -122.42", "longitude_deg = 10.0", "Los_Angeles; look at both"),
        ("latitude_deg = 37.77", "latitude_deg = -37.77", "did you mean 37.77? North"),
        ("soc_min_pct = 20", "soc_min_pct = 0.2", "bes[0].soc_min_pct: 0.2 % is next to empty"),
        ("capacity_kwh = 800", "capacity_kwh = 800000", "800000 kWh last for 4,000 h"),
        ("\ncost_usd_per_kwh = ", "\ncost_usd_per_kwh = 99", "dg[0].cost_usd_per_kwh: 99"),
    ],
)
def test_a_slip_of_sign_or_unit_is_doubted(tmp_path: Path, old: str, new: str, told: str) -> None:
    (doubt,) = doubts(settings(tmp_path, (old, new)))
    assert told in doubt


def test_a_highest_charge_of_one_is_doubted(tmp_path: Path) -> None:
    low, high = ("soc_min_pct = 20", "soc_min_pct = 0"), ("soc_max_pct = 100", "soc_max_pct = 1")
    (doubt,) = doubts(settings(tmp_path, low, high))
    assert "soc_max_pct: 1 %" in doubt
    assert "did you mean 100?" in doubt


@pytest.mark.parametrize(
    ("zone", "latitude_deg", "longitude_deg"),
    [
        ("UTC", -37.8, 122.4),
        ("Etc/GMT-5", 37.8, -122.4),
        ("Asia/Shanghai", 39.5, 76.0),  # Kashgar
        ("Europe/Dublin", 53.3, -6.3),
        ("Europe/Madrid", 42.9, -9.2),
        ("Australia/Sydney", -33.9, 151.2),
        ("Pacific/Apia", -13.8, -171.8),  # beyond the date line by its clock
        ("Pacific/Kiritimati", 1.9, -157.4),
        ("America/Santiago", -33.4, -70.7),
        ("Asia/Kolkata", 8.5, 77.0),
    ],
)
def test_real_places_leave_no_doubt(
    tmp_path: Path, zone: str, latitude_deg: float, longitude_deg: float
) -> None:
    found = settings(
        tmp_path,
        ('timezone = "America/Los_Angeles"', f'timezone = "{zone}"'),
        ("latitude_deg = 37.77", f"latitude_deg = {latitude_deg}"),
        ("longitude_deg = -122.42", f"longitude_deg = {longitude_deg}"),
    )
    assert list(doubts(found)) == []


def test_the_mode_is_told_with_its_reason(tmp_path: Path) -> None:
    assert settings(tmp_path).control_mode() == ("auto", "every device is on this machine")
    asked = settings(tmp_path, ("[control]", '[control]\nmode = "advisory"'))
    assert asked.control_mode() == ("advisory", "control.mode says so")


def test_devices_elsewhere_make_it_advisory(tmp_path: Path) -> None:
    away = METER.replace("127.0.0.1", "10.0.0.9")
    one = settings(tmp_path, (METER, away))
    assert one.control_mode() == ("advisory", "the load meter is not on this machine")
    hosts = [
        (f'host = "127.0.0.1", port = {port}', f'host = "10.0.0.9", port = {port}')
        for port in (5020, 5021, 5022, 5023)
    ]
    every = settings(tmp_path, *hosts)
    assert every.control_mode() == (
        "advisory",
        "pv, bes, dg and 1 more are not on this machine",
    )
    assert every.to_policy().control == "advisory"
