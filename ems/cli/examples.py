"""Site files to start from: `geems init --example NAME`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing

from ems.settings import TEMPLATE

IEEE123 = TEMPLATE.with_name("ieee123.toml")
"""All of that example but its plants."""
PV_PER_LOAD = 2.5
"""Rating of a plant over the nominal load it stands at: on a sunny day more flows back than the
feeder's head is rated for [1]."""
Q_SHARE = 0.44
"""Reactive power of an inverter over its rating: IEEE 1547-2018, category B [1]."""
REVERSION_SHARE = 0.2
"""What a plant falls back to, over its rating: safe at the lowest load, a test holds it to [1]."""
FIRST_PORT = 6001
"""Of the plants; the load's meter is at the port before [1]."""


def segment13() -> str:
    """The reference feeder, with one PV plant, a battery and a generator."""
    return TEMPLATE.read_text(encoding="utf-8")


def ieee123() -> str:
    """The IEEE 123 node test feeder with 85 PV plants."""
    return "\n".join([IEEE123.read_text(encoding="utf-8"), *_plants()])


EXAMPLES: Mapping[str, Callable[[], str]] = {"segment13": segment13, "ieee123": ieee123}
"""Text of a site file, by name of the example."""


def _plants() -> Iterator[str]:
    """A plant at the first load of each bus, on its phases: of two, on the first to neutral."""
    from feeders import Feeder
    from feeders.topology import topology

    with closing(Feeder.open("ieee123")) as feeder:
        loads, nominal_kw = topology(feeder).loads, {x.name: x.kw for x in feeder.loads}
    first = {load.at: load for load in reversed(loads)}
    for port, (at, load) in enumerate(sorted(first.items(), key=lambda x: int(x[0])), FIRST_PORT):
        rated_kw = PV_PER_LOAD * nominal_kw[load.name]
        phase = load.bus.split(".")[1]
        yield "\n".join(
            [
                "[[pv]]",
                f'name = "pv_{load.name.removeprefix("load_")}"',
                f'bus = "{at if load.phases == 3 else f"{at}.{phase}"}"',
                f"phases = {load.phases}",
                f"rated_kw = {rated_kw:g}",
                f"q_max_kvar = {Q_SHARE * rated_kw:g}",
                f"reversion_kw = {REVERSION_SHARE * rated_kw:g}",
                f'device = {{ host = "127.0.0.1", port = {port} }}',
                "",
            ]
        )
