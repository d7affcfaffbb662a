"""The REST interface: site and health, its description, and whom it refuses."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ems.errors import BadInput, PortInUse
from ems.store import Store, StoreFault
from ems.web import DeviceHealth, bind, url_of
from tests.unit.served import HEALTHY, Served, one


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    store = Store.open(tmp_path / "geems.sqlite")
    yield Served(store)
    store.close()


# --- series and state ----------------------------------------------------------------


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
            "ramps_to_kw": None,
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
