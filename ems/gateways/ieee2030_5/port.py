"""What the dispatch needs of an IEEE 2030.5 server, as protocols.

The server is another end; whoever puts a site together hands in what satisfies these
(`ems.derms.link`). Times are seconds since 1970, UTC, by the server's clock. Devices go by the
names of the DERs they are; each DER has a DERProgram of its own, which only the dispatch writes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from ems.protocols.ieee2030_5 import sep


class Reading(Protocol):
    """The last value of a quantity that a device mirrors."""

    @property
    def value(self) -> float:
        """In the unit itself."""
        ...

    @property
    def uom(self) -> int:
        """UomType: 38 W, 63 var, 29 V, 33 Hz."""
        ...

    @property
    def flow(self) -> int:
        """FlowDirectionType: 1 delivered to the customer, 19 received; 0 unknown."""
        ...

    @property
    def phase(self) -> int:
        """PhaseCode; 0 none."""
        ...

    @property
    def qualifier(self) -> int:
        """DataQualifierType: 2 average, 8 maximum, 9 minimum, 12 as measured; 0 unknown."""
        ...

    @property
    def kind(self) -> int:
        """KindType: 37 power, 12 energy; 0 unknown."""
        ...

    @property
    def time(self) -> int:
        """End of the interval it is of, or when it was read [s]."""
        ...

    @property
    def received(self) -> int:
        """When it came [s]."""
        ...

    @property
    def quality(self) -> int:
        """qualityFlags, bits: 1 valid, 16 questionable …; 0 not told."""
        ...

    @property
    def role(self) -> int:
        """Its usage point's roleFlags, bits: 2 premises, 8 DER, 32 DC; 0 unknown."""
        ...


class Order(Protocol):
    """A DERControl of a DER's own program."""

    @property
    def mrid(self) -> str:
        """32 upper-case hex digits."""
        ...

    @property
    def base(self) -> sep.DERControlBase:
        """What is to be done."""
        ...

    @property
    def start(self) -> int:
        """When it begins [s]."""
        ...

    @property
    def duration(self) -> int:
        """How long it holds [s]."""
        ...

    @property
    def cancelled(self) -> int | None:
        """When it was cancelled [s]."""
        ...


class Told(Protocol):
    """A Response of a device to a control."""

    @property
    def status(self) -> int:
        """ResponseType: 1 received, 2 started, 3 completed, 4 opted out, and so on."""
        ...

    @property
    def received(self) -> int:
        """When it came [s]."""
        ...


class Coming(Protocol):
    """A control or default of another program that has not begun."""

    @property
    def base(self) -> sep.DERControlBase:
        """What it will ask."""
        ...

    @property
    def start(self) -> int:
        """When the first device may begin, with its randomisation [s]."""
        ...

    @property
    def lasts(self) -> bool:
        """Whether it holds until it is changed: a default that comes back when an event ends."""
        ...


class EndDevice(Protocol):
    """All that the server knows of one device."""

    @property
    def last_seen(self) -> int | None:
        """When it last asked for anything; None: never since the server started [s]."""
        ...

    @property
    def poll_s(self) -> float:
        """How often it is told to ask [s]."""
        ...

    @property
    def readings(self) -> Sequence[Reading]:
        """What it mirrors."""
        ...

    @property
    def capability(self) -> sep.DERCapability | None:
        """Its nameplate; None: not put yet."""
        ...

    @property
    def settings(self) -> sep.DERSettings | None:
        """Its settings; likewise."""
        ...

    @property
    def status(self) -> sep.DERStatus | None:
        """Its status; likewise."""
        ...

    @property
    def availability(self) -> sep.DERAvailability | None:
        """What it has in reserve; likewise."""
        ...

    @property
    def received(self) -> Mapping[str, int]:
        """When `status` and `availability` came, by these names [s]."""
        ...

    @property
    def default(self) -> sep.DERControlBase | None:
        """The default of its own program."""
        ...

    @property
    def orders(self) -> Sequence[Order]:
        """The controls of its own program that are not long over, newest first."""
        ...

    @property
    def others(self) -> Sequence[sep.DERControlBase]:
        """What its other programs ask now: active controls that it follows, and their defaults.

        Of a default it is what no control of its program certainly takes the place of.
        """
        ...

    @property
    def coming(self) -> Sequence[Coming]:
        """What its other programs will ask: their controls that have not begun."""
        ...

    @property
    def told(self) -> Mapping[str, Sequence[Told]]:
        """Its Responses to them by mRID, oldest first."""
        ...


class ControlServer(Protocol):
    """The server, as far as the dispatch needs it. Callable from any thread."""

    def now(self) -> int:
        """The time it tells its clients [s]."""
        ...

    def look(self, ders: Collection[str]) -> Mapping[str, EndDevice]:
        """What is known of each; a DER whose end device is not registered is missing."""
        ...

    def keep_defaults(
        self,
        defaults: Mapping[str, sep.DERControlBase],
        own: Mapping[str, sep.DERControlBase] | None = None,
    ) -> None:
        """Make these the DefaultDERControls of the programs of these DERs, where they are not.

        Args:
            defaults: within what others limit.
            own: what is left of them when control is handed back: without what others limit.
        """
        ...

    def publish(
        self, bases: Mapping[str, sep.DERControlBase], durations_s: Mapping[str, int]
    ) -> Mapping[str, Order]:
        """Publish a control for each DER, from now on; the ones before are cancelled.

        Returns what was published.
        """
        ...

    def lower(
        self,
        defaults: Mapping[str, sep.DERControlBase],
        bases: Mapping[str, sep.DERControlBase],
        durations_s: Mapping[str, int],
    ) -> None:
        """Do both at once for what devices hold; nothing for one that was handed back meanwhile."""
        ...

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever another program may ask something else of a device.

        It is called in the middle of the server's work: it must return at once, and ask nothing.
        """
        ...

    def wait_for_responses(self, after: int, timeout_s: float) -> int:
        """How many Responses have come since the server started.

        Returns as soon as there are more than `after`, or when the time is over.
        """
        ...
