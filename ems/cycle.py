"""The day: measure → forecast → dispatch ⇄ constrain → explain → command → record.

Nothing else knows the order. Every stage is a function of values; what it needs of the world
is in `ports`, and `now` is an argument.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from importlib.metadata import version
from typing import TypeVar

from ems.command import command
from ems.constrain import Resolve, constrain, mix_violations, without_optimum
from ems.dispatch import dispatch, fitted_loss_factor
from ems.domain import (
    CycleRecord,
    Dispatch,
    Forecast,
    Infeasible,
    NetworkRow,
    Policy,
    Quality,
    RowBlock,
    Secured,
    Setpoint,
    Site,
    Snapshot,
    Unmoved,
    Watched,
)
from ems.errors import GeemsError, SolverFault
from ems.explain import explain
from ems.measure import measure
from ems.mismatch import compare, complaints, corrected
from ems.planning import Look, look_ahead
from ems.ports import Network, Ports
from ems.record import record
from ems.response import own_caps, with_foreign_caps
from ems.sending import Sender
from ems.unmoved import Held, unmoved

log = logging.getLogger(__name__)
Made = TypeVar("Made")

LOSSES_KW = 1.0
"""Losses may be this far from those of the load flow where a limit at the grid is kept [kW]."""
REFITS = 2
"""Decisions made again with the losses of the load flow before."""


def run_cycle(
    site: Site,
    policy: Policy,
    price_usd_per_kwh: float,
    ports: Ports,
    now: datetime,
    previous: CycleRecord | None = None,
    watched: Watched | None = None,
) -> CycleRecord:
    """Decide, prove and send one interval.

    Args:
        site: what is installed.
        policy: how it is run.
        price_usd_per_kwh: grid energy in this interval [$/kWh].
        ports: the world.
        now: the present.
        previous: the cycle before: values to fall back on, and what the devices hold.
        watched: what was seen of the devices since; newer than what `previous` tells.
    """
    stage_s: dict[str, float] = {}
    held: Held = previous.in_force if previous else {}
    if watched is not None:
        held = watched.in_force
    with _timed(stage_s, "measure"):
        before = previous.snapshot if previous else None
        snapshot = measure(site, policy, ports.field, now, before, watched)
        snapshot = _with_taps(snapshot, previous, ports.network)
        snapshot = _with_limits(site, snapshot, previous, watched, held)
    with _timed(stage_s, "forecast"):
        forecast = ports.forecaster.predict(site, snapshot, ports.history)
    with _timed(stage_s, "measure"):
        found = compare(site, policy.feedback, snapshot, forecast, ports.network, previous)
        network = corrected(site, ports.network, found)
    carried = _carried(site, policy, previous, now)
    solve = _Solve(site, policy, price_usd_per_kwh, snapshot, forecast, carried)
    with _timed(stage_s, "forecast"):
        look = look_ahead(
            site, policy, ports, network, snapshot, forecast, price_usd_per_kwh, carried
        )
    decide = partial(
        _decide, site, policy, network, snapshot, forecast, price_usd_per_kwh, solve, look, stage_s
    )
    pins = unmoved(site, snapshot, held, watched)
    free, secured = decide(pins)
    if _limited_at_the_grid(site):
        for _ in range(REFITS):
            if not solve.fit_losses(secured):
                break
            free, secured = decide(pins)
    sent = Sender(
        site=site, policy=policy, snapshot=snapshot, held=held, watched=watched, decide=decide,
        judge=_as_part_of(
            stage_s, "constrain", partial(mix_violations, site, snapshot, forecast, network)
        ),
        write=_as_part_of(
            stage_s, "command", partial(command, site, policy, snapshot, field=ports.field)
        ),
    ).send(free, secured, pins)  # fmt: skip
    free, secured, pins = sent.free, sent.secured, sent.pins
    alarms = [
        *_doubtful(site, snapshot, network, previous), *complaints(policy.feedback, found),
        *sent.alarms,
    ]  # fmt: skip
    with _timed(stage_s, "dispatch"):
        plan = look.planning.plan_of(secured.dispatch) if look.planning else None
    with _timed(stage_s, "explain"):
        stay = {name: pin.expected for name, pin in pins.items()}
        resolve = look.planning.solve if look.planning else solve
        ledger = explain(
            look.valued or site, free, secured, lambda other, rows: resolve(rows, stay, of=other)
        )
    made = record(
        site, snapshot, forecast, free, secured, ledger, sent.outcomes,
        alarms=[*alarms, *look.alarms], stage_s=stage_s, versions=versions(), in_force=sent.held,
        mismatch=found, kept=sent.kept,
        # What was read since is in the snapshot already, where it counted.
        watched=watched and replace(watched, readings={}, alike={}),
    )  # fmt: skip
    return _kept(replace(made, plan=plan), ports)


def _limited_at_the_grid(site: Site) -> bool:
    """Whether a limit stands at the grid connection, so that the losses decide what keeps it."""
    limits = (site.import_limit_kw, site.export_limit_kw, site.power_factor_min)
    return any(limit is not None for limit in limits)


def _with_taps(snapshot: Snapshot, previous: CycleRecord | None, network: Network) -> Snapshot:
    """Where nobody measures taps and capacitors: as the last load flow left them."""
    if snapshot.regulation is not None or previous is None or not network.regulated:
        return snapshot
    last = previous.secured.load_flow
    stood = last.regulation if last.converged else previous.snapshot.regulation
    return replace(snapshot, regulation=stood)


def _with_limits(
    site: Site,
    snapshot: Snapshot,
    previous: CycleRecord | None,
    watched: Watched | None,
    held: Held,
) -> Snapshot:
    """Plants that somebody else limits are marked."""
    seen = (previous.snapshot.ders if previous else {}, watched.readings if watched else {})
    before = {name for last in seen for name, reading in last.items() if reading.limited}
    ders = with_foreign_caps(site, snapshot.ders, own_caps(previous, held), before)
    return replace(snapshot, ders=ders)


def _kept(made: CycleRecord, ports: Ports) -> CycleRecord:
    """Put a record into the journal. Control goes on without: losing the log loses no feeder."""
    try:
        ports.journal.append(made)
    except Exception:
        log.exception("the record of %s could not be kept", made.start)
        alarms = (*made.alarms, "this record could not be kept; see the log")
        return replace(made, alarms=alarms)
    return made


def _doubtful(
    site: Site, snapshot: Snapshot, network: Network, previous: CycleRecord | None
) -> Iterator[str]:
    """What makes the model, or a device, doubtful."""
    # Before the first write the feeder is as GEEMS found it.
    if previous and previous.in_force:
        yield from _measured_beyond(site, snapshot)
    if network.regulated and snapshot.regulation is None:
        yield (
            "where taps stand is not known: taken where the regulators rest in the model; the "
            "next cycle goes on from there"
        )


def _measured_beyond(site: Site, snapshot: Snapshot) -> Iterator[str]:
    """Devices that measure a voltage beyond the limits: the model, or a device, is wrong."""
    limits = site.limits
    for name, reading in snapshot.ders.items():
        v = reading.v_pu
        if reading.quality is Quality.GOOD and v is not None and v > 0.0:
            if v > limits.v_max_pu:
                yield f"{name} measures {v:.4f} pu, above {limits.v_max_pu:g} pu"
            elif v < limits.v_min_pu:
                yield f"{name} measures {v:.4f} pu, below {limits.v_min_pu:g} pu"


class _Solve:
    """The dispatch of one interval, of the site or of another in its place."""

    def __init__(
        self,
        site: Site,
        policy: Policy,
        price_usd_per_kwh: float,
        snapshot: Snapshot,
        forecast: Forecast,
        carried: dict[str, float],
    ) -> None:
        self.site, self.policy, self.price = site, policy, price_usd_per_kwh
        self.snapshot, self.forecast = snapshot, forecast
        self.carried = carried

    def __call__(
        self,
        rows: Sequence[NetworkRow] | RowBlock,
        pins: Mapping[str, Setpoint],
        *,
        generators_may_fall: bool = True,
        of: Site | None = None,
    ) -> Dispatch:
        return dispatch(
            of or self.site, self.snapshot, self.forecast, self.price, rows, pins,
            generators_may_fall=generators_may_fall, wall_limit_s=self.policy.solver_limit_s,
            **self.carried,
        )  # fmt: skip

    def fit_losses(self, secured: Secured) -> bool:
        """Take K of eq. (2) from a load flow; False where it was about that already."""
        if not self.policy.fit_losses or isinstance(secured, Infeasible):
            return False
        load_kw = self.forecast.load_kw
        before = self.carried.get("loss_factor", self.site.loss_factor)
        fitted = fitted_loss_factor(secured.load_flow, secured.dispatch.setpoints, load_kw)
        self.carried["loss_factor"] = fitted
        return abs(fitted - before) * load_kw > LOSSES_KW


def _carried(
    site: Site, policy: Policy, previous: CycleRecord | None, now: datetime
) -> dict[str, float]:
    """What the cycle before tells the dispatch: K of eq. (2), and the month's highest import."""
    if previous is None or isinstance(previous.secured, Infeasible):
        return {}
    last, flow = previous.secured.dispatch, previous.secured.load_flow
    found = {}
    if policy.fit_losses and flow.converged:
        found["loss_factor"] = fitted_loss_factor(flow, last.setpoints, previous.forecast.load_kw)
    if site.demand_charge_usd_per_kw > 0.0:
        this_month = (previous.start.year, previous.start.month) == (now.year, now.month)
        found["peak_kw"] = max(last.peak_kw or 0.0, last.grid_kw) if this_month else 0.0
    return found


def _decide(
    site: Site,
    policy: Policy,
    network: Network,
    snapshot: Snapshot,
    forecast: Forecast,
    price: float,
    solve: Resolve,
    look: Look,
    stage_s: dict[str, float],
    pins: Mapping[str, Unmoved],
) -> tuple[Dispatch, Secured]:
    """The unconstrained dispatch, and the one that is safe: of a plan, else of the interval."""
    held = {name: pin.expected for name, pin in pins.items()}
    if (planning := look.planning) is not None:
        try:
            with _timed(stage_s, "dispatch"):
                free = planning.free(held)
            with _timed(stage_s, "constrain"):
                secured = constrain(
                    planning.valued or site, snapshot, forecast, free, network, planning.solve,
                    policy.mode, pins,
                )  # fmt: skip
        except GeemsError as fault:
            log.warning("%s; deciding the interval alone", fault)
            look.give_up(fault)
        else:
            return free, replace(secured, notes=(*secured.notes, *planning.notes))
    try:
        with _timed(stage_s, "dispatch"):
            free = solve((), held)
        with _timed(stage_s, "constrain"):
            secured = constrain(site, snapshot, forecast, free, network, solve, policy.mode, pins)
    except SolverFault as fault:
        log.warning("%s; falling back", fault)
        with _timed(stage_s, "constrain"):
            secured = without_optimum(site, snapshot, forecast, price, network, str(fault), pins)
        return secured.dispatch, secured
    if look.note:
        secured = replace(secured, notes=(*secured.notes, look.note))
    return free, secured


@contextmanager
def _timed(stage_s: dict[str, float], stage: str) -> Iterator[None]:
    """Add the wall time of a stage to the record; no stage sees a clock."""
    started = time.perf_counter()
    try:
        yield
    finally:
        stage_s[stage] = stage_s.get(stage, 0.0) + time.perf_counter() - started


def _as_part_of(
    stage_s: dict[str, float], stage: str, work: Callable[..., Made]
) -> Callable[..., Made]:
    """The same, its wall time added to the record."""

    def timed(*values: object) -> Made:
        with _timed(stage_s, stage):
            return work(*values)

    return timed


@cache
def versions() -> Mapping[str, str]:
    """What a replay must be run on to be the same."""
    names = (
        "geems", "pyomo", "cyipopt-wheels", "highspy",
        "opendssdirect.py", "dss-python-backend", "numpy",
    )  # fmt: skip
    return {name: version(name) for name in names}
