"""Many DERs without a feeder: each at its own point of connection, each a Modbus server.

Between them there is no network; what each feels is what a grid event list says. Time goes by
in steps of one second, as the inverters' own.
"""

import resource
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from ems.domain import Bes, Der, DeviceAddress, Dg, Pv
from ems.errors import BadInput
from ems.outstation import DeviceServer
from ems.plant.events import EventList
from ems.plant.field_device import FieldDevice, Inverter
from ems.plant.terminal import NOMINAL, Terminal
from ems.protocols.loop_thread import LoopThread

STEP_S = 1
"""Length of a step, the inverters' own [s]."""
RATED_KW = 100.0
"""Rating of the DERs of a made-up fleet, where nothing else is said [kW]."""
Q_SHARE = 0.5
"""Reactive power over the rating of an inverter: 0.45 of its apparent power, where IEEE 1547-2018,
table 7, asks for 0.44 of category B [1]."""
HIGHEST_PORT = 65_535
SPARE_DESCRIPTORS = 256
"""Files, pipes and the first clients, beside one listener for each DER."""
CLIENTS_EACH = 2
"""Connections for each DER that there should be room for: the EMS and one who looks on."""
QUIET = EventList(felt={})


def ders_of(
    count: int, mix: Mapping[str, int], rated_kw: Sequence[float] = (RATED_KW,)
) -> tuple[Der, ...]:
    """A fleet's DERs, in shares as mixed: with pv=2, bes=1 every third is a battery.

    Args:
        count: how many.
        mix: parts of `pv`, `bes` and `dg`.
        rated_kw: their ratings, one after another and from the first again [kW].

    Returns:
        Named `pv1`, `pv2`, `bes1`, …
    """
    pattern = [kind for kind, parts in mix.items() for _ in range(parts)]
    numbers = dict.fromkeys(mix, 0)
    made: list[Der] = []
    for k in range(count):
        kind = pattern[k % len(pattern)]
        numbers[kind] += 1
        made.append(_der(kind, f"{kind}{numbers[kind]}", rated_kw[k % len(rated_kw)]))
    return tuple(made)


def _der(kind: str, name: str, rated_kw: float) -> Der:
    q_kvar = Q_SHARE * rated_kw
    match kind:
        case "pv":
            # A cap of 100 %: what its EMS's silence means for a site is the site's to say.
            return Pv(
                name=name, bus=name, rated_kw=rated_kw, q_max_kvar=q_kvar, reversion_kw=rated_kw
            )
        case "bes":
            return Bes(
                name=name,
                bus=name,
                rated_kw=rated_kw,
                capacity_kwh=2.0 * rated_kw,
                q_max_kvar=q_kvar,
            )
        case _:
            return Dg(
                name=name,
                bus=name,
                rated_kw=rated_kw,
                cost_usd_per_kwh=0.3,
                min_kw=0.3 * rated_kw,
                ramp_up_kw_per_h=360.0 * rated_kw,  # a tenth of the rating each second
                ramp_down_kw_per_h=360.0 * rated_kw,
                q_max_kvar=0.6 * rated_kw,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One DER at one instant."""

    der: str
    p_kw: float
    """Active power, injection positive [kW]."""
    q_kvar: float
    v_pu: float
    hz: float
    state: str
    """What it is doing; `running` where its simulation knows no states."""


class AnyFleet(Protocol):
    """DERs and their time, by whatever protocol they are spoken to."""

    @property
    def started(self) -> datetime:
        """First instant, aware."""
        ...

    @property
    def t_s(self) -> int:
        """Seconds lived through [s]."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Of all DERs, in their order."""
        ...

    def step(self) -> None:
        """Live through one second."""
        ...

    def seen(self) -> tuple[Seen, ...]:
        """All of them as they are now."""
        ...


class Fleet:
    """The DERs, their servers, their time."""

    def __init__(
        self,
        ders: Sequence[Der],
        start: datetime,
        events: EventList = QUIET,
        *,
        sun: float = 0.8,
        soc_pct: float = 50.0,
        inverter: Inverter = "ieee1547",
    ) -> None:
        """Power them up.

        Args:
            ders: what they are.
            start: the present, aware.
            events: what they feel.
            sun: what the sun offers every PV plant, over its rating [1].
            soc_pct: state of charge of every battery [%].
            inverter: how PV plants and batteries behave.
        """
        self.started = start.astimezone(UTC)
        self.t_s = 0
        """Seconds lived through [s]."""
        self._events = events
        self._sun = sun
        self._devices = {
            der.name: FieldDevice(der, self.started, soc_pct, inverter=inverter) for der in ders
        }
        self._servers = {name: DeviceServer(name, d.registers) for name, d in self._devices.items()}
        self._loop: LoopThread | None = None
        self._felt: Mapping[str, Terminal] = {}
        self._feel()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all DERs, in their order."""
        return tuple(self._devices)

    @property
    def ders(self) -> tuple[Der, ...]:
        """What they are."""
        return tuple(device.der for device in self._devices.values())

    def step(self) -> None:
        """Live through one second, feeling what holds at its end, and show it in the registers."""
        self.t_s += STEP_S
        self._felt = self._events.at(self.t_s)
        now = self.started + timedelta(seconds=self.t_s)
        for name, device in self._devices.items():
            at = self._felt.get(name, NOMINAL)
            device.step(now, self._sun * device.der.rated_kw, at)
            device.show(at.v_pu, at.hz)

    def seen(self) -> tuple[Seen, ...]:
        """All of them as they are now."""
        return tuple(
            Seen(
                der=name,
                p_kw=device.behaviour.p_kw,
                q_kvar=device.behaviour.q_kvar,
                v_pu=at.v_pu,
                hz=at.hz,
                state=str(getattr(device.behaviour, "state", "running")),
            )
            for name, device in self._devices.items()
            for at in (self._felt.get(name, NOMINAL),)
        )

    def _feel(self) -> None:
        """Show the first instant, before any time has passed."""
        self._felt = self._events.at(0.0)
        for name, device in self._devices.items():
            at = self._felt.get(name, NOMINAL)
            device.show(at.v_pu, at.hz)

    # --- servers -------------------------------------------------------------------------

    def start(self, base_port: int | None = None) -> Mapping[str, DeviceAddress]:
        """Start a Modbus TCP server for each, on loopback.

        Args:
            base_port: port of the first; the others follow. None: free ones.

        Returns:
            Where each answers.

        Raises:
            BadInput: the ports, or the files this process may open, do not reach.
            PortInUse: a port is taken; then no server runs.
        """
        count = len(self._servers)
        if base_port is not None and base_port + count - 1 > HIGHEST_PORT:
            raise BadInput.at(
                "--base-port",
                f"{count} ports from {base_port} on end beyond {HIGHEST_PORT}; begin at "
                f"{HIGHEST_PORT + 1 - count} or lower",
            )
        allow_descriptors(count, "servers")
        self._loop = LoopThread("geems-fleet")
        try:
            for k, server in enumerate(self._servers.values()):
                server.port = 0 if base_port is None else base_port + k
                self._loop.run(server.start())
        except BaseException:
            self.stop()
            raise
        return {name: server.address for name, server in self._servers.items()}

    def stop(self) -> None:
        """Stop all servers. May be called twice."""
        if self._loop is None:
            return
        for server in self._servers.values():
            self._loop.run(server.stop())
        self._loop.close()
        self._loop = None


def allow_descriptors(count: int, what: str) -> None:
    """Raise the limit on open files as far as needed, where that is allowed.

    Args:
        count: how many DERs there are.
        what: each of them has at least.

    Raises:
        BadInput: the hard limit lies below what these alone take.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = count + SPARE_DESCRIPTORS
    wanted = least + CLIENTS_EACH * count
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
        if hard < least:
            raise BadInput.at(
                "--ders",
                f"{count} {what} take {least} open files, and this process may have {hard}; "
                f"run at most {max(0, hard - SPARE_DESCRIPTORS)}, or raise the limit "
                f"(ulimit -Hn {least})",
            )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


F = TypeVar("F", bound=AnyFleet)


def run_fleet(
    fleet: F,
    *,
    seconds: int | None,
    speed: float | None,
    stop: threading.Event,
    each: Callable[[F], None],
) -> float:
    """Let time go by until it is over, or `stop` is set.

    A fleet that cannot keep pace lives through every second all the same, later.

    Args:
        fleet: whose time.
        seconds: how many, simulated; None: until `stop`.
        speed: simulated seconds per real second; None: as fast as it goes.
        stop: set it to end.
        each: called after every step.

    Returns:
        How far behind its pace it was at worst, in real time [s].
    """
    began, behind = time.monotonic(), 0.0
    while not stop.is_set() and (seconds is None or fleet.t_s < seconds):
        fleet.step()
        each(fleet)
        if speed is not None:
            early = began + fleet.t_s / speed - time.monotonic()
            behind = max(behind, -early)
            if early > 0.0:
                stop.wait(early)
    return behind
