"""OpenDSS → CIM100 → OpenDSS: the feeder that is built is the feeder that was exported."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from feeders import Feeder, Injections
from feeders.cim import CimFeeder, DeviceKind, read_cim
from feeders.cim.classes import NOT_NEEDED, USED
from tests.cim_files import ZOO_DERS, exported, nominal_flow, zoo

PROMISED_PU = 1e-3
"""What the documentation promises of a round trip."""
TOLERANCE_PU = 1e-5
"""What holds: the export has eight digits, and 1 ppm of a transformer's kVA that it leaves out."""
SHIPPED = ("ieee13", "ieee123", "ieee123_secondaries")
ROOFS = ("cust_1a_1", "cust_1a_3", "cust_35a_1", "cust_114a_1")
"""Customers of ieee123_secondaries that get a PV; the legs of one house are nodes 1 and 2."""


@dataclass(frozen=True)
class Trip:
    """A feeder, its export, and what was read from that."""

    source: str
    xml: Path
    cim: CimFeeder
    entry: Path


@pytest.fixture(scope="module", params=[*SHIPPED, "zoo"])
def trip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trip:
    folder = tmp_path_factory.mktemp(request.param)
    ders: tuple[str, ...] = ()
    source = request.param
    if source == "zoo":
        source, ders = str(zoo(folder / "given")), ZOO_DERS
    if source == "ieee123_secondaries":
        ders = tuple(
            f"New PVSystem.pv_{b} bus1={b}.1.2 phases=1 kV=0.24 kVA=6 Pmpp=5 irradiance=1"
            for b in ROOFS
        )
    xml = exported(source, folder, ders)
    cim = read_cim(xml)
    return Trip(source=source, xml=xml, cim=cim, entry=cim.to_opendss(folder / "built"))


@pytest.fixture
def pair(trip: Trip) -> Iterator[tuple[Feeder, Feeder]]:
    given, built = Feeder.open(trip.source), Feeder.open(str(trip.entry), trip.cim.placements)
    yield given, built
    given.close()
    built.close()


def test_voltages_are_those_of_the_feeder_that_was_exported(pair: tuple[Feeder, Feeder]) -> None:
    given, built = (nominal_flow(f) for f in pair)
    assert given.converged
    assert built.converged
    assert set(built.nodes) == set(given.nodes)
    v_pu = dict(zip(built.nodes, built.v_pu, strict=True))
    worst = max(abs(v_pu[n] - v) for n, v in zip(given.nodes, given.v_pu, strict=True))
    assert worst <= TOLERANCE_PU < PROMISED_PU


def test_total_load_is_that_of_the_feeder_that_was_exported(pair: tuple[Feeder, Feeder]) -> None:
    given, built = ((sum(x.kw for x in f.loads), sum(x.kvar for x in f.loads)) for f in pair)
    assert built == pytest.approx(given, rel=1e-7)


def test_loadings_are_those_of_the_feeder_that_was_exported(pair: tuple[Feeder, Feeder]) -> None:
    given, built = (nominal_flow(f) for f in pair)
    loading_pct = dict(zip(built.elements, built.loading_pct, strict=True))
    assert set(given.elements) == set(loading_pct)
    for element, wanted in zip(given.elements, given.loading_pct, strict=True):
        # A line of infinite rating and one of none come to the same.
        assert loading_pct[element] == pytest.approx(wanted, abs=1e-2), element


def test_regulators_stand_where_the_export_left_them_and_still_move(
    pair: tuple[Feeder, Feeder],
) -> None:
    given, built = pair
    assert built.regulated == given.regulated
    free = [f.load_flow(_nominal(f), controls=True).regulation for f in pair]
    assert dict(free[1].taps) == {k: pytest.approx(v) for k, v in free[0].taps.items()}
    assert dict(free[1].capacitors) == dict(free[0].capacitors)


def _nominal(feeder: Feeder) -> Injections:
    still = dict.fromkeys([p.name for p in feeder.placements], 0.0)
    return Injections(
        p_kw=still,
        q_kvar=still,
        load_kw={x.name: x.kw for x in feeder.loads},
        load_kvar={x.name: x.kvar for x in feeder.loads},
    )


def test_every_class_of_the_export_is_used_or_known_not_to_be_needed(trip: Trip) -> None:
    kinds = set(re.findall(r"<cim:(\w+) rdf:about", trip.xml.read_text()))
    assert len(kinds) > 30  # so the expression has found them
    assert not kinds - USED.keys() - NOT_NEEDED.keys()
    assert not [w for w in trip.cim.warnings if w.startswith("CIM class")]


def test_no_class_is_in_both_tables() -> None:
    assert not USED.keys() & NOT_NEEDED.keys()


def test_the_documentation_names_every_class_that_is_known() -> None:
    text = (Path(__file__).parents[2] / "docs" / "cim.md").read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", text))
    assert not USED.keys() - words
    assert not [k for k, why in NOT_NEEDED.items() if f"| {k} | {why} |" not in text]


def test_every_bus_is_fed_and_has_a_voltage_base(trip: Trip) -> None:
    assert trip.cim.not_fed == ()
    stands = {b for e in trip.cim.elements for b in e.buses}
    assert stands <= trip.cim.base_kv.keys()


# --- devices and service transformers ---------------------------------------------------


@pytest.fixture(scope="module")
def trips(tmp_path_factory: pytest.TempPathFactory) -> CimFeeder:
    folder = tmp_path_factory.mktemp("devices")
    return read_cim(exported(str(zoo(folder / "given")), folder, ZOO_DERS))


def test_inverters_and_generators_become_placements_and_no_part_of_the_text(
    trips: CimFeeder,
) -> None:
    kinds = {d.name: d.kind for d in trips.devices}
    assert kinds == {
        "utility": DeviceKind.PV,
        "roof": DeviceKind.PV,
        "onephase": DeviceKind.PV,
        "giver": DeviceKind.BATTERY,
        "taker": DeviceKind.BATTERY,
        "diesel": DeviceKind.GENERATOR,
    }
    assert not any(word in trips.text for word in ("PVSystem", "Storage", "Generator"))


def test_powers_and_limits_of_a_device_are_injections_in_kw(trips: CimFeeder) -> None:
    by_name = {d.name: d for d in trips.devices}
    assert by_name["utility"].p_kw == pytest.approx(80.0)
    assert by_name["utility"].max_p_kw == pytest.approx(100.0)
    assert by_name["utility"].rated_kva == pytest.approx(120.0)
    assert by_name["taker"].p_kw < 0.0 < by_name["giver"].p_kw
    assert by_name["giver"].min_p_kw == pytest.approx(-50.0)
    assert by_name["giver"].rated_kwh == pytest.approx(200.0)
    assert by_name["diesel"].q_kvar == pytest.approx(10.0)
    assert by_name["onephase"].placement.bus == "b9.2"


def test_a_device_across_the_legs_of_a_house_injects_into_both(
    trips: CimFeeder, tmp_path: Path
) -> None:
    roof = next(d for d in trips.devices if d.name == "roof")
    assert roof.placement.bus == "home.1.2"
    feeder = Feeder.open(str(trips.to_opendss(tmp_path)), trips.placements)
    at = _nominal(feeder)
    before = feeder.load_flow(at)
    after = feeder.load_flow(
        Injections(
            p_kw={**at.p_kw, "roof": 5.0},
            q_kvar=at.q_kvar,
            load_kw=at.load_kw,
            load_kvar=at.load_kvar,
        )
    )
    feeder.close()
    risen = {n: after.v_pu[i] - before.v_pu[i] for i, n in enumerate(after.nodes)}
    assert after.converged
    assert risen["HOME.1"] > 1e-3
    assert risen["HOME.2"] == pytest.approx(risen["HOME.1"], rel=0.1)


def test_loads_and_inverters_know_their_service_transformer(trips: CimFeeder) -> None:
    load_of = {x.name: x for x in trips.loads}
    device_of = {d.name: d for d in trips.devices}
    home, roof = (
        trips.service_transformer_of(x) for x in (load_of["home"], device_of["roof"].mrid)
    )
    assert home is not None
    assert home == roof
    assert (home.name, home.primary_bus, home.secondary_bus) == ("split", "b5", "sec")
    assert home.kva == pytest.approx(50.0)
    low = trips.service_transformer_of(load_of["low"])
    assert low is not None
    assert low.name == "dy"
    assert trips.service_transformer_of(device_of["utility"]) is None
    assert trips.service_transformer_of(load_of["three"]) is None


def test_regulators_and_primary_transformers_are_no_service_transformers(
    trips: CimFeeder,
) -> None:
    assert [s.name for s in trips.service_transformers] == ["across", "coded", "dy", "split"]


def test_curves_that_act_in_an_inverter_are_told(trips: CimFeeder) -> None:
    assert [w for w in trips.warnings if "VoltVarSettings" in w and "switch it off" in w]


def test_lines_without_a_rating_are_told_and_not_limited(trips: CimFeeder) -> None:
    assert any("carry no CurrentLimit" in w for w in trips.warnings)
    cable = next(e for e in trips.elements if e.name == "line.cable")
    assert cable.text.endswith("normamps=0")
