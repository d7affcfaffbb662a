"""The application over a store, as the tests of the REST interface ask it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from fastapi.testclient import TestClient

from ems.domain import (
    Bes,
    CycleRecord,
    Dg,
    Limits,
    Pv,
    Site,
)
from ems.record import from_json
from ems.store import Store
from ems.web import DeviceHealth, Health, create_app

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


def sample(start: datetime = START) -> CycleRecord:
    base = from_json(SAMPLE)
    return replace(base, start=start, forecast=replace(base.forecast, start=start))


def one(answer: object) -> dict[str, object]:
    assert isinstance(answer, dict)
    return answer


def many(answer: object) -> list[dict[str, object]]:
    assert isinstance(answer, list)
    return answer
