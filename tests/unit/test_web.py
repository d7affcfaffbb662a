"""The REST interface: decisions, and what was measured and forecast."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ems.cli.tables import print_cycle
from ems.clock import INTERVAL
from ems.domain import (
    CycleRecord,
    Infeasible,
    Partial,
    RowKind,
    Sent,
    Violation,
)
from ems.store import MinuteMean, Store
from tests.unit.served import EARLY, LATE, START, Served, many, one, sample


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    store = Store.open(tmp_path / "geems.sqlite")
    yield Served(store)
    store.close()


# --- dispatch ------------------------------------------------------------------------


def test_before_the_first_cycle_the_latest_dispatch_is_not_found_and_history_is_empty(
    served: Served,
) -> None:
    assert "no cycle has been recorded yet" in str(served.get("/dispatch/latest", 404))
    assert served.get("/dispatch/history") == []


def test_the_latest_dispatch_tells_reason_status_limits_and_every_resource(
    served: Served,
) -> None:
    served.store.append(sample())
    found = one(served.get("/dispatch/latest"))
    assert found["status"] == "verified"
    assert found["start"] == "2026-07-01T14:00:00Z"
    assert found["end"] == "2026-07-01T14:15:00Z"
    assert str(found["reason"]).startswith("PV plant pv is held at 7,653 kW")
    assert found["v_max_node"] == "B13.3"
    assert found["limits"] == {"v_min_pu": 0.88, "v_max_pu": 1.1, "loading_max_pct": 100.0}
    ders = {d["der"]: d for d in found["ders"]}  # type: ignore[attr-defined]  # a JSON array
    pv, dg, bes = ders["pv"], ders["dg"], ders["bes"]
    assert (pv["kind"], pv["bus"], pv["outcome"]) == ("pv", "B13", "sent")
    assert pv["cap_kw"] == pv["readback_cap_kw"] == 7652.86
    assert (pv["available_kw"], pv["measured_kw"]) == (9874.2, 7953.0)
    assert (dg["setpoint_kvar"], dg["readback_kvar"], dg["free_kvar"]) == (-400.0, -400.0, 0.0)
    assert bes["soc_pct"] == 59.99
    assert pv["limits"] == ["B13.1"]


def with_quantiles(record: CycleRecord) -> CycleRecord:
    """The record of a forecaster that tells how sure it is."""
    pv = replace(record.forecast.pv["pv"], quantiles_kw=(8500.0, 9600.0, 9950.0))
    reading = replace(record.snapshot.ders["pv"], available_kw=9700.0)
    return replace(
        record,
        forecast=replace(record.forecast, pv={"pv": pv}, levels=(0.1, 0.5, 0.9)),
        snapshot=replace(record.snapshot, ders={**record.snapshot.ders, "pv": reading}),
    )


def test_how_sure_the_available_power_is_and_what_the_device_says_of_it_are_told(
    served: Served,
) -> None:
    served.store.append(with_quantiles(sample()))
    found = one(served.get("/dispatch/latest"))
    pv, dg = found["ders"][0], found["ders"][1]  # type: ignore[index]  # a JSON array
    assert pv["available_quantiles_kw"] == {"0.1": 8500.0, "0.5": 9600.0, "0.9": 9950.0}
    assert (pv["available_method"], pv["measured_available_kw"]) == ("lstm", 9700.0)
    assert (dg["available_method"], dg["available_quantiles_kw"]) == ("", {})
    assert (found["pv_available_low_kw"], found["pv_available_high_kw"]) == (8500.0, 9950.0)
    (kept,) = [
        f for f in many(served.get("/forecasts", since=EARLY, until=LATE)) if f["device"] == "pv"
    ]
    assert kept["quantiles_kw"] == {"0.1": 8500.0, "0.5": 9600.0, "0.9": 9950.0}


def test_a_record_without_quantiles_has_no_band(served: Served) -> None:
    served.store.append(sample())
    found = one(served.get("/dispatch/latest"))
    assert found["pv_available_low_kw"] is found["pv_available_high_kw"] is None


def test_the_voltage_of_every_node_is_told_with_and_without_network_limits(
    served: Served,
) -> None:
    record = sample()
    served.store.append(record)
    volts = one(served.get("/dispatch/latest"))["voltages"]
    assert isinstance(volts, list)
    flow, free = record.secured.load_flow, record.secured.free_load_flow
    assert free is not None
    assert [v["node"] for v in volts] == list(flow.nodes)
    assert [v["v_pu"] for v in volts] == flow.v_pu.tolist()
    assert [v["free_v_pu"] for v in volts] == free.v_pu.tolist()
    assert volts[0]["bus"] == "B1"


def test_the_dispatch_of_a_time_is_that_of_its_interval(served: Served) -> None:
    for i in range(3):
        served.store.append(sample(START + i * INTERVAL))
    found = one(served.get("/dispatch", at="2026-07-01T14:29:59Z"))
    assert found["start"] == "2026-07-01T14:15:00Z"
    missing = served.get("/dispatch", 404, at="2026-07-01T15:00:00Z")
    assert missing == {"detail": "no cycle was recorded for 2026-07-01T15:00Z"}


@pytest.mark.parametrize("at", ["2026-07-01T16:05:00+02:00", "2026-07-01T16:05:00 02:00"])
def test_a_time_may_carry_any_zone_and_a_plus_sent_bare_is_understood(
    served: Served, at: str
) -> None:
    served.store.append(sample())
    assert one(served.get("/dispatch", at=at))["start"] == "2026-07-01T14:00:00Z"


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        ("/dispatch", {"at": "2026-07-01T14:00:00"}, "timezone"),
        ("/dispatch", {"at": "noon"}, "valid datetime"),
        ("/dispatch", {"at": "0001-01-01T00:00:00+14:00"}, "before 1970 or after 2999"),
        ("/dispatch/history", {"since": "0001-01-01T00:00:00+14:00"}, "before 1970"),
        ("/dispatch/history", {"until": "0001-01-01T12:00:00Z"}, "before 1970"),
        ("/setpoints", {"until": "9999-12-31T23:59:59-14:00"}, "after 2999"),
        ("/forecasts", {"since": "9999-12-31T23:59:59-14:00"}, "after 2999"),
        ("/measurements", {"until": "0001-01-01T00:00:00+14:00"}, "before 1970"),
        ("/measurements", {"since": "2026-07-01T14:00:00"}, "timezone"),
        ("/dispatch", {}, "Field required"),
        ("/dispatch/history", {"limit": "0"}, "greater than or equal to 1"),
        (
            "/setpoints",
            {"since": "2026-07-02T00:00:00Z", "until": "2026-07-01T00:00:00Z"},
            "must lie before until",
        ),
    ],
)
def test_a_bad_question_is_answered_with_what_is_wrong(
    served: Served, path: str, query: dict[str, str], said: str
) -> None:
    assert said in str(served.get(path, 422, **query))


@pytest.mark.parametrize("at", ["1970-01-01T00:00:00+14:00", "2999-12-31T23:59:59-14:00"])
def test_the_ends_of_the_time_that_may_be_asked_for_are_answered(served: Served, at: str) -> None:
    served.get("/dispatch", 404, at=at)
    for path in ("/dispatch/history", "/setpoints", "/forecasts", "/measurements"):
        assert served.get(path, until=at) == []


def test_history_is_of_the_last_day_unless_asked_and_carries_measured_means(
    served: Served,
) -> None:
    served.store.append(sample(START - timedelta(days=2)))
    served.store.append(sample(START - INTERVAL))
    served.store.append(sample(START))
    served.store.add_minute(
        MinuteMean(device="pv", time=START - INTERVAL, p_kw=7000.0, capped=True),
        MinuteMean(device="load", time=START, p_kw=13_000.0),
    )
    lines = many(served.get("/dispatch/history"))
    assert [line["start"] for line in lines] == ["2026-07-01T13:45:00Z", "2026-07-01T14:00:00Z"]
    before, now = (line["measured_kw"] for line in lines)
    assert before == {"pv": 7000.0, "dg": None, "bes": None, "load": None}
    assert now == {"pv": None, "dg": None, "bes": None, "load": 13_000.0}
    assert lines[1]["setpoints_kw"] == {"pv": 7652.86, "dg": 3000.0, "bes": 200.0}
    assert len(many(served.get("/dispatch/history", since="2026-06-01T00:00:00Z"))) == 3
    assert len(many(served.get("/dispatch/history", limit="1"))) == 1


def test_an_infeasible_cycle_tells_what_remains_broken(served: Served) -> None:
    base = sample()
    broken = Violation(kind=RowKind.V_MAX, place="B13.1", value=1.11, limit=1.1, case="high")
    flow = replace(base.secured.load_flow, v_pu=base.secured.load_flow.v_pu * float("nan"))
    infeasible = Infeasible(
        dispatch=base.secured.dispatch,
        load_flow=flow,
        reason="no setpoints keep every limit",
        violations=(broken,),
    )
    served.store.append(replace(base, secured=infeasible, alarms=("no safe dispatch",)))
    found = one(served.get("/dispatch/latest"))
    assert found["status"] == "infeasible"
    assert found["violations"] == ["B13.1 at 1.1100 pu, 0.0100 pu above 1.1 pu (high)"]
    assert found["alarms"] == ["no safe dispatch"]
    assert found["v_max_pu"] is None, "what is not a number is null"


# --- series and state ----------------------------------------------------------------


def test_setpoints_tell_outcome_and_read_back(served: Served) -> None:
    base = sample()
    sent = base.outcomes["dg"]
    assert isinstance(sent, Sent)
    failed = Partial(command=sent.command, reason="no answer within 3 s")
    served.store.append(replace(base, outcomes={**base.outcomes, "dg": failed}))
    kept = {k["der"]: k for k in many(served.get("/setpoints"))}
    assert (kept["dg"]["outcome"], kept["dg"]["reason"]) == ("partial", "no answer within 3 s")
    assert kept["dg"]["readback_p_kw"] is None
    assert (kept["pv"]["outcome"], kept["pv"]["readback_cap_kw"]) == ("sent", 7652.86)


def test_a_generator_on_its_ramp_tells_its_first_step(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    base = sample()
    sent = base.outcomes["dg"]
    assert isinstance(sent, Sent)
    step = Sent(
        command=replace(sent.command, p_kw=54.0), readback=replace(sent.readback, p_kw=54.0)
    )
    led = replace(base, outcomes={**base.outcomes, "dg": step})
    served.store.append(led)
    ders = {d["der"]: d for d in one(served.get("/dispatch/latest"))["ders"]}  # type: ignore[attr-defined]  # a JSON array
    assert {n: d["first_step_kw"] for n, d in ders.items()} == {"pv": None, "dg": 54.0, "bes": None}
    print_cycle(led)
    assert "first 54 kW, on its ramp" in " ".join(capsys.readouterr().out.split())


def test_forecasts_tell_bounds_and_method(served: Served) -> None:
    served.store.append(sample())
    pv = next(k for k in many(served.get("/forecasts")) if k["device"] == "pv")
    assert (pv["expected_kw"], pv["lower_kw"], pv["method"]) == (9874.2, 8120.5, "lstm")


def test_measurements_of_one_device_or_all_and_an_unknown_device_is_named(
    served: Served,
) -> None:
    served.store.add_minute(
        MinuteMean(device="pv", time=START, p_kw=1.0),
        MinuteMean(device="load", time=START, p_kw=2.0),
    )
    assert len(many(served.get("/measurements"))) == 2
    assert [m["p_kw"] for m in many(served.get("/measurements", device="load"))] == [2.0]
    answer = served.get("/measurements", 404, device="PV")
    assert answer == {"detail": "no device 'PV'; there are pv, dg, bes, load"}
