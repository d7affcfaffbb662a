"""One plain sentence for one DER or a thousand."""

from collections.abc import Mapping, Sequence

import pytest

from ems.domain import (
    Degraded,
    Dg,
    Dispatch,
    Infeasible,
    Limits,
    NetworkRow,
    Pv,
    RowKind,
    RowPrice,
    Setpoint,
    Site,
    SolverStatus,
    Verified,
)
from ems.explain import explain
from tests.unit.explained import flow_of

PRICE = 0.5
Powers = Mapping[str, tuple[float, float]]
"""Power and reactive power of each DER [kW, kvar]."""


def site_of(*pvs: str, rated_kw: float = 10_000.0) -> Site:
    return Site(
        name="s", latitude_deg=0.0, longitude_deg=0.0,
        ders=(
            *(Pv(name=n, bus="b", rated_kw=rated_kw, q_max_kvar=rated_kw) for n in pvs),
            Dg(name="dg", bus="b", rated_kw=1000.0, cost_usd_per_kwh=0.1, q_max_kvar=400.0),
        ),
        limits=Limits(v_min_pu=0.95, v_max_pu=1.05), load_max_kw=1.0, load_min_kw=1.0,
    )  # fmt: skip


def dispatched(
    powers: Powers,
    caps: Mapping[str, float] | None = None,
    binding: Sequence[RowPrice] = (),
    cost_usd_per_h: float = 0.0,
) -> Dispatch:
    caps = caps or {}
    return Dispatch(
        setpoints={
            n: Setpoint(der=n, p_kw=p, q_kvar=q, cap_kw=caps.get(n)) for n, (p, q) in powers.items()
        },
        grid_kw=0.0,
        price_usd_per_kwh=PRICE,
        cost_usd_per_h=cost_usd_per_h,
        objective_usd_per_h=cost_usd_per_h,
        status=SolverStatus.OPTIMAL,
        binding=tuple(binding),
    )


def bound(
    place: str,
    kind: RowKind = RowKind.V_MAX,
    limit: float = 1.05,
    price: float = 1e4,
    case: str = "",
    **c_p: float,
) -> RowPrice:
    row = NetworkRow(kind=kind, place=place, limit=limit, c_p=c_p, c_q={}, bound=0.0, case=case)
    return RowPrice(row=row, price=price, slack=0.0)


UNLEVEL = {"B13.1": 1.05, "B13.2": 1.04, "B13.3": 1.02, "B7.2": 0.95, "B7.3": 0.97}
LEVEL = {"B13.1": 1.05, "B13.2": 1.05, "B13.3": 1.05}


def said(
    free: Dispatch, held: Dispatch, volts: Mapping[str, float] = UNLEVEL, site: Site | None = None
) -> str:
    secured = Verified(dispatch=held, load_flow=flow_of(volts))
    return explain(site or site_of("pv"), free, secured).sentence


FREE = dispatched({"pv": (10_000.0, 0.0), "dg": (0.0, 0.0)})


def curtailed(*binding: RowPrice, cost_usd_per_h: float = 1174.6) -> Dispatch:
    return dispatched(
        {"pv": (7651.3, 0.0), "dg": (0.0, 0.0)}, {"pv": 7651.3}, binding, cost_usd_per_h
    )


def test_a_curtailed_plant_its_limit_with_the_phase_and_the_cost() -> None:
    assert said(FREE, curtailed(bound("B13.1", pv=2e-5))) == (
        "pv held at 7.65 of 10.00 MW: B13 phase 1 at its 1.05 pu limit. "
        "Compliance costs $1175 this hour."
    )


def test_where_the_phases_stand_level_no_phase_is_named_and_they_are_one_limit() -> None:
    held = curtailed(bound("B13.1", pv=2e-5), bound("B13.3", pv=2e-5))
    assert ": B13 at its 1.05 pu limit." in said(FREE, held, LEVEL)


def test_phases_at_one_voltage_that_move_apart_are_limits_of_their_own() -> None:
    """An unbalanced feeder dispatched to the limit on every phase."""
    held = curtailed(bound("B13.1", pv=2e-5), bound("B13.3", pv=3e-5))
    said_of_it = said(FREE, held, LEVEL)
    assert ": 2 limits bind, the dearest B13 phase 3 at its 1.05 pu limit." in said_of_it


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (bound("83.2"), "bus 83 phase 2 at its 1.05 pu limit"),
        (bound("B7.2", RowKind.V_MIN, 0.95), "B7 phase 2 at its lower limit of 0.95 pu"),
        (bound("B13.1", limit=1.058), "B13 phase 1 at its 1.058 pu limit"),
        (bound("line.l1", RowKind.LOADING, 100.0), "line l1 at 100 % of its rating"),
        (bound("head", RowKind.EXPORT, 2500.0), "export at its limit of 2.50 MW"),
        (bound("head", RowKind.IMPORT, 500.0), "import at its limit of 500 kW"),
        (bound("head", RowKind.POWER_FACTOR, 0.95), "power factor at its limit of 0.95"),
    ],
)
def test_every_kind_of_limit_has_its_words(row: RowPrice, words: str) -> None:
    assert f": {words}. Compliance" in said(FREE, curtailed(row))


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("expected", ""),
        ("expected, taps moved", " after taps have moved"),
        ("high", " should the load fall"),
        ("high, load high", " should the load rise"),
        ("high, pv2 shaded", " should pv2 alone be shaded and the load fall"),
        ("high, pv2 alone", " should the sun reach pv2 alone and the load fall"),
        ("low", " should clouds come and the load rise"),
        ("low, load low", " should clouds come and the load fall"),
        ("low, ramping", " should clouds come and the load rise while a generator is on its way"),
        ("high, taps moved", " should the load fall after taps have moved"),
    ],
)
def test_a_limit_reached_elsewhere_than_expected_says_when(case: str, words: str) -> None:
    """The expected voltage stands below it: the sentence would deny what the page shows."""
    held = curtailed(bound("B13.1", case=case, pv=2e-5))
    assert f": B13 phase 1 at its 1.05 pu limit{words}. " in said(FREE, held)


def test_of_the_cases_of_one_limit_the_dearest_is_told() -> None:
    rows = [bound("B13.1", price=1e4, case="low"), bound("B13.1", price=2e4, case="high")]
    assert " limit should the load fall. " in said(FREE, curtailed(*rows))


def test_the_sun_is_named_where_a_plant_may_rise() -> None:
    free = dispatched({"pv": (5000.0, 0.0), "dg": (0.0, 0.0)})
    row = bound("B13.1", case="high", pv=2e-5)
    held = dispatched({"pv": (5000.0, -806.0), "dg": (0.0, 0.0)}, {"pv": 8000.0}, [row])
    assert said(free, held) == (
        "B13 phase 1 at its 1.05 pu limit should the sun come out and the load fall, kept by "
        "806 kvar absorbed by pv; pv may rise to 8.00 MW if the sun comes out."
    )


def test_of_several_limits_the_count_and_the_dearest_are_named() -> None:
    held = curtailed(
        bound("B13.1", pv=1e-6),
        bound("line.l1", RowKind.LOADING, 100.0, 50.0, pv=0.01),
        bound("B13.2", pv=2e-6),
    )
    assert ": 3 limits bind, the dearest line l1 at 100 % of its rating." in said(FREE, held)


def test_a_limit_that_earns_next_to_nothing_is_left_unsaid() -> None:
    held = curtailed(bound("B13.1", pv=2e-5), bound("B13.2", price=0.1, pv=2e-5))
    assert ": B13 phase 1 at its 1.05 pu limit." in said(FREE, held)


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (1174.6, "Compliance costs $1175 this hour."),
        (3.456, "Compliance costs $3.46 this hour."),
        (0.001, "Compliance costs nothing worth saying this hour."),
        (-2.5, "Energy and fuel cost $2.50 less this hour, paid by what is stored."),
    ],
)
def test_the_cost_has_no_more_digits_than_it_deserves(cost: float, words: str) -> None:
    assert said(FREE, curtailed(bound("B13.1"), cost_usd_per_h=cost)).endswith(words)


@pytest.mark.parametrize(
    ("held_kw", "free_kw", "words"),
    [
        (7651.3, 10_000.0, "7.65 of 10.00 MW"),
        (9998.0, 10_000.0, "9998 of 10000 kW"),
        (4.0, 5.0, "4 of 5 kW"),
        (4.7, 5.0, "4.7 of 5.0 kW"),
        (4.98, 5.0, "4.98 of 5.00 kW"),
        (0.0, 5.0, "0 of 5 kW"),
    ],
)
def test_two_powers_are_told_in_just_as_many_digits_as_tell_them_apart(
    held_kw: float, free_kw: float, words: str
) -> None:
    free = dispatched({"pv": (free_kw, 0.0), "dg": (0.0, 0.0)})
    held = dispatched({"pv": (held_kw, 0.0), "dg": (0.0, 0.0)}, {"pv": held_kw})
    assert said(free, held, site=site_of("pv", rated_kw=min(free_kw, 1e3))).startswith(
        f"pv held at {words}: the last point that a load flow verifies."
    )


def test_three_plants_are_named_and_a_thousand_are_summed_up() -> None:
    few = [f"pv{i}" for i in range(3)]
    free = dispatched(dict.fromkeys(few, (50.0, 0.0)) | {"dg": (0.0, 0.0)})
    held = dispatched(
        dict.fromkeys(few, (40.0, 0.0)) | {"dg": (0.0, 0.0)}, dict.fromkeys(few, 40.0)
    )
    assert said(free, held, site=site_of(*few, rated_kw=50.0)).startswith(
        "pv0 held at 40 of 50 kW, pv1 held at 40 of 50 kW and pv2 held at 40 of 50 kW: "
    )
    many = [f"pv{i}" for i in range(1000)]
    free = dispatched(dict.fromkeys(many, (50.0, 0.0)) | {"dg": (0.0, 0.0)})
    powers = dict.fromkeys(many, (40.0, 0.0)) | {"pv76": (10.0, 0.0), "dg": (0.0, 0.0)}
    held = dispatched(powers, {n: powers[n][0] for n in many}, [bound("B13.1", pv76=1e-5)], 5000.0)
    assert said(free, held, site=site_of(*many, rated_kw=50.0)) == (
        "1000 PV plants held at 39.97 of 50.00 MW (the most: pv76, 10 of 50 kW): "
        "B13 phase 1 at its 1.05 pu limit. Compliance costs $5000 this hour."
    )


def test_of_many_plants_it_is_told_how_many_are_held() -> None:
    many = [f"pv{i}" for i in range(85)]
    free = dispatched(dict.fromkeys(many, (50.0, 0.0)) | {"dg": (0.0, 0.0)})
    held = dispatched(
        free_powers(many) | dict.fromkeys(many[:37], (40.0, 0.0)), dict.fromkeys(many[:37], 40.0)
    )
    assert said(free, held, site=site_of(*many, rated_kw=50.0)).startswith(
        "37 of 85 PV plants held at 1.48 of 1.85 MW (the most: pv0, 40 of 50 kW): "
    )


def free_powers(names: Sequence[str]) -> dict[str, tuple[float, float]]:
    return dict.fromkeys(names, (50.0, 0.0)) | {"dg": (0.0, 0.0)}


def test_a_limit_kept_without_curtailment_says_by_whom() -> None:
    held = dispatched(
        {"pv": (10_000.0, -806.0), "dg": (300.0, 0.0)}, {}, [bound("B13.1", pv=2e-5)], 9.0
    )
    assert said(FREE, held) == (
        "B13 phase 1 at its 1.05 pu limit, kept by 806 kvar absorbed by pv and 300 kW more by dg, "
        "no energy is curtailed."
    )


def test_many_who_keep_a_limit_are_summed_up_and_so_is_the_room_above() -> None:
    many = [f"pv{i}" for i in range(85)]
    free = dispatched(dict.fromkeys(many, (40.0, 0.0)) | {"dg": (0.0, 0.0)})
    held = dispatched(
        dict.fromkeys(many, (40.0, -10.0)) | {"dg": (0.0, -400.0)},
        dict.fromkeys(many, 45.0),
        [bound("B13.1", pv0=2e-5)],
    )
    assert said(free, held, site=site_of(*many, rated_kw=50.0)) == (
        "B13 phase 1 at its 1.05 pu limit, kept by 1250 kvar absorbed by 86 devices; "
        "85 PV plants may rise to 3.83 MW together if the sun comes out."
    )


def test_a_limit_of_the_grid_connection_that_the_free_dispatch_keeps_too_is_told() -> None:
    row = bound("head", RowKind.EXPORT, 500.0, 0.5, pv=1.0)
    held = dispatched({"pv": (3200.0, 0.0), "dg": (0.0, 0.0)}, {"pv": 3200.0}, [row])
    assert said(held, held) == "pv held at 3.20 MW: export at its limit of 500 kW."


def test_where_nothing_binds_the_highest_voltage_is_told() -> None:
    assert said(FREE, FREE) == (
        "No limit binds, the least-cost dispatch stands: highest voltage 1.0500 pu at B13."
    )


def test_a_lower_rung_and_no_safe_dispatch_give_their_reason() -> None:
    flow = flow_of(UNLEVEL)
    held = curtailed(bound("B13.1", pv=2e-5))
    degraded = Degraded(dispatch=held, load_flow=flow, reason="solver late")
    assert explain(site_of("pv"), FREE, degraded).sentence.endswith(
        "this hour. Degraded: solver late."
    )
    lost = Infeasible(dispatch=held, load_flow=flow, reason="not caused by DERs", violations=())
    assert explain(site_of("pv"), FREE, lost).sentence == (
        "No safe dispatch exists (not caused by DERs); every device is sent back to its "
        "reversion value."
    )
    noted = Verified(dispatch=FREE, load_flow=flow, notes=("no generator lowered",))
    assert explain(site_of("pv"), FREE, noted).sentence.endswith("B13. no generator lowered.")
