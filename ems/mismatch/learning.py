"""What is learnt, cycle by cycle, from the voltages that devices measure.

A measured bus has two corrections, one for each limit. Where a measurement TIGHTENS a limit (a
bus higher than modelled against the upper one, lower against the lower one), it counts at once
and in full, and fades over the following cycles. Where it would RELAX a limit it counts only as
far as it exceeds what a meter may be wrong by, and after several cycles that agree.
"""

import math
from collections.abc import Iterator, Mapping

from ems.clock import INTERVAL
from ems.domain import (
    Before,
    BusMismatch,
    Feedback,
    Forecast,
    LoadFlow,
    Quality,
    Site,
    Snapshot,
    terminals,
)
from ems.mismatch.present import present_state
from ems.ports import Network

FILTER = 0.5
"""What is left of an old difference after one interval, in the filtered value."""
FADE = 0.8
"""Likewise in a correction that tightens: it holds through a cloud, and is gone in hours."""
AGREEING_CYCLES = 4
"""Cycles in a row on the same side of the model before a measurement may relax a limit."""
METER_PU = 0.01
"""What a voltage measurement may be wrong by [pu]: IEEE 1547-2018, table 3, 1 % of nominal."""
IMPLAUSIBLE_PU = 0.15
"""A difference beyond this is no model's fault: a phase is lost, or the meter's nominal voltage
is wrong [pu]."""
GONE_PU = 1e-4
"""A silent bus is forgotten when its corrections are below this [pu]."""
GROWN_PU = 5e-4
"""Increase from which a difference is said to have grown: above a meter's noise [pu]."""

Mismatches = Mapping[str, BusMismatch]


def compare(
    site: Site,
    feedback: Feedback,
    snapshot: Snapshot,
    forecast: Forecast,
    network: Network,
    before: Before,
) -> Mismatches:
    """How the buses that are measured differ from the model, by bus.

    Args:
        site: where the devices stand.
        feedback: how far the difference may correct.
        snapshot: the present; only good readings count, and none while the load is not known.
        forecast: the load's power factor where the meter tells none.
        network: the model, uncorrected.
        before: what the cycle before had learnt.
    """
    learnt = before.mismatch
    measured = _measured(site, snapshot) if feedback.on else {}
    if not feedback.on or not (measured or learnt):
        return {}
    flow = network.load_flow(present_state(snapshot, forecast), controls=network.regulated)
    elapsed = snapshot.time - before.time if before.time else INTERVAL
    intervals = max(0.0, elapsed / INTERVAL)
    buses = tuple(dict.fromkeys((*learnt, *measured)))
    modelled = _modelled(buses, flow)
    found = (
        _learnt(
            learnt.get(bus) or _nothing(bus),
            measured.get(bus),
            modelled.get(bus),
            feedback,
            intervals,
            may_relax=not snapshot.faults,
        )
        for bus in buses
    )
    return {one.bus: one for one in found if not _gone(one)}


def complaints(feedback: Feedback, found: Mismatches) -> Iterator[str]:
    """What an operator must look at, one line per bus, each with its bus and the mend."""
    for one in found.values():
        difference = one.difference_pu
        if difference is None:
            continue
        says = f"{one.bus}: measured {one.measured_pu:.4f} pu, modelled {one.modelled_pu:.4f} pu"
        size, first = abs(difference), abs(one.first_pu)
        if size > IMPLAUSIBLE_PU:
            yield f"{says}, too far apart to be used; check the meter and its nominal voltage"
        elif size > feedback.max_pu:
            yield (
                f"{says}, {size:.3f} pu apart; no more than {feedback.max_pu:g} pu is corrected: "
                "check the meter, line lengths, load power factor or taps"
            )
        elif abs(one.filtered_pu) >= feedback.alarm_pu:
            grew = size > first + GROWN_PU
            how = f"difference grew to {size:.3f} pu" if grew else f"{size:.3f} pu apart"
            yield (
                f"{says}, {how} over {one.cycles} cycles; "
                "check line lengths, load power factor or taps"
            )


def _measured(site: Site, snapshot: Snapshot) -> Mapping[str, float]:
    """Voltage by bus, mean of the good readings there; none while the load is not known [pu]."""
    if snapshot.load.quality is not Quality.GOOD:
        return {}
    readings: dict[str, list[float]] = {}
    for der in site.ders:
        reading = snapshot.ders[der.name]
        v = reading.v_pu
        if reading.quality is Quality.GOOD and v is not None and math.isfinite(v) and v > 0.0:
            readings.setdefault(der.bus.upper(), []).append(v)
    return {bus: sum(values) / len(values) for bus, values in readings.items()}


def _modelled(buses: tuple[str, ...], flow: LoadFlow) -> Mapping[str, float]:
    """Mean voltage by bus; none where the load flow gives none, or 0 [pu]."""
    if not flow.converged:
        return {}
    at = terminals(buses, flow.nodes)
    means = {bus: float(flow.v_pu[at[bus]].mean()) for bus in buses if len(at[bus])}
    return {bus: v for bus, v in means.items() if v > 0.0}


def _learnt(
    old: BusMismatch,
    measured: float | None,
    modelled: float | None,
    feedback: Feedback,
    intervals: float,
    *,
    may_relax: bool,
) -> BusMismatch:
    """One bus after one cycle, `intervals` after the one before."""
    if measured is None or modelled is None or abs(measured - modelled) > IMPLAUSIBLE_PU:
        kept = FADE**intervals
        return BusMismatch(
            bus=old.bus,
            measured_pu=measured,
            modelled_pu=modelled,
            filtered_pu=kept * old.filtered_pu,
            upper_pu=max(0.0, kept * old.upper_pu),
            lower_pu=min(0.0, kept * old.lower_pu),
            first_pu=0.0,
            cycles=0,
        )
    seen = min(max(measured - modelled, -feedback.max_pu), feedback.max_pu)
    filtered = seen + FILTER**intervals * (old.filtered_pu - seen)
    same_side = old.cycles > 0 and seen * old.first_pu > 0.0
    # Cycles asked for by hand, one upon the other, tell nothing new.
    cycles = old.cycles + (intervals >= 0.5) if same_side else 1
    relaxes = may_relax and cycles >= AGREEING_CYCLES
    return BusMismatch(
        bus=old.bus,
        measured_pu=measured,
        modelled_pu=modelled,
        filtered_pu=filtered,
        upper_pu=_upper(seen, filtered, old.upper_pu, intervals, relaxes=relaxes),
        lower_pu=-_upper(-seen, -filtered, -old.lower_pu, intervals, relaxes=relaxes),
        first_pu=old.first_pu if same_side else seen,
        cycles=cycles,
    )


def _upper(seen: float, filtered: float, old: float, intervals: float, *, relaxes: bool) -> float:
    """Correction towards the upper limit: at once where it tightens, else fading towards it."""
    wanted = seen
    if seen < 0.0:
        wanted = min(0.0, max(seen, filtered) + METER_PU) if relaxes else 0.0
    return wanted if wanted >= old else wanted + FADE**intervals * (old - wanted)


def _nothing(bus: str) -> BusMismatch:
    return BusMismatch(
        bus=bus, measured_pu=None, modelled_pu=None, filtered_pu=0.0, upper_pu=0.0, lower_pu=0.0,
        first_pu=0.0, cycles=0,
    )  # fmt: skip


def _gone(one: BusMismatch) -> bool:
    left = max(abs(one.filtered_pu), abs(one.upper_pu), abs(one.lower_pu))
    return one.measured_pu is None and left < GONE_PU
