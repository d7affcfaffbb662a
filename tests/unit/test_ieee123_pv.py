"""Eighty-five PV plants on the 123-bus feeder, more sun than it can take.

What is sent keeps every node within 0.95–1.05 pu by a load flow from outside, and wastes none
of the sun that could be kept. Times of the same case stand in the bench.
"""

from functools import partial
from pathlib import Path

import pytest

from ems.constrain import constrain
from ems.dispatch import dispatch
from ems.domain import Verified
from tests.bench.cases import PRICE_USD_PER_KWH, PvCase, ieee123_pv, without_q
from tests.bench.outside import Seen, seen_outside, sources

LIMITS = (0.95, 1.05)
CLOSE_PU = 2e-4
"""How far below a limit that binds the highest voltage may stay [pu]."""
SAFE_KW = {
    # PV [kW], load factor: most that is safe without Q and with it, found from outside by
    # linear programs on differences of plain OpenDSS until they no longer move
    (3140.0, 0.40): (2314.0, 3140.0),
    (4710.0, 0.40): (2869.8, 4710.0),
    (6280.0, 0.40): (3287.9, 6280.0),
    (9420.0, 0.25): (4122.0, 9420.0),
}


def decided(case: PvCase) -> tuple[float, Verified]:
    """PV kept, and the outcome."""
    resolve = partial(dispatch, case.site, case.snapshot, case.forecast, PRICE_USD_PER_KWH)
    free = resolve((), {})
    secured = constrain(case.site, case.snapshot, case.forecast, free, case.network, resolve)
    assert isinstance(secured, Verified), secured.reason
    return sum(at.p_kw for at in secured.dispatch.setpoints.values()), secured


def seen(case: PvCase, outcome: Verified) -> Seen:
    return seen_outside(case.frozen, LIMITS, [sources(case, outcome.dispatch.setpoints)])[0]


@pytest.mark.parametrize(("total_kw", "load_factor"), SAFE_KW)
@pytest.mark.parametrize("reactive", [False, True], ids=["p_only", "p_and_q"])
def test_pv_on_ieee123_is_kept_up_to_the_limit_and_no_node_is_above(
    tmp_path: Path, total_kw: float, load_factor: float, *, reactive: bool
) -> None:
    with_q = ieee123_pv(tmp_path, total_kw, load_factor)
    case = with_q if reactive else without_q(with_q)
    kept_kw, outcome = decided(case)
    witnessed = seen(case, outcome)
    assert witnessed.violations == 0
    assert LIMITS[1] - CLOSE_PU <= witnessed.v_max_pu <= LIMITS[1]
    assert abs(witnessed.v_max_pu - outcome.load_flow.highest()[1]) < 1e-7
    safe_kw = SAFE_KW[total_kw, load_factor][reactive]
    # The last margin, 5e-6 pu, costs about 1 kW.
    assert 0.998 * safe_kw <= kept_kw <= 1.0005 * safe_kw


def test_the_case_is_85_plants_on_the_feeder_as_its_regulators_left_it(tmp_path: Path) -> None:
    case = ieee123_pv(tmp_path, 4710.0, 0.4)
    plants = case.site.pvs
    assert len(plants) == 85
    assert case.available_kw == pytest.approx(4710.0)
    assert case.frozen.load_kw == pytest.approx(0.4 * 3490.0)
    assert {p.bus for p in plants if p.phases == 3} == {"47", "48"}
    assert {"35.1", "65.1", "76.1"} <= {p.bus for p in plants}  # loads between two phases
    assert not any(p.bus.startswith("610") for p in plants)
    free = seen_outside(case.frozen, LIMITS, [[]])[0]
    assert free.violations == 0
    assert free.v_max_pu == pytest.approx(max(case.frozen.v_pu), abs=5e-4)  # power, not impedance


def test_without_rows_the_case_breaks_the_limit_at_dozens_of_nodes(tmp_path: Path) -> None:
    case = ieee123_pv(tmp_path, 4710.0, 0.4)
    free = dispatch(case.site, case.snapshot, case.forecast, PRICE_USD_PER_KWH)
    witnessed = seen_outside(case.frozen, LIMITS, [sources(case, free.setpoints)])[0]
    assert witnessed.above > 50
    assert witnessed.v_max_pu > 1.08
