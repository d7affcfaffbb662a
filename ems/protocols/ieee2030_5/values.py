"""Between plain numbers and the quantities of IEEE 2030.5.

A quantity is a 16-bit number and a power of ten: what does not fit a whole number is rounded to
four significant digits or better.
"""

import math
from typing import Final, Literal, TypeVar

from ems.protocols.ieee2030_5.schema.quantities import (
    ActivePower,
    AmpereHour,
    ApparentPower,
    CurrentRMS,
    FixedVar,
    PowerFactor,
    PowerFactorWithExcitation,
    ReactivePower,
    VoltageRMS,
    WattHour,
)

Rounding = Literal["down", "up", "nearest"]
"""`down` is towards zero, `up` away from it."""

FULL: Final = 10000
"""100 % in hundredths of a percent."""
_SIGNED: Final = 32767
_UNSIGNED: Final = 65535
_PF_MULTIPLIER: Final = -4
_LEAST_MULTIPLIER: Final = -3
_MOST_MULTIPLIER: Final = 9
"""The end of PowerOfTenMultiplierType."""

REF_MAX_W: Final = 1
REF_MAX_VAR: Final = 2
REF_VAR_AVAILABLE: Final = 3
"""Values of DERUnitRefType: a percentage of setMaxW, of setMaxVar, of statVarAvail."""

_Quantity = (
    ActivePower | ReactivePower | ApparentPower | CurrentRMS | VoltageRMS | AmpereHour | WattHour
)
Q = TypeVar(
    "Q", ActivePower, ReactivePower, ApparentPower, CurrentRMS, VoltageRMS, AmpereHour, WattHour
)


def number(quantity: _Quantity) -> float:
    """The plain number, in the unit of the quantity."""
    # Divided, not multiplied by 10⁻ⁿ, which is no binary fraction: 1 at −1 is 0.1 to the last bit.
    if quantity.multiplier < 0:
        return float(quantity.value / 10**-quantity.multiplier)
    return float(quantity.value * 10**quantity.multiplier)


def quantity(kind: type[Q], value: float, rounding: Rounding = "nearest") -> Q:
    """The finest number and power of ten that hold a value.

    Raises:
        ValueError: it is not finite, beyond the type's range, or negative where it has no sign.
    """
    signed = kind in {ActivePower, ReactivePower, ApparentPower}
    most = _SIGNED if signed else _UNSIGNED
    if not math.isfinite(value) or (value < 0 and not signed):
        raise ValueError(f"{value} is no {kind.__name__}")
    if abs(value) > most * 10.0**_MOST_MULTIPLIER:
        raise ValueError(f"{value} is too large for {kind.__name__}")
    if value == int(value) and abs(value) <= most:
        return kind(multiplier=0, value=int(value))
    for multiplier in range(_LEAST_MULTIPLIER, _MOST_MULTIPLIER + 1):
        scaled = _rounded(value * 10.0**-multiplier, rounding)
        if abs(scaled) <= most:
            return _shortened(kind, scaled, multiplier)
    raise ValueError(f"{value} is too large for {kind.__name__}")


def _shortened(kind: type[Q], scaled: int, multiplier: int) -> Q:
    while multiplier < 0 and scaled % 10 == 0:
        scaled, multiplier = scaled // 10, multiplier + 1
    return kind(multiplier=multiplier, value=scaled)


def _rounded(value: float, rounding: Rounding) -> int:
    # 0.3 · 10⁴ is 2999.9999999999995: what is whole but for the last bits is whole.
    nearest = round(value)
    if math.isclose(value, nearest, rel_tol=1e-12, abs_tol=1e-9) or rounding == "nearest":
        return nearest
    towards_zero = math.trunc(value)
    return towards_zero if rounding == "down" else towards_zero + (1 if value > 0 else -1)


def active_power(power_w: float, rounding: Rounding = "nearest") -> ActivePower:
    """Active power [W]."""
    return quantity(ActivePower, power_w, rounding)


def reactive_power(power_var: float, rounding: Rounding = "nearest") -> ReactivePower:
    """Reactive power [var]."""
    return quantity(ReactivePower, power_var, rounding)


def apparent_power(power_va: float, rounding: Rounding = "nearest") -> ApparentPower:
    """Apparent power [VA]."""
    return quantity(ApparentPower, power_va, rounding)


def watts(power: ActivePower) -> float:
    """[W]."""
    return number(power)


def vars_(power: ReactivePower) -> float:
    """[var]."""
    return number(power)


def percent(share: float, rounding: Rounding = "nearest") -> int:
    """Hundredths of a percent of a share of 0 … 1; beyond, the nearer end."""
    return min(max(_rounded(share * FULL, rounding), 0), FULL)


def signed_percent(share: float, rounding: Rounding = "nearest") -> int:
    """Hundredths of a percent of a share of −1 … 1; beyond, the nearer end."""
    return min(max(_rounded(share * FULL, rounding), -FULL), FULL)


def share(hundredths: int) -> float:
    """A share, of hundredths of a percent."""
    return hundredths / FULL


def power_factor(displacement: float) -> PowerFactor:
    """Power factor of 0 … 1, to four decimals."""
    return PowerFactor(displacement=_displacement(displacement), multiplier=_PF_MULTIPLIER)


def power_factor_with_excitation(
    displacement: float, *, absorbs_vars: bool
) -> PowerFactorWithExcitation:
    """Power factor of 0 … 1, to four decimals; `absorbs_vars` is under-excited."""
    return PowerFactorWithExcitation(
        displacement=_displacement(displacement),
        excitation=absorbs_vars,
        multiplier=_PF_MULTIPLIER,
    )


def _displacement(value: float) -> int:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{value} is no power factor: 0 … 1 is")
    return round(value * 10**-_PF_MULTIPLIER)


def displacement(factor: PowerFactor | PowerFactorWithExcitation) -> float:
    """The plain power factor, 0 … 1."""
    return float(min(factor.displacement / 10.0**-factor.multiplier, 1.0))


def fixed_var(share_: float, ref_type: int = REF_MAX_VAR, rounding: Rounding = "down") -> FixedVar:
    """Reactive power as a share of what the reference type names, injection positive."""
    return FixedVar(refType=ref_type, value=signed_percent(share_, rounding))
