"""IEC 61850 models and their SCL files: what RTU and devices share.

`der_model` makes the file of a DER, `write_icd` and `read_icd` store and load it, and
`control_blocks` says what is sent by GOOSE, value by value. No text of the standard is here.
"""

from ems.protocols.scl.blocks import GooseBlock, Point, control_blocks, flat
from ems.protocols.scl.der import der_model
from ems.protocols.scl.loads import SingleLoad, load_model, site_models
from ems.protocols.scl.model import (
    DataAttribute,
    DataObject,
    DataSet,
    Fcda,
    GooseAddress,
    GooseControl,
    IedModel,
    LogicalDevice,
    LogicalNode,
    SclFile,
)
from ems.protocols.scl.parts import MEASUREMENTS, RTU_SUFFIX, SETPOINTS
from ems.protocols.scl.points import (
    ALL_TOLD,
    CONTROLS,
    METERED,
    RATINGS,
    Control,
    Form,
    Mapped,
    Rating,
    controls_of,
    told_by,
)
from ems.protocols.scl.read import read_icd
from ems.protocols.scl.write import write_icd

__all__ = [
    "ALL_TOLD",
    "CONTROLS",
    "MEASUREMENTS",
    "METERED",
    "RATINGS",
    "RTU_SUFFIX",
    "SETPOINTS",
    "Control",
    "DataAttribute",
    "DataObject",
    "DataSet",
    "Fcda",
    "Form",
    "GooseAddress",
    "GooseBlock",
    "GooseControl",
    "IedModel",
    "LogicalDevice",
    "LogicalNode",
    "Mapped",
    "Point",
    "Rating",
    "SclFile",
    "SingleLoad",
    "control_blocks",
    "controls_of",
    "der_model",
    "flat",
    "load_model",
    "read_icd",
    "site_models",
    "told_by",
    "write_icd",
]
