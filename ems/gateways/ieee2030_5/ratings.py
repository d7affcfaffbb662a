"""What percentages of a control relate to: the settings of a device, else its nameplate."""

from dataclasses import dataclass

from ems.gateways.ieee2030_5.port import EndDevice
from ems.protocols.ieee2030_5 import modes, sep, values

Quantity = sep.ActivePower | sep.ReactivePower | sep.VoltageRMS
CURVES_OF_VAR = frozenset({"opModVoltVar", "opModWattVar", "opModWattPF"})
"""Autonomous modes that move reactive power; any of them excludes opModFixedVar, and the other way
round (IEEE 1547-2018, 5.3.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """What a device says of itself; None where it does not say, 0 where it says that it cannot."""

    max_w: float
    """setMaxW, else rtgMaxW [W]."""
    charge_w: float
    """setMaxChargeRateW, else rtgMaxChargeRateW, else as `max_w` [W]."""
    discharge_w: float
    """setMaxDischargeRateW, likewise [W]."""
    inject_var: float | None
    """setMaxVar, else rtgMaxVar [var]."""
    absorb_var: float | None
    """setMaxVarNeg, else rtgMaxVarNeg, as a positive number; else as `inject_var` [var]."""
    v: float | None
    """setVRef, else setVNom, else rtgVNom [V]."""
    supported: frozenset[str]
    """Control modes that it has."""
    enabled: frozenset[str] | None
    """Control modes that are switched on."""

    def can(self, mode: str) -> bool:
        """Whether it has a mode, and that is not switched off."""
        return mode in self.supported and (self.enabled is None or mode in self.enabled)


def ratings(device: EndDevice) -> Ratings | None:
    """Of a device; None until it has put its DERCapability."""
    of, at = device.capability, device.settings
    if of is None:
        return None
    max_w = _first(at, "setMaxW", of.rtgMaxW)
    if max_w is None:
        return None
    charge_w = _first(at, "setMaxChargeRateW", of.rtgMaxChargeRateW)
    discharge_w = _first(at, "setMaxDischargeRateW", of.rtgMaxDischargeRateW)
    inject_var = _first(at, "setMaxVar", of.rtgMaxVar)
    absorb_var = _first(at, "setMaxVarNeg", of.rtgMaxVarNeg)
    enabled = at.modesEnabled if at is not None else None
    return Ratings(
        max_w=max_w,
        charge_w=max_w if charge_w is None else charge_w,
        discharge_w=max_w if discharge_w is None else discharge_w,
        inject_var=inject_var,
        absorb_var=inject_var if absorb_var is None else abs(absorb_var),
        v=_first(at, "setVRef", None) or _first(at, "setVNom", of.rtgVNom),
        supported=modes.modes_of(of.modesSupported),
        enabled=None if enabled is None else modes.modes_of(enabled),
    )


def _first(at: sep.DERSettings | None, setting: str, rating: Quantity | None) -> float | None:
    """What a device is set to; what it is rated where it does not say."""
    set_to: Quantity | None = getattr(at, setting, None)
    found = rating if set_to is None else set_to
    return None if found is None else values.number(found)
