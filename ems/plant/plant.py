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
from numpy.typing import NDArray

from ems.domain import DeviceAddress, Limits, LoadFlow, Site
from ems.outstation import RegisterMap
from ems.plant.bus_load import Shares
from ems.plant.field_device import FieldDevice, Inverter
from ems.plant.grid import Grid
from ems.plant.inverter import STEP_S
from ems.plant.load_meter import LoadMeter
from ems.plant.misbehaviour import Misbehaviour
from ems.plant.profile import Profile
from ems.plant.servers import Servers
from ems.plant.truth import Excursion, PlantTruth, excursion

logger = logging.getLogger(__name__)
Floats = NDArray[np.float64]
LOAD = "load"
"""Name of the aggregate load meter among the devices."""
STEPS_KEPT = 1440
"""Load flows kept for `excursions`: of ideal devices, a day of minutes."""
RESPONSE = timedelta(seconds=30)
"""What IEEE Std 1547-2018, 4.6.2, allows for an active power limit; the model takes half of it,
and 5 s for 90 % of a step of reactive power."""
MOVED = 1e-3
"""Share of its rating by which a DER must move, or of its largest value the load, before the
feeder is solved again within a step: about 1e-5 pu on the feeders here, less than the voltage
registers show."""


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
        inverters: Inverter = "ideal",
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
            inverters: how PV plants and batteries behave: exactly as ordered, at once; or as
                IEEE 1547 says, second by second, with the voltage of the last load flow.

        Raises:
            feeders.FeederFault: the feeder does not compile, or lacks a bus.
        """
        self.site = site
        self.start_time = start.astimezone(UTC)
        self.step_s = step_s
        self._profile = profile
        self._lock = threading.RLock()
        self._grid = Grid(
            site,
            feeder,
            noise=bus_noise_pct / 100,
            seed=seed,
            head_v_pu=head_v_pu,
            reactive_share=reactive_share,
        )
        self._by_second = inverters == "ieee1547"
        self._devices = {
            d.name: FieldDevice(
                d,
                self.start_time,
                initial_soc_pct,
                tells_available=d.name in tell_available,
                inverter=inverters,
            )
            for d in site.ders
        }
        self._meter = LoadMeter(site.load_max_kw)
        registers = {n: d.registers for n, d in self._devices.items()}
        self._servers = Servers({**registers, LOAD: self._meter.registers})
        self._steps: deque[tuple[datetime, LoadFlow]] = deque(maxlen=STEPS_KEPT)
        self._now = self.start_time
        self._truth = self._live(self.start_time)

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
                self._truth = self._live(when)
            while self.now < when:
                self._truth = self._live(min(when, self.now + timedelta(seconds=self.step_s)))

    def truth(self) -> PlantTruth:
        """The present state."""
        return self._truth

    @property
    def registers(self) -> Mapping[str, RegisterMap]:
        """Registers of every device, as its own controller sees them; the meter's under `LOAD`."""
        return {
            **{name: device.registers for name, device in self._devices.items()},
            LOAD: self._meter.registers,
        }

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
        with self._lock:
            p_kw = {**truth.p_kw, **truth.pv_available_kw}
            return self._grid.what_if(p_kw, {}, truth.load_kw, self._grid.loads.at(truth.time))

    def _live(self, until: datetime) -> PlantTruth:
        """Bring devices and feeder to `until`, and show it in the registers.

        Sun and load go with the profile; the noise of the buses is one draw for the step.
        """
        times = self._instants(until)
        index = pd.DatetimeIndex(times)
        sun = {pv.name: self._profile.pv_available_kw(pv, index) for pv in self.site.pvs}
        load_kw = self._profile.load_kw(index)
        shares = self._grid.loads.at(until)
        solved_at, flow = None, None
        for k, when in enumerate(times):
            for name, device in self._devices.items():
                offered = float(sun[name][k]) if name in sun else 0.0
                device.step(when, offered, self._grid.felt[name])
            at, last = self._point(float(load_kw[k])), k == len(times) - 1
            if last or solved_at is None or np.abs(at - solved_at).max() > MOVED:
                solved_at, flow = at, self._solve(when, float(load_kw[k]), shares, last=last)
        assert flow is not None  # noqa: S101 - there is a last instant
        self._now = until
        truth = PlantTruth(
            time=until,
            load_flow=flow,
            **self._powers(),
            pv_available_kw={name: float(kw[-1]) for name, kw in sun.items()},
            load_kw=float(load_kw[-1]),
            load_kvar=float(load_kw[-1] * shares.kvar.sum()),
            soc_pct={n: d.soc_pct for n, d in self._devices.items() if d.soc_pct is not None},
        )
        self._show(truth)
        return truth

    def _instants(self, until: datetime) -> list[datetime]:
        """Ends of the steps up to `until`: one of ideal devices, else every second."""
        if not self._by_second:
            return [until]
        whole = int((until - self._now).total_seconds() // STEP_S)
        times = [self._now + timedelta(seconds=STEP_S * k) for k in range(1, whole + 1)]
        return times if times and times[-1] == until else [*times, until]

    def _point(self, load_kw: float) -> Floats:
        """P and Q of each DER over its rating, and the load over its largest value."""
        of_ders = [
            (d.behaviour.p_kw / d.der.rated_kw, d.behaviour.q_kvar / d.der.rated_kw)
            for d in self._devices.values()
        ]
        return np.array([*np.ravel(of_ders), load_kw / self.site.load_max_kw])

    def _solve(self, when: datetime, load_kw: float, shares: Shares, *, last: bool) -> LoadFlow:
        """Solve the feeder; the devices feel it from now on.

        Regulators act at the last instant of a step: they wait longer than inverters need.
        """
        flow = self._grid.solve(**self._powers(), load_kw=load_kw, shares=shares, regulate=last)
        if not flow.converged:
            logger.warning("plant: the load flow at %s did not converge", when)
        self._steps.append((when, flow))
        return flow

    def _powers(self) -> dict[str, dict[str, float]]:
        """P and Q of each DER at present."""
        return {
            "p_kw": {n: d.behaviour.p_kw for n, d in self._devices.items()},
            "q_kvar": {n: d.behaviour.q_kvar for n, d in self._devices.items()},
        }

    def _show(self, truth: PlantTruth) -> None:
        for name, device in self._devices.items():
            at = self._grid.felt[name]
            device.show(at.v_pu, at.hz, at.phases_pu)
        self._meter.show(truth.load_kw, truth.load_kvar)

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
        return self._servers.start(dict(ports or {}))

    def stop(self) -> None:
        """Stop all servers. May be called twice; the simulation can go on."""
        self._servers.stop()

    def close(self) -> None:
        """Stop all servers and give the feeder back."""
        self.stop()
        self._grid.close()

    def unplug(self, name: str) -> None:
        """Pull a device's network plug: connections break, nobody answers any more.

        The device itself goes on: without a refresh its reversion timer runs out.
        """
        self._servers.unplug(name)

    def replug(self, name: str) -> None:
        """Put the plug back, same port.

        Raises:
            PortInUse: somebody took the port meanwhile.
        """
        self._servers.replug(name)

    def misbehave(self, name: str, how: Misbehaviour | None, *, requests: int = 1) -> None:
        """Let a device go wrong without falling silent; None mends it.

        Args:
            name: of the device, or `LOAD`.
            how: in which way.
            requests: how many requests a busy device turns away.
        """
        self._servers.slow_down(name, slow=how is Misbehaviour.SLOW)
        device = self._meter if name == LOAD else self._devices[name]
        if how is Misbehaviour.REBOOT:
            self.unplug(name)
            device.misbehave(None)
            if isinstance(device, FieldDevice):
                device.restart()
            self.replug(name)
        else:
            device.misbehave(how, requests=requests)
        with self._lock:
            self._show(self._truth)

    @property
    def response(self) -> timedelta:
        """How long its devices take to follow a command, ramps of generators apart."""
        return RESPONSE if self._by_second else timedelta()

    @property
    def serving(self) -> bool:
        """Whether its servers run."""
        return self._servers.running

    @property
    def autonomous(self) -> tuple[str, ...]:
        """DERs whose volt-var, watt-var or volt-watt is on: what moves them beside their orders."""
        return tuple(name for name, device in self._devices.items() if device.autonomous)
