"""Names of the points of an end device, what each is, and where it comes from.

Names are SunSpec's: `b120_WRtg` is point WRtg of model 120. Those of VOLTTRON's IEEE 2030.5
registry are among them, with what they mean there.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Where the value of a point comes from."""

    units: str
    notes: str
    kind: str = ""
    """Of what the device put; empty: a mirrored reading, or of the device itself."""
    path: str = ""
    """Elements of it; or names by which devices call such a reading, with | between them."""
    uom: int = 0
    """Unit of a reading by which it is known where its name is not; 0: only by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a control point asks of the device."""

    units: str
    notes: str
    mode: str
    """Element of DERControlBase."""
    of: str = ""
    """Setting, and behind / the rating, that a value in W or var is a share of; empty: none."""
    sign: int = 1
    """−1: a charge, which the standard writes negative."""


POINTS: Mapping[str, Read] = {
    "b1_Mn": Read(units="", notes="Manufacturer", kind="information", path="mfID"),
    "b1_Md": Read(units="", notes="Model", kind="information", path="mfModel"),
    "b1_Opt": Read(units="", notes="Long form device identifier", path="lfdi"),
    "b1_SN": Read(units="", notes="Short form device identifier", path="sfdi"),
    "b1_Vr": Read(units="", notes="Hardware version", kind="information", path="mfHwVer"),
    "b113_A": Read(units="A", notes="AC current", path="PhaseCurrentAvg", uom=5),
    "b113_W": Read(units="W", notes="AC power", path="PhasePower|RealPower", uom=38),
    "b113_VAr": Read(units="var", notes="Reactive power", path="ReactivePower", uom=63),
    "b113_VA": Read(units="VA", notes="Apparent power", path="ApparentPower", uom=61),
    "b113_PhV": Read(units="V", notes="AC voltage", path="PhaseVoltage|Voltage", uom=29),
    "b113_Hz": Read(units="Hz", notes="Frequency", path="Frequency", uom=33),
    "b113_DCA": Read(units="A", notes="DC current", path="InstantPackCurrent"),
    "b113_DCV": Read(units="V", notes="DC voltage", path="LineVoltageAvg"),
    "b113_DCW": Read(units="W", notes="DC power", path="PhasePowerAvg"),
    "b113_PF": Read(units="Pct", notes="Power factor", path="PhasePFA"),
    "b113_WH": Read(units="Wh", notes="Energy imported", path="EnergyIMP"),
    "b120_DERTyp": Read(units="", notes="Type of DER", kind="capability", path="type"),
    "b120_AhrRtg": Read(units="Ah", notes="Charge rating", kind="capability", path="rtgMaxAh"),
    "b120_ARtg": Read(units="A", notes="Current rating", kind="capability", path="rtgMaxA"),
    "b120_VARtg": Read(units="VA", notes="Apparent power rating", kind="capability",
                       path="rtgMaxVA"),
    "b120_VArRtg": Read(units="var", notes="Reactive power rating", kind="capability",
                        path="rtgMaxVar"),
    "b120_MaxChaRte": Read(units="W", notes="Charge rating", kind="capability",
                           path="rtgMaxChargeRateW"),
    "b120_MaxDisChaRte": Read(units="W", notes="Discharge rating", kind="capability",
                              path="rtgMaxDischargeRateW"),
    "b120_WHRtg": Read(units="Wh", notes="Energy rating", kind="capability", path="rtgMaxWh"),
    "b120_WRtg": Read(units="W", notes="Power rating", kind="capability", path="rtgMaxW"),
    "b121_WMax": Read(units="W", notes="Highest power set", kind="settings", path="setMaxW"),
    "b121_VAMax": Read(units="VA", notes="Highest apparent power set", kind="settings",
                       path="setMaxVA"),
    "b121_VArMaxQ1": Read(units="var", notes="Highest reactive power set", kind="settings",
                          path="setMaxVar"),
    "b121_VRef": Read(units="V", notes="Reference voltage", kind="settings", path="setVRef"),
    "b122_ActWh": Read(units="Wh", notes="Energy delivered", path="EnergyEXP", uom=72),
    "b122_PVConn": Read(units="", notes="Connect status of generation", kind="status",
                        path="genConnectStatus.value"),
    "b122_StorConn": Read(units="", notes="Connect status of storage", kind="status",
                          path="storConnectStatus.value"),
    "b403_Tmp": Read(units="C", notes="Temperature of the pack", path="InstantPackTemp", uom=23),
    "b404_DCW": Read(units="W", notes="Charging power now", kind="power_status",
                     path="PEVInfo.chargingPowerNow"),
    "b404_DCWh": Read(units="Wh", notes="Energy available", kind="availability",
                      path="availabilityDuration"),
    "b701_Conn": Read(units="", notes="Connect status", kind="status",
                      path="genConnectStatus.value"),
    "b701_DERMode": Read(units="", notes="Operational mode", kind="status",
                         path="operationalModeStatus.value"),
    "b701_Alrm": Read(units="", notes="Alarms", kind="status", path="alarmStatus"),
    "b713_WHAvail": Read(units="W", notes="Power available", kind="availability",
                         path="statWAvail"),
    "b802_LocRemCtl": Read(units="", notes="Control mode", kind="status",
                           path="localControlModeStatus.value"),
    "b802_SoC": Read(units="Pct", notes="State of charge", kind="status",
                     path="stateOfChargeStatus.value"),
    "b802_State": Read(units="", notes="State of the inverter", kind="status",
                       path="inverterStatus.value"),
}  # fmt: skip
"""Points that can be read, by name; the reading's names are those VOLTTRON's agents use."""

CONTROLS: Mapping[str, Asked] = {
    "b123_Conn": Asked(units="", notes="Connected", mode="opModConnect"),
    "b123_WMaxLimPct": Asked(units="Pct", notes="Highest power", mode="opModMaxLimW"),
    "b124_WChaMax": Asked(units="W", notes="Charging power", mode="opModFixedW",
                          of="setMaxChargeRateW/rtgMaxChargeRateW", sign=-1),
    "b703_ES": Asked(units="", notes="Permit service", mode="opModEnergize"),
    "b704_WMaxLimPct": Asked(units="Pct", notes="Highest power", mode="opModMaxLimW"),
    "b704_WSetPct": Asked(units="Pct", notes="Power, charging negative", mode="opModFixedW"),
    "b704_WSet": Asked(units="W", notes="Power, injection positive", mode="opModTargetW"),
    "b704_VarSetPct": Asked(units="Pct", notes="Reactive power of setMaxVar",
                            mode="opModFixedVar"),
    "b704_VarSet": Asked(units="var", notes="Reactive power, injection positive",
                         mode="opModTargetVar"),
    "b704_PFWInj_PF": Asked(units="", notes="Power factor while injecting, negative: absorbs var",
                            mode="opModFixedPFInjectW"),
}  # fmt: skip
"""Points that can be set, by name."""
