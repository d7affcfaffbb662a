"""The simulated plant: the truth that the EMS measures and moves.

It owns a feeder of its own, so nothing the EMS assumes about the grid can leak into what
happens. Time is simulated: nothing moves but in `advance_to`.
"""

import logging
import threading
from collections import deque
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from ems.domain import DeviceAddress, Injections, Limits, LoadFlow, Regulation, Site, terminals
from ems.errors import BadInput, Fault
from ems.plant.field_device import FieldDevice, LoadMeter, Misbehaviour
from ems.plant.profile import Profile
from ems.plant.server import DeviceServer
from ems.plant.truth import Excursion, PlantTruth, excursion
from ems.protocols.loop_thread import LoopThread
from feeders import Feeder

logger = logging.getLogger(__name__)
LOAD = "load"
"""Name of the aggregate load meter among the devices."""
STEPS_KEPT = 1440
"""Steps whose voltages are kept for `excursions`: a day of minutes."""
SLOW_S = 60.0
"""How long a slow device thinks; longer than any time budget [s]."""


class Plant:
    """Feeder, devices and their servers. `advance_to` and all readers may be in threads."""

    def __init__(
        self,
        site: Site,
        feeder: str,
        profile: Profile,
        start: datetime,
        *,
        step_s: float = 60.0,
        bus_noise_pct: float = 1.0,
        seed: int = 1,
        initial_soc_pct: float = 60.0,
        head_v_pu: float | None = None,
        reactive_share: float = 1.0,
        tell_available: Collection[str] = (),
    ) -> None:
        """Compile the feeder and solve the state at `start`.

        Args:
            site: what is installed.
            feeder: name of a shipped feeder, or path of an OpenDSS file.
            profile: sun and load.
            start: first instant, aware.
            step_s: longest step of the time series [s].
            bus_noise_pct: standard deviation of each bus' share of the load; the sum over
                all buses stays the profile's [%].
            seed: of the bus noise.
            initial_soc_pct: state of charge of every battery at the start [%].
            head_v_pu: voltage behind the source impedance, where it is not the file's [pu].
            reactive_share: of the loads' nominal reactive power, what they really take: another
                power factor than the file's [1].
            tell_available: PV plants that have SunSpec model 122 and tell what the sun offers.

        Raises:
            feeders.FeederFault: the feeder does not compile, or lacks a bus.
        """
        self.site = site
        self.start_time = start.astimezone(UTC)
        self.step_s = step_s
        self._profile = profile
        self._noise = bus_noise_pct / 100
        self._head_v_pu = head_v_pu
        self._reactive_share = reactive_share
        self._seed = seed
        self._lock = threading.RLock()
        self._feeder = Feeder.open(feeder, site.placements)
        self._regulation: Regulation | None = None
        self._devices = {
            d.name: FieldDevice(
                d, self.start_time, initial_soc_pct, tells_available=d.name in tell_available
            )
            for d in site.ders
        }
        self._meter = LoadMeter(site.load_max_kw)
        at = terminals((d.bus for d in site.ders), self._feeder.nodes)
        self._terminals = {d.name: at[d.bus] for d in site.ders}
        registers = {n: d.registers for n, d in self._devices.items()}
        registers[LOAD] = self._meter.registers
        self._servers = {name: DeviceServer(name, r) for name, r in registers.items()}
        self._loop: LoopThread | None = None
        self._steps: deque[tuple[datetime, LoadFlow]] = deque(maxlen=STEPS_KEPT)
        self._truth = self._solve(self.start_time)

    # --- time ------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The simulated present, UTC."""
        return self._truth.time

    def advance_to(self, when: datetime) -> None:
        """Live until `when`, step by step.

        To the present itself: lets what was just written take effect, as far as that
        takes no time.

        Raises:
            ValueError: `when` lies before the present.
        """
        when = when.astimezone(UTC)
        with self._lock:
            if when < self.now:
                raise ValueError(f"the plant cannot go back from {self.now} to {when}")
            if when == self.now:
                self._truth = self._solve(when)
            while self.now < when:
                self._truth = self._solve(min(when, self.now + timedelta(seconds=self.step_s)))

    def truth(self) -> PlantTruth:
        """The present state."""
        return self._truth

    def excursions(self, limits: Limits) -> tuple[Excursion, ...]:
        """Every step since the last call (at most a day of them) against limits."""
        with self._lock:
            steps = tuple(self._steps)
            self._steps.clear()
        return tuple(excursion(time, flow, limits) for time, flow in steps)

    def uncontrolled(self) -> LoadFlow:
        """What the feeder would be now, had nobody capped the sun or moved reactive power.

        Generators and batteries as they are.
        """
        truth = self._truth
        load_kw, load_kvar = self._bus_loads(truth.time, truth.load_kw)
        at = Injections(
            p_kw={**truth.p_kw, **truth.pv_available_kw},
            q_kvar={},
            load_kw=load_kw,
            load_kvar=load_kvar,
            head_v_pu=self._head_v_pu,
            regulation=self._regulation,
        )
        with self._lock:
            return self._feeder.load_flow(at, controls=self._feeder.regulated)

    def _solve(self, when: datetime) -> PlantTruth:
        """Bring devices and feeder to `when`, and show it in the registers."""
        times = pd.DatetimeIndex([when])
        sun = {pv.name: float(self._profile.pv_available_kw(pv, times)[0]) for pv in self.site.pvs}
        for name, device in self._devices.items():
            device.step(when, sun.get(name, 0.0))
        p_kw = {n: d.behaviour.p_kw for n, d in self._devices.items()}
        q_kvar = {n: d.behaviour.q_kvar for n, d in self._devices.items()}
        load_kw, load_kvar = self._bus_loads(when, float(self._profile.load_kw(times)[0]))
        flow = self._feeder.load_flow(
            Injections(
                p_kw=p_kw, q_kvar=q_kvar, load_kw=load_kw, load_kvar=load_kvar,
                head_v_pu=self._head_v_pu, regulation=self._regulation,
            ),
            controls=self._feeder.regulated,
        )  # fmt: skip
        if flow.converged:
            self._regulation = flow.regulation
        else:
            logger.warning("plant: the load flow at %s did not converge", when)
        truth = PlantTruth(
            time=when,
            load_flow=flow,
            p_kw=p_kw,
            q_kvar=q_kvar,
            pv_available_kw=sun,
            load_kw=sum(load_kw.values()),
            load_kvar=sum(load_kvar.values()),
            soc_pct={n: d.soc_pct for n, d in self._devices.items() if d.soc_pct is not None},
        )
        self._steps.append((when, flow))
        self._show(truth)
        return truth

    def _show(self, truth: PlantTruth) -> None:
        for name, device in self._devices.items():
            device.show(float(truth.load_flow.v_pu[self._terminals[name]].mean()))
        self._meter.show(truth.load_kw, truth.load_kvar)

    def _bus_loads(
        self, when: datetime, total_kw: float
    ) -> tuple[dict[str, float], dict[str, float]]:
        """The segment's load on its buses: nominal shares, shaken, each at its power factor."""
        loads = self._feeder.loads
        rng = np.random.default_rng([self._seed, int(when.timestamp())])
        shaken = 1 + self._noise * np.clip(rng.standard_normal(len(loads)), -3, 3)
        shares = np.array([ld.kw for ld in loads]) * shaken
        kw = total_kw * shares / shares.sum()
        share = self._reactive_share
        kvar = [
            share * k * ld.kvar / ld.kw if ld.kw else 0.0 for k, ld in zip(kw, loads, strict=True)
        ]
        names = [ld.name for ld in loads]
        return (
            dict(zip(names, map(float, kw), strict=True)),
            dict(zip(names, map(float, kvar), strict=True)),
        )

    # --- servers -----------------------------------------------------------------------

    def start(self, ports: Mapping[str, int] | None = None) -> Mapping[str, DeviceAddress]:
        """Start one Modbus TCP server per DER, and one for the load meter, on loopback.

        Args:
            ports: by device name; devices not named get a free port.

        Returns:
            Address of every device, the meter's under `LOAD`.

        Raises:
            BadInput: a port for a device that the plant does not have.
            PortInUse: a port is taken; then no server runs.
        """
        wanted = dict(ports or {})
        unknown = sorted(set(wanted) - set(self._servers))
        if unknown:
            there = ", ".join(self._servers)
            raise BadInput(
                Fault(place=f"port of {n}", problem=f"no such device; there are {there}")
                for n in unknown
            )
        self.stop()
        self._loop = LoopThread("geems-plant")
        try:
            for name, server in self._servers.items():
                server.port = wanted.get(name, 0)
                self._loop.run(server.start())
        except BaseException:
            self.stop()
            raise
        return {name: server.address for name, server in self._servers.items()}

    def stop(self) -> None:
        """Stop all servers. May be called twice; the simulation can go on."""
        if self._loop is None:
            return
        for server in self._servers.values():
            self._loop.run(server.stop())
        self._loop.close()
        self._loop = None

    def close(self) -> None:
        """Stop all servers and give the feeder back."""
        self.stop()
        self._feeder.close()

    def unplug(self, name: str) -> None:
        """Pull a device's network plug: connections break, nobody answers any more.

        The device itself goes on: without a refresh its reversion timer runs out.
        """
        self._running(name).run(self._servers[name].stop())

    def replug(self, name: str) -> None:
        """Put the plug back, same port.

        Raises:
            PortInUse: somebody took the port meanwhile.
        """
        server = self._servers[name]
        self._running(name).run(server.stop())
        self._running(name).run(server.start())

    def misbehave(self, name: str, how: Misbehaviour | None) -> None:
        """Let a device go wrong without falling silent; None mends it."""
        server = self._servers[self._known(name)]
        server.delay_s = SLOW_S if how is Misbehaviour.SLOW else 0.0
        device = self._meter if name == LOAD else self._devices[name]
        device.registers.deaf = how is Misbehaviour.DEAF
        device.blind = how is Misbehaviour.BLIND
        with self._lock:
            self._show(self._truth)

    def _known(self, name: str) -> str:
        if name not in self._servers:
            raise KeyError(f"no device '{name}'; there are {', '.join(self._servers)}")
        return name

    def _running(self, name: str) -> LoopThread:
        self._known(name)
        if self._loop is None:
            raise RuntimeError("the plant's servers are not started")
        return self._loop
