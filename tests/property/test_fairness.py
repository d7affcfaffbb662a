"""Fairness over random plants and rows, against the policies' own definitions."""

from datetime import UTC, datetime
from typing import Any, Literal

import clarabel  # type: ignore[import-untyped]  # it brings none
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog

from ems.dispatch import dispatch
from ems.dispatch.model import cap_worth
from ems.domain import (
    DerReading,
    Forecast,
    Limits,
    LoadReading,
    NetworkRow,
    Pv,
    PvForecast,
    RowKind,
    Site,
    Snapshot,
)

NOW = datetime(2026, 6, 21, 19, 0, tzinfo=UTC)
PRICE = 0.25
Floats = NDArray[np.float64]
Fairness = Literal["least_cost", "equal_share", "proportional"]


@st.composite
def feeders(draw: st.DrawFn) -> tuple[Floats, list[str], Floats, Floats]:
    """Available power of 2 to 8 plants, their groups, rows on them, and the rows' bounds."""
    n, rows = draw(st.integers(2, 8)), draw(st.integers(1, 3))
    upper = np.array([draw(st.floats(2.0, 20.0)) for _ in range(n)])
    groups = [draw(st.sampled_from("abc")) for _ in range(n)]
    slope = np.array([[draw(st.floats(0.1, 1.0)) for _ in range(n)] for _ in range(rows)])
    share = np.array([draw(st.floats(0.2, 1.2)) for _ in range(rows)])
    return upper, groups, slope, share * (slope @ upper)


def kept(
    fairness: Fairness, upper: Floats, groups: list[str], slope: Floats, bound: Floats
) -> Floats:
    """Power that each plant keeps [kW]."""
    plants = tuple(
        Pv(name=f"pv{i}", bus="b", rated_kw=float(u), group=g)
        for i, (u, g) in enumerate(zip(upper, groups, strict=True))
    )
    site = Site(
        name="random", latitude_deg=0.0, longitude_deg=0.0, ders=plants, load_max_kw=100.0,
        load_min_kw=0.0, limits=Limits(v_min_pu=0.9, v_max_pu=1.1), fairness=fairness,
    )  # fmt: skip
    snapshot = Snapshot(
        time=NOW,
        load=LoadReading(time=NOW, p_kw=100.0),
        ders={p.name: DerReading(der=p.name, time=NOW, p_kw=0.0, q_kvar=0.0) for p in plants},
    )
    skies = {
        p.name: PvForecast(
            expected_kw=p.rated_kw, lower_kw=p.rated_kw, upper_kw=p.rated_kw, method="given"
        )
        for p in plants
    }
    rows = [
        NetworkRow(
            kind=RowKind.V_MAX, place=f"n{r}.1", limit=1.1, bound=1e-5 * float(bound[r]),
            c_p={p.name: 1e-5 * float(s) for p, s in zip(plants, slope[r], strict=True)}, c_q={},
        )
        for r in range(len(bound))
    ]  # fmt: skip
    forecast = Forecast(start=NOW, pv=skies, load_kw=100.0)
    decided = dispatch(site, snapshot, forecast, PRICE, rows)
    return np.array([decided.setpoints[p.name].p_kw for p in plants])


def logarithms(fractions: Floats, upper: Floats) -> float:
    """What proportional fairness maximises, and the small worth of a cap."""
    worth = PRICE * (1.0 + np.log(fractions)) + cap_worth(PRICE) * fractions
    return float(upper @ worth)


def most_logarithms(upper: Floats, slope: Floats, bound: Floats) -> float:
    """Its maximum, by a conic solver: max Σ price·u·(1 + t), t ≤ log f."""
    n, rows = len(upper), len(bound)
    a: Any = np.zeros((n + rows + 3 * n, 2 * n))
    b = np.concatenate([np.ones(n), bound, np.tile([0.0, 1.0, 0.0], n)])
    a[:n, :n] = np.eye(n)
    a[n : n + rows, :n] = slope * upper
    for i in range(n):
        a[n + rows + 3 * i, n + i] = -1.0
        a[n + rows + 3 * i + 2, i] = -1.0
    cones = [clarabel.NonnegativeConeT(n + rows)] + [clarabel.ExponentialConeT()] * n
    cost = -np.concatenate([cap_worth(PRICE) * upper, PRICE * upper])
    options = clarabel.DefaultSettings()
    options.verbose = False
    solver = clarabel.DefaultSolver(
        sp.csc_matrix((2 * n, 2 * n)), cost, sp.csc_matrix(a), b, cones, options
    )
    found = solver.solve()
    return PRICE * float(upper.sum()) - float(found.obj_val)


@settings(max_examples=60)
@given(feeders())
def test_equal_share_is_the_best_dispatch_with_one_fraction_per_group(
    feeder: tuple[Floats, list[str], Floats, Floats],
) -> None:
    upper, groups, slope, bound = feeder
    fractions = kept("equal_share", upper, groups, slope, bound) / upper
    names = sorted(set(groups))
    member = np.array([[g == name for name in names] for g in groups], dtype=float)
    for name in names:
        of_group = [f for f, g in zip(fractions, groups, strict=True) if g == name]
        assert max(of_group) - min(of_group) < 1e-5
    best = linprog(-upper @ member, A_ub=(slope * upper) @ member, b_ub=bound, bounds=(0.0, 1.0))
    assert upper @ fractions == pytest.approx(-float(best.fun or 0.0), rel=1e-6, abs=1e-6)


@settings(max_examples=60)
@given(feeders())
def test_proportional_maximises_the_sum_of_logarithms(
    feeder: tuple[Floats, list[str], Floats, Floats],
) -> None:
    upper, groups, slope, bound = feeder
    p = kept("proportional", upper, groups, slope, bound)
    assert np.all(slope @ p <= bound + 1e-6)
    assert np.all(p <= upper)
    best = most_logarithms(upper, slope, bound)
    # The pieces' ends stand a thousandth apart, and the maximum is flat.
    tolerance = 1e-5 * PRICE * upper.sum()
    assert logarithms(p / upper, upper) == pytest.approx(best, abs=tolerance)


@settings(max_examples=30)
@given(feeders())
def test_no_policy_keeps_more_energy_than_least_cost(
    feeder: tuple[Floats, list[str], Floats, Floats],
) -> None:
    cheapest = kept("least_cost", *feeder).sum()
    for fairness in ("equal_share", "proportional"):
        assert kept(fairness, *feeder).sum() <= cheapest + 1e-6
