"""A fleet without a feeder: who is in it, what each feels, how time goes by."""

import csv
import resource
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ems.domain import Bes, Dg, Pv
from ems.errors import BadInput
from ems.plant import fleet as fleet_module
from ems.plant.events import EventList, read_events
from ems.plant.fleet import Fleet, Seen, ders_of, run_fleet
from ems.plant.fleet_record import FleetPlot, fleet_csv

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MIX = {"pv": 2, "bes": 1}


def events(folder: Path, *rows: str) -> EventList:
    file = folder / "events.csv"
    file.write_text("\n".join(["time,der,voltage_pu,frequency_hz", *rows]))
    return read_events(file, [d.name for d in ders_of(6, {"pv": 2, "bes": 1, "dg": 1})])


def seen(fleet: Fleet) -> dict[str, Seen]:
    return {s.der: s for s in fleet.seen()}


def test_a_mix_is_kept_from_the_first_on() -> None:
    ders = ders_of(7, MIX)
    assert [d.name for d in ders] == ["pv1", "pv2", "bes1", "pv3", "pv4", "bes2", "pv5"]
    kinds = Counter(type(d) for d in ders_of(10, {"dg": 1, "pv": 3, "bes": 1}))
    assert kinds == {Pv: 6, Bes: 2, Dg: 2}


def test_an_undervoltage_trips_the_one_that_feels_it_and_nobody_else(tmp_path: Path) -> None:
    fleet = Fleet(ders_of(3, MIX), NOON, events(tmp_path, "5,pv1,0.4,", "10,pv1,1.0,"))
    for _ in range(4):
        fleet.step()
    for s, p_kw in zip(fleet.seen(), (80, 80, 0), strict=True):
        assert s.p_kw == pytest.approx(p_kw)
    for _ in range(10):
        fleet.step()
    now = seen(fleet)
    assert (now["pv1"].p_kw, now["pv1"].v_pu, now["pv1"].state) == (0.0, 1.0, "tripped")
    assert now["pv2"].p_kw == pytest.approx(80)
    assert now["pv2"].v_pu == 1.0


def test_what_is_felt_holds_from_its_second_on(tmp_path: Path) -> None:
    fleet = Fleet(ders_of(2, {"pv": 1}), NOON, events(tmp_path, "2,pv2,1.05,", "4,pv2,,60.1"))
    felt = []
    for _ in range(6):
        fleet.step()
        felt.append((seen(fleet)["pv2"].v_pu, seen(fleet)["pv2"].hz))
    assert felt == [(1, 60), (1.05, 60), (1.05, 60), (1.05, 60.1), (1.05, 60.1), (1.05, 60.1)]


def test_ideal_inverters_feel_nothing(tmp_path: Path) -> None:
    happens = events(tmp_path, "0,*,0.3,")
    fleet = Fleet(ders_of(1, {"pv": 1}), NOON, happens, inverter="ideal", sun=0.5)
    fleet.step()
    assert [(s.p_kw, s.v_pu, s.state) for s in fleet.seen()] == [(50, 0.3, "running")]


def test_time_ends_after_the_seconds_asked_for() -> None:
    fleet = Fleet(ders_of(1, MIX), NOON, inverter="ideal")
    told: list[int] = []
    run_fleet(
        fleet, seconds=7, speed=None, stop=threading.Event(), each=lambda f: told.append(f.t_s)
    )
    assert told == [1, 2, 3, 4, 5, 6, 7]


def test_time_ends_when_it_is_told_to() -> None:
    fleet, stop = Fleet(ders_of(1, MIX), NOON, inverter="ideal"), threading.Event()

    def each(fleet: Fleet) -> None:
        if fleet.t_s == 3:
            stop.set()

    run_fleet(fleet, seconds=None, speed=1e6, stop=stop, each=each)
    assert fleet.t_s == 3


def test_a_fleet_behind_its_pace_says_so_and_leaves_no_second_out() -> None:
    fleet = Fleet(ders_of(1, MIX), NOON, inverter="ideal")
    behind = run_fleet(fleet, seconds=5, speed=1e9, stop=threading.Event(), each=lambda _: None)
    assert fleet.t_s == 5
    assert behind > 0.0


def test_every_second_of_every_der_is_recorded(tmp_path: Path) -> None:
    fleet = Fleet(ders_of(2, MIX), NOON, events(tmp_path, "2,pv1,0.95,"), inverter="ideal")
    path = tmp_path / "record.csv"
    with fleet_csv(path) as record:
        assert record is not None
        for _ in range(2):
            fleet.step()
            record.add(fleet, fleet.seen())
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["t_s"], r["der"], r["voltage_pu"]) for r in rows] == [
        ("1", "pv1", "1"),
        ("1", "pv2", "1"),
        ("2", "pv1", "0.95"),
        ("2", "pv2", "1"),
    ]
    assert rows[0]["time_utc"] == "2026-06-01T12:00:01Z"
    assert (float(rows[0]["p_kw"]), rows[0]["state"]) == (80.0, "running")


def test_a_record_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be written"), fleet_csv(tmp_path / "no" / "r.csv"):
        pass


def test_the_picture_shows_those_that_something_happens_to(tmp_path: Path) -> None:
    names = [d.name for d in ders_of(30, {"pv": 1})]
    file = tmp_path / "events.csv"
    file.write_text("time,der,voltage_pu,frequency_hz\n1,pv29,0.9,\n")
    happens = read_events(file, names)
    fleet = Fleet(ders_of(30, {"pv": 1}), NOON, happens, inverter="ideal")
    plot = FleetPlot(fleet.names, happens)
    for _ in range(3):
        fleet.step()
        plot.add(fleet, fleet.seen())
    assert plot.shown == ("pv29", "pv1", "pv2", "pv3", "pv4", "pv5", "pv6", "pv7")
    picture = tmp_path / "fleet.png"
    plot.draw(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(BadInput, match="cannot be written"):
        plot.draw(tmp_path / "no" / "fleet.png")


def test_ports_beyond_the_last_are_refused_with_the_highest_that_fits() -> None:
    fleet = Fleet(ders_of(10, MIX), NOON, inverter="ideal")
    with pytest.raises(BadInput, match="begin at 65526 or lower"):
        fleet.start(65_530)


def test_a_limit_on_open_files_is_raised_or_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    fleet_module.allow_descriptors(100, "servers")
    assert asked == []
    fleet_module.allow_descriptors(1000, "servers")
    fleet_module.allow_descriptors(3000, "servers")
    assert asked == [(3256, 4096), (4096, 4096)]
    with pytest.raises(BadInput, match="at most 3840"):
        fleet_module.allow_descriptors(4000, "servers")
