"""The day: measure → forecast → dispatch ⇄ constrain → explain → command → record.

Nothing else knows the order. Every stage is a function of values; what it needs of the world
is in `ports`, and `now` is an argument. The world is asked first (`gathered`); what follows
(`decided`) is made from its answers alone, and can be made again from a record.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from importlib.metadata import version
from platform import machine, python_version

from ems.clock import interval_start
from ems.command import command
from ems.constrain import mix_violations
from ems.deciding import Deciding
from ems.dispatch import fitted_loss_factor
from ems.domain import (
    Before,
    CycleRecord,
    Given,
    Imposed,
    Infeasible,
    Ledger,
    Policy,
    Quality,
    Secured,
    Setup,
    Site,
    Snapshot,
    Watched,
    month_peak,
    unaccounted,
)
from ems.explain import Still, explain
from ems.measure import measure
from ems.mismatch import compare, complaints, corrected
from ems.pace import Pace
from ems.planning import day_ahead
from ems.ports import Field, Meter, Network, Ports
from ems.record import record
from ems.response import own_caps, with_foreign_caps
from ems.sending import Heard, Sender
from ems.unmoved import unmoved

log = logging.getLogger(__name__)


def run_cycle(
    site: Site,
    policy: Policy,
    price_usd_per_kwh: float,
    ports: Ports,
    now: datetime,
    previous: CycleRecord | None = None,
    watched: Watched | None = None,
    imposed: Imposed | None = None,
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
        imposed: what a utility limits the site to.
    """
    setup, pace = Setup(site=site, policy=policy, feeder=ports.feeder), Pace()
    given = gathered(setup, price_usd_per_kwh, ports, now, previous, watched, pace, imposed)
    made = decided(given, ports.network, ports.field, pace)
    return _kept(made, ports)


def gathered(
    setup: Setup,
    price_usd_per_kwh: float,
    ports: Ports,
    now: datetime,
    previous: CycleRecord | None,
    watched: Watched | None,
    pace: Pace,
    imposed: Imposed | None = None,
) -> Given:
    """Measure → forecast: all that the decision is made from. Arguments as of `run_cycle`."""
    site, policy = setup.site, setup.policy
    before = left_by(previous, site, policy, now, watched, ports.meter)
    with pace.stage("measure"):
        last = previous.snapshot if previous else None
        snapshot = measure(site, policy, ports.field, now, last, watched)
        snapshot = _with_taps(snapshot, previous, ports)
        snapshot = _with_limits(site, snapshot, previous, watched)
    with pace.stage("forecast"):
        forecast = ports.forecaster.predict(site, snapshot, ports.history)
        horizon, no_horizon = day_ahead(site, policy, ports, snapshot, forecast)
        # The hours after this one are planned without a limit that is known for now alone.
        forecast = forecast.within({n: r.most_kw for n, r in snapshot.ders.items()})
    return Given(
        setup=setup, price_usd_per_kwh=price_usd_per_kwh, snapshot=snapshot, forecast=forecast,
        before=before, horizon=horizon, no_horizon=no_horizon,
        # What was read since is in the snapshot already, where it counted.
        watched=watched and replace(watched, readings={}, alike={}), imposed=imposed,
    )  # fmt: skip


def decided(given: Given, network: Network, field: Field, pace: Pace) -> CycleRecord:
    """Dispatch ⇄ constrain → explain → command → record.

    Args:
        given: all that is known.
        network: the feeder.
        field: takes the commands; nothing is read from it.
        pace: times it all.
    """
    site, policy, snapshot, forecast = given.site, given.policy, given.snapshot, given.forecast
    with pace.stage("measure"):
        found = compare(site, policy.feedback, snapshot, forecast, network, given.before)
        network = corrected(site, network, found)
    deciding, heard = Deciding(given, network, pace), Heard(field)
    pins = unmoved(site, snapshot, given.held, given.watched)
    free, secured = deciding.fitted(pins)
    sent = Sender(
        site=site, policy=policy, snapshot=snapshot, held=given.held, watched=given.watched,
        decide=deciding,
        judge=pace.part_of("constrain", partial(mix_violations, site, snapshot, forecast, network)),
        write=pace.part_of("command", partial(command, site, policy, snapshot, field=heard)),
    ).send(free, secured, pins)  # fmt: skip
    with pace.stage("dispatch"):
        plan = deciding.plan_of(sent.secured.dispatch)
    with pace.stage("explain"):
        resolve = deciding.resolve(sent.pins) if policy.reasons else None
        still = Still(snapshot=snapshot, forecast=forecast, pins=pins)
        ledger = explain(deciding.valued, sent.free, sent.secured, resolve, still)
        ledger = _asked(ledger, given)
    alarms = [
        *_by_the_utility(given), *_doubtful(given, network), *complaints(policy.feedback, found),
        *sent.alarms, *deciding.alarms, *forecast.faults,
        *(given.horizon.faults if given.horizon is not None else ()),
    ]  # fmt: skip
    return record(
        site, snapshot, forecast, sent.free, _noted(sent.secured, given), ledger, sent.outcomes,
        alarms=alarms, stage_s=pace.stage_s, versions=versions(), in_force=sent.held,
        mismatch=found, plan=plan, kept=sent.kept, watched=given.watched, setup=given.setup,
        before=given.before,
        horizon=given.horizon, no_horizon=given.no_horizon, answers=heard.answers,
        timed=pace.timed, imposed=given.imposed,
    )  # fmt: skip


def left_by(
    previous: CycleRecord | None,
    site: Site,
    policy: Policy,
    now: datetime,
    watched: Watched | None = None,
    meter: Meter | None = None,
) -> Before:
    """What the cycle before leaves to the decision at `now`, and what was drawn since."""
    fitted = peak_kw = since = None
    if previous is not None and policy.fit_losses and previous.secured.load_flow.converged:
        last, flow = previous.secured.dispatch, previous.secured.load_flow
        fitted = fitted_loss_factor(flow, last.setpoints, previous.forecast.load_kw)
    if site.demand_charge_usd_per_kw > 0.0:
        drawn = _drawn(previous, site, now, meter, site.loss_factor if fitted is None else fitted)
        peak = month_peak(previous, drawn, site.zone, now)
        peak_kw, since = peak.kw, peak.since
    if previous is None:
        return Before(peak_kw=peak_kw, peak_since=since)
    # Losses of fall-back values say little of those of a dispatch.
    factor = None if isinstance(previous.secured, Infeasible) else fitted
    return Before(
        time=previous.snapshot.time, acted=bool(previous.in_force), loss_factor=factor,
        peak_kw=peak_kw, peak_since=since, held={} if watched else previous.in_force,
        mismatch=previous.mismatch,
    )  # fmt: skip


def _drawn(
    previous: CycleRecord | None,
    site: Site,
    now: datetime,
    meter: Meter | None,
    loss_factor: float,
) -> Mapping[datetime, float]:
    """Import of this month's intervals since `previous`, as far as it was measured [kW]."""
    since, until = unaccounted(previous, site.zone, now), interval_start(now)
    if meter is None or since >= until:
        return {}
    try:
        return meter.imported_kw(since, until, loss_factor)
    except Exception:
        # The peak is then that of what was decided: a cycle does not fail for want of a meter.
        log.exception("what was drawn from the grid since %s is not known", since)
        return {}


def _with_taps(snapshot: Snapshot, previous: CycleRecord | None, ports: Ports) -> Snapshot:
    """Taps and capacitors as somebody tells them, else as the last load flow left them."""
    if snapshot.regulation is not None or not ports.network.regulated:
        return snapshot
    stood = ports.regulation()
    if stood is None and previous is not None:
        last = previous.secured.load_flow
        stood = last.regulation if last.converged else previous.snapshot.regulation
    return replace(snapshot, regulation=stood)


def _with_limits(
    site: Site, snapshot: Snapshot, previous: CycleRecord | None, watched: Watched | None
) -> Snapshot:
    """Plants that somebody else limits are marked."""
    seen = (previous.snapshot.ders if previous else {}, watched.readings if watched else {})
    limited = {name for last in seen for name, reading in last.items() if reading.limited}
    held = watched.in_force if watched else previous.in_force if previous else {}
    ders = with_foreign_caps(site, snapshot.ders, own_caps(previous, held), limited)
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


def _noted(secured: Secured, given: Given) -> Secured:
    """A decision, with what a utility asked of it, and what is not known of the month's peak."""
    asked = given.imposed.notes if given.imposed is not None else ()
    notes = (*asked, *_gap(given))
    return replace(secured, notes=(*secured.notes, *notes)) if notes else secured


def _gap(given: Given) -> Iterator[str]:
    """Said once, by the first decision after it; `Before.peak_since` goes on telling it."""
    before, start = given.before, interval_start(given.snapshot.time)
    if before.peak_kw is not None and before.peak_since == start:
        yield (
            f"what was drawn this month before {start:%Y-%m-%d %H:%M} UTC is not known in whole: "
            f"its peak is taken as {before.peak_kw:.0f} kW"
        )


def _asked(ledger: Ledger, given: Given) -> Ledger:
    """A ledger whose sentence also says who limits the site to what."""
    asked = "; ".join(given.imposed.notes) if given.imposed is not None else ""
    if not asked:
        return ledger
    return replace(ledger, sentence=f"{ledger.sentence} {asked[0].upper()}{asked[1:]}.")


def _by_the_utility(given: Given) -> Iterator[str]:
    """Why the utility's limits may not be the present ones; what it asks that is not done."""
    if given.imposed is not None:
        yield from filter(None, (given.imposed.lost, *given.imposed.alarms))


def _doubtful(given: Given, network: Network) -> Iterator[str]:
    """What makes the model, or a device, doubtful."""
    # Before the first write the feeder is as GEEMS found it.
    if given.before.acted:
        yield from _measured_beyond(given.site, given.snapshot)
    if network.regulated and given.snapshot.regulation is None:
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


@cache
def versions() -> Mapping[str, str]:
    """What a replay must be run on to be the same."""
    names = (
        "geems", "pyomo", "cyipopt-wheels", "highspy",
        "opendssdirect.py", "dss-python-backend", "numpy", "scipy",
    )  # fmt: skip
    return {"python": f"{python_version()} {machine()}"} | {n: version(n) for n in names}
