"""A control server held in memory, and its devices: for tests, and for trying without a network.

It keeps the promises of `ControlServer`. Time passes only where somebody waits, or when it is set.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from ems.protocols.ieee2030_5 import sep


@dataclass(slots=True, kw_only=True)
class MemoryReading:
    """A mirrored reading."""

    value: float
    uom: int
    time: int
    flow: int = 19
    phase: int = 0
    qualifier: int = 0
    kind: int = 37
    quality: int = 0
    role: int = 0
    came: int | None = None
    """When it came; None: when it is of [s]."""

    @property
    def received(self) -> int:
        """When it came [s]."""
        return self.time if self.came is None else self.came


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryOrder:
    """A control."""

    mrid: str
    base: sep.DERControlBase
    start: int
    duration: int
    cancelled: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryComing:
    """A control of another program that has not begun."""

    base: sep.DERControlBase
    start: int
    lasts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryTold:
    """A Response."""

    status: int
    received: int


@dataclass(slots=True, kw_only=True)
class MemoryDevice:
    """An end device as the server knows it; what a test makes of it."""

    capability: sep.DERCapability | None = None
    settings: sep.DERSettings | None = None
    status: sep.DERStatus | None = None
    availability: sep.DERAvailability | None = None
    received: dict[str, int] = field(default_factory=dict)
    """When status and availability came; else when they are of [s]."""
    readings: list[MemoryReading] = field(default_factory=list)
    last_seen: int | None = None
    poll_s: float = 60.0
    default: sep.DERControlBase | None = None
    orders: list[MemoryOrder] = field(default_factory=list)
    others: list[sep.DERControlBase] = field(default_factory=list)
    coming: list[MemoryComing] = field(default_factory=list)
    told: dict[str, list[MemoryTold]] = field(default_factory=dict)
    answers: tuple[int, ...] = (1, 2)
    """What it answers to a control."""
    answers_after_s: float | None = 0.0
    """How long after it was published; None: never [s]."""


class MemoryServer:
    """A control server (`ems.gateways.ieee2030_5.port.ControlServer`)."""

    def __init__(self, devices: Mapping[str, MemoryDevice], now: int) -> None:
        """Know some devices, by name of the DER; the server's time is `now` [s]."""
        self.devices = dict(devices)
        self.time = float(now)
        self.published: list[tuple[str, MemoryOrder]] = []
        """Every control that was published, with its DER."""
        self.defaults: list[tuple[str, sep.DERControlBase]] = []
        """Every default that was set."""
        self.while_waiting: Callable[[], None] = lambda: None
        """Called whenever somebody waits."""
        self._watching: list[Callable[[], None]] = []
        self._count = 0
        self._due: list[tuple[float, MemoryDevice, str, int]] = []

    def now(self) -> int:
        """The server's time."""
        return int(self.time)

    def look(self, ders: Collection[str]) -> Mapping[str, MemoryDevice]:
        """What is known of each."""
        return {name: self.devices[name] for name in ders if name in self.devices}

    def keep_defaults(
        self,
        defaults: Mapping[str, sep.DERControlBase],
        own: Mapping[str, sep.DERControlBase] | None = None,  # noqa: ARG002  as `lower`
    ) -> None:
        """Set what differs."""
        for name, base in defaults.items():
            if self.devices[name].default != base:
                self.devices[name].default = base
                self.defaults.append((name, base))

    def publish(
        self, bases: Mapping[str, sep.DERControlBase], durations_s: Mapping[str, int]
    ) -> Mapping[str, MemoryOrder]:
        """Publish a control for each; its device answers when it does."""
        found = {}
        for name, base in bases.items():
            device = self.devices[name]
            order = MemoryOrder(
                mrid=f"{len(self.published) + 1:032X}",
                base=base,
                start=self.now(),
                duration=durations_s[name],
            )
            device.orders = [
                order,
                *(
                    o if o.cancelled is not None else replace(o, cancelled=self.now())
                    for o in device.orders
                ),
            ]
            self.published.append((name, order))
            found[name] = order
            if device.answers_after_s is not None:
                at = self.time + device.answers_after_s
                self._due += [(at, device, order.mrid, status) for status in device.answers]
        self._tell()
        return found

    def lower(
        self,
        defaults: Mapping[str, sep.DERControlBase],
        bases: Mapping[str, sep.DERControlBase],
        durations_s: Mapping[str, int],
    ) -> None:
        """Do both; nobody hands anything back here."""
        self.keep_defaults(defaults)
        self.publish(bases, durations_s)

    def respond(self, name: str, status: int) -> None:
        """Let a device answer its newest control."""
        device = self.devices[name]
        self._due.append((self.time, device, device.orders[0].mrid, status))
        self._tell()

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` when somebody limits a device."""
        self._watching.append(changed)

    def limit(self, name: str, base: sep.DERControlBase, start: int | None = None) -> None:
        """Let another program limit a device, now or from a start on [s]."""
        device = self.devices[name]
        if start is None:
            device.others.append(base)
        else:
            device.coming.append(MemoryComing(base=base, start=start))
        for changed in self._watching:
            changed()

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self.time += seconds
        self._tell()

    def wait_for_responses(self, after: int, timeout_s: float) -> int:
        """Let time pass until somebody answers; how many have."""
        if self._count <= after and timeout_s > 0.0:
            self.while_waiting()
            ends = self.time + timeout_s
            due = [at for at, *_ in self._due if at <= ends]
            self.time = max(self.time, min(due, default=ends))
            self._tell()
        return self._count

    def _tell(self) -> None:
        arrived = [due for due in self._due if due[0] <= self.time]
        self._due = [due for due in self._due if due[0] > self.time]
        for _, device, mrid, status in arrived:
            told = MemoryTold(status=status, received=self.now())
            device.told.setdefault(mrid, []).append(told)
            device.last_seen = self.now()
            self._count += 1
