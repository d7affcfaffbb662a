"""What becomes of each CIM class: used, or understood and not needed, and why.

A class in neither table is told in a warning that names it; nothing is dropped in silence.
"""

SWITCHES = (
    "LoadBreakSwitch",
    "Fuse",
    "Breaker",
    "Recloser",
    "Sectionaliser",
    "Disconnector",
    "Jumper",
    "Switch",
)

USED: dict[str, str] = {
    "ACLineSegment": "Line",
    "ACLineSegmentPhase": "phases of a Line, and the wire of each",
    "Analog": "table of measurements",
    "BaseVoltage": "voltage base of the buses",
    "BatteryUnit": "kind, limits and energy of an inverter",
    "ConcentricNeutralCableInfo": "CNData",
    "ConnectivityNode": "bus",
    "CurrentLimit": "normal and emergency rating of lines and transformers",
    "EnergyConsumer": "Load",
    "EnergyConsumerPhase": "phases of a Load",
    "EnergySource": "Circuit and Vsource",
    "Feeder": "what is read; one file may hold several",
    "LinearShuntCompensator": "Capacitor",
    "LinearShuntCompensatorPhase": "phases of a Capacitor",
    "LoadResponseCharacteristic": "voltage dependence of a Load",
    "Location": "coordinates of the buses",
    "NoLoadTest": "no-load loss and magnetising current of a tank",
    "OperationalLimitSet": "ratings, by terminal",
    "OperationalLimitType": "whether a rating is the normal or the emergency one",
    "OverheadWireInfo": "WireData",
    "PerLengthPhaseImpedance": "LineCode",
    "PerLengthSequenceImpedance": "LineCode",
    "PhaseImpedanceData": "matrices of a LineCode",
    "PhotovoltaicUnit": "kind and limits of an inverter",
    "PositionPoint": "coordinates of the buses",
    "PowerElectronicsConnection": "device to be placed: PV or battery inverter",
    "PowerElectronicsConnectionPhase": "phases of such a device",
    "PowerTransformer": "Transformer",
    "PowerTransformerEnd": "winding of a Transformer",
    "RatioTapChanger": "tap of a winding",
    "RegulatingControl": "CapControl",
    "SeriesCompensator": "Reactor",
    "ShortCircuitTest": "leakage reactance of a tank",
    "SwitchPhase": "phases of a switch",
    "SynchronousMachine": "device to be placed: generator",
    "TapChangerControl": "RegControl",
    "TapeShieldCableInfo": "TSData",
    "Terminal": "which bus an element stands at",
    "TransformerCoreAdmittance": "no-load loss and magnetising current",
    "TransformerEndInfo": "winding of a tank",
    "TransformerMeshImpedance": "leakage reactance",
    "TransformerTank": "Transformer",
    "TransformerTankEnd": "winding of a tank",
    "TransformerTankInfo": "nameplate of a tank",
    "VoltVarSettings": "a warning where it is enabled",
    "VoltWattSettings": "a warning where it is enabled",
    "WattVarSettings": "a warning where it is enabled",
    "WirePosition": "LineSpacing",
    "WireSpacingInfo": "LineSpacing",
} | dict.fromkeys(SWITCHES, "Line with switch=yes")

NOT_NEEDED: dict[str, str] = {
    "Asset": "what was bought and when does not change the load flow",
    "ConstantPowerFactorSettings": "GEEMS sets p and q itself; a fixed power factor gives way",
    "ConstantReactivePowerSettings": "GEEMS sets p and q itself; a fixed q gives way",
    "CoordinateSystem": "coordinates serve drawings only and are taken as they are",
    "DERIEEEType1": "ties control settings to an inverter; the settings are looked at themselves",
    "DERNameplateData": "ratings are taken from the inverter and its unit",
    "DERNameplateDataApplied": "ratings are taken from the inverter and its unit",
    "Discrete": "positions of switches and taps are taken from the model",
    "EnergyConnectionProfile": "time series are not part of one operating point",
    "GeographicalRegion": "names a region; nothing electrical",
    "IEC61970CIMVersion": "the namespace says which CIM it is",
    "Line": "a container of segments; nothing electrical",
    "NameType": "names beside the name; nothing electrical",
    "Name": "names beside the name; nothing electrical",
    "SubGeographicalRegion": "names a region; nothing electrical",
    "Substation": "the feeder begins at its EnergySource",
    "TopologicalIsland": "a result of topology processing, done here anew",
    "TopologicalNode": "a result of topology processing, done here anew from ConnectivityNodes",
    "VoltageLevel": "a container; the voltage is in BaseVoltage",
    "VoltageLimit": "the user names the voltage limits that GEEMS keeps",
}


def unknown(kinds: dict[str, int]) -> list[str]:
    """Warnings for the classes that are in no table.

    Args:
        kinds: number of objects by class.
    """
    return [
        f"CIM class {kind}: {count} object{'s' if count > 1 else ''} not read; "
        "the feeder is built without them"
        for kind, count in sorted(kinds.items())
        if kind not in USED and kind not in NOT_NEEDED
    ]
