"""The end devices of an IEEE 2030.5 server, as a person writes them."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ems.settings.base import Table
from ems.settings.ieee2030_5.controls import CURVE_MODES, Lfdi
from ems.settings.tables import Name

CATEGORIES = (
    "programmable_communicating_thermostat", "strip_heaters", "baseboard_heaters", "water_heater",
    "pool_pump", "sauna", "hot_tub", "smart_appliance", "irrigation_pump",
    "managed_commercial_and_industrial_loads", "simple_misc_loads", "exterior_lighting",
    "interior_lighting", "load_control_switch", "energy_management_system", "smart_energy_module",
    "electric_vehicle", "electric_vehicle_supply_equipment", "virtual_or_mixed_der",
    "reciprocating_engine", "fuel_cell", "photovoltaic_system", "combined_heat_and_power",
    "combined_pv_and_storage", "other_generation_system", "other_storage_system",
)  # fmt: skip
"""Bits 0 to 25 of IEEE 2030.5-2018, DeviceCategoryType."""
DER_TYPES: Mapping[str, int] = {
    "not_applicable": 0,
    "virtual_or_mixed": 1,
    "reciprocating_engine": 2,
    "fuel_cell": 3,
    "photovoltaic_system": 4,
    "combined_heat_and_power": 5,
    "other_generation_system": 6,
    "other_storage_system": 80,
    "electric_vehicle": 81,
    "electric_vehicle_supply_equipment": 82,
    "combined_pv_and_storage": 83,
}
"""IEEE 2030.5-2018, DERType."""
MODES: Mapping[str, str] = {
    "charge": "charge",
    "discharge": "discharge",
    "connect": "opModConnect",
    "energize": "opModEnergize",
    "fixed_pf_absorb": "opModFixedPFAbsorbW",
    "fixed_pf_inject": "opModFixedPFInjectW",
    "fixed_var": "opModFixedVar",
    "fixed_w": "opModFixedW",
    "freq_droop": "opModFreqDroop",
    "max_lim_w": "opModMaxLimW",
    "target_var": "opModTargetVar",
    "target_w": "opModTargetW",
    **CURVE_MODES,
}
"""Modes of DERControlType by the names used here."""


def _category(name: str) -> str:
    if name not in CATEGORIES:
        raise ValueError(f'"{name}" is no device category; known: {", ".join(CATEGORIES)}')
    return name


def _der_type(name: str) -> str:
    if name not in DER_TYPES:
        raise ValueError(f'"{name}" is no type of DER; known: {", ".join(DER_TYPES)}')
    return name


def _mode(name: str) -> str:
    if name not in MODES:
        raise ValueError(f'"{name}" is no control mode; known: {", ".join(MODES)}')
    return name


def _pin(pin: int) -> int:
    """The last digit makes the sum of all a multiple of ten (IEEE 2030.5-2018, Registration)."""
    digits = sum(int(digit) for digit in str(pin // 10))
    right = pin // 10 * 10 + -digits % 10
    if pin != right:
        raise ValueError(f"{pin:06d} has a wrong check digit; {right:06d} has the right one")
    return pin


Category = Annotated[str, AfterValidator(_category)]
Mode = Annotated[str, AfterValidator(_mode)]
Pin = Annotated[int, Field(ge=0, le=999_999), AfterValidator(_pin)]


class EndDeviceDerTable(Table):
    """`[[ieee2030_5.device.der]]`: what a DER of a device can do, until it says so itself."""

    type: Annotated[str, AfterValidator(_der_type)] = "photovoltaic_system"
    """Kind of DER."""
    modes: list[Mode] = Field(default=[])
    """Control modes it supports."""
    rated_kw: float = Field(gt=0, le=1e6)
    """Nameplate rtgMaxW [kW]."""
    rated_kva: float | None = Field(default=None, gt=0, le=1e6)
    """Nameplate rtgMaxVA [kVA]."""
    rated_kvar: float | None = Field(default=None, ge=0, le=1e6)
    """Nameplate rtgMaxVar, injection [kvar]."""
    rated_absorb_kvar: float | None = Field(default=None, ge=0, le=1e6)
    """Nameplate rtgMaxVarNeg, absorption, written positive [kvar]."""
    rated_charge_kw: float | None = Field(default=None, ge=0, le=1e6)
    """Nameplate rtgMaxChargeRateW [kW]."""
    rated_discharge_kw: float | None = Field(default=None, ge=0, le=1e6)
    """Nameplate rtgMaxDischargeRateW [kW]."""
    rated_kwh: float | None = Field(default=None, ge=0, le=1e6)
    """Nameplate rtgMaxWh [kWh]."""
    rated_a: float | None = Field(default=None, gt=0, le=1e6)
    """Nameplate rtgMaxA [A]."""
    rated_v: float | None = Field(default=None, gt=0, le=1e6)
    """Nameplate rtgVNom [V]."""
    min_v: float | None = Field(default=None, gt=0, le=1e6)
    """Nameplate rtgMinV [V]."""
    max_v: float | None = Field(default=None, gt=0, le=1e6)
    """Nameplate rtgMaxV [V]."""
    min_pf_over: float | None = Field(default=None, gt=0, le=1)
    """Least power factor while injecting reactive power [1]."""
    min_pf_under: float | None = Field(default=None, gt=0, le=1)
    """Least power factor while absorbing it [1]."""
    normal_category: Literal["A", "B"] | None = None
    """Category of normal performance, IEEE 1547-2018."""
    abnormal_category: Literal["I", "II", "III"] | None = None
    """Category of abnormal performance, IEEE 1547-2018."""
    rated_ah: float | None = Field(default=None, ge=0, le=1e6)
    """Nameplate rtgMaxAh [Ah]."""
    rated_charge_kva: float | None = Field(default=None, ge=0, le=1e6)
    """Nameplate rtgMaxChargeRateVA [kVA]."""
    rated_discharge_kva: float | None = Field(default=None, ge=0, le=1e6)
    """Nameplate rtgMaxDischargeRateVA [kVA]."""
    over_excited_kw: float | None = Field(default=None, gt=0, le=1e6)
    """Nameplate rtgOverExcitedW, at over_excited_pf [kW]."""
    over_excited_pf: float | None = Field(default=None, gt=0, le=1)
    """Nameplate rtgOverExcitedPF [1]."""
    under_excited_kw: float | None = Field(default=None, gt=0, le=1e6)
    """Nameplate rtgUnderExcitedW, at under_excited_pf [kW]."""
    under_excited_pf: float | None = Field(default=None, gt=0, le=1)
    """Nameplate rtgUnderExcitedPF [1]."""
    reactive_susceptance_s: float | None = Field(default=None, ge=0, le=1e3)
    """Nameplate rtgReactiveSusceptance: what stays connected after a trip [S]."""
    set_max_kw: float | None = Field(default=None, gt=0, le=1e6)
    """Setting setMaxW; default: as rated [kW]."""
    set_grad_w_pct_per_s: float = Field(default=0.0, ge=0, le=655.35)
    """Setting setGradW; 0: no limit [%/s]."""
    status_modes: list[Mode] | None = None
    """Setting modesEnabled; default: all it supports."""


class EndDeviceTable(Table):
    """`[[ieee2030_5.device]]`: one that may connect, registered out of band."""

    name: Name
    """Name, as operators call it."""
    lfdi: Lfdi | None = None
    """Its long form device identifier; or cert_file."""
    cert_file: str | None = Field(default=None, min_length=1)
    """PEM file of its certificate, from which the LFDI is taken, relative to this file."""
    pin: Pin | None = None
    """Registration PIN with its check digit; default: none."""
    category: list[Category] = Field(default=["virtual_or_mixed_der"])
    """What it is."""
    aggregator: str | None = None
    """Name of the device that manages it; that one has its certificate, too."""
    groups: list[str] = Field(default=[])
    """Names of the programs it is assigned to."""
    enabled: bool = True
    """False: it is known, and its own requests are refused."""
    poll_rate_s: int | None = Field(default=None, ge=1, le=86_400)
    """How often it is asked to poll; default: the server's [s]."""
    post_rate_s: int | None = Field(default=None, ge=1, le=86_400)
    """How often it is asked to post readings; default: the server's [s]."""
    der: list[EndDeviceDerTable] = Field(default=[])
    """Its DERs."""
    registered: bool = True
    """False: it may connect and has to register itself (in band)."""
