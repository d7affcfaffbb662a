"""The `[ieee2030_5]` table of a site file, or of a file of its own."""

from ems.settings.ieee2030_5.controls import (
    CURVE_MODES,
    DISPATCH,
    ControlBaseTable,
    CurveTable,
    EnterServiceTable,
    EventTable,
    GroupTable,
    ProgramTable,
)
from ems.settings.ieee2030_5.devices import (
    CATEGORIES,
    DER_TYPES,
    MODES,
    EndDeviceDerTable,
    EndDeviceTable,
)
from ems.settings.ieee2030_5.server import Ieee20305Table

__all__ = [
    "CATEGORIES",
    "CURVE_MODES",
    "DER_TYPES",
    "DISPATCH",
    "MODES",
    "ControlBaseTable",
    "CurveTable",
    "EndDeviceDerTable",
    "EndDeviceTable",
    "EnterServiceTable",
    "EventTable",
    "GroupTable",
    "Ieee20305Table",
    "ProgramTable",
]
