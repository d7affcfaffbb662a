"""What the client drives: a DER, or anything else that takes DER controls and reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ems.protocols.ieee2030_5 import sep

Value = (
    bool
    | int
    | sep.ActivePower
    | sep.ReactivePower
    | sep.FixedVar
    | sep.FreqDroop
    | sep.PowerFactorWithExcitation
    | sep.DERCurve
    | sep.Link
)
"""What a mode is set to. A curve stands in the place of its link; one that cannot be read leaves
the link there, and the control is refused before the application sees it."""

NOT_APPLICABLE, INVALID = 252, 253
"""Responses that refuse a control: a mode that is not there; a value that cannot be followed.

IEEE Std 2030.5-2018, table 27.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """One mode, and who asks for it."""

    value: Value
    source: str
    """mRID of the control, or of the default control."""
    event: bool
    """Whether it ends by itself; a default control does not."""
    ramp_s: float | None = None
    """Time in which to get there (rampTms) [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlInForce:
    """Everything that is asked for at present, of all programs."""

    ordered: Mapping[str, Ordered]
    """By mode (`opModMaxLimW`); no two of them ask for the same function."""
    default: sep.DefaultDERControl | None = None
    """Gradients and when to enter service: each of the first program that says something of it."""

    def value(self, mode: str) -> Value | None:
        """What a mode is set to; None: nobody asks for it."""
        found = self.ordered.get(mode)
        return None if found is None else found.value


NOTHING = ControlInForce(ordered={})
"""Nobody asks for anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One measured value."""

    name: str
    """What it is, for example `active power`."""
    value: float
    """In the unit of `uom`; power positive where it is delivered."""
    uom: int
    """29 V, 33 Hz, 38 W, 63 var, …"""
    power_of_ten: int = 0
    """Multiplier of the unit it is sent with."""
    kind: int = 0
    """37: power."""
    time: float | None = None
    """When, by the own clock; None: now [s since 1970]."""


class DerApplication(Protocol):
    """A DER as the client sees it. Times are the server's [s since 1970]."""

    @property
    def supports(self) -> frozenset[str]:
        """Modes it knows, such as `opModMaxLimW`."""
        ...

    def refuses(self, control: Mapping[str, Value]) -> int | None:
        """The Response that refuses a control (252, 253); None: it can be followed whole."""
        ...

    def apply(self, control: ControlInForce) -> None:
        """Do what is asked for, from now on."""
        ...

    def capability(self) -> sep.DERCapability:
        """Its nameplate."""
        ...

    def settings(self, now: int) -> sep.DERSettings:
        """What it is set to."""
        ...

    def status(self, now: int) -> sep.DERStatus:
        """What it does."""
        ...

    def availability(self, now: int) -> sep.DERAvailability:
        """What it could still give."""
        ...

    def information(self, lfdi: str) -> sep.DeviceInformation | None:
        """Who made it; None: it does not say."""
        ...

    def power_status(self, now: int) -> sep.PowerStatus | None:
        """From what it is fed; None: it does not say."""
        ...

    def readings(self) -> Sequence[Measured]:
        """What it measures, the same values in the same order at any time."""
        ...
