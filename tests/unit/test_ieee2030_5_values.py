"""Identities, control modes and quantities of IEEE 2030.5."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ems.protocols.ieee2030_5 import identity, modes, sep, values


def test_the_short_identifier_is_36_bits_of_the_long_one_with_a_check_digit() -> None:
    lfdi = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
    assert identity.sfdi_of(lfdi) == 167261211391
    assert identity.sfdi_of(lfdi.lower()) == 167261211391
    assert identity.has_check_digit(167261211391)


def test_the_long_identifier_is_160_bits_of_the_certificates_fingerprint() -> None:
    der = b"a certificate"
    assert identity.lfdi_of(der) == hashlib.sha256(der).hexdigest().upper()[:40]


@given(st.integers(0, 2**36 - 1))
def test_digits_with_a_check_digit_add_up_to_a_multiple_of_ten(number: int) -> None:
    checked = identity.with_check_digit(number)
    assert checked // 10 == number
    assert sum(map(int, str(checked))) % 10 == 0
    assert identity.has_check_digit(checked)
    assert not identity.has_check_digit(checked - 1 if checked % 10 else checked + 1)


@pytest.mark.parametrize("pin", [111115, 123455, 0, 19])
def test_a_pin_with_its_check_digit_has_no_fault(pin: int) -> None:
    assert identity.pin_fault(pin) == ""


def test_a_pin_with_a_wrong_check_digit_is_told_the_right_one() -> None:
    assert identity.pin_fault(111111) == (
        "111111 has a wrong check digit; 111115 has the right one"
    )
    assert identity.pin_fault(12) == "000012 has a wrong check digit; 000019 has the right one"
    assert "more than 6 digits" in identity.pin_fault(1234567)
    assert identity.pin_fault(-5)


def test_an_mrid_ends_in_its_makers_number_and_is_its_own() -> None:
    drawn = {identity.mrid(pen=37250) for _ in range(100)}
    assert len(drawn) == 100
    assert {m[-8:] for m in drawn} == {f"{37250:08X}"}
    assert all(len(m) == 32 for m in drawn)
    assert identity.mrid("program", "noon", pen=1) == identity.mrid("program", "noon", pen=1)
    assert identity.mrid("program", "noon", pen=1) != identity.mrid("program", "night", pen=1)
    assert identity.mrid("ab", "c", pen=1) != identity.mrid("a", "bc", pen=1)


def test_bits_of_modes_supported_are_those_of_the_2018_edition() -> None:
    assert modes.modes_of("00000004") == {"opModConnect"}
    assert modes.modes_of("100000") == {"opModMaxLimW"}
    assert modes.bits_of(["opModVoltVar", "opModConnect"]) == "00800004"
    assert modes.modes_of("0000000000000004") == {"opModConnect"}
    assert modes.reserved_bits("80000004") == 0x80000000
    assert modes.bits_of(["opModExpLimW"]) == "00000000"


@given(st.frozensets(st.sampled_from(modes.BITS)))
def test_modes_come_back_from_their_bits(chosen: frozenset[str]) -> None:
    assert modes.modes_of(modes.bits_of(chosen)) == chosen


def test_all_fifteen_curve_types_are_controls_that_link_to_a_curve() -> None:
    assert len(modes.CURVE_TYPES) == 15
    for number, mode in enumerate(modes.CURVE_TYPES):
        assert modes.curve_type(mode) == number
        base = sep.DERControlBase.model_validate({mode: sep.Link(href="/derp/1/dc/1")})
        assert modes.asked(base) == {mode}
    assert modes.curve_type("opModFixedW") is None


def test_every_mode_but_charging_and_discharging_is_a_control() -> None:
    assert set(modes.BITS) - modes.CONTROL_MODES == {modes.CHARGE, modes.DISCHARGE}


@given(st.floats(-1e9, 1e9))
def test_a_power_is_held_to_four_digits(power_w: float) -> None:
    held = values.watts(values.active_power(power_w))
    assert held == pytest.approx(power_w, rel=2e-4, abs=1e-3)
    # to the last bit of the factors of ten
    assert abs(values.watts(values.active_power(power_w, "down"))) <= abs(power_w) * (1 + 1e-12)
    assert abs(values.watts(values.active_power(power_w, "up"))) >= abs(power_w) * (1 - 1e-9) - 1e-9


def test_whole_watts_are_written_as_they_are() -> None:
    assert values.active_power(5000.0) == sep.ActivePower(multiplier=0, value=5000)
    assert values.active_power(-250.5) == sep.ActivePower(multiplier=-1, value=-2505)
    assert values.active_power(123_456.0) == sep.ActivePower(multiplier=1, value=12346)
    assert values.vars_(values.reactive_power(0.3)) == 0.3


def test_what_a_quantity_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        values.active_power(1e15)
    with pytest.raises(ValueError, match="nan is no ActivePower"):
        values.active_power(float("nan"))
    with pytest.raises(ValueError, match="is no WattHour"):
        values.quantity(sep.WattHour, -1.0)


@given(st.floats(-2, 2))
def test_percentages_are_rounded_to_the_side_asked_for(share: float) -> None:
    down, up = values.percent(share, "down"), values.percent(share, "up")
    assert 0 <= down <= up <= 10000
    assert down <= max(share, 0.0) * 10000 + 1e-6
    assert up >= min(max(share, 0.0), 1.0) * 10000 - 1e-6
    assert -10000 <= values.signed_percent(share) <= 10000
    assert abs(values.signed_percent(share, "down")) <= abs(share) * 10000 + 1e-6


def test_a_share_that_is_whole_but_for_the_last_bits_is_whole() -> None:
    assert values.percent(0.3, "down") == 3000
    assert values.percent(0.57, "down") == 5700
    assert values.percent(0.57, "up") == 5700


def test_a_power_factor_is_kept_with_its_excitation() -> None:
    factor = values.power_factor_with_excitation(0.95, absorbs_vars=True)
    assert values.displacement(factor) == 0.95
    assert factor.excitation is True
    assert values.displacement(values.power_factor(1.0)) == 1.0
    with pytest.raises(ValueError, match="no power factor"):
        values.power_factor(1.2)


def test_fixed_var_is_rounded_towards_zero_and_says_of_what_it_is_a_share() -> None:
    assert values.fixed_var(-0.33335) == sep.FixedVar(refType=2, value=-3333)
    assert values.fixed_var(0.5, values.REF_MAX_W) == sep.FixedVar(refType=1, value=5000)
