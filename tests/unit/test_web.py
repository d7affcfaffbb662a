"""The REST interface: what it answers, and whom it refuses."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ems.clock import INTERVAL
from ems.domain import (
    Bes,
    CycleRecord,
    Dg,
    Infeasible,
    Limits,
    Partial,
    Pv,
    RowKind,
    Sent,
    Site,
    Violation,
)
from ems.errors import BadInput, PortInUse
from ems.record import from_json
from ems.store import MinuteMean, Store, StoreFault
from ems.web import DeviceHealth, Health, bind, create_app, url_of

SAMPLE = Path(__file__).with_name("test_record_sample.json").read_text()
NOW = datetime(2026, 7, 1, 14, 7, tzinfo=UTC)
START = datetime(2026, 7, 1, 14, tzinfo=UTC)

EARLY, LATE = "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z"

SITE = Site(
    name="segment13",
    latitude_deg=36.7,
    longitude_deg=-119.8,
    ders=(
        Pv(name="pv", bus="B13", rated_kw=10_000.0),
        Dg(name="dg", bus="B7", rated_kw=3000.0, cost_usd_per_kwh=0.1, q_max_kvar=400.0),
        Bes(name="bes", bus="B11", rated_kw=200.0, capacity_kwh=1000.0),
    ),
    limits=Limits(v_min_pu=0.88, v_max_pu=1.10),
    load_max_kw=14_500.0,
    load_min_kw=5000.0,
)
HEALTHY = Health(
    ready=True,
    site="segment13",
    now=NOW,
    speed=1.0,
    version="9.9",
    mode="advisory",
    lease_held=True,
    lease_holder="this one",
    cycles=1,
    failures=0,
    missed=0,
    devices={"pv": DeviceHealth(reachable=False, note="no answer within 3 s")},
)


class Served:
    """The application with its store, and a health that a test may change."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.health = HEALTHY
        app = create_app(store, lambda: self.health, SITE)
        self.client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)

    def get(self, path: str, status: int = 200, **query: str) -> object:
        answer = self.client.get(f"/api/v1{path}", params=query)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    store = Store.open(tmp_path / "geems.sqlite")
    yield Served(store)
    store.close()


def sample(start: datetime = START) -> CycleRecord:
    base = from_json(SAMPLE)
    return replace(base, start=start, forecast=replace(base.forecast, start=start))


def one(answer: object) -> dict[str, object]:
    assert isinstance(answer, dict)
    return answer


def many(answer: object) -> list[dict[str, object]]:
    assert isinstance(answer, list)
    return answer


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


def test_the_site_is_told_as_installed(served: Served) -> None:
    found = one(served.get("/site"))
    assert found["name"] == "segment13"
    ders = found["ders"]
    assert isinstance(ders, list)
    assert ders[2] == {
        "der": "bes",
        "kind": "bes",
        "bus": "B11",
        "rated_kw": 200.0,
        "q_max_kvar": 0.0,
        "capacity_kwh": 1000.0,
    }


def test_health_is_always_answered_with_its_details(served: Served) -> None:
    served.health = replace(HEALTHY, ready=False, last_error="solver fault")
    found = one(served.get("/health"))
    assert found["ready"] is False
    assert found["last_error"] == "solver fault"
    devices = found["devices"]
    assert devices == {
        "pv": {
            "reachable": False,
            "last_seen": None,
            "note": "no answer within 3 s",
            "response": "",
            "response_note": "",
            "refreshed": None,
        }
    }


def test_health_tells_how_each_device_follows_and_when_its_command_was_refreshed(
    served: Served,
) -> None:
    at = datetime(2026, 7, 1, 12, 3, tzinfo=UTC)
    follows = DeviceHealth(
        reachable=True, last_seen=at, response="ignored", refreshed=at,
        response_note="acknowledged, but for 40 s it makes 80.0 kW under a cap of 40.0 kW",
    )  # fmt: skip
    served.health = replace(HEALTHY, devices={"pv": follows})
    devices: Any = one(served.get("/health"))["devices"]
    found = devices["pv"]
    assert found["response"] == "ignored"
    assert found["response_note"].startswith("acknowledged, but")
    assert found["refreshed"] == "2026-07-01T12:03:00Z"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"lease_held": False, "lease_holder": "process 7 on edge"}, "process 7 on edge"),
        ({"lease_held": False, "lease_holder": ""}, "no lease"),
        ({"cycles": 0}, "the first cycle has not finished"),
        ({"last_error": "solver fault"}, "solver fault"),
        ({}, "no cycle has finished"),
    ],
)
def test_a_service_that_is_not_ready_answers_503_and_why(
    served: Served, change: dict[str, object], why: str
) -> None:
    served.health = replace(HEALTHY, ready=False, **change)  # type: ignore[arg-type]  # various fields
    found = one(served.get("/ready", 503))
    assert found["ready"] is False
    assert why in str(found["why"])


def test_a_ready_service_answers_200(served: Served) -> None:
    assert served.get("/ready") == {"ready": True, "why": ""}


def test_a_database_that_fails_is_503_with_the_fault(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise StoreFault("geems.sqlite: it is damaged; restore a backup")

    monkeypatch.setattr(served.store, "latest", fail)
    assert served.get("/dispatch/latest", 503) == {
        "detail": "geems.sqlite: it is damaged; restore a backup"
    }


def test_the_openapi_document_is_found_where_clients_look_first(served: Served) -> None:
    document = served.client.get("/openapi.json")
    assert document.url.path == "/api/v1/openapi.json"
    assert "/api/v1/dispatch" in document.json()["paths"]
    assert "/openapi.json" not in document.json()["paths"]


def test_every_field_is_described_in_the_openapi_document_or_says_its_unit_in_its_name(
    served: Served,
) -> None:
    document = one(served.get("/openapi.json"))
    assert document["info"]["version"] == "9.9"  # type: ignore[index]  # a JSON object
    schemas = document["components"]["schemas"]  # type: ignore[index]  # a JSON object
    units = ("_kw", "_kvar", "_kwh", "_pu", "_pct", "_deg", "_usd_per_kwh", "_usd_per_h", "_s")
    plain = {"start", "status", "der", "bus", "name", "device", "method", "site", "reason", "kind"}
    plain |= {"alarms", "notes", "limits", "ders", "voltages", "versions", "version", "ready"}
    plain |= {"v_max_node", "v_min_node", "loading_max_element", "polls"}
    silent = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        if not name.startswith(("HTTP", "Validation"))
        for field, about in schema["properties"].items()
        if "description" not in about and not field.endswith(units) and field not in plain
    ]
    assert silent == []


# --- who may ask ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "192.168.1.7", "127.0.0.1.x"]
)
def test_a_request_under_a_foreign_name_is_refused(served: Served, host: str) -> None:
    for path in ("/api/v1/dispatch/latest", "/", "/api/v1/openapi.json"):
        assert served.client.get(path, headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:1", "[::1]:8080", "LOCALHOST"])
def test_every_name_of_loopback_is_served(served: Served, host: str) -> None:
    assert served.client.get("/api/v1/health", headers={"host": host}).status_code == 200


def test_other_origins_get_no_permission_and_every_answer_carries_the_policy(
    served: Served,
) -> None:
    for path in ("/", "/page.js", "/api/v1/health", "/api/v1/nothing"):
        answer = served.client.get(path, headers={"origin": "http://evil.example"})
        assert "access-control-allow-origin" not in answer.headers
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_can_be_changed_over_http(served: Served, method: str) -> None:
    for path in ("/api/v1/dispatch/latest", "/api/v1/setpoints", "/api/v1/health", "/"):
        assert served.client.request(method, path).status_code == 405


def test_no_file_beside_the_page_is_served(served: Served) -> None:
    for path in ("/../app.py", "/%2e%2e/app.py", "/..%2fapp.py"):
        assert served.client.get(path).status_code == 404


def test_the_page_loads_nothing_from_elsewhere(served: Served) -> None:
    static = Path(__file__).parents[2] / "ems" / "web" / "static"
    for file in static.iterdir():
        text = served.client.get(f"/{file.name}").text
        found = text.replace("http://www.w3.org/2000/svg", "")
        assert "//" not in found.replace("// ", ""), file.name


# --- the address ---------------------------------------------------------------------


def test_a_port_in_use_is_named_with_its_mend() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"127\.0\.0\.1:{port} is in use .* web\.port"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "edge.example", ""])  # noqa: S104  refused
def test_an_address_beyond_loopback_is_refused(host: str) -> None:
    with pytest.raises(BadInput, match=r"web.host: .* not on loopback; without authentication"):
        bind(host, 0)


def test_the_system_may_choose_the_port() -> None:
    with bind("localhost", 0) as listener:
        assert url_of(listener).startswith("http://127.0.0.1:")
