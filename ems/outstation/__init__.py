"""The device's end of a Modbus link: a register map, and the server that shows it.

The simulated plant and the RTU both show devices this way.
"""

from ems.outstation.registers import Accepts, RegisterMap, Written
from ems.outstation.server import DeviceServer

__all__ = ["Accepts", "DeviceServer", "RegisterMap", "Written"]
