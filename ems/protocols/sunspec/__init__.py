"""SunSpec Modbus: what the EMS's end and the device's end of a link share.

The register maps are computed from the model definitions that pysunspec2 ships
(SunSpec Device Information Models, Apache-2.0); nothing is typed in by hand.

Signs: active power is an injection of the DER, positive for generation and discharge
(model 701); reactive power likewise; the load meter (model 203) shows consumption
positive. A point that is not implemented reads as None, never as 0.
"""

from ems.protocols.sunspec.control import (
    CAP,
    REACTIVE,
    SETPOINT,
    ControlBlock,
    Held,
    PointMismatch,
    RegisterWrite,
    encode,
    held,
    mismatches,
)
from ems.protocols.sunspec.definitions import Model, Point, counts_of, model
from ems.protocols.sunspec.registers import ModelBlock, from_registers, to_registers
from ems.protocols.sunspec.scaling import (
    LARGEST_SCALE_FACTOR,
    Rounding,
    counts,
    scaled,
    smallest_scale_factor,
)

__all__ = [
    "BASE_ADDRESSES",
    "CAP",
    "END_OF_CHAIN",
    "LARGEST_SCALE_FACTOR",
    "MARKER",
    "MAX_READ",
    "MAX_WRITE",
    "REACTIVE",
    "SETPOINT",
    "ControlBlock",
    "Held",
    "Model",
    "ModelBlock",
    "Point",
    "PointMismatch",
    "RegisterWrite",
    "Rounding",
    "counts",
    "counts_of",
    "encode",
    "from_registers",
    "held",
    "mismatches",
    "model",
    "scaled",
    "smallest_scale_factor",
    "to_registers",
]

BASE_ADDRESSES = (40000, 0, 50000)
"""Where a chain of models may begin, in the order they are tried."""
MARKER = (0x5375, 0x6E53)
"""`SunS`, the two registers at the base address."""
END_OF_CHAIN = 0xFFFF
"""Model identifier that ends a chain."""
MAX_READ = 125
"""Registers in one read, MODBUS Application Protocol V1.1b3, 6.3."""
MAX_WRITE = 123
"""Registers in one write, MODBUS Application Protocol V1.1b3, 6.12."""
