"""What is served, and what devices said: the one state of the server.

It is owned by the server's event loop: other threads reach it through `DermsServer.call`. Before
the server starts, whoever made the board may use it. Every method that changes something checks the
change whole, makes it in memory, hands it to the keeper and tells who listens; `durable` is done
when all of it is safe. Faults are `BadInput`, `Conflict` and `NotFound`.

The board has parts, each with its own documents, and each says what it needs of the others:

    Kept            the keeper, the clock, numbers and mRIDs, who listens
    Pace            rates
    Curves          ← Programs ← Controls
    Registry        devices
    Groups          of programs, in which devices are
    Assignments     which device has which programs
    Readings        what devices mirrored
    Reports         documents they put, responses, log events
    Subscriptions   who is told of changes

What a part does alone is the board's as it is. What concerns several, the board does itself.
"""

from concurrent.futures import Future
from typing import Any

from ems.clock import Clock
from ems.derms.assignments import Assignments
from ems.derms.audit import Audit
from ems.derms.controls import (
    RESPOND_ALL,
    RESPOND_RECEIVED,
    RESPOND_SPECIFIC,
    RETAINED_S,
    Controls,
    Standing,
)
from ems.derms.curves import Curves
from ems.derms.groups import Groups
from ems.derms.keeping import Keeper
from ems.derms.kept import PEN, Kept
from ems.derms.moves import Moves
from ems.derms.programs import Programs
from ems.derms.rates import Pace
from ems.derms.readings import Mirror, Readings
from ems.derms.registry import Registry
from ems.derms.reports import FILED, Reports
from ems.derms.served import (
    Conflict,
    Control,
    Curve,
    Device,
    Filed,
    Group,
    Latest,
    NotFound,
    Program,
    Rates,
    Responded,
)
from ems.derms.subscribed import Subscribed, Subscriptions

__all__ = [
    "FILED",
    "RESPOND_ALL",
    "RESPOND_RECEIVED",
    "RESPOND_SPECIFIC",
    "Board",
    "Conflict",
    "Control",
    "Curve",
    "Device",
    "Filed",
    "Group",
    "Latest",
    "Mirror",
    "NotFound",
    "Program",
    "Rates",
    "Responded",
    "Standing",
    "Subscribed",
]


class Board:
    """Everything that is served."""

    def __init__(
        self,
        keeper: Keeper | None = None,
        clock: Clock | None = None,
        *,
        pen: int = PEN,
        retained_s: int = RETAINED_S,
    ) -> None:
        """Take up what the keeper kept.

        Args:
            keeper: keeps the state over a restart; None: nothing does.
            clock: the server's time; None: the machine's.
            pen: private enterprise number for the mRIDs made here.
            retained_s: how long a control can still be read at its own path after its end [s].
        """
        self._kept = kept = Kept(keeper, clock, pen=pen)
        names: set[str] = set()
        self._pace = Pace(kept)
        self._curves = Curves(kept)
        self._programs = Programs(kept, self._curves, names)
        self._registry = Registry(kept, names)
        self._groups = Groups(kept, self._programs, self._registry, names)
        self._assignments = Assignments(kept, self._programs, self._groups, self._registry)
        self._controls = Controls(kept, self._programs, self._curves, retained_s)
        self._moves = Moves(kept.keeper)
        self._readings = Readings(kept, self._moves)
        self._reports = Reports(kept, self._registry, self._moves)
        self._subscriptions = Subscriptions(kept)
        self.audit = Audit(kept.keeper)
        """Who changed what."""
        self.dispatched: frozenset[str] = frozenset()
        """Names of the programs that the dispatch writes; nobody else does."""
        # What a part does alone is the board's as it is.
        self._offer_kept()
        self._offer_served()
        self._offer_told()

    def _offer_kept(self) -> None:
        kept = self._kept
        self.keeper, self.pen = kept.keeper, kept.pen
        self.listeners = kept.listeners
        self.now, self.tell, self.mrid = kept.now, kept.tell, kept.mrid
        self.follow, self.keep_again = kept.follow, kept.keep_again
        self.set_rates = self._pace.set_rates

    def _offer_served(self) -> None:
        registry = self._registry
        self.devices = registry.devices
        self.device = registry.device
        self.device_by_number = registry.device_by_number
        self.device_by_lfdi = registry.device_by_lfdi
        self.managed_by = registry.managed_by
        self.manages = registry.manages
        self.add_device = registry.add_device
        groups = self._groups
        self.groups = groups.groups
        self.group = groups.group
        self.add_group = groups.add_group
        self.change_group = groups.change_group
        self.remove_group = groups.remove_group
        assignments = self._assignments
        self.programs_of = assignments.programs_of
        self.programs_managed = assignments.programs_managed
        self.members = assignments.members
        curves = self._curves
        self.curves = curves.curves
        self.curve = curves.curve
        self.curve_by_number = curves.curve_by_number
        self.add_curve = curves.add_curve
        programs = self._programs
        self.programs = programs.programs
        self.program = programs.program
        self.program_by_number = programs.program_by_number
        self.add_program = programs.add_program
        self.change_program = programs.change_program
        self.set_default = programs.set_default
        controls = self._controls
        self.controls = controls.controls
        self.control = controls.control
        self.control_by_number = controls.control_by_number
        self.publish = controls.publish
        self.cancel = controls.cancel
        self.standing = controls.standing
        self.state = controls.state
        self.prune = controls.prune

    def _offer_told(self) -> None:
        readings = self._readings
        self.mirrors = readings.mirrors
        self.mirrors_of = readings.mirrors_of
        self.mirror = readings.mirror
        self.mirror_by_mrid = readings.mirror_by_mrid
        self.put_mirror = readings.put_mirror
        self.remove_mirror = readings.remove_mirror
        self.put_meter = readings.put_meter
        self.read = readings.read
        self.reported = readings.reported
        self.latest = readings.latest
        reports = self._reports
        self.seen = reports.seen
        self.last_seen = reports.last_seen
        self.file = reports.file
        self.document = reports.document
        self.filed = reports.filed
        self.ders = reports.ders
        self.respond = reports.respond
        self.responses = reports.responses
        self.all_responses = reports.all_responses
        self.last_response = reports.last_response
        self.responses_of = reports.responses_of
        self.log = reports.log
        self.logs = reports.logs
        subscriptions = self._subscriptions
        self.subscriptions = subscriptions.subscriptions
        self.subscribed_to = subscriptions.subscribed_to
        self.subscribed_paths = subscriptions.subscribed_paths
        self.subscribed_lists = subscriptions.subscribed_lists
        self.subscription = subscriptions.subscription
        self.subscribe = subscriptions.subscribe
        self.unsubscribe = subscriptions.unsubscribe

    @property
    def clock(self) -> Clock:
        """The server's time."""
        return self._kept.clock

    @property
    def durable(self) -> "Future[None]":
        """See `Kept.durable`."""
        return self._kept.durable

    @property
    def unkept(self) -> str:
        """See `Kept.unkept`."""
        return self._kept.unkept

    @property
    def given_up(self) -> int:
        """See `Kept.given_up`."""
        return self._kept.given_up

    @property
    def assigned(self) -> int:
        """See `Kept.assigned`."""
        return self._kept.assigned

    @property
    def described(self) -> int:
        """See `Kept.described`."""
        return self._kept.described

    @property
    def rates(self) -> Rates:
        """How often devices shall ask and report, where nothing else is said for one."""
        return self._pace.rates

    # What concerns several parts

    def change_device(self, name: str, **changes: Any) -> Device:
        """See `Registry.change_device`; what a device has goes with it to a new certificate."""
        before = self._registry.device(name)
        device = self._registry.change_device(name, **changes)
        if device.lfdi != before.lfdi:
            self._kept.keep(self._moves.add(before.lfdi, device.lfdi, self.now()))
            self._readings.move(before.lfdi, device.lfdi)
            self._reports.move(before.lfdi, device.lfdi)
        return device

    def remove_device(self, name: str) -> Device:
        """See `Registry.remove_device`."""
        device = self._registry.remove_device(name)
        self._readings.forget(device.lfdi)
        self._reports.forget(device.lfdi)
        self._subscriptions.forget(device.number)
        return device

    def change_curve(self, name: str, **changes: Any) -> Curve:
        """See `Curves.change_curve`; programs that list it are told."""
        before = self._curves.curve(name)
        curve = self._curves.change_curve(name, **changes)
        if curve is not before:
            self.tell(*(f"/derp/{program.number}/dc" for program in self._programs.users_of(name)))
        return curve

    def remove_curve(self, name: str) -> Curve:
        """See `Curves.remove_curve`.

        Raises:
            NotFound: there is no such curve.
            Conflict: a program lists it.
        """
        self._curves.curve(name)
        if users := [program.name for program in self._programs.users_of(name)]:
            raise Conflict(f"curve {name!r} is used by the program(s) {', '.join(users)}")
        return self._curves.remove_curve(name)

    def remove_program(self, name: str) -> Program:
        """Drop a program that has no control in force or to come; devices and groups leave it.

        Raises:
            NotFound: there is no such program.
            Conflict: a control has not ended; cancel it first, devices must hear of it.
        """
        self._controls.check_over(name)
        self._controls.forget_all(name)
        self._registry.leave(name)
        self._groups.leave_out(name)
        return self._programs.remove_program(name)
