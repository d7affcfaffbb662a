"""What a silent device does always lies in the range that proofs reckon with."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from ems.clock import INTERVAL
from ems.domain import Command, InForce, Quality, Readback, Setpoint
from ems.unmoved import MARGIN_S, refreshed, unmoved
from tests.sites import NOW, segment, snapshot

SITE = segment()
REVERSION_KW = SITE.pvs[0].reversion_kw
READBACK = Readback(p_kw=None, q_kvar=0.0, cap_kw=0.0)
CONFIRMED, ARRIVED, LOST = "confirmed", "arrived", "lost"

Write = tuple[float, str, float]
"""Seconds since the one before, what became of it, and its cap [kW]."""

writes = st.lists(
    st.tuples(st.floats(5, 400), st.sampled_from([CONFIRMED, ARRIVED, LOST]), st.floats(0, 10_000)),
    min_size=1,
    max_size=12,
)


def command(cap_kw: float, reversion_s: int) -> Command:
    return Command(
        der="pv", p_kw=None, q_kvar=0.0, cap_kw=cap_kw, reversion_kw=REVERSION_KW,
        reversion_s=reversion_s,
    )  # fmt: skip


@given(
    sequence=writes,
    reversion_s=st.integers(240, 1800),
    silent_s=st.floats(0, 4000),
    drift_s=st.floats(-0.9 * MARGIN_S, 0.9 * MARGIN_S),
    later=st.floats(0, 1),
)
def test_whatever_refreshes_arrived_the_cap_in_force_is_never_wider_than_reckoned_with(
    sequence: list[Write], reversion_s: int, silent_s: float, drift_s: float, later: float
) -> None:
    at, held = 0.0, None
    cap_kw, ends = REVERSION_KW, -1e9  # what the device really does
    # A device whose first write was not confirmed is not ours yet.
    for pause_s, fate, wanted_kw in [(0.0, CONFIRMED, 5000.0), *sequence]:
        at += pause_s
        asked = command(wanted_kw, reversion_s)
        setpoint = Setpoint(der="pv", p_kw=wanted_kw, q_kvar=0.0, cap_kw=wanted_kw)
        held = refreshed(
            held,
            setpoint,
            asked,
            NOW + timedelta(seconds=at),
            READBACK if fate == CONFIRMED else None,
        )
        if fate != LOST:
            cap_kw, ends = wanted_kw, at + reversion_s + drift_s
    now_s = at + silent_s
    reckoned = _reckoned(held, now_s)
    seen_s = now_s + later * INTERVAL.total_seconds()
    really_kw = cap_kw if seen_s < ends else REVERSION_KW
    assert reckoned.cap_kw is not None
    assert really_kw <= reckoned.cap_kw


def _reckoned(held: InForce | None, now_s: float) -> Setpoint:
    assert held is not None
    now = NOW + timedelta(seconds=now_s)
    at = replace(snapshot(SITE, now=now), time=now)
    quiet = replace(at.ders["pv"], quality=Quality.STALE, note="silent", p_kw=0.0)
    seen = replace(at, ders={**at.ders, "pv": quiet})
    return unmoved(SITE, seen, {"pv": held})["pv"].high
