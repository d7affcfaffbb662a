"""The rungs below an optimum: part of the way to it, all but a corner, or the reversion set."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ems.constrain.cases import reversion_set, worst
from ems.constrain.interval import Interval, Trial
from ems.constrain.relinearise import OF_THE_FEEDER
from ems.constrain.rungs import anchors, between, bisected, possible
from ems.constrain.unmoving import unmoved_words
from ems.domain import Degraded, Infeasible, Secured, Setpoint, SolverStatus, Violation

SLACK = 1e-6
"""Slack of an elastic row above which the row could not be kept [pu]."""
MOST_TRIED = 8
"""Most unmoved DERs that are tried one by one: load flows of every case for each."""


def way_back(whole: Interval, trial: Trial, first: Trial, linearisations: int) -> Secured:
    """Without another search: the way to a safe point that is at hand, where there is one."""
    for name, anchor in anchors(whole.site, whole.snapshot, whole.forecast):
        if whole.trial(whole.priced(trial.decided, anchor)).safe:
            return on_the_way(whole, name, anchor, trial, first, linearisations)
    return given_up(whole, trial, first, linearisations)


def on_the_way(
    whole: Interval,
    name: str,
    anchor: Mapping[str, Setpoint],
    wanted: Trial,
    first: Trial,
    linearisations: int,
) -> Degraded:
    """As far from a safe point towards a wanted one as the devices can go and load flows verify.

    Args:
        whole: the interval with its ramping cases.
        name: of the safe point, for the operator.
        anchor: the safe point.
        wanted: what was not verified.
        first: the dispatch without rows.
        linearisations: how many it took.
    """

    def point(share: float) -> Mapping[str, Setpoint]:
        asked = between(whole.site, whole.forecast, anchor, wanted.decided.setpoints, share)
        return possible(whole.site, whole.snapshot, asked)

    def safe(setpoints: Mapping[str, Setpoint]) -> bool:
        return whole.trial(whole.priced(wanted.decided, setpoints)).safe

    decided = whole.priced(wanted.decided, bisected(point, safe))
    return Degraded(
        dispatch=decided,
        load_flow=whole.flow(whole.cases[0], decided.setpoints),
        free_load_flow=first.worst_flow,
        linearisations=linearisations,
        reason=f"no optimum verified ({worst(wanted.broken)}); "
        f"went as far from {name} as a load flow verifies",
    )


def given_up(at: Interval, trial: Trial, first: Trial, linearisations: int) -> Secured:
    """Nothing verified: a corner of the band that no DER can keep, or the reversion set."""
    unkept = any(b.row.kind in OF_THE_FEEDER and b.slack > SLACK for b in trial.decided.binding)
    if trial.safe_as_expected and unkept:
        corner = f"no DER can keep a corner of the band: {worst(trial.broken)}"
        return Degraded(
            dispatch=trial.decided,
            load_flow=trial.flow,
            free_load_flow=first.worst_flow,
            linearisations=linearisations,
            reason=f"safe as expected, but {_by_unmoved(at, trial) or corner}",
        )
    if not trial.flow.converged:
        return reverted(at, first, linearisations, "the load flow does not converge")
    return reverted(at, first, linearisations, _cause(at, trial, unkept=unkept))


def _cause(at: Interval, trial: Trial, *, unkept: bool) -> str:
    """Who breaks the limit that nothing keeps: a DER that cannot be moved, or none at all."""
    limit = trial.broken[0]
    if who := _by_unmoved(at, trial):
        return who
    if unkept and _broken_at_rest(at, limit):
        return f"not caused by DERs, with all of them at zero it is broken too: {limit}"
    return f"no DER can keep it: {limit}" if unkept else f"no verified point was found: {limit}"


def _by_unmoved(at: Interval, trial: Trial) -> str:
    """The DERs that cannot be moved and that alone break the worst limit; empty where none do."""
    limit = trial.broken[0]
    if not at.pins or not _broken_at_rest(at, limit):
        return ""
    if _broken_at_rest(replace(at, pins={}), limit):
        return ""
    return unmoved_words(at.site, at.pins, at.snapshot, _culprits(at, limit), limit, trial)


def _culprits(at: Interval, limit: Violation) -> Sequence[str]:
    """Unmoved DERs without any one of which the limit would be kept at rest; else all of them."""
    if len(at.pins) > MOST_TRIED:
        return list(at.pins)
    without = {n: {m: pin for m, pin in at.pins.items() if m != n} for n in at.pins}
    alone = [n for n, pins in without.items() if not _broken_at_rest(replace(at, pins=pins), limit)]
    return alone or list(at.pins)


def _broken_at_rest(at: Interval, limit: Violation) -> bool:
    """Whether a limit is broken with all DERs at zero that can be moved."""
    idle = {n: Setpoint(der=n, p_kw=0.0, q_kvar=0.0, cap_kw=None) for n in at.site.names}
    for pv in at.site.pvs:
        idle[pv.name] = replace(idle[pv.name], cap_kw=0.0)
    return any(
        (v.kind, v.place) == (limit.kind, limit.place)
        for case in at.cases
        for v in at.judge(case, idle)
    )


def reverted(at: Interval, first: Trial, linearisations: int, reason: str) -> Infeasible:
    """The reversion set, and what it leaves broken."""
    decided = at.priced(first.decided, reversion_set(at.site, at.forecast))
    trial = at.trial(decided)
    return Infeasible(
        dispatch=replace(decided, status=SolverStatus.INFEASIBLE),
        load_flow=trial.flow,
        free_load_flow=first.worst_flow,
        linearisations=linearisations,
        reason=reason,
        violations=trial.broken,
    )
