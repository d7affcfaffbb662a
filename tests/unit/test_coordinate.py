"""The coordinator: limits kept at every node, shared by policy, told in files."""

import csv
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ems.coordinate import Case, Coordination, Scenario, cim_case, coordinate, feeder_case, write
from ems.coordinate.loads import Powers, powers_of, read_powers
from ems.domain import Infeasible, Injections, Limits, Verified
from ems.errors import BadInput
from ems.protocols.cim_difference import DeviceChange, decode
from feeders import Feeder, FeederFault
from feeders.topology import topology
from tests.cim_files import ZOO_DERS, cim_object, exported, model, small_model, written, zoo

NOON = datetime(2026, 6, 21, 19, 0, tzinfo=UTC)
LIMITS = Limits(v_min_pu=0.95, v_max_pu=1.05, loading_max_pct=100.0, load_band_pct=0.0)
PLAIN = Scenario(limits=LIMITS, reactive=False)


def decided(source: str = "ieee123", **changes: Any) -> Coordination:
    case = feeder_case(source, replace(PLAIN, **changes), NOON)
    try:
        return coordinate(case)
    finally:
        case.network.feeder.close()


@pytest.fixture(scope="module")
def secondaries() -> Coordination:
    """The 123-bus feeder with its customers, the sun just out, active power only."""
    return decided("ieee123_secondaries")


@pytest.fixture(scope="module")
def folder(secondaries: Coordination, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("coordinated")
    write(secondaries, path, "simulation-1")
    return path


# --- who hangs where -------------------------------------------------------------------


def test_every_customer_is_found_behind_its_service_transformer() -> None:
    feeder = Feeder.open("ieee123_secondaries")
    top = topology(feeder)
    feeder.close()
    assert len(top.loads) == 436
    for load in top.loads:
        _, spot, _ = load.name.split("_")
        assert top.transformer[load.at] == f"xfmr_{spot}"
    assert "35" not in top.transformer
    assert top.transformer["610"] == "xfm1"


def test_a_leg_has_the_phase_that_feeds_its_transformer() -> None:
    feeder = Feeder.open("ieee123_secondaries")
    top = topology(feeder)
    feeder.close()
    assert [top.phase(n) for n in ("149.1", "149.2", "149.3")] == ["A", "B", "C"]
    assert top.phase("CUST_102C_1.1") == top.phase("CUST_102C_1.2") == "C"
    assert top.phase("SEC_35A.2") == "AB"  # a delta load, between two phases


def test_distance_is_the_length_of_the_lines_between() -> None:
    feeder = Feeder.open("ieee123")
    top = topology(feeder)
    feeder.close()
    # published: 149-1 400 ft, 1-2 175 ft; the regulator between 150 and 149 has none
    assert top.distance_km["2"] == pytest.approx((400 + 175) * 0.3048e-3)


# --- the customers ---------------------------------------------------------------------


def test_who_has_pv_does_not_depend_on_how_many_have() -> None:
    def with_pv(share: float) -> set[str]:
        case = feeder_case("ieee123", replace(PLAIN, pv_share=share), NOON)
        case.network.feeder.close()
        return {p.customer for p in case.plants if p.customer}

    assert with_pv(0.3) < with_pv(0.7) < with_pv(1.0)


def test_another_seed_draws_other_plants() -> None:
    def ratings(seed: int) -> list[float]:
        case = feeder_case("ieee123", replace(PLAIN, pv_share=1.0, seed=seed), NOON)
        case.network.feeder.close()
        return [pv.rated_kw for pv in case.site.pvs]

    assert ratings(1) == ratings(1) != ratings(2)


def test_a_feeder_without_pv_is_refused_with_what_to_do() -> None:
    with pytest.raises(BadInput, match="--utility"):
        feeder_case("ieee13", replace(PLAIN, pv_share=0.0), NOON)


def test_a_utility_plant_at_a_bus_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(FeederFault, match="no bus 999"):
        feeder_case("ieee123", replace(PLAIN, utility=[("999", 300.0)]), NOON)


# --- the decision ----------------------------------------------------------------------


def test_uncapped_pv_breaks_the_limit_and_coordinated_pv_keeps_it_everywhere(
    secondaries: Coordination,
) -> None:
    before, after = secondaries.before, secondaries.after
    assert isinstance(secondaries.secured, Verified)
    assert np.count_nonzero(before.v_pu > 1.05) > 400
    assert np.all(after.v_pu <= 1.05 + 1e-9)
    assert np.all(after.v_pu >= 0.95 - 1e-9)
    assert 1.05 - after.v_pu.max() < 2e-4


@pytest.mark.parametrize("fairness", ["least_cost", "equal_share", "proportional"])
def test_a_feeder_opened_anew_confirms_each_policy_with_taps_still_and_moved(
    fairness: str,
) -> None:
    found = decided(fairness=fairness)
    case = found.case
    setpoints = found.secured.dispatch.setpoints
    at = Injections(
        p_kw={n: s.p_kw for n, s in setpoints.items()},
        q_kvar={n: s.q_kvar for n, s in setpoints.items()},
        load_kw=case.forecast.load_kw,
        regulation=found.before.regulation,
    )
    fresh = Feeder.open("ieee123", case.site.placements)
    for controls in (False, True):
        flow = fresh.load_flow(at, controls=controls)
        assert flow.converged
        assert np.all(flow.v_pu <= 1.05 + 1e-6)
        assert np.all(flow.v_pu >= 0.95 - 1e-6)
    fresh.close()


def test_equal_share_holds_all_behind_a_transformer_at_one_fraction() -> None:
    found = decided("ieee123_secondaries", fairness="equal_share", pv_share=0.3)
    behind: dict[str, list[float]] = {}
    for plant, fraction in zip(found.case.plants, found.fractions.tolist(), strict=True):
        if plant.customer:
            behind.setdefault(plant.transformer, []).append(fraction)
    assert all(max(f) - min(f) < 1e-6 for f in behind.values())
    assert len({round(f[0], 3) for f in behind.values()}) > 1


def test_equal_share_of_the_feeder_holds_all_customers_at_one_fraction_at_a_price() -> None:
    found = decided(fairness="equal_share", group="feeder")
    customers = [p.customer != "" for p in found.case.plants]
    fractions = found.fractions[customers]
    assert np.ptp(fractions) < 1e-6
    price = found.price
    assert price is not None
    assert price.jain == pytest.approx(1.0)
    assert price.least_cost_jain < 0.9
    less_kw = price.least_cost_kept_kw - price.kept_kw
    assert less_kw > 0.0
    assert price.cost_usd_per_h == pytest.approx(PLAIN.price_usd_per_kwh * less_kw, rel=1e-6)


def test_proportional_lies_between_least_cost_and_equal_share(secondaries: Coordination) -> None:
    price = secondaries.price
    assert price is not None
    assert price.kept_kw < price.least_cost_kept_kw
    assert price.jain > price.least_cost_jain
    assert secondaries.fractions.min() > 0.05
    least_cost = secondaries.least_cost_fractions
    assert least_cost is not None
    assert least_cost.min() == 0.0


def test_reactive_power_keeps_what_active_power_alone_must_give_up() -> None:
    plain, with_q = decided(), decided(reactive=True)
    assert with_q.fractions.sum() > plain.fractions.sum()
    assert all(s.q_kvar == 0.0 for s in plain.secured.dispatch.setpoints.values())


def test_regulators_that_have_followed_leave_less_to_give_up() -> None:
    sudden, settled = decided(), decided(taps="with-pv")
    assert settled.before.v_pu.max() < sudden.before.v_pu.max()
    assert settled.fractions.sum() > sudden.fractions.sum()


def test_a_limit_that_pv_did_not_break_is_said_to_be_so_and_by_how_much(tmp_path: Path) -> None:
    found = decided(limits=replace(LIMITS, v_min_pu=0.999), load_scale=1.0, pv_scale=0.0)
    assert isinstance(found.secured, Infeasible)
    assert "not caused by DERs" in found.secured.reason
    assert "below 0.999 pu" in found.secured.reason
    (tmp_path / "messages").mkdir()
    (tmp_path / "messages" / "xfmr_of_yesterday.json").write_text("{}")
    summary = write(found, tmp_path, "simulation-1")
    assert summary["status"] == "infeasible"
    assert summary["price_of_fairness"] is None
    assert list((tmp_path / "messages").iterdir()) == []
    assert (tmp_path / "voltages.csv").is_file()


# --- what is left behind ---------------------------------------------------------------


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_service_transformer_with_pv_has_one_message_with_its_setpoints(
    secondaries: Coordination, folder: Path
) -> None:
    names = {p.transformer or "primary" for p in secondaries.case.plants}
    assert {f.stem for f in (folder / "messages").iterdir()} == names
    told: dict[str, DeviceChange] = {}
    for file in (folder / "messages").iterdir():
        message = decode(file.read_text())
        assert message.command == "update"
        assert message.simulation_id == "simulation-1"
        assert message.timestamp == NOON
        told |= {c.mrid: c for c in message.changes}
    for plant in secondaries.case.plants:
        setpoint = secondaries.secured.dispatch.setpoints[plant.der]
        change = told.pop(plant.mrid)
        assert change.p_w == pytest.approx(1e3 * setpoint.p_kw, abs=1e-3)
        assert change.q_var == pytest.approx(1e3 * setpoint.q_kvar, abs=1e-3)
        available_kw = secondaries.case.forecast.pv[plant.der].expected_kw
        assert change.p_before_w == pytest.approx(1e3 * available_kw, abs=1e-3)
    assert told == {}


def test_every_message_has_an_mrid_of_its_own_and_states_its_sign(folder: Path) -> None:
    documents = [json.loads(f.read_text()) for f in (folder / "messages").iterdir()]
    mrids = {d["input"]["message"]["difference_mrid"] for d in documents}
    assert len(mrids) == len(documents)
    assert all(d["sign_convention"].startswith("injection: positive") for d in documents)


def test_the_voltage_table_has_every_node_before_and_after_with_its_phase(
    secondaries: Coordination, folder: Path
) -> None:
    table = rows(folder / "voltages.csv")
    assert [r["node"] for r in table] == list(secondaries.before.nodes)
    assert {r["phase"] for r in table} == {"A", "B", "C", "AB", "BC", "CA"}
    after = [float(r["v_after_pu"]) for r in table]
    assert max(after) <= 1.05
    assert float(table[100]["v_before_pu"]) == pytest.approx(secondaries.before.v_pu[100], abs=1e-6)


def test_the_plant_table_has_the_curtailment_factor_of_each_customer(
    secondaries: Coordination, folder: Path
) -> None:
    table = rows(folder / "plants.csv")
    assert len(table) == len(secondaries.case.plants)
    factors = [float(r["curtailment_factor"]) for r in table]
    assert factors == pytest.approx(1.0 - secondaries.fractions, abs=1e-5)
    assert {r["service_transformer"] for r in table if r["customer"]} >= {"xfmr_1a", "xfmr_35a"}


def test_the_pictures_show_every_node_twice_and_every_curtailed_plant(
    secondaries: Coordination, folder: Path
) -> None:
    svg = "{http://www.w3.org/2000/svg}"
    voltages = ET.fromstring((folder / "voltages.svg").read_text())  # noqa: S314 - our own file
    assert len(voltages.findall(f".//{svg}circle")) == 2 * len(secondaries.before.nodes)
    titles = [t.text for t in voltages.findall(f".//{svg}text")]
    assert {"phase A", "phase B", "phase C"} < set(titles)
    curtailed = ET.fromstring((folder / "curtailment.svg").read_text())  # noqa: S314 - likewise
    bars = curtailed.findall(f"./{svg}g/{svg}rect")
    assert len(bars) == np.count_nonzero(secondaries.fractions < 1.0)


def test_the_summary_counts_what_was_broken_before_and_nothing_after(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "verified"
    assert summary["before"]["nodes_above"] > 400
    for key in ("nodes_above", "nodes_below", "overloaded"):
        assert summary["after"][key] == 0
    assert summary["curtailed_kw"] == pytest.approx(
        summary["available_kw"] - summary["kept_kw"], abs=0.01
    )


# --- measured loads --------------------------------------------------------------------


def test_measured_loads_stand_where_they_were_measured(tmp_path: Path) -> None:
    table = tmp_path / "measured.csv"
    table.write_text("name,p_w,q_var\nload_48,42000,10000\nload_49a,7000,5000\n")
    measured = powers_of(read_powers(table))
    case = feeder_case("ieee123", replace(PLAIN, measured=measured), NOON)
    shares = case.network.powers
    case.network.feeder.close()
    assert (shares.kw["load_48"], shares.kvar["load_48"]) == (42.0, 10.0)
    # the other loads: as the measured together, 49 of 210 + 35 kW nominal
    assert shares.kw["load_1a"] == pytest.approx(40.0 * 49.0 / 245.0)
    assert "89 loads are not measured" in case.notes[0]


def test_json_measurements_are_read_like_the_table(tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    path.write_text('{"load_48": {"p_w": 42000, "q_var": 10000}}')
    assert powers_of(read_powers(path)) == Powers(kw={"load_48": 42.0}, kvar={"load_48": 10.0})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("load,kw\nload_48,42\n", "the first line must be name,p_w,q_var"),
        ("name,p_w,q_var\nload_48,much,0\n", "line 2: p_w or q_var is no number"),
        ("name,p_w,q_var\nload_48,inf,0\n", "line 2: p_w or q_var is no number"),
        ("name,p_w,q_var\n", "holds no measurement"),
    ],
)
def test_a_table_that_is_none_is_refused_with_its_place(
    tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "measured.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=told):
        read_powers(path)


def test_a_load_that_the_feeder_lacks_is_named() -> None:
    measured = Powers(kw={"load_nowhere": 1.0}, kvar={"load_nowhere": 0.0})
    with pytest.raises(BadInput, match="load_nowhere"):
        feeder_case("ieee123", replace(PLAIN, measured=measured), NOON)


# --- a CIM model -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def from_cim(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("zoo")
    path = exported(str(zoo(folder)), folder, ZOO_DERS)
    return cim_case(path, None, replace(PLAIN, reactive=True), NOON)


def test_the_pv_of_a_cim_model_is_coordinated_and_the_rest_stays(from_cim: Case) -> None:
    found = coordinate(from_cim)
    assert {p.der for p in from_cim.plants} == {"utility", "roof", "onephase"}
    assert set(from_cim.pins) == {"giver", "taker", "diesel"}
    for name, pin in from_cim.pins.items():
        held = found.secured.dispatch.setpoints[name]
        assert held.p_kw == pytest.approx(pin.expected.p_kw)
        assert held.q_kvar == pytest.approx(pin.expected.q_kvar)


def test_devices_of_a_cim_model_keep_their_mrids_and_transformers(
    from_cim: Case, tmp_path: Path
) -> None:
    write(coordinate(from_cim), tmp_path, "simulation-2")
    roof = next(p for p in from_cim.plants if p.der == "roof")
    message = decode((tmp_path / "messages" / "split.json").read_text())
    assert message.service_transformer == roof.transformer_mrid
    assert [c.mrid for c in message.changes] == [roof.mrid]


def test_a_cim_model_takes_its_moment_from_measurements_by_mrid(tmp_path: Path) -> None:
    objects = small_model()
    for mrid, of in (("m_load", "load"), ("m_pv", "pv")):
        objects[mrid] = cim_object(
            "Analog",
            mrid,
            Measurement__PowerSystemResource=f"#{of}",
            Measurement__Terminal=f"#t_{of}_1",
            Measurement__measurementType="VA",
            Measurement__phases="=PhaseCode.ABC",
        )
    values = {"m_load": 60e3 + 12e3j, "m_pv": -30e3 + 0j}
    case = cim_case(written(tmp_path, model(objects)), None, PLAIN, NOON, values=values)
    found = coordinate(case)
    assert case.forecast.load_kw == pytest.approx(60.0)
    assert found.available_kw == pytest.approx([30.0])
    assert isinstance(found.secured, Verified)
    assert found.secured.load_flow.head_kw == pytest.approx(30.0, abs=0.5)


def test_a_cim_model_without_pv_is_refused(tmp_path: Path) -> None:
    path = exported("ieee13", tmp_path)
    with pytest.raises(BadInput, match="PhotovoltaicUnit"):
        cim_case(path, None, PLAIN, NOON)
