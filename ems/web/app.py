"""The REST interface and the operator's page.

Read-only: nothing that can be asked here changes a device or a record. It is meant for
loopback; other sites in the operator's browser are kept out by the Host check (against
DNS rebinding), by granting no cross-origin access, and by the content security policy.
"""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ems.clock import INTERVAL, interval_start
from ems.domain import CycleRecord, Site
from ems.store import LOAD, Store, StoreFault
from ems.web import present
from ems.web.health import Health
from ems.web.views import (
    DispatchSummary,
    DispatchView,
    ForecastView,
    MeasurementView,
    PlanView,
    ReadyView,
    SetpointView,
    SiteView,
)

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1", "[::1]")
"""Names by which a browser on this machine may call the service."""

_OPENAPI = "/api/v1/openapi.json"
_STATIC = Path(__file__).parent / "static"
_DAY = timedelta(days=1)
_FIRST_YEAR, _LAST_YEAR = 1970, 2999
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The page must never show an old answer as the present.
    "Cache-Control": "no-store",
}


def _mend_plus(value: Any) -> Any:
    """In a query `+` means a blank: `12:00:00+02:00` arrives as `12:00:00 02:00`."""
    return re.sub(r" (\d\d:?\d\d)$", r"+\1", value) if isinstance(value, str) else value


def _on_record(time: datetime) -> datetime:
    """Far from the ends of the calendar, where no zone and no interval leads beyond them."""
    if not _FIRST_YEAR <= time.year <= _LAST_YEAR:
        raise ValueError(f"no record can be of a year before {_FIRST_YEAR} or after {_LAST_YEAR}")
    return time


Time = Annotated[AwareDatetime, BeforeValidator(_mend_plus), AfterValidator(_on_record)]
At = Annotated[Time, Query(description="Any time in the interval, with zone: ISO 8601.")]
Since = Annotated[
    Time | None, Query(description="From this time on, with zone; default: a day before `until`.")
]
Until = Annotated[
    Time | None, Query(description="Until before this time, with zone; default: now.")
]


def create_app(store: Store, health: Callable[[], Health], site: Site) -> FastAPI:
    """The application.

    Args:
        store: where the records are.
        health: asked at every request that needs it; must be quick and thread-safe.
        site: what is installed.
    """
    app = FastAPI(
        title="GEEMS",
        summary="What the energy management of one feeder segment sees, decides and does.",
        description=(
            "Powers of DERs are injections: generation and discharge positive. Grid power is an "
            "import. Times are UTC; intervals of 15 minutes are labelled by their start. A number "
            "that is not known is null."
        ),
        version=health().version,
        openapi_url=_OPENAPI,
        # The interactive pages of FastAPI load scripts from elsewhere; this service works offline.
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(_dispatches(store, health, site), prefix="/api/v1", tags=["dispatch"])
    app.include_router(_series(store, health, site), prefix="/api/v1", tags=["series"])
    app.include_router(_state(health, site), prefix="/api/v1", tags=["state"])
    app.add_api_route("/openapi.json", _to_openapi, include_in_schema=False)
    app.mount("/", StaticFiles(directory=_STATIC, html=True), name="page")
    app.add_middleware(
        TrustedHostMiddleware, allowed_hosts=list(LOOPBACK_NAMES), www_redirect=False
    )
    app.middleware("http")(_with_headers)
    app.add_exception_handler(StoreFault, _database_failed)
    return app


async def _with_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers.update(_HEADERS)
    return response


def _to_openapi() -> RedirectResponse:
    """Where clients look for the document first."""
    return RedirectResponse(_OPENAPI)


def _database_failed(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=503)


def _window(
    health: Callable[[], Health], since: datetime | None, until: datetime | None
) -> tuple[datetime, datetime]:
    """The time asked for; by default the day up to now, the present interval included."""
    end = until or interval_start(health().now) + INTERVAL
    start = since or end - _DAY
    if start >= end:
        raise HTTPException(422, f"since ({start}) must lie before until ({end})")
    return start.astimezone(UTC), end.astimezone(UTC)


def _dispatches(store: Store, health: Callable[[], Health], site: Site) -> APIRouter:
    api = APIRouter()
    devices = (*site.names, LOAD)

    def full(record: CycleRecord) -> DispatchView:
        means = {
            d: float(store.mean_kw(d, record.start, record.start + INTERVAL).iloc[0])
            for d in devices
        }
        return present.dispatch(record, site, means)

    @api.get("/dispatch/latest", responses={404: {"description": "No cycle has run yet."}})
    def latest_dispatch() -> DispatchView:
        """The cycle decided last."""
        record = store.latest()
        if record is None:
            raise HTTPException(404, "no cycle has been recorded yet; see /api/v1/health")
        return full(record)

    @api.get("/plan/latest", responses={404: {"description": "The last cycle made no plan."}})
    def latest_plan() -> PlanView:
        """The day ahead as the last cycle planned it."""
        record = store.latest()
        if record is None or record.plan is None:
            raise HTTPException(
                404, "the last cycle made no plan: dispatch.look_ahead is off, or see its alarms"
            )
        return present.plan(record.plan)

    @api.get("/dispatch", responses={404: {"description": "No cycle for this interval."}})
    def dispatch_at(at: At) -> DispatchView:
        """The cycle that decided for the interval that holds a time."""
        record = store.at(at)
        if record is None:
            start = interval_start(at)
            raise HTTPException(404, f"no cycle was recorded for {start:%Y-%m-%dT%H:%M}Z")
        return full(record)

    @api.get("/dispatch/history")
    def dispatch_history(
        since: Since = None,
        until: Until = None,
        limit: Annotated[int, Query(ge=1, le=2976, description="At most so many.")] = 96,
    ) -> list[DispatchSummary]:
        """One line per cycle, oldest first; the latest ones where there are more than `limit`."""
        records = store.between(*_window(health, since, until), limit=limit)
        if not records:
            return []
        first, end = records[0].start, records[-1].start + INTERVAL
        means = {d: store.mean_kw(d, first, end) for d in devices}
        return [
            present.summary(r, {d: float(series[r.start]) for d, series in means.items()})
            for r in records
        ]

    return api


def _series(store: Store, health: Callable[[], Health], site: Site) -> APIRouter:
    api = APIRouter()

    @api.get("/forecasts")
    def forecasts(since: Since = None, until: Until = None) -> list[ForecastView]:
        """What each cycle expected of every PV plant and of the load."""
        kept = store.forecasts(*_window(health, since, until))
        return [ForecastView.model_validate(k, from_attributes=True) for k in kept]

    @api.get("/setpoints")
    def setpoints(since: Since = None, until: Until = None) -> list[SetpointView]:
        """What was asked of every DER, what became of it, and what was read back."""
        return [
            SetpointView(
                start=k.start,
                der=k.setpoint.der,
                p_kw=k.setpoint.p_kw,
                q_kvar=k.setpoint.q_kvar,
                cap_kw=k.setpoint.cap_kw,
                outcome=k.outcome,
                reason=k.reason,
                readback_p_kw=k.readback_p_kw,
                readback_q_kvar=k.readback_q_kvar,
                readback_cap_kw=k.readback_cap_kw,
            )
            for k in store.setpoints(*_window(health, since, until))
        ]

    @api.get("/measurements", responses={404: {"description": "No such device."}})
    def measurements(
        device: Annotated[str | None, Query(description="A DER's name, or `load`.")] = None,
        since: Since = None,
        until: Until = None,
    ) -> list[MeasurementView]:
        """Minute means of one device, or of all."""
        known = (*site.names, LOAD)
        if device is not None and device not in known:
            raise HTTPException(404, f"no device {device!r}; there are {', '.join(known)}")
        means = store.measurements(*_window(health, since, until), device)
        return [MeasurementView.model_validate(m, from_attributes=True) for m in means]

    return api


def _state(health: Callable[[], Health], site: Site) -> APIRouter:
    api = APIRouter()

    @api.get("/site")
    def the_site() -> SiteView:
        """What is installed."""
        return present.installed(site)

    @api.get("/health")
    def the_health() -> Health:
        """The state of the service; the answer is 200 as long as it can answer."""
        return health()

    @api.get("/ready", responses={503: {"model": ReadyView, "description": "Not ready."}})
    def ready(response: Response) -> ReadyView:
        """200 when the lease is held and cycles run in time; else 503."""
        state = health()
        response.status_code = 200 if state.ready else 503
        return ReadyView(ready=state.ready, why="" if state.ready else _waits_for(state))

    return api


def _waits_for(state: Health) -> str:
    if not state.lease_held:
        return f"the site is run by {state.lease_holder}" if state.lease_holder else "no lease"
    if state.cycles == 0:
        return state.last_error or "the first cycle has not finished"
    return state.last_error or "no cycle has finished in this or the interval before"
