"""A small feeder by full matrices is the same as by sparse ones, and nothing is solved twice."""

from collections.abc import Sequence

import numpy as np
import pytest

from feeders import DerPlacement, Feeder, Injections, network
from feeders.small import SmallLinear

PLACES = (
    DerPlacement(name="three", bus="671"),
    DerPlacement(name="one", bus="675.2", phases=1),
    DerPlacement(name="between", bus="646.2.3", phases=1),
)
AT = Injections(
    p_kw={"three": 900.0, "one": 200.0, "between": -80.0},
    q_kvar={"three": -100.0, "one": 40.0, "between": 10.0},
    load_kw=2500.0,
)
DP, DQ = np.array([50.0, -30.0, 20.0]), np.array([-60.0, 10.0, 5.0])


def opened(monkeypatch: pytest.MonkeyPatch, small_nodes: int) -> Feeder:
    monkeypatch.setattr(network, "SMALL_NODES", small_nodes)
    return Feeder.open("ieee13", PLACES)


def test_full_and_sparse_matrices_give_the_same_slopes(monkeypatch: pytest.MonkeyPatch) -> None:
    full = opened(monkeypatch, 100).linearise(AT)
    sparse = opened(monkeypatch, 0).linearise(AT)
    assert isinstance(full, SmallLinear)
    assert not isinstance(sparse, SmallLinear)
    nodes, elements = range(len(full.flow.nodes)), range(len(full.flow.elements))
    one: Sequence[np.ndarray] = [
        *full.change(DP, DQ), *full.voltage_rows(nodes), *full.loading_cuts(elements, DP, DQ)
    ]  # fmt: skip
    other = [
        *sparse.change(DP, DQ), *sparse.voltage_rows(nodes),
        *sparse.loading_cuts(elements, DP, DQ),
    ]  # fmt: skip
    for a, b in zip(one, other, strict=True):
        # a current through a switch of next to no impedance is round-off of what cancels there
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


def test_full_and_sparse_matrices_judge_load_flows_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    full = opened(monkeypatch, 100).load_flow(AT)
    sparse = opened(monkeypatch, 0).load_flow(AT)
    assert full.converged
    assert sparse.converged
    assert np.array_equal(full.v_pu, sparse.v_pu)
    np.testing.assert_allclose(full.loading_pct, sparse.loading_pct, rtol=1e-12, atol=1e-12)


def test_an_operating_point_that_was_solved_is_not_solved_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feeder = opened(monkeypatch, 100)
    first = feeder.load_flow(AT)
    monkeypatch.setattr(feeder._solver, "_engine_solves", lambda: pytest.fail("solved again"))
    again = feeder.load_flow(Injections(p_kw=dict(AT.p_kw), q_kvar=AT.q_kvar, load_kw=2500.0))
    assert again is first
    assert feeder.linearise(AT) is feeder.linearise(AT)
