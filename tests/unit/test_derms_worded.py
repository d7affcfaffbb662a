"""What a person writes becomes what is served, on the safe side, and back."""

from typing import Any

import pytest

from ems.derms import worded
from ems.protocols.ieee2030_5 import modes, sep
from ems.settings.ieee2030_5 import (
    CURVE_MODES,
    ControlBaseTable,
    CurveTable,
    EndDeviceDerTable,
    EventTable,
)

WRITTEN: dict[str, Any] = {
    "connect": True,
    "energize": False,
    "fixed_w_pct": -12.34,
    "max_lim_w_pct": 56.78,
    "target_kw": 1.5,
    "target_kvar": -0.75,
    "fixed_pf_inject": {"pf": 0.95, "excitation": "under"},
    "fixed_pf_absorb": {"pf": 0.9, "excitation": "over"},
    "fixed_var": {"pct": -30.0, "of": "stat_var_avail"},
    "freq_droop": {
        "dbof_hz": 0.036,
        "dbuf_hz": 0.036,
        "kof": 0.05,
        "kuf": 0.05,
        "open_loop_tms_s": 5.0,
    },
    "volt_var": "vv",
    "lvrt_momentary_cessation": "mc",
    "ramp_tms_s": 2.5,
    "import_limit_kw": 3.0,
    "export_limit_kw": 1.5,
}


def base(**asked: Any) -> sep.DERControlBase:
    return worded.base_of(ControlBaseTable.model_validate(asked), lambda name: f"/dc/{name}")


def test_a_control_is_told_again_as_it_was_written() -> None:
    told = worded.worded(base(**WRITTEN), lambda href: href.removeprefix("/dc/"))
    assert told == WRITTEN


def test_nothing_is_asked_that_was_not_written() -> None:
    asked = base(max_lim_w_pct=50)
    assert asked.model_dump(exclude_none=True) == {"opModMaxLimW": 5000}


@pytest.mark.parametrize(
    ("key", "written", "element", "count"),
    [
        ("max_lim_w_pct", 57.399, "opModMaxLimW", 5739),
        ("fixed_w_pct", 57.399, "opModFixedW", 5739),
        ("fixed_w_pct", -57.399, "opModFixedW", -5739),
        ("max_lim_w_pct", 57.39, "opModMaxLimW", 5739),
        ("max_lim_w_pct", 0.3, "opModMaxLimW", 30),
    ],
)
def test_a_limit_is_never_above_what_was_written(
    key: str, written: float, element: str, count: int
) -> None:
    assert getattr(base(**{key: written}), element) == count


def test_every_curve_mode_of_the_standard_can_be_asked() -> None:
    asked = base(**dict.fromkeys(CURVE_MODES, "c"))
    assert modes.asked(asked) == frozenset(modes.CURVE_TYPES)
    assert list(CURVE_MODES.values()) == list(modes.CURVE_TYPES)


def curve(**written: Any) -> dict[str, Any]:
    return worded.curve_of(CurveTable.model_validate({"name": "c", "type": "volt_var"} | written))


@pytest.mark.parametrize(
    ("points", "x_multiplier", "y_multiplier", "counts"),
    [
        ([[92, 44], [98, 0]], 0, 0, [(92, 44), (98, 0)]),
        ([[92.5, 44], [98, 0.25]], -1, -2, [(925, 4400), (980, 25)]),
        ([[0.16, 0.1], [0.3, 0.3]], -2, -1, [(16, 1), (30, 3)]),
        ([[1 / 3, 1], [1, 1]], -4, 0, [(3333, 1), (10000, 1)]),
    ],
)
def test_points_get_the_coarsest_power_of_ten_that_holds_them(
    points: list[list[float]],
    x_multiplier: int,
    y_multiplier: int,
    counts: list[tuple[int, int]],
) -> None:
    made = curve(points=points)
    assert (made["x_multiplier"], made["y_multiplier"]) == (x_multiplier, y_multiplier)
    assert made["points"] == counts


def test_a_power_factor_curve_has_the_side_of_each_point() -> None:
    made = curve(type="watt_pf", points=[[50, 1], [100, 0.9]], excitation=["over", "under"])
    assert made["points"] == [(50, 10, False), (100, 9, True)]
    assert made["y_ref_type"] == 0


def test_a_nameplate_is_served_in_the_units_of_the_standard() -> None:
    der = EndDeviceDerTable(
        type="other_storage_system",
        modes=["charge", "discharge", "max_lim_w", "volt_var"],
        rated_kw=5.5,
        rated_absorb_kvar=2.0,
        rated_kwh=13.5,
        min_pf_over=0.85,
    )
    capability = worded.capability_of(der)
    assert capability.type_ == 80
    assert modes.modes_of(capability.modesSupported) == {
        modes.CHARGE, modes.DISCHARGE, "opModMaxLimW", "opModVoltVar",
    }  # fmt: skip
    assert capability.rtgMaxW == sep.ActivePower(multiplier=0, value=5500)
    assert capability.rtgMaxVarNeg == sep.ReactivePower(multiplier=0, value=-2000)
    assert capability.rtgMaxWh == sep.WattHour(multiplier=0, value=13500)
    assert worded.settings_of(der, 77).updatedTime == 77


def test_an_event_without_a_start_starts_at_once_and_asks_for_what_it_names() -> None:
    event = EventTable(
        duration_s=60, responses=["received", "customer"], base=ControlBaseTable(connect=False)
    )
    made = worded.event_of(event, now=1000)
    assert (made["start"], made["duration"], made["response_required"]) == (1000, 60, 5)
