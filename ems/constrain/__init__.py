"""From a least-cost dispatch to one that a load flow proves safe: eq. (10).

`constrain` re-solves with rows of the linearised feeder until a load flow of every case of
the interval shows no limit broken. Only such a dispatch is ever returned as one to send.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Literal

from ems.constrain.cases import Case, severity, unshaded, worst
from ems.constrain.interval import Interval, Trial
from ems.constrain.lower import given_up, reverted, way_back
from ems.constrain.near import cheapest_near
from ems.constrain.relinearise import (
    OF_THE_FEEDER,
    Resolve,
    caution_usd_per_h,
    one_shot,
    relinearised,
)
from ems.constrain.restore import restored
from ems.constrain.reversion import (
    holding_violations,
    largest_safe_share,
    reversion_violations,
)
from ems.constrain.rungs import anchors, bisected, unpriced, with_caps
from ems.constrain.silent import check_reversion, unproved
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
    Unmoved,
    Verified,
    Violation,
)
from ems.ports import Network

__all__ = [
    "Resolve",
    "check_reversion",
    "constrain",
    "holding_violations",
    "largest_safe_share",
    "mix_violations",
    "reversion_violations",
    "unproved",
    "without_optimum",
]

MISSED_KW = 0.5
"""Slack of a limit at the grid connection that is told [kW, kvar]."""

_LATER = "more is held back while a generator is on its way"
_CAPS_HELD = "PV caps held back while a generator is on its way"

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
    *,
    reasons: bool = True,
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
        reasons: tell what caution costs (`Verified.caution_usd_per_h`).

    Returns:
        `Verified`; `Degraded` with the reason where only a lower rung verified; `Infeasible`
        with the reversion set where nothing did.
    """
    at = Interval.of(site, snapshot, forecast, network, pins, reasons=reasons)
    found = _secured(at, free, resolve, mode)
    wider = at.with_crossed()
    if wider is at or _holds_in(wider.cases[len(at.cases) :], at, found):
        return found
    # They seldom bind where all DERs are three-phase, and carry rows only where they are seen to.
    return _secured(wider, free, resolve, mode)


def _holds_in(more: Sequence[Case], at: Interval, found: Secured) -> bool:
    """Whether what is sent as safe holds in further cases; so does what is not sent as safe."""
    setpoints = found.dispatch.setpoints
    if isinstance(found, Infeasible) or not at.breaks_any(more, setpoints):
        return True
    return isinstance(found, Degraded) and not at.trial(found.dispatch).safe


def _secured(
    at: Interval, free: Dispatch, resolve: Resolve, mode: Literal["geems", "paper"]
) -> Secured:
    first = at.trial(free)
    if first.safe:
        trial, used = first, 0
    elif mode == "paper":
        trial, used = one_shot(at, first, resolve), 1
    else:
        trial, used = relinearised(at, first, resolve)
    if trial.safe:
        if at.safe_while_ramping(trial.decided):
            return _settled(at, trial, first, resolve, used)
        return _on_the_way(at, trial, first, resolve, mode, used)
    if mode == "paper":
        return way_back(at.with_ramping(), trial, first, used)
    return _from_restored(at, trial, first, resolve, used)


def mix_violations(
    site: Site,
    snapshot: Snapshot,
    forecast: Forecast,
    network: Network,
    setpoints: Mapping[str, Setpoint],
    pins: Mapping[str, Unmoved],
) -> tuple[Violation, ...]:
    """What the devices may break together after writes of which some failed."""
    at = Interval.of(site, snapshot, forecast, network, pins).with_crossed()
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
    at = Interval.of(site, snapshot, forecast, network, pins).with_crossed().with_ramping()
    like = unpriced(price_usd_per_kwh)
    named = [(n, at.trial(at.priced(like, a))) for n, a in anchors(site, snapshot, forecast)]
    for name, trial in named:
        if trial.safe:
            return _kept(trial, f"{reason}; kept {name}, verified")
    found = restored(at, [trial.decided for _, trial in named])
    if found is not None:
        return _kept(found, f"{reason}; stepped to a point that is verified")
    return reverted(at, named[-1][1], 0, reason)


def _kept(trial: Trial, reason: str) -> Degraded:
    return Degraded(dispatch=trial.decided, load_flow=trial.flow, reason=reason)


# --- what follows from the trials ----------------------------------------------------


def _on_the_way(
    at: Interval,
    trial: Trial,
    first: Trial,
    resolve: Resolve,
    mode: Literal["geems", "paper"],
    used: int,
) -> Secured:
    """A safe trial, made safe for the minutes in which generators still ramp, too."""
    whole = at.with_ramping()
    if mode == "geems":
        found, more = relinearised(whole, whole.trial(first.decided), resolve)
        used += more
        if found.safe:
            return _noted(_settled(whole, found, first, resolve, used), _LATER)
    caps = partial(with_caps, at.site, at.forecast, trial.decided.setpoints)

    def safe(setpoints: Mapping[str, Setpoint]) -> bool:
        return whole.trial(whole.priced(trial.decided, setpoints)).safe

    if safe(caps(0.0)):
        held = whole.trial(whole.priced(trial.decided, bisected(caps, safe)))
        return _noted(_settled(whole, held, first, resolve, used), _CAPS_HELD)
    return _with_generators_held(whole, first, resolve)


def _noted(secured: Secured, note: str) -> Secured:
    return replace(secured, notes=(*secured.notes, note))


def _settled(
    at: Interval, trial: Trial, first: Trial, resolve: Resolve, linearisations: int
) -> Secured:
    """What a safe trial comes to."""
    decided = trial.decided
    missed = _missed_at_the_grid(decided)
    if missed:
        return Degraded(
            dispatch=decided,
            load_flow=trial.flow,
            free_load_flow=first.worst_flow,
            linearisations=linearisations,
            reason=f"no DER can keep the {missed}",
        )
    notes: tuple[str, ...] = ()
    if unshaded(at.site, at.forecast):
        notes = ("partial shade of this many plants is not proved",)
    caution = 0.0
    if at.reasons and linearisations and len(at.cases) > 1:
        caution = caution_usd_per_h(at, decided, resolve)
    return Verified(
        dispatch=decided,
        load_flow=trial.flow,
        free_load_flow=first.worst_flow,
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


def _with_generators_held(whole: Interval, first: Trial, resolve: Resolve) -> Secured:
    """Relief from what moves at once, where a generator's would come too late."""
    held = partial(resolve, generators_may_fall=False)
    trial, used = relinearised(whole, whole.trial(held((), whole.held)), held)
    if not trial.safe:
        return _from_restored(whole, trial, first, resolve, used)
    return Verified(
        dispatch=trial.decided,
        load_flow=trial.flow,
        free_load_flow=first.worst_flow,
        linearisations=used,
        notes=("no generator lowered: its relief would come too late",),
    )


def _from_restored(
    at: Interval, trial: Trial, first: Trial, resolve: Resolve, used: int
) -> Secured:
    """The search again from a point that all cases verify; given up only where there is none.

    The slack of rows linearised at a far point is no proof that nothing keeps them.
    """
    whole = at.with_ramping()
    starts = [trial.decided, first.decided]
    starts += [at.priced(first.decided, a) for _, a in anchors(at.site, at.snapshot, at.forecast)]
    safe = restored(whole, starts)
    if safe is None:
        return given_up(at, trial, first, used)
    found, more = relinearised(whole, safe, resolve)
    used += more
    said, settles = worst(found.broken), found.safe
    if not settles:
        found, more, settles = cheapest_near(whole, safe, first, resolve)
        used += more
    if settles:
        return _noted(_settled(whole, found, first, resolve, used), "found from another start")
    return Degraded(
        dispatch=found.decided,
        load_flow=found.flow,
        free_load_flow=first.worst_flow,
        linearisations=used,
        reason=f"no optimum verified ({said}); stepped towards it as far as load flows verify",
    )
