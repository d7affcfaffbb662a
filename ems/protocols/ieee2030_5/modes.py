"""Control modes: their bits in DERControlType, their names, the types of their curves.

Source: IEEE 2030.5-2018, DERControlType and DERCurveType of the DER function set.
"""

from collections.abc import Iterable
from typing import Final

from ems.protocols.ieee2030_5.schema.control import DERControlBase

CHARGE: Final = "chargeMode"
DISCHARGE: Final = "dischargeMode"

BITS: Final = (
    CHARGE,
    DISCHARGE,
    "opModConnect",
    "opModEnergize",
    "opModFixedPFAbsorbW",
    "opModFixedPFInjectW",
    "opModFixedVar",
    "opModFixedW",
    "opModFreqDroop",
    "opModFreqWatt",
    "opModHFRTMayTrip",
    "opModHFRTMustTrip",
    "opModHVRTMayTrip",
    "opModHVRTMomentaryCessation",
    "opModHVRTMustTrip",
    "opModLFRTMayTrip",
    "opModLFRTMustTrip",
    "opModLVRTMayTrip",
    "opModLVRTMomentaryCessation",
    "opModLVRTMustTrip",
    "opModMaxLimW",
    "opModTargetVar",
    "opModTargetW",
    "opModVoltVar",
    "opModVoltWatt",
    "opModWattPF",
    "opModWattVar",
)
"""Name of each bit, from bit 0."""

CURVE_TYPES: Final = (
    "opModFreqWatt",
    "opModHFRTMayTrip",
    "opModHFRTMustTrip",
    "opModHVRTMayTrip",
    "opModHVRTMomentaryCessation",
    "opModHVRTMustTrip",
    "opModLFRTMayTrip",
    "opModLFRTMustTrip",
    "opModLVRTMayTrip",
    "opModLVRTMomentaryCessation",
    "opModLVRTMustTrip",
    "opModVoltVar",
    "opModVoltWatt",
    "opModWattPF",
    "opModWattVar",
)
"""Mode of each curveType, from 0."""

CONTROL_MODES: Final = frozenset(n for n in DERControlBase.model_fields if n.startswith("opMod"))
"""What a DERControlBase can ask for, with the limits of CSIP-AUS."""

_BIT_OF: Final = {name: bit for bit, name in enumerate(BITS)}
_DIGITS: Final = 8


def modes_of(supported: str) -> frozenset[str]:
    """Names of the bits set in `modesSupported`; bits the standard reserves are passed over.

    Configurations made for older editions write 16 digits; leading zeros change nothing.
    """
    bits = int(supported, 16)
    return frozenset(name for bit, name in enumerate(BITS) if bits >> bit & 1)


def reserved_bits(supported: str) -> int:
    """The bits of `modesSupported` that stand for no mode."""
    return int(supported, 16) >> len(BITS) << len(BITS)


def bits_of(modes: Iterable[str]) -> str:
    """`modesSupported` of these modes: eight digits; modes without a bit (CSIP-AUS) have none."""
    bits = sum(1 << _BIT_OF[mode] for mode in frozenset(modes) if mode in _BIT_OF)
    return f"{bits:0{_DIGITS}X}"


def asked(base: DERControlBase) -> frozenset[str]:
    """The modes that a control sets."""
    return frozenset(mode for mode in CONTROL_MODES if getattr(base, mode) is not None)


def curve_type(mode: str) -> int | None:
    """CurveType of a mode; None: it has no curve."""
    return CURVE_TYPES.index(mode) if mode in CURVE_TYPES else None
