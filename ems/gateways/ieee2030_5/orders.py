"""A command as a DERControlBase, and back.

Percentages are in hundredths, rounded by decimal arithmetic to what a load flow verified: a cap
and what it falls back to down, a setpoint towards zero, so that what is held is never above what
was asked. What is held is told as it was rounded.
"""

import math
from decimal import ROUND_DOWN, Decimal

from ems.domain import Bes, Command, Der, Pv, Readback
from ems.errors import RefusedWrite
from ems.gateways.face import check_kind, check_rating
from ems.gateways.ieee2030_5.ratings import CURVES_OF_VAR, Ratings
from ems.protocols.ieee2030_5 import sep, values

NO_VAR_KVAR = 1e-6
"""Reactive power that counts as none [kvar]."""


def order(
    der: Der, command: Command, of: Ratings, *, disconnects: bool = False
) -> sep.DERControlBase:
    """A command as what a device is to do.

    Args:
        der: the device.
        command: what it is asked.
        of: its ratings.
        disconnects: whether 0 kW and 0 kvar are ordered as a disconnect.

    Raises:
        RefusedWrite: a number is not finite or beyond the rating, the device lacks a mode, it is
            not the one that the site file means.
    """
    numbers = (command.p_kw, command.cap_kw, command.q_kvar, command.reversion_kw)
    if not all(math.isfinite(x) for x in numbers if x is not None):
        raise RefusedWrite(f"{der.name}: a setpoint is not a finite number; nothing was written")
    check_kind(der, command)
    check_rating(der, of.max_w, der.name, "setMaxW, else rtgMaxW")
    if not isinstance(der, Pv):
        # Percentages of a setpoint are of these; the EMS reckons with the rating both ways.
        check_rating(
            der, of.discharge_w, der.name, "setMaxDischargeRateW, else rtgMaxDischargeRateW"
        )
    if isinstance(der, Bes):
        check_rating(der, of.charge_w, der.name, "setMaxChargeRateW, else rtgMaxChargeRateW")
    p_kw = command.cap_kw if isinstance(der, Pv) else command.p_kw
    return _base(der, p_kw, command.q_kvar, of, disconnects=disconnects)


def fallback(
    der: Der, command: Command, of: Ratings, *, disconnects: bool = False
) -> sep.DERControlBase:
    """What it falls back to when no control holds: the DefaultDERControl.

    Raises:
        RefusedWrite: as `order`.
    """
    p_kw = 0.0 if isinstance(der, Bes) else command.reversion_kw
    return _base(der, p_kw, 0.0, of, disconnects=disconnects)


def _base(
    der: Der, p_kw: float | None, q_kvar: float, of: Ratings, *, disconnects: bool
) -> sep.DERControlBase:
    mode = "opModMaxLimW" if isinstance(der, Pv) else "opModFixedW"
    _must_have(der, mode, of)
    base = sep.DERControlBase()
    if isinstance(der, Pv):
        base.opModMaxLimW = (
            values.FULL if p_kw is None else min(_share(p_kw, of.max_w), values.FULL)
        )
    else:
        whole_w = of.charge_w if (p_kw or 0.0) < 0.0 else of.discharge_w
        base.opModFixedW = _within(der, _share(p_kw or 0.0, whole_w), p_kw or 0.0)
    base.opModFixedVar = _fixed_var(der, q_kvar, of)
    if disconnects:
        _must_have(der, "opModConnect", of)
        base.opModConnect = not (p_kw == 0.0 and abs(q_kvar) < NO_VAR_KVAR)
    return base


def _fixed_var(der: Der, q_kvar: float, of: Ratings) -> sep.FixedVar | None:
    """0 is ordered too: fixed reactive power holds off the curves that would move it."""
    if not of.can("opModFixedVar"):
        acting = sorted(CURVES_OF_VAR & of.supported & (of.enabled or frozenset()))
        if abs(q_kvar) >= NO_VAR_KVAR:
            _must_have(der, "opModFixedVar", of)
        if acting:
            raise RefusedWrite(
                f"{der.name}: {', '.join(acting)} may move its reactive power, and it has no "
                "opModFixedVar to hold that off; switch the curve off at the device "
                "(modesEnabled). Nothing was written"
            )
        return None
    most_var = of.inject_var if q_kvar >= 0.0 else of.absorb_var
    if most_var is not None:
        if most_var == 0.0 and abs(q_kvar) >= NO_VAR_KVAR:
            raise RefusedWrite(
                f"{der.name}: {q_kvar:g} kvar, and its end device says it can none (setMaxVar, "
                "setMaxVarNeg, else the ratings); nothing was written"
            )
        _within(der, _share(q_kvar, most_var), q_kvar, "kvar")
    # Of setMaxW where the device does not say how much it can inject, or absorbs another amount:
    # a percentage of setMaxVar would then not mean the same to everybody.
    whole_var = of.inject_var if of.inject_var == of.absorb_var or q_kvar >= 0.0 else None
    value = _share(q_kvar, whole_var or of.max_w)
    kind = values.REF_MAX_VAR if whole_var else values.REF_MAX_W
    return sep.FixedVar(refType=kind, value=_within(der, value, q_kvar, "kvar"))


def _share(kilo: float, whole: float) -> int:
    """Of kW or kvar, hundredths of a percent of W or var, towards zero; of nothing it is none."""
    if whole == 0.0:
        return 0
    hundredths = Decimal(repr(kilo)) * 1000 * values.FULL / Decimal(repr(whole))
    return int(hundredths.to_integral_value(rounding=ROUND_DOWN))


def _within(der: Der, share: int, asked: float, unit: str = "kW") -> int:
    """A share that can be told.

    Raises:
        RefusedWrite: beyond the rating.
    """
    if abs(share) > values.FULL:
        raise RefusedWrite(
            f"{der.name}: {asked:g} {unit} is {share / 100:.0f} % of what its end device says it "
            "can; nothing was written"
        )
    return share


def _must_have(der: Der, mode: str, of: Ratings) -> None:
    if mode not in of.supported:
        raise RefusedWrite(
            f"{der.name}: its end device has no {mode} (modesSupported); nothing was written"
        )
    if not of.can(mode):
        raise RefusedWrite(
            f"{der.name}: {mode} is switched off in its end device (modesEnabled); nothing was "
            "written"
        )


def held(der: Der, base: sep.DERControlBase, of: Ratings) -> Readback:
    """What a base orders, in kW and kvar as it was rounded."""
    var = base.opModFixedVar
    q_kvar = 0.0
    if base.opModConnect is False:
        return Readback(
            p_kw=None if isinstance(der, Pv) else 0.0,
            q_kvar=0.0,
            cap_kw=0.0 if isinstance(der, Pv) else None,
        )
    if var is not None:
        whole_var = of.inject_var if var.refType == values.REF_MAX_VAR else of.max_w
        q_kvar = var.value / values.FULL * (whole_var or 0.0) / 1000.0
    if isinstance(der, Pv):
        limit = base.opModMaxLimW
        free = limit is None or limit >= values.FULL
        cap_kw = None if free or limit is None else limit / values.FULL * of.max_w / 1000.0
        return Readback(p_kw=None, q_kvar=q_kvar, cap_kw=cap_kw)
    share = base.opModFixedW or 0
    whole_w = of.charge_w if share < 0 else of.discharge_w
    return Readback(p_kw=share / values.FULL * whole_w / 1000.0, q_kvar=q_kvar, cap_kw=None)
