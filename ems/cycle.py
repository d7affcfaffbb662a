"""The day: measure → forecast → dispatch ⇄ constrain → explain → command → record.

Nothing else knows the order. Every stage is a function of values; what it needs of the world
is in `ports`, and `now` is an argument.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from importlib.metadata import version

from ems.command import command
from ems.constrain import constrain, mix_violations, without_optimum
from ems.dispatch import dispatch
from ems.domain import (
    CycleRecord,
    Dispatch,
    Forecast,
    Infeasible,
    Policy,
    Quality,
    Secured,
    Site,
    Snapshot,
    Unmoved,
)
from ems.errors import SolverFault
from ems.explain import explain
from ems.measure import measure
from ems.ports import Network, Ports
from ems.record import record
from ems.unmoved import after_writes, unconfirmed, unmoved

log = logging.getLogger(__name__)


def run_cycle(
    site: Site,
    policy: Policy,
    price_usd_per_kwh: float,
    ports: Ports,
    now: datetime,
    previous: CycleRecord | None = None,
) -> CycleRecord:
    """Decide, prove and send one interval.

    Args:
        site: what is installed.
        policy: how it is run.
        price_usd_per_kwh: grid energy in this interval [$/kWh].
        ports: the world.
        now: the present.
        previous: the cycle before: values to fall back on, and what the devices hold.
    """
    stage_s: dict[str, float] = {}
    with _timed(stage_s, "measure"):
        snapshot = measure(site, policy, ports.field, now, previous.snapshot if previous else None)
    with _timed(stage_s, "forecast"):
        forecast = ports.forecaster.predict(site, snapshot, ports.history)
    decide = partial(
        _decide, site, policy, price_usd_per_kwh, ports.network, snapshot, forecast, stage_s
    )
    send = partial(command, site, policy, snapshot)
    held = previous.in_force if previous else {}
    pins = unmoved(site, policy, snapshot, held)
    free, secured = decide(pins)
    with _timed(stage_s, "command"):
        outcomes = send(secured, ports.field)
    held = after_writes(held, secured.dispatch.setpoints, outcomes, now)
    # Before the first write the feeder is as GEEMS found it.
    alarms = [*_measured_beyond(site, snapshot)] if previous and previous.in_force else []
    doubts = unconfirmed(site, policy, snapshot, outcomes, held)
    judge = partial(mix_violations, site, snapshot, forecast, ports.network)
    broken = judge(secured.dispatch.setpoints, {**pins, **doubts}) if doubts else ()
    if broken:
        alarm = f"after a write that failed, the mix in force may be unsafe: {broken[0]}"
        if not isinstance(secured, Infeasible):
            # The devices that did not follow stay where they are; the others make room.
            free, secured = decide({**pins, **doubts})
            with _timed(stage_s, "command"):
                again = send(secured, ports.field)
            outcomes = {n: outcomes[n] if n in doubts else again[n] for n in site.names}
            held = after_writes(
                held, secured.dispatch.setpoints,
                {n: o for n, o in outcomes.items() if n not in doubts}, now,
            )  # fmt: skip
            doubts = unconfirmed(site, policy, snapshot, outcomes, held)
            if not judge(secured.dispatch.setpoints, {**pins, **doubts}):
                alarm += "; the other DERs made room"
        alarms.append(alarm)
    made = record(
        site, snapshot, forecast, free, secured, explain(site, free, secured), outcomes,
        alarms=alarms, stage_s=stage_s, versions=versions(), in_force=held,
    )  # fmt: skip
    return _kept(made, ports)


def _kept(made: CycleRecord, ports: Ports) -> CycleRecord:
    """Put a record into the journal. Control goes on without: losing the log loses no feeder."""
    try:
        ports.journal.append(made)
    except Exception:
        log.exception("the record of %s could not be kept", made.start)
        alarms = (*made.alarms, "this record could not be kept; see the log")
        return replace(made, alarms=alarms)
    return made


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


def _decide(
    site: Site,
    policy: Policy,
    price: float,
    network: Network,
    snapshot: Snapshot,
    forecast: Forecast,
    stage_s: dict[str, float],
    pins: Mapping[str, Unmoved],
) -> tuple[Dispatch, Secured]:
    """The unconstrained dispatch, and the one that is safe."""
    resolve = partial(dispatch, site, snapshot, forecast, price)
    try:
        with _timed(stage_s, "dispatch"):
            free = resolve((), {name: pin.expected for name, pin in pins.items()})
        with _timed(stage_s, "constrain"):
            secured = constrain(site, snapshot, forecast, free, network, resolve, policy.mode, pins)
    except SolverFault as fault:
        log.warning("%s; falling back", fault)
        with _timed(stage_s, "constrain"):
            secured = without_optimum(site, snapshot, forecast, price, network, str(fault), pins)
        return secured.dispatch, secured
    return free, secured


@contextmanager
def _timed(stage_s: dict[str, float], stage: str) -> Iterator[None]:
    """Add the wall time of a stage to the record; no stage sees a clock."""
    started = time.perf_counter()
    try:
        yield
    finally:
        stage_s[stage] = stage_s.get(stage, 0.0) + time.perf_counter() - started


@cache
def versions() -> Mapping[str, str]:
    """What a replay must be run on to be the same."""
    names = ("geems", "pyomo", "cyipopt-wheels", "opendssdirect.py", "dss-python-backend", "numpy")
    return {name: version(name) for name in names}
