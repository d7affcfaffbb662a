"""Quantities with a power of ten, and the compound set points."""

from pydantic_xml import element

from ems.protocols.ieee2030_5.schema.base import Element
from ems.protocols.ieee2030_5.schema.primitives import (
    Int16,
    Int32,
    Int48,
    Multiplier,
    SignedPerCent,
    UInt8,
    UInt16,
    UInt32,
    UInt48,
)


class ActivePower(Element):
    """Active power [W]."""

    multiplier: Multiplier = element()
    value: Int16 = element()


class ReactivePower(Element):
    """Reactive power [var]."""

    multiplier: Multiplier = element()
    value: Int16 = element()


class ApparentPower(Element):
    """Apparent power [VA]."""

    multiplier: Multiplier = element()
    value: Int16 = element()


class CurrentRMS(Element):
    """Current [A]."""

    multiplier: Multiplier = element()
    value: UInt16 = element()


class VoltageRMS(Element):
    """Voltage [V]."""

    multiplier: Multiplier = element()
    # An offset of the reference voltage has this type too, and a sign.
    value: Int32 = element()


class AmpereHour(Element):
    """Charge [Ah]."""

    multiplier: Multiplier = element()
    value: UInt16 = element()


class WattHour(Element):
    """Usable energy of a storage [Wh]."""

    multiplier: Multiplier = element()
    value: UInt16 = element()


class ReactiveSusceptance(Element):
    """Susceptance [S]."""

    multiplier: Multiplier = element()
    value: UInt16 = element()


class RealEnergy(Element):
    """Energy [Wh]."""

    multiplier: Multiplier = element()
    value: UInt48 = element()


class SignedRealEnergy(Element):
    """Energy with a sign [Wh]."""

    multiplier: Multiplier = element()
    value: Int48 = element()


class PowerFactor(Element):
    """Displacement power factor."""

    displacement: UInt16 = element()
    multiplier: Multiplier = element()


class PowerFactorWithExcitation(Element):
    """Displacement power factor; `excitation` is true where reactive power is absorbed."""

    displacement: UInt16 = element()
    excitation: bool = element()
    multiplier: Multiplier = element()


class FixedVar(Element):
    """Reactive power as a share of what `refType` names."""

    refType: UInt8 = element()  # noqa: N815 -- name of the standard
    value: SignedPerCent = element()


class FreqDroop(Element):
    """Frequency droop: deadbands and droops over and under nominal."""

    dBOF: UInt32 = element()  # noqa: N815 -- name of the standard
    """Deadband over nominal frequency [mHz]."""
    dBUF: UInt32 = element()  # noqa: N815 -- name of the standard
    """Deadband under nominal frequency [mHz]."""
    kOF: UInt16 = element()  # noqa: N815 -- name of the standard
    """Change of frequency over the deadband per change of power, pu/pu in thousandths."""
    kUF: UInt16 = element()  # noqa: N815 -- name of the standard
    """Change of frequency under the deadband per change of power, pu/pu in thousandths."""
    openLoopTms: UInt16 = element()  # noqa: N815 -- name of the standard
    """Open loop response time [0.01 s]."""
