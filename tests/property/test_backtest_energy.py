"""Whatever sun and load do: energy balances, charge closes, devices keep their bounds."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given as of_any
from hypothesis import settings
from hypothesis import strategies as st

from ems.backtest import POLICIES, TIMING, Errors, PolicyName
from ems.backtest.devices import HOURS
from ems.domain import Bes, Dg, Pv, Site
from tests.backtests import NO_ERRORS, case, given, ran
from tests.sites import segment

INTERVALS = 4
TOLERANCE_KW = 0.05
"""A load flow counts as solved when its power closes to a millionth of what flows."""


def site_of_several() -> Site:
    """Two of each on the reference segment, none like the other."""
    return replace(
        segment(),
        ders=(
            Pv(name="pv1", bus="B13", rated_kw=6000.0, q_max_kvar=500.0),
            Pv(name="pv2", bus="B9", rated_kw=3000.0),
            Bes(name="bes1", bus="B11", rated_kw=200.0, capacity_kwh=800.0, q_max_kvar=100.0),
            Bes(name="bes2", bus="B13", rated_kw=500.0, capacity_kwh=600.0, eta_charge=0.98),
            Dg(name="dg1", bus="B7", rated_kw=2000.0, cost_usd_per_kwh=0.1, min_kw=400.0,
               q_max_kvar=200.0),
            Dg(name="dg2", bus="B9", rated_kw=500.0, cost_usd_per_kwh=0.3,
               ramp_up_kw_per_h=400.0, ramp_down_kw_per_h=800.0),
        ),
    )  # fmt: skip


SITE = site_of_several()
SUN = st.lists(st.floats(0.0, 1.0), min_size=INTERVALS, max_size=INTERVALS)
LOAD = st.lists(
    st.floats(SITE.load_min_kw, SITE.load_max_kw), min_size=INTERVALS, max_size=INTERVALS
)
SOC = st.floats(20.0, 100.0)


def lived(method: PolicyName, share: Any, load_kw: Any, soc_pct: float, **more: Any) -> Any:
    of = case(method, site=more.pop("site", SITE), soc_start_pct=soc_pct, **more)
    return ran(of, given(of, share=share, load_kw=load_kw, intervals=INTERVALS, upper=1.0))[0]


def energy_balances(rows: pd.DataFrame) -> None:
    injected = rows[["pv_kw", "bes_kw", "dg_kw"]].sum(axis=1)
    missing = rows["grid_kw"] - (rows["load_kw"] + rows["losses_kw"] - injected)
    assert missing.abs().max() < TOLERANCE_KW
    for kind, ders in (("pv", SITE.pvs), ("bes", SITE.bess), ("dg", SITE.dgs)):
        each = sum(rows[f"p_kw.{d.name}"] for d in ders)
        assert (each - rows[f"{kind}_kw"]).abs().max() < 1e-9
    bought = HOURS * rows["price_usd_per_kwh"] * rows["grid_kw"]
    assert (rows["cost_usd"] - rows["dg_cost_usd"] - bought).abs().max() < 1e-9


def charge_closes(rows: pd.DataFrame, soc_pct: float) -> None:
    for bes in SITE.bess:
        soc = np.concatenate([[soc_pct], rows[f"soc_pct.{bes.name}"]])
        p_kw = rows[f"p_kw.{bes.name}"].to_numpy()
        drawn_kw = np.where(p_kw > 0, p_kw / bes.eta_discharge, p_kw * bes.eta_charge)
        assert np.diff(soc) == pytest.approx(-100 * drawn_kw * HOURS / bes.capacity_kwh, abs=1e-9)
        assert bes.soc_min_pct - 1e-9 <= soc.min()
        assert soc.max() <= bes.soc_max_pct + 1e-9


def devices_keep_their_bounds(rows: pd.DataFrame) -> None:
    for pv in SITE.pvs:
        made, offered = rows[f"p_kw.{pv.name}"], rows[f"available_kw.{pv.name}"]
        cap = rows[f"cap_kw.{pv.name}"].fillna(np.inf)
        assert (made <= np.minimum(offered, cap) + 1e-9).all()
        assert (made >= -1e-9).all()
    for der in SITE.ders:
        assert rows[f"p_kw.{der.name}"].abs().max() <= der.rated_kw + 1e-6
    for der in SITE.ders:
        assert rows[f"q_kvar.{der.name}"].abs().max() <= der.q_max_kvar + 1e-6
    assert (rows["curtailed_kw"] >= -1e-9).all()


@of_any(share=SUN, load_kw=LOAD, soc_pct=SOC, noise=st.floats(0.0, 0.2))
@settings(max_examples=15)
@pytest.mark.parametrize("method", ["none", "rules"])
def test_energy_balances_and_bounds_hold_without_a_cycle(
    method: PolicyName, share: list[float], load_kw: list[float], soc_pct: float, noise: float
) -> None:
    rows = lived(method, share, load_kw, soc_pct, errors=Errors(load_noise=noise))
    energy_balances(rows)
    charge_closes(rows, soc_pct)
    devices_keep_their_bounds(rows)


@of_any(share=SUN, load_kw=LOAD, soc_pct=SOC)
@settings(max_examples=3)
@pytest.mark.parametrize("method", [m for m in POLICIES if m not in ("none", "rules")])
def test_energy_balances_and_bounds_hold_with_a_cycle(
    method: PolicyName, share: list[float], load_kw: list[float], soc_pct: float
) -> None:
    rows = lived(method, share, load_kw, soc_pct, intervals_ahead=6)
    energy_balances(rows)
    charge_closes(rows, soc_pct)
    devices_keep_their_bounds(rows)


@of_any(share=SUN, load_kw=LOAD, soc_pct=SOC)
@settings(max_examples=25)
def test_rules_keep_every_limit_of_the_model(
    share: list[float], load_kw: list[float], soc_pct: float
) -> None:
    rows = lived("rules", share, load_kw, soc_pct, errors=NO_ERRORS, end_soc="start")
    assert rows[["nodes_above", "nodes_below", "elements_over"]].sum().sum() == 0
    for bes in SITE.bess:
        assert rows[f"soc_pct.{bes.name}"].iloc[-1] == pytest.approx(soc_pct, abs=1e-6)


@of_any(share=SUN, load_kw=LOAD, soc_pct=SOC, order=st.permutations(range(len(SITE.ders))))
@settings(max_examples=15)
@pytest.mark.parametrize("method", ["none", "rules"])
def test_the_order_of_the_ders_is_of_no_account(
    method: PolicyName,
    share: list[float],
    load_kw: list[float],
    soc_pct: float,
    order: list[int],
) -> None:
    turned = replace(SITE, ders=tuple(SITE.ders[i] for i in order))
    one = lived(method, share, load_kw, soc_pct)
    other = lived(method, share, load_kw, soc_pct, site=turned)
    numbers = [n for n in one.select_dtypes("number") if not str(n).startswith(TIMING)]
    for name in numbers:
        assert one[name].to_numpy() == pytest.approx(
            other[name].to_numpy(), abs=1e-6, rel=1e-9, nan_ok=True
        ), name
