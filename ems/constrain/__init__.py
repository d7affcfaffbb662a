"""From a least-cost dispatch to one that a load flow proves safe: eq. (10).

`constrain` re-solves with rows of the linearised feeder until a load flow of every case of
the interval shows no limit broken. Only such a dispatch is ever returned as one to send.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Literal

from ems.constrain.cases import ramping, reversion_set, severity, unshaded, worst
from ems.constrain.interval import Interval, Trial
from ems.constrain.relinearise import (
    OF_THE_FEEDER,
    Resolve,
    caution_usd_per_h,
    one_shot,
    relinearised,
)
from ems.constrain.reversion import largest_safe_share, reversion_violations
from ems.constrain.rungs import anchors, between, bisected, possible, unpriced, with_caps
from ems.domain import (
    Degraded,
    Dispatch,
    Forecast,
    Infeasible,
    RowKind,
    Secured,
    Setpoint,
    Site,
    Snapshot,
    SolverStatus,
    Unmoved,
    Verified,
    Violation,
)
from ems.ports import Network

__all__ = [
    "Resolve",
    "constrain",
    "largest_safe_share",
    "mix_violations",
    "reversion_violations",
    "without_optimum",
]

SLACK = 1e-6
"""Slack of an elastic row above which the row could not be kept [pu]."""

MISSED_KW = 0.5
"""Slack of a limit at the grid connection that is told [kW, kvar]."""

NO_PINS: Mapping[str, Unmoved] = MappingProxyType({})


def constrain(
    site: Site,
    snapshot: Snapshot,
    forecast: Forecast,
    free: Dispatch,
    network: Network,
    resolve: Resolve,
    mode: Literal["geems", "paper"] = "geems",
    pins: Mapping[str, Unmoved] = NO_PINS,
) -> Secured:
    """Make a dispatch safe.

    Args:
        site: limits and DERs.
        snapshot: present state; generators ramp from it.
        forecast: the interval's PV and load.
        free: the dispatch without rows.
        network: the feeder model.
        resolve: solves again with rows and pins.
        mode: `geems`, or `paper` for the published one-shot method.
        pins: DERs that cannot be moved; `free` holds what they are expected to do.

    Returns:
        `Verified`; `Degraded` with the reason where only a lower rung verified; `Infeasible`
        with the reversion set where nothing did.
    """
    at = Interval.of(site, snapshot, forecast, network, pins)
    first = at.trial(free)
    if first.safe:
        return _settled(at, first, first, resolve, 0)
    if mode == "paper":
        trial, used = one_shot(at, first, resolve), 1
    else:
        trial, used = relinearised(at, first, resolve)
        if not trial.safe:
            elsewhere = _from_elsewhere(at, first, resolve)
            if elsewhere is not None:
                found = _settled(at, elsewhere, first, resolve, used)
                return replace(found, notes=(*found.notes, "found from another start"))
    if trial.safe:
        return _settled(at, trial, first, resolve, used)
    return _lower_rung(at, trial, first, used)


def mix_violations(
    site: Site,
    snapshot: Snapshot,
    forecast: Forecast,
    network: Network,
    setpoints: Mapping[str, Setpoint],
    pins: Mapping[str, Unmoved],
) -> tuple[Violation, ...]:
    """What the devices may break together after writes of which some failed."""
    at = Interval.of(site, snapshot, forecast, network, pins)
    found = [v for case in at.cases for v in at.judge(case, setpoints)]
    return tuple(sorted(found, key=severity, reverse=True))


def without_optimum(
    site: Site,
    snapshot: Snapshot,
    forecast: Forecast,
    price_usd_per_kwh: float,
    network: Network,
    reason: str,
    pins: Mapping[str, Unmoved] = NO_PINS,
) -> Secured:
    """What can be sent when no optimiser answers: what is in force, or the reversion set."""
    at = Interval.of(site, snapshot, forecast, network, pins)
    trial = None
    for name, anchor in anchors(site, snapshot, forecast):
        trial = at.trial(at.priced(unpriced(price_usd_per_kwh), anchor))
        if trial.safe:
            return Degraded(
                dispatch=trial.decided,
                load_flow=trial.flow,
                reason=f"{reason}; kept {name}, verified",
            )
    if trial is None:  # pragma: no cover - there are always three anchors
        raise AssertionError
    return _reverted(at, trial, 0, reason)


# --- what follows from the trials ----------------------------------------------------


def _settled(
    at: Interval, trial: Trial, first: Trial, resolve: Resolve, linearisations: int
) -> Secured:
    """A safe trial, made safe for the minutes in which generators still ramp down too."""
    decided = trial.decided
    notes: tuple[str, ...] = ()
    if not at.safe_while_ramping(decided):
        caps = partial(with_caps, at.site, at.forecast, decided.setpoints)

        def safe(setpoints: Mapping[str, Setpoint]) -> bool:
            point = at.priced(trial.decided, setpoints)
            return at.safe_while_ramping(point) and at.trial(point).safe

        if not safe(caps(0.0)):
            return _with_generators_held(at, first, resolve)
        decided = at.priced(decided, bisected(caps, safe))
        notes = ("PV caps held back while a generator is on its way",)
    flow = at.flow(at.cases[0], decided.setpoints) if notes else trial.flow
    missed = _missed_at_the_grid(decided)
    if missed:
        return Degraded(
            dispatch=decided,
            load_flow=flow,
            free_load_flow=first.flow,
            linearisations=linearisations,
            reason=f"no DER can keep the {missed}",
            notes=notes,
        )
    if unshaded(at.site, at.forecast):
        notes += ("partial shade of this many plants is not proved",)
    caution = 0.0
    if linearisations and len(at.cases) > 1:
        caution = caution_usd_per_h(at, decided, resolve)
    return Verified(
        dispatch=decided,
        load_flow=flow,
        free_load_flow=first.flow,
        linearisations=linearisations,
        caution_usd_per_h=caution,
        notes=notes,
    )


def _missed_at_the_grid(decided: Dispatch) -> str:
    """Limits at the grid connection that are not kept, and by how much; empty where all are."""
    return " and the ".join(
        f"{b.row.kind.value.replace('_', ' ')} limit, missed by {b.slack:.0f} "
        f"{'kvar' if b.row.kind is RowKind.POWER_FACTOR else 'kW'}"
        for b in decided.binding
        if b.row.kind not in OF_THE_FEEDER and b.slack > MISSED_KW
    )


def _with_generators_held(at: Interval, first: Trial, resolve: Resolve) -> Secured:
    """Relief from what moves at once, where a generator's would come too late."""
    at = replace(at, cases=(*at.cases, *ramping(at.site, at.snapshot, at.cases)))
    held = partial(resolve, generators_may_fall=False)
    trial, used = relinearised(at, at.trial(held((), at.held)), held)
    if not trial.safe:
        return _lower_rung(at, trial, first, used)
    return Verified(
        dispatch=trial.decided,
        load_flow=trial.flow,
        free_load_flow=first.flow,
        linearisations=used,
        notes=("no generator lowered: its relief would come too late",),
    )


def _lower_rung(at: Interval, trial: Trial, first: Trial, linearisations: int) -> Secured:
    """Nothing verified outright: a corner no DER can mend, or the way back to a safe point."""
    unkept = [b for b in trial.decided.binding if b.row.kind in OF_THE_FEEDER and b.slack > SLACK]

    def safe(setpoints: Mapping[str, Setpoint]) -> bool:
        point = at.priced(trial.decided, setpoints)
        return at.trial(point).safe and at.safe_while_ramping(point)

    for name, anchor in anchors(at.site, at.snapshot, at.forecast):
        if safe(anchor):
            way = partial(_on_the_way, at, anchor, trial.decided.setpoints)
            decided = at.priced(trial.decided, bisected(way, safe))
            return Degraded(
                dispatch=decided,
                load_flow=at.flow(at.cases[0], decided.setpoints),
                free_load_flow=first.flow,
                linearisations=linearisations,
                reason=f"no optimum verified ({worst(trial.broken)}); "
                f"went as far from {name} as a load flow verifies",
            )
    if trial.safe_as_expected and unkept:
        return Degraded(
            dispatch=trial.decided,
            load_flow=trial.flow,
            free_load_flow=first.flow,
            linearisations=linearisations,
            reason=f"safe as expected, but no DER can keep a corner of the band: "
            f"{worst(trial.broken)}",
        )
    if not trial.flow.converged:
        return _reverted(at, first, linearisations, "the load flow does not converge")
    return _reverted(at, first, linearisations, _cause(at, trial, unkept=bool(unkept)))


def _from_elsewhere(at: Interval, first: Trial, resolve: Resolve) -> Trial | None:
    """The search again from other points; None where none of them leads to a safe one.

    The slack of rows linearised at a far point is no proof that nothing keeps them; and a cap
    moves nothing in a case whose sun gives less, unless it starts below.
    """
    starts = [at.capped_low(first.decided)]
    starts += [
        at.priced(first.decided, point) for _, point in anchors(at.site, at.snapshot, at.forecast)
    ]
    for start in starts:
        trial, _ = relinearised(at, at.trial(start), resolve)
        if trial.safe:
            return trial
    return None


def _on_the_way(
    at: Interval, anchor: Mapping[str, Setpoint], wanted: Mapping[str, Setpoint], share: float
) -> Mapping[str, Setpoint]:
    """A point between two, as far as the devices can do it."""
    asked = between(at.site, at.forecast, anchor, wanted, share)
    return possible(at.site, at.snapshot, asked)


def _cause(at: Interval, trial: Trial, *, unkept: bool) -> str:
    """Whether the limit that nothing keeps is broken by the DERs at all."""
    said = worst(trial.broken)
    if not unkept:
        return f"no verified point was found: {said}"
    idle = {n: Setpoint(der=n, p_kw=0.0, q_kvar=0.0, cap_kw=None) for n in at.site.names}
    for pv in at.site.pvs:
        idle[pv.name] = replace(idle[pv.name], cap_kw=0.0)
    places = {v.place for case in at.cases for v in at.judge(case, idle)}
    if trial.broken[0].place in places:
        return f"not caused by DERs, with all of them at zero it is broken too: {said}"
    return f"no DER can keep it: {said}"


def _reverted(at: Interval, first: Trial, linearisations: int, reason: str) -> Infeasible:
    decided = at.priced(first.decided, reversion_set(at.site, at.forecast))
    trial = at.trial(decided)
    return Infeasible(
        dispatch=replace(decided, status=SolverStatus.INFEASIBLE),
        load_flow=trial.flow,
        free_load_flow=first.flow,
        linearisations=linearisations,
        reason=reason,
        violations=trial.broken,
    )
