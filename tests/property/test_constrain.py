"""Over random states: what is sent as verified is safe, seen from outside."""

from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np

from ems.constrain import constrain
from ems.dispatch import dispatch
from ems.domain import Degraded, Pv, Secured, Site, Snapshot, Verified
from feeders import Feeder, shipped
from tests.sites import segment, sky, snapshot
from tests.witness import Point, solved_outside

STATES = 150


def random_state(rng: np.random.Generator) -> tuple[Site, Snapshot, float, float, float]:
    """A site, its state, the load, and expected and highest sun."""
    site = segment(
        band_pct=float(rng.choice([0.0, 2.0, 5.0])),
        pv_q_max_kvar=float(rng.choice([0.0, 1500.0])),
        v_max_pu=float(rng.choice([1.05, 1.07, 1.10])),
    )
    ders = tuple(
        replace(d, reversion_kw=float(rng.choice([0.0, 1000.0]))) if isinstance(d, Pv) else d
        for d in site.ders
    )
    load_kw = float(rng.uniform(5500.0, 14_500.0))
    upper_kw = float(rng.uniform(0.0, 10_000.0))
    expected_kw = upper_kw * float(rng.uniform(0.0, 1.0))
    state = snapshot(
        site, load_kw, pv=expected_kw, dg=float(rng.choice([0.0, 1500.0, 3000.0])),
        bes=float(rng.uniform(-200.0, 200.0)),
    )  # fmt: skip
    charged = replace(state.ders["bes"], soc_pct=float(rng.choice([20.0, 20.5, 60.0, 100.0])))
    state = replace(state, ders={**state.ders, "bes": charged})
    return replace(site, ders=ders), state, load_kw, expected_kw, upper_kw


def points(site: Site, state: Snapshot, secured: Secured, load_kw: float, expected: float,
           upper: float) -> list[Point]:  # fmt: skip
    """What may become of a dispatch within its interval, in a feeder engineer's words.

    Sun as expected, at its highest and gone; load at both ends of its band; a generator that
    goes down still where it was.
    """
    asked = secured.dispatch.setpoints
    band = site.limits.load_band_pct / 100.0
    cap = asked["pv"].cap_kw
    ramping = max(asked["dg"].p_kw, state.ders["dg"].p_kw)
    found = []
    for sun, factor, dg_kw in (
        (expected, 1.0, asked["dg"].p_kw),
        (upper, 1.0 - band, asked["dg"].p_kw),
        (upper, 1.0 - band, ramping),
        (0.0, 1.0 + band, asked["dg"].p_kw),
    ):
        p_kw = {
            "pv": sun if cap is None else min(sun, cap), "dg": dg_kw, "bes": asked["bes"].p_kw
        }  # fmt: skip
        found.append(
            Point(
                feeder=str(shipped()["segment13"].entry),
                load_kw=load_kw * factor,
                load_kvar=None,
                ders=tuple((d.name, d.bus, p_kw[d.name], asked[d.name].q_kvar) for d in site.ders),
            )
        )
    return found


def test_every_verified_dispatch_is_safe_all_through_its_interval() -> None:
    rng = np.random.default_rng(13)
    to_solve, limits = [], []
    outcomes: Counter[str] = Counter()
    for _ in range(STATES):
        site, state, load_kw, expected, upper = random_state(rng)
        price = float(rng.choice([-0.1, 0.0, 0.08, 0.2, 0.57]))
        forecast = sky(expected, upper, load_kw)
        feeder = Feeder.open("segment13", site.placements)
        resolve = partial(dispatch, site, state, forecast, price)
        secured = constrain(site, state, forecast, resolve((), {}), feeder, resolve)
        feeder.close()
        outcomes[type(secured).__name__] += 1
        if isinstance(secured, Verified) or (
            isinstance(secured, Degraded) and "went as far" in secured.reason
        ):
            new = points(site, state, secured, load_kw, expected, upper)
            to_solve += new
            limits += [site.limits] * len(new)
    for limit, point, seen in zip(limits, to_solve, solved_outside(to_solve), strict=True):
        assert seen.v_max_pu <= limit.v_max_pu + 1e-8, point
        assert seen.v_min_pu >= limit.v_min_pu - 1e-8, point
    assert outcomes["Verified"] > 0.5 * STATES, outcomes
