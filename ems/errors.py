"""The exceptions of GEEMS: one small tree, drawn here.

    GeemsError
    ├── BadInput            a file, an option or a series is wrong; carries ALL faults   (exit 2)
    ├── DeviceError         a device did not answer, or answered something unusable
    │   ├── Unreachable     no connection, or no answer in time
    │   ├── Contested       it said that it does what somebody else asks
    │   ├── FellBack        it said that it does not do it, and does what it falls back to
    │   └── RefusedWrite    the device answered with a Modbus exception, or read-back differs
    ├── MalformedFrame      octets that are no GOOSE frame                (ems.protocols.goose)
    ├── LinkFault           a network interface cannot be used            (ems.protocols.goose)
    │   └── LinkDown        it may come up again
    ├── Misread             a document is no such resource   (ems.protocols.ieee2030_5.codec)
    ├── NotFound, Conflict  nothing, or something else, has that name             (ems.derms)
    ├── LeaseHeld           another writer has this site
    ├── StoreFault          the database cannot be read or written        (ems.store)
    │   └── Damaged         what its file holds is no sound database      (ems.store)
    ├── PortInUse           the address to serve on is taken                            (exit 2)
    └── SolverFault         the optimiser gave no usable answer

What an operator must act on (`Sent | Partial | Refused`, `Verified | Degraded |
Infeasible`) is a result in `domain`, not an exception.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing wrong with an input."""

    place: str
    """File and key, for example `site.toml: pv[0].rated_kW`."""
    problem: str
    """What is wrong, with the value, and how to mend it."""

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}"


class GeemsError(Exception):
    """Base of every exception GEEMS raises on purpose."""


class BadInput(GeemsError):
    """An input is wrong. Holds every fault found, not only the first."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(f) for f in self.faults))

    @classmethod
    def at(cls, place: str, problem: str) -> "BadInput":
        """The common case of a single fault."""
        return cls([Fault(place=place, problem=problem)])


class DeviceError(GeemsError):
    """A device did not answer, or answered something unusable."""


class Unreachable(DeviceError):
    """No connection, or no answer in time."""


class FellBack(DeviceError):
    """The device said that it does not do what it was asked: it does what it falls back to."""


class Contested(DeviceError):
    """The device said that it does what somebody else asks: that may be anything it can do."""


class RefusedWrite(DeviceError):
    """The device refused a write, or reads back something else."""


class LeaseHeld(GeemsError):
    """Another process is the writer of this site."""


class PortInUse(GeemsError):
    """The address to serve on is taken."""


class SolverFault(GeemsError):
    """The optimiser gave no usable answer."""
