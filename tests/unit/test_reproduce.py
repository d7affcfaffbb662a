"""The reference case: the published numbers, and what GEEMS makes of them."""

from typing import Any

import pytest

from ems.reproduce import LOAD_KW, reference_site, reproduce
from feeders import shipped
from tests.witness import Point, solved_outside

KEYS = {
    "pv_kw", "pv_kvar", "dg_kw", "dg_kvar", "bes_kw", "bes_kvar", "grid_kw", "nodes_above",
    "nodes_below", "v_max_pu", "v_max_bus", "cost_usd_per_h", "solve_s", "loadflow_s",
}  # fmt: skip
COLUMNS = ("paper", "unconstrained", "paper_mode", "geems_mode", "geems_mode_pv_q")


Table = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def table() -> Table:
    return reproduce()  # type: ignore[return-value]  # plain values of a JSON document


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_has_every_key(table: Table, column: str) -> None:
    assert set(table[column]) == KEYS


def test_unconstrained_dispatch_breaks_the_limit_at_21_nodes(
    table: Table,
) -> None:
    free = table["unconstrained"]
    assert (free["pv_kw"], free["dg_kw"], free["bes_kw"]) == (10_000.0, 3000.0, 200.0)
    assert free["nodes_above"] == 21
    assert free["v_max_pu"] == pytest.approx(1.1284, abs=1e-4)
    assert free["v_max_bus"] == "B13"


def test_paper_mode_gives_the_published_curtailment(table: Table) -> None:
    paper = table["paper_mode"]
    assert paper["pv_kw"] == pytest.approx(6515.0, abs=20.0)
    assert (paper["pv_kvar"], paper["dg_kvar"], paper["bes_kvar"]) == (0.0, 0.0, 0.0)
    assert paper["nodes_above"] == 0


def test_geems_mode_keeps_a_megawatt_more_and_stands_at_the_limit(
    table: Table,
) -> None:
    geems = table["geems_mode"]
    assert geems["pv_kw"] >= 7600.0
    assert geems["pv_kvar"] == 0.0
    assert geems["nodes_above"] == geems["nodes_below"] == 0
    assert 1.099 <= geems["v_max_pu"] <= 1.1


def test_reactive_power_of_the_pv_inverter_ends_curtailment(
    table: Table,
) -> None:
    held = table["geems_mode_pv_q"]
    assert held["pv_kw"] == 10_000.0
    assert held["pv_kvar"] < 0.0
    assert held["nodes_above"] == 0
    assert held["cost_usd_per_h"] == table["unconstrained"]["cost_usd_per_h"]


@pytest.mark.parametrize("column", COLUMNS[1:])
def test_plain_opendss_in_another_process_sees_the_same_voltages(table: Table, column: str) -> None:
    row = table[column]
    point = Point(
        feeder=str(shipped()["segment13"].entry),
        load_kw=LOAD_KW,
        load_kvar=None,
        ders=tuple(
            (d.name, d.bus, row[f"{d.name}_kw"], row[f"{d.name}_kvar"])
            for d in reference_site().ders
        ),
    )
    (seen,) = solved_outside([point])
    assert seen.v_max_pu == pytest.approx(row["v_max_pu"], abs=2e-6)
    assert (seen.v_max_pu > 1.1) == (row["nodes_above"] > 0)
