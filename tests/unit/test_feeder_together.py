"""Several operating points solved in one go: the same answers as one by one, to the last bit."""

from dataclasses import fields, replace

import numpy as np
import pytest

from feeders import DerPlacement, Feeder, Injections, LoadFlow

PLACES = (
    DerPlacement(name="pv", bus="B4"),
    DerPlacement(name="bes", bus="B13"),
)
NAN = float("nan")


def points(count: int) -> list[Injections]:
    """Of many sizes; the largest is more than the feeder can carry."""
    return [
        Injections(
            p_kw={"pv": 2000.0 * i / count, "bes": 500.0 - 300.0 * i},
            q_kvar={"pv": -100.0 * i, "bes": 50.0},
            load_kw=2000.0 * 1.6**i,
            load_kvar=None if i % 2 else 700.0 * i,
        )
        for i in range(count)
    ]


def opened() -> Feeder:
    return Feeder.open("segment13", PLACES)


def bits(flow: LoadFlow) -> list[object]:
    values = [getattr(flow, f.name) for f in fields(flow)]
    return [v.tobytes() if isinstance(v, np.ndarray) else v for v in values]


def test_points_solved_together_are_those_solved_alone() -> None:
    asked = points(10)
    together, alone = opened().load_flows(asked), opened()
    assert list(map(bits, together)) == [bits(alone.load_flow(at)) for at in asked]
    assert {flow.converged for flow in together} == {True, False}


@pytest.mark.parametrize("head_v_pu", [0.9, NAN])
def test_points_of_unlike_heads_taps_and_curves_come_out_as_alone(head_v_pu: float) -> None:
    one, two, *others = points(5)
    asked = [one, replace(two, head_v_pu=head_v_pu), two, two, *others]
    asked.append(replace(one, p_kw={"pv": NAN, "bes": 0.0}))
    together, alone = opened().load_flows(asked), opened()
    assert list(map(bits, together)) == [bits(alone.load_flow(at)) for at in asked]


def test_what_was_solved_together_is_differentiated_where_it_stands() -> None:
    asked, together, alone = points(4), opened(), opened()
    flows = together.load_flows(asked)
    made, known = together.linearise(asked[1]), alone.linearise(asked[1])
    assert made.flow is flows[1]
    moved = np.array([100.0, -50.0])
    for ours, theirs in zip(made.change(moved, moved), known.change(moved, moved), strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_more_points_than_are_kept_are_solved_all_the_same() -> None:
    asked = [replace(at, load_kw=3000.0 + i) for i, at in enumerate(points(3) * 6)]
    together, alone = opened().load_flows(asked), opened()
    assert list(map(bits, together)) == [bits(alone.load_flow(at)) for at in asked]


def test_no_points_have_no_answers() -> None:
    assert opened().load_flows([]) == []


def test_a_load_flow_with_other_voltages_is_the_same_otherwise() -> None:
    (flow,) = opened().load_flows(points(1))
    other = flow.v_pu + 0.01
    assert bits(flow.with_voltages(other)) == bits(replace(flow, v_pu=other))


@pytest.mark.parametrize("head_v_pu", [1.03, 0.98])
def test_a_feeder_whose_first_points_are_at_another_head_solves_them(head_v_pu: float) -> None:
    asked = [replace(at, head_v_pu=head_v_pu) for at in points(3)]
    feeder = opened()
    together = feeder.load_flows(asked)
    assert all(flow.converged for flow in together)
    alone = opened()
    assert list(map(bits, together)) == [bits(alone.load_flow(at)) for at in asked]
    back = replace(asked[1], head_v_pu=None)
    assert bits(feeder.load_flow(back)) == bits(opened().load_flow(back))
