"""Whatever is asked of an averaged inverter, no energy comes from nowhere."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ems.plant.averaged import (
    Exporting,
    Grid,
    InverterParameters,
    Ordered,
    References,
    constant,
    simulate,
    step,
)

kva = st.sampled_from([5.0, 100.0, 2500.0])
share = st.floats(0.0, 1.0)
volts = st.floats(0.2, 1.15)


@settings(max_examples=30)
@given(kva, share, share, st.floats(-0.6, 0.6), volts, st.floats(-60.0, 60.0), st.booleans())
def test_energy_in_is_energy_out_lost_and_stored(
    rated_kva: float, before: float, after: float, q: float, v_pu: float, jump: float, pv: bool
) -> None:
    inverter = InverterParameters(rated_kva=rated_kva)
    power = step(before * rated_kva, after * rated_kva, 0.002)
    references = References(
        active=Exporting(source_kw=power) if pv else Ordered(p_kw=power),
        q_kvar=step(0.0, q * rated_kva, 0.004),
    )
    grid = Grid(v_pu=step(1.0, v_pu, 0.006), jump_deg=step(0.0, jump, 0.010))
    found = simulate(inverter, references, grid, t_end_s=0.02)
    gained = found.stored_j - found.stored_j[0]
    missing = found.source_j - found.grid_j - found.lost_j - gained
    # Link and filter of an averaged inverter hold about 8 ms of its rating.
    assert np.abs(missing).max() <= 1e-5 * 8.0 * rated_kva


@settings(max_examples=20)
@given(st.floats(-1.0, 1.0), st.floats(-0.4, 0.4), st.floats(0.85, 1.1))
def test_power_settles_at_what_was_ordered(p: float, q: float, v_pu: float) -> None:
    inverter = InverterParameters()
    references = References(active=Ordered(p_kw=constant(100 * p)), q_kvar=constant(100 * q))
    found = simulate(inverter, references, Grid(v_pu=step(1.0, v_pu, 0.001)), t_end_s=0.02)
    ordered = np.hypot(100 * p, 100 * q)
    if ordered / v_pu <= 100 * inverter.i_max_pu:
        assert abs(found.p_kw[-1] - 100 * p) < 0.2
        assert abs(found.q_kvar[-1] - 100 * q) < 0.2
