"""Feeders from CIM100 models: RDF/XML in, OpenDSS text and a table of devices out."""

from feeders.cim.devices import CimDevice, DeviceKind
from feeders.cim.element import ServiceTransformer
from feeders.cim.feeder import CimFeeder
from feeders.cim.ingest import read_cim
from feeders.cim.loads import CimLoad
from feeders.cim.measurements import CimMeasurement, read_values
from feeders.cim.operating import (
    OperatingPoint,
    operating_point,
    operating_point_from_measurements,
)

__all__ = [
    "CimDevice",
    "CimFeeder",
    "CimLoad",
    "CimMeasurement",
    "DeviceKind",
    "OperatingPoint",
    "ServiceTransformer",
    "operating_point",
    "operating_point_from_measurements",
    "read_cim",
    "read_values",
]
