"""The IEEE feeders that ship: their published voltages, and what their secondaries hold to."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from feeders import Feeder, Injections, LoadFlow, shipped
from feeders.compiling import compile_file, new_context
from feeders.ieee123_secondaries import customers

PUBLISHED = Path(__file__).with_name("published")
TOLERANCE_PU = 5e-4
"""A tenth of the 0.005 pu promised, below which even a grossly wrong segment can hide."""
NOMINAL = {"ieee13": (3466.0, 2102.0), "ieee123": (3490.0, 1920.0)}
"""Published sums of all loads [kW, kvar]."""
TAPS = {
    "ieee13": {"reg60a": 10, "reg60b": 8, "reg60c": 11},
    "ieee123": {
        "reg1": 7,
        "reg2a": -1,
        "reg3a": 0,
        "reg3c": -1,
        "reg4a": 8,
        "reg4b": 1,
        "reg4c": 5,
    },
}
"""Published taps, as the ratios in the published profile."""
IEEE = tuple(NOMINAL)
FEET_PER_MILE = 5280


def rows(name: str) -> Iterator[dict[str, str]]:
    with (PUBLISHED / f"{name}.csv").open(encoding="utf-8") as file:
        yield from csv.DictReader(line for line in file if not line.startswith("#"))


def published(name: str) -> dict[str, float]:
    """Published voltage of each node, `BUS.phase` [pu]."""
    return {
        f"{row['node']}.{phase}": float(row[column])
        for row in rows(name)
        for phase, column in enumerate(("a_pu", "b_pu", "c_pu"), start=1)
        if row[column]
    }


def at_nominal(feeder: Feeder) -> LoadFlow:
    total_kw = sum(load.kw for load in feeder.loads)
    return feeder.load_flow(Injections(p_kw={}, q_kvar={}, load_kw=total_kw))


def voltages(name: str) -> dict[str, float]:
    flow = at_nominal(Feeder.open(name))
    assert flow.converged
    return dict(zip(flow.nodes, flow.v_pu, strict=True))


def entry_lines(name: str) -> list[str]:
    return shipped()[name].entry.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", IEEE)
def test_every_published_voltage_is_met(name: str) -> None:
    v_pu = voltages(name)
    assert {n: v_pu[n] for n in published(name)} == pytest.approx(published(name), abs=TOLERANCE_PU)


@pytest.mark.parametrize(("name", "unpublished"), [("ieee13", {"670"}), ("ieee123", set[str]())])
def test_no_node_goes_unchecked(name: str, unpublished: set[str]) -> None:
    unchecked = set(voltages(name)) - set(published(name))
    assert {node.partition(".")[0] for node in unchecked} == unpublished


def test_ieee13_takes_the_published_power_and_loses_the_published_losses() -> None:
    flow = at_nominal(Feeder.open("ieee13"))
    assert flow.head_kw == pytest.approx(3577.191, rel=1e-4)
    assert flow.head_kvar == pytest.approx(1724.692, rel=1e-4)
    assert flow.losses_kw == pytest.approx(111.063, rel=1e-3)


@pytest.mark.parametrize("name", IEEE)
def test_loads_add_up_to_the_published_sums(name: str) -> None:
    loads = Feeder.open(name).loads
    assert sum(load.kw for load in loads) == pytest.approx(NOMINAL[name][0])
    assert sum(load.kvar for load in loads) == pytest.approx(NOMINAL[name][1])


@pytest.mark.parametrize("name", IEEE)
def test_published_settings_hold_the_regulators_at_the_published_taps(name: str) -> None:
    context = new_context()
    compile_file(context, shipped()[name].entry)
    context.Text.Command("Set ControlMode=STATIC")
    context.Solution.Solve()
    taps = {}
    for control in context.RegControls.AllNames():
        context.RegControls.Name(control)
        taps[control] = context.RegControls.TapNumber()
    assert taps == TAPS[name]


def test_segments_of_ieee123_add_up_to_the_published_distances() -> None:
    """Voltages hardly show the length of a segment that carries little."""
    upstream: dict[str, tuple[str, float]] = {}
    for line in entry_lines("ieee123"):
        if found := re.match(r"New Line\.\S+ phases=\d bus1=(\w+)\S* bus2=(\w+)", line):
            length = re.search(r"length=(\d+) units=ft", line)
            upstream[found[2]] = (found[1], float(length[1]) if length else 0.0)
        elif found := re.match(r"New Transformer\..* buses=\[(\w+)\S* (\w+)", line):
            upstream[found[2]] = (found[1], 0.0)

    def distance_ft(bus: str) -> float:
        if bus == "150":
            return 0.0
        above, length_ft = upstream[bus]
        return length_ft + distance_ft(above)

    calculated = {row["node"]: distance_ft(row["node"]) / FEET_PER_MILE for row in rows("ieee123")}
    wanted = {row["node"]: float(row["miles"]) for row in rows("ieee123")}
    assert calculated == pytest.approx(wanted, abs=0.0011)


@pytest.mark.parametrize("name", [*IEEE, "ieee123_secondaries"])
def test_nothing_is_overloaded_at_nominal_load(name: str) -> None:
    """A limit on loading can be kept on a shipped feeder as it is."""
    assert at_nominal(Feeder.open(name)).loading_pct.max() <= 100.0


@pytest.mark.parametrize("name", [*IEEE, "ieee123_secondaries"])
def test_a_shipped_feeder_says_what_it_is_and_where_its_numbers_come_from(name: str) -> None:
    card = shipped()[name]
    assert card.nominal_kv == pytest.approx(4.16)
    assert "IEEE" in card.title
    assert "published" in card.source


@pytest.mark.parametrize("name", [*IEEE, "ieee123_secondaries"])
def test_a_shipped_feeder_taken_by_path_is_the_same(name: str) -> None:
    """So a copy of it is a start for one's own."""
    by_path = at_nominal(Feeder.open(str(shipped()[name].entry)))
    by_name = at_nominal(Feeder.open(name))
    assert by_path.nodes == by_name.nodes
    assert by_path.v_pu == pytest.approx(by_name.v_pu, abs=1e-9)


# --- IEEE 123 with secondaries -------------------------------------------------------------


def spot_loads() -> dict[str, customers.SpotLoad]:
    lines = entry_lines("ieee123")
    return {load.name: load for line in lines for load in customers.spot_loads(line)}


def test_the_file_with_secondaries_is_what_its_rule_writes() -> None:
    """Otherwise: `python -m feeders.ieee123_secondaries.customers`."""
    assert customers.OWN.read_text(encoding="utf-8") == customers.text()


def test_customers_of_a_transformer_add_up_to_its_spot_load() -> None:
    kw: dict[str, float] = defaultdict(float)
    kvar: dict[str, float] = defaultdict(float)
    count: dict[str, int] = defaultdict(int)
    for load in Feeder.open("ieee123_secondaries").loads:
        _, name, _ = load.name.split("_")
        kw[name] += load.kw
        kvar[name] += load.kvar
        count[name] += 1
    assert kw == pytest.approx({name: load.kw for name, load in spot_loads().items()})
    assert kvar == pytest.approx({name: load.kvar for name, load in spot_loads().items()})
    assert 3 <= min(count.values()) <= max(count.values()) <= 8


def test_each_spot_load_has_its_transformer_and_each_customer_its_drop() -> None:
    feeder = Feeder.open("ieee123_secondaries")
    transformers = {e for e in feeder.elements if e.startswith("transformer.xfmr_")}
    assert transformers == {f"transformer.xfmr_{name}" for name in spot_loads()}
    drops = {e.removeprefix("line.drop_") for e in feeder.elements if e.startswith("line.drop_")}
    assert drops == {load.name.removeprefix("load_") for load in feeder.loads}
    assert {load.bus for load in feeder.loads} == {f"CUST_{name.upper()}" for name in drops}


def test_customers_have_plausible_voltages_the_same_on_both_legs() -> None:
    v_pu = voltages("ieee123_secondaries")
    legs = {n: v for n, v in v_pu.items() if n.startswith(("SEC_", "CUST_"))}
    assert 0.95 <= min(legs.values()) <= max(legs.values()) <= 1.05
    first = {n[:-2]: v for n, v in legs.items() if n.endswith(".1")}
    second = {n[:-2]: v for n, v in legs.items() if n.endswith(".2")}
    assert first == pytest.approx(second, abs=1e-6)


def test_secondaries_draw_the_primary_down_by_their_losses_only() -> None:
    v_pu = voltages("ieee123_secondaries")
    plain = voltages("ieee123")
    assert {n: v_pu[n] for n in plain} == pytest.approx(plain, abs=0.005)


def test_a_load_written_in_another_form_is_refused_by_the_rule() -> None:
    with pytest.raises(ValueError, match="not written as the other loads are"):
        list(customers.spot_loads("New Load.load_1a kW=40 bus1=1.1"))
