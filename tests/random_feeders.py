"""Random small feeders, the site on each, and a state to decide in.

Every number comes from one seed. Buses, lines and loads are of plausible size; DERs are as large
as it takes for about half of the unconstrained dispatches to break a limit.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

from ems.constrain import constrain
from ems.dispatch import dispatch
from ems.domain import (
    Bes,
    Der,
    DerReading,
    Dg,
    Forecast,
    Limits,
    LoadReading,
    Pv,
    PvForecast,
    Secured,
    Site,
    Snapshot,
)
from feeders import Feeder
from tests.random_feeders_text import PARTS, Sketch, sketched

NOW = datetime(2026, 6, 21, 12, 0, tzinfo=UTC)
ANSI_A = (0.95, 1.05)
IEEE_1547 = (0.88, 1.10)
PRICES_USD_PER_KWH = (-0.1, 0.0, 0.08, 0.2, 0.57)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomFeeder:
    """A feeder, what is installed on it, and the interval to decide."""

    seed: int
    text: str
    """OpenDSS."""
    kv: dict[str, float]
    """Rated voltage of each DER as OpenDSS wants it: across one phase, else line to line [kV]."""
    site: Site
    snapshot: Snapshot
    forecast: Forecast
    price_usd_per_kwh: float


def random_feeder(seed: int) -> RandomFeeder:
    """The feeder of a seed."""
    s = sketched(np.random.default_rng([1547, seed]))
    ders, volts = _ders(s)
    return _state(s, seed, ders, volts)


# --- what is installed -------------------------------------------------------------------


def _ders(s: Sketch) -> tuple[tuple[Der, ...], dict[str, float]]:
    ders: list[Der] = []
    volts = {}
    count = int(s.rng.integers(1, 7))
    size = s.between(0.5, 6.0) / count
    for i in range(count):
        # Far ends more often than the head.
        b = s.buses[-1 - min(int(s.rng.exponential(len(s.buses) / 3.0)), len(s.buses) - 1)]
        phases = b.phases
        if len(phases) > 1 and s.chance(0.35):
            phases = str(s.rng.choice([p for p in PARTS if set(p) <= set(b.phases)]))
        between = len(phases) == len("12") and s.chance(0.5)
        if b.split and len(phases) == len("12"):
            between = s.chance(0.8)
        rated = min(size * s.total_kw, 1.5 * b.kva) * s.between(0.4, 1.4) * len(phases) / 3.0
        rated = round(min(max(rated, 3.0), 2.0 * b.kva), 1)
        name = f"der{i}"
        count_of = 1 if between else len(phases)
        ders.append(_der(s, name, b.dots(phases), count_of, rated))
        if b.split:
            volts[name] = b.kv if between else b.kv / 2 * (3**0.5 if count_of > 1 else 1.0)
        else:
            volts[name] = b.kv_of(phases, between=between)
    return tuple(ders), volts


def _der(s: Sketch, name: str, bus: str, phases: int, rated_kw: float) -> Der:
    q_max = round(0.44 * rated_kw, 1) if s.chance(0.5) else 0.0
    s_max = round(rated_kw * s.between(1.0, 1.15), 1) if q_max and s.chance(0.3) else None
    kind = s.rng.choice(["pv", "pv", "pv", "bes", "dg"])
    if kind == "pv":
        return Pv(
            name=name, bus=bus, phases=phases, rated_kw=rated_kw, q_max_kvar=q_max,
            s_max_kva=s_max, reversion_kw=round(rated_kw * s.pick(0.0, 0.2, 1.0), 1),
        )  # fmt: skip
    if kind == "bes":
        return Bes(
            name=name, bus=bus, phases=phases, rated_kw=rated_kw, q_max_kvar=q_max,
            s_max_kva=s_max, capacity_kwh=round(rated_kw * s.between(0.5, 4.0), 1),
        )  # fmt: skip
    ramp = rated_kw * s.pick(0.5, 2.0, 40.0)
    return Dg(
        name=name, bus=bus, phases=phases, rated_kw=rated_kw, q_max_kvar=q_max,
        cost_usd_per_kwh=s.pick(0.1, 0.3), min_kw=round(rated_kw * s.pick(0.0, 0.3), 1),
        ramp_up_kw_per_h=ramp, ramp_down_kw_per_h=ramp * s.pick(0.5, 1.0),
    )  # fmt: skip


# --- the interval ------------------------------------------------------------------------


def _state(s: Sketch, seed: int, ders: tuple[Der, ...], volts: dict[str, float]) -> RandomFeeder:
    v_min, v_max = ANSI_A if s.chance(0.6) else IEEE_1547
    load_kw = s.total_kw * s.between(0.15, 1.3)
    site = Site(
        name=f"random{seed}", latitude_deg=35.0, longitude_deg=-80.0, ders=ders,
        limits=Limits(
            v_min_pu=v_min, v_max_pu=v_max, loading_max_pct=100.0 if s.chance(0.4) else None,
            load_band_pct=s.pick(0.0, 2.0, 5.0),
        ),
        load_max_kw=1.5 * s.total_kw, load_min_kw=0.1 * s.total_kw,
    )  # fmt: skip
    certain = s.chance(0.1)
    sun = s.between(0.2, 1.2)
    pv = {d.name: _sky(s, d, sun, certain=certain) for d in site.pvs}
    kvar = load_kw * s.between(0.1, 0.5) if s.chance(0.15) else None
    return RandomFeeder(
        seed=seed,
        text="\n".join(s.lines) + "\n",
        kv=volts,
        site=site,
        snapshot=Snapshot(
            time=NOW,
            ders={d.name: _reading(s, d, pv) for d in ders},
            load=LoadReading(time=NOW, p_kw=load_kw, q_kvar=kvar),
            head_v_pu=round(s.between(0.97, 1.06), 4) if s.chance(0.2) else None,
        ),
        forecast=Forecast(start=NOW, pv=pv, load_kw=load_kw, load_kvar=kvar),
        price_usd_per_kwh=s.pick(*PRICES_USD_PER_KWH),
    )


def _sky(s: Sketch, pv: Pv, sun: float, *, certain: bool) -> PvForecast:
    upper = pv.rated_kw * min(1.0, sun * s.between(0.7, 1.0))
    expected = upper if certain else upper * s.between(0.3, 1.0)
    lower = expected if certain else expected * s.pick(0.0, 0.0, 0.6)
    return PvForecast(expected_kw=expected, lower_kw=lower, upper_kw=upper, method="given")


def _reading(s: Sketch, der: Der, pv: dict[str, PvForecast]) -> DerReading:
    """What the DER does now."""
    cap = soc = None
    if isinstance(der, Pv):
        p_kw = pv[der.name].expected_kw * s.between(0.2, 1.0)
        cap = p_kw if s.chance(0.3) else None
    elif isinstance(der, Bes):
        p_kw = der.rated_kw * s.between(-1.0, 1.0)
        soc = s.pick(20.0, 21.0, 60.0, 100.0)
    else:
        least = der.min_kw if der.min_kw > 0.0 else 0.1 * der.rated_kw
        p_kw = 0.0 if s.chance(0.4) else s.between(least, der.rated_kw)
    running = not isinstance(der, Dg) or p_kw > 0.0
    q_kvar = der.q_max_kvar * s.between(-0.5, 0.5) if running and s.chance(0.3) else 0.0
    return DerReading(der=der.name, time=NOW, p_kw=p_kw, q_kvar=q_kvar, soc_pct=soc, cap_kw=cap)


# --- deciding it -------------------------------------------------------------------------


def decided(f: RandomFeeder, folder: Path) -> tuple[Secured, float]:
    """The decision, and the wall time from state to verified setpoints [s]."""
    path = folder / f"random{f.seed}.dss"
    path.write_text(f.text, encoding="utf-8")
    # The text is our own, so it needs no admission, which starts a process for each file.
    with patch("feeders.engine.admit"):
        feeder = Feeder.open(str(path), f.site.placements)
    resolve = partial(dispatch, f.site, f.snapshot, f.forecast, f.price_usd_per_kwh)
    started = time.perf_counter()
    secured = constrain(f.site, f.snapshot, f.forecast, resolve((), {}), feeder, resolve)
    spent_s = time.perf_counter() - started
    feeder.close()
    path.unlink()
    return secured, spent_s
