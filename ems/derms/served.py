"""What the server serves and what devices told it, as values."""

from dataclasses import dataclass

from ems.errors import GeemsError
from ems.protocols.ieee2030_5 import sep


class NotFound(GeemsError):
    """Nothing of that name, number or mRID is served."""


class Conflict(GeemsError):
    """Another thing has this name, LFDI or mRID already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """An EndDevice: one that may speak, and what it is assigned to."""

    number: int
    """Its place in the paths: /edev/{number}."""
    name: str
    """Unique; what the operator calls it."""
    lfdi: str
    """40 upper-case hex digits of its certificate's SHA-256."""
    sfdi: int
    """The short form, with check digit."""
    pin: int | None
    """Registration PIN with check digit; None: no Registration resource."""
    category: int
    """DeviceCategoryType, bits."""
    aggregator: str | None
    """LFDI of the aggregator that acts for it; None: it speaks for itself."""
    groups: tuple[str, ...]
    """Names of groups or of programs that it is assigned to."""
    enabled: bool
    """False: its own requests are refused."""
    created: int
    """When it was registered [s]."""
    changed: int
    """When its resource last changed [s]."""
    poll_rate_s: int | None
    """How often it shall ask [s]; None: the server's rate."""
    post_rate_s: int | None
    """How often it shall report [s]; None: the server's rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A FunctionSetAssignments: programs that devices are assigned to together."""

    number: int
    """Its place in the paths: /edev/{device}/fsa/{number}; from 2 on."""
    name: str
    """Unique among groups and programs."""
    mrid: str
    """32 upper-case hex digits."""
    description: str
    """At most 32 characters."""
    version: int
    """One higher with each change."""
    programs: tuple[str, ...]
    """Names of its programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A DERProgram."""

    number: int
    """Its place in the paths: /derp/{number}."""
    name: str
    """Unique among groups and programs."""
    mrid: str
    """32 upper-case hex digits."""
    description: str
    """At most 32 characters."""
    primacy: int
    """0…255; the lower one wins."""
    version: int
    """One higher with each change."""
    created: int
    """When it was made [s]."""
    default: sep.DefaultDERControl | None
    """What holds while no control of any program does."""
    curves: tuple[str, ...]
    """Names of its curves."""
    primacies: tuple[tuple[int, int], ...] = ()
    """Those that it had lately, each with until when; the oldest first [s]."""

    def primacy_at(self, at: int) -> int:
        """The one that it had at an instant, as far as is known."""
        return next((before for until, before in self.primacies if at < until), self.primacy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A DERControl: an event of a program."""

    number: int
    """Its place in the paths: /derp/{program}/derc/{number}."""
    program: str
    """Name of its program."""
    mrid: str
    """32 upper-case hex digits."""
    description: str
    """At most 32 characters."""
    version: int
    """One higher with each change."""
    created: int
    """When it was published; the newer one of a program supersedes [s]."""
    start: int
    """Scheduled start [s]."""
    duration: int
    """Scheduled duration [s]."""
    random_start: int | None
    """Each device starts up to so much later, or earlier where negative [s]."""
    random_duration: int | None
    """Each device's duration differs by up to so much [s]."""
    response_required: int
    """Bits: 1 message received, 2 specific response, 4 response of the user."""
    base: sep.DERControlBase
    """What is to be done."""
    category: int | None
    """DeviceCategoryType of those it concerns; None: all."""
    cancelled: int | None
    """When it was cancelled [s]."""
    cancelled_randomly: bool
    """Each device ends it within its randomisation."""

    @property
    def ends(self) -> int:
        """When no device executes it any more [s]."""
        spread = max(0, self.random_start or 0) + max(0, self.random_duration or 0)
        return self.start + self.duration + spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A DERCurve."""

    number: int
    """Its place in the paths: /dc/{number}."""
    name: str
    """Unique among curves."""
    mrid: str
    """32 upper-case hex digits."""
    description: str
    """At most 32 characters."""
    version: int
    """One higher with each change."""
    created: int
    """When it was made [s]."""
    type: int
    """DERCurveType, 0…14."""
    x_multiplier: int
    """Power of ten of x."""
    y_multiplier: int
    """Power of ten of y."""
    y_ref_type: int
    """DERUnitRefType of y."""
    points: tuple[tuple[int, int] | tuple[int, int, bool], ...]
    """(x, y), with the excitation where y is a power factor."""
    options: tuple[tuple[str, int | bool], ...]
    """Other elements by their names: openLoopTms, rampDecTms, vRef, autonomousVRefEnable …"""

    @property
    def href(self) -> str:
        """What a DERControlBase links to."""
        return f"/dc/{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How often devices shall ask and report, where nothing else is said for one."""

    poll_s: int
    """pollRate [s]."""
    post_s: int
    """postRate [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Responded:
    """A Response of a device to an event."""

    number: int
    """Its place in the paths: /rsps/1/r/{number}."""
    subject: str
    """mRID of the event."""
    lfdi: str
    """Whose response it is; an aggregator's are those of its devices."""
    status: int
    """ResponseType: 1 received, 2 started, 3 completed, 6 cancelled, 7 superseded …"""
    time: int | None
    """When the device says it was [s]."""
    received: int
    """When it came [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """The last value of one mirrored meter reading."""

    mrid: str
    """Of the MirrorMeterReading."""
    description: str
    """What the device calls it."""
    value: float
    """In the unit itself; the power of ten is applied."""
    uom: int
    """Unit: 38 W, 63 var, 29 V, 33 Hz, 5 A, 61 VA, 72 Wh …; 0 unknown."""
    kind: int
    """KindType: 37 power, 12 energy …; 0 unknown."""
    flow: int
    """FlowDirectionType: 1 forward (delivered to the customer), 19 reverse; 0 unknown."""
    phase: int
    """PhaseCode; 0 none."""
    qualifier: int
    """DataQualifierType: 2 average, 8 maximum, 9 minimum, 12 as measured; 0 unknown."""
    quality: int
    """qualityFlags, bits: 1 valid, 16 questionable …"""
    time: int
    """End of the interval it is of, or when it was read; never later than it came [s]."""
    received: int
    """When it came [s]."""
    role: int = 0
    """roleFlags of its usage point, bits: 2 premises aggregation point, 8 DER, 32 DC; 0 unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """A document that a device put, as it is served again."""

    lfdi: str
    """Whose it is."""
    kind: str
    """A key of `ems.derms.board.FILED`."""
    der: int
    """Number of the DER; 0: of the device itself."""
    body: bytes
    """XML, as it is served."""
    received: int
    """When it came [s]."""
