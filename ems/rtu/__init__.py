"""The RTU: IEC 61850 GOOSE of the devices on one side, SunSpec Modbus for the EMS on the other."""

from ems.rtu.rtu import LOOPBACK, Rtu
from ems.rtu.unit import ECHO_S, Unit

__all__ = ["ECHO_S", "LOOPBACK", "Rtu", "Unit"]
