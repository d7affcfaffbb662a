"""What the readers of the CIM classes hand over: OpenDSS statements, and how they connect."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element of the OpenDSS text."""

    mrid: str
    """mRID of the CIM object."""
    name: str
    """With its class, as OpenDSS shows it: `line.l115`."""
    text: str
    """The statement, without a line break."""
    buses: tuple[str, ...]
    """Buses it stands at, the first terminal first."""
    joins: bool = False
    """Whether current may flow from its first bus to the others: lines, closed switches,
    transformers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTransformer:
    """A distribution transformer that customers hang on."""

    mrid: str
    name: str
    """Name in the OpenDSS text, without its class."""
    primary_bus: str
    secondary_bus: str
    kva: float
    """Rating of the first winding [kVA]."""
    primary_kv: float
    """Rated voltage of the first winding [kV]."""
    secondary_kv: float
    """Rated voltage of the last winding [kV]."""
