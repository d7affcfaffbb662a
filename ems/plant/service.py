"""The plant living along with a clock, and as a program of its own."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from ems.clock import Clock, ScaledClock
from ems.domain import DeviceAddress
from ems.errors import BadInput, Fault
from ems.plant.field_device import Inverter
from ems.plant.plant import Plant
from ems.plant.profile import GeneratedProfile
from ems.settings import Settings, is_loopback

LONGEST_PAUSE_S = 1.0
"""So that the plant never lags a real second behind [s]."""
LONGEST_LAG_S = 5.0
"""By how much of the clock's own time the plant may lag behind [s]. Inverters take half of what
IEEE 1547 allows them, 15 of 30 s; who judges them by these 30 s must see them move in time."""
SHORTEST_PAUSE_S = 0.02
"""So that a fast clock does not turn waiting into spinning [s]."""
FASTEST = LONGEST_LAG_S / SHORTEST_PAUSE_S
"""Simulated seconds per real second from which on the lag grows with the speed, and devices that do
what they should are accused: they fall back before they can be refreshed, and show too late what
they do [1]."""


def pause_s(speed: float, step_s: float) -> float:
    """How long the plant rests between two steps [s].

    Args:
        speed: simulated seconds per real second.
        step_s: longest step of the plant, simulated [s].
    """
    return min(LONGEST_PAUSE_S, max(SHORTEST_PAUSE_S, min(LONGEST_LAG_S, step_s) / speed))


def run_plant(plant: Plant, clock: Clock, stop: threading.Event) -> None:
    """Advance the plant with the clock until `stop` is set. Blocks: give it a thread."""
    pause = pause_s(clock.speed, plant.step_s)
    while not stop.is_set():
        now = clock.now()
        if now > plant.now:
            plant.advance_to(now)
        stop.wait(pause)


def serve_plant(
    settings: Settings,
    *,
    start: datetime,
    speed: float,
    seed: int,
    stop: threading.Event,
    inverters: Inverter = "ieee1547",
    announce: Callable[[Mapping[str, DeviceAddress]], None],
) -> None:
    """Simulate all devices of a site at the addresses in its file, until `stop` is set.

    Args:
        settings: the site file.
        start: first instant of the simulation.
        speed: simulated seconds per real second.
        seed: of clouds and load.
        stop: set it to end.
        inverters: how PV plants and batteries behave.
        announce: told the addresses once every device answers.

    Raises:
        BadInput: a device's address is not on this machine's loopback.
        PortInUse: a port is taken.
    """
    addresses = settings.addresses()
    elsewhere = [
        Fault(
            place=f"{settings.file.name}: {name}.device.host",
            problem=f"{a.host} is not on loopback; a simulated device answers on 127.0.0.1 only",
        )
        for name, a in addresses.items()
        if not is_loopback(a.host)
    ]
    if elsewhere:
        raise BadInput(elsewhere)
    site = settings.to_site()
    profile = GeneratedProfile(site, seed, start.date())
    plant = Plant(site, settings.feeder_source(), profile, start, seed=seed, inverters=inverters)
    try:
        announce(plant.start({name: a.port for name, a in addresses.items()}))
        run_plant(plant, ScaledClock(start, speed), stop)
    finally:
        plant.close()
