"""A feeder read from a CIM file: what is on it, and its OpenDSS text."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from feeders.cim.devices import CimDevice
from feeders.cim.element import Element, ServiceTransformer
from feeders.cim.loads import CimLoad
from feeders.cim.measurements import CimMeasurement
from feeders.cim.naming import fmt
from feeders.cim.reading import same_mrid
from feeders.errors import FeederFault
from feeders.values import DerPlacement

ENTRY = "feeder.dss"


@dataclass(frozen=True, kw_only=True)
class CimFeeder:
    """One feeder of a CIM file. Bus names are those of the OpenDSS text, lower case."""

    path: Path
    mrid: str
    name: str
    definitions: tuple[str, ...]
    """Statements that elements refer to: line codes, wires."""
    elements: tuple[Element, ...]
    """In the order they are written; sources first."""
    controls: tuple[Element, ...]
    """Regulator and capacitor controls."""
    services: Mapping[str, ServiceTransformer]
    """Service transformers by the name of their element, `transformer.t1`."""
    loads: tuple[CimLoad, ...]
    devices: tuple[CimDevice, ...]
    """Inverters and generators, which are no part of the text."""
    measurements: Mapping[str, CimMeasurement]
    """By mRID."""
    coordinates: Mapping[str, tuple[float, float]]
    """Of the buses the file has any for, in the file's own units."""
    base_kv: Mapping[str, float]
    """Line-to-line voltage base by bus [kV]."""
    warnings: tuple[str, ...]
    """What was not read, and what the user should know."""

    @property
    def placements(self) -> tuple[DerPlacement, ...]:
        """The devices for `Feeder.open`, in the order of `devices`."""
        return tuple(d.placement for d in self.devices)

    @property
    def service_transformers(self) -> tuple[ServiceTransformer, ...]:
        """The transformers customers hang on, in the order of their names."""
        return tuple(sorted(self.services.values(), key=lambda s: s.name))

    def service_transformer_of(self, what: str | CimLoad | CimDevice) -> ServiceTransformer | None:
        """The nearest transformer upstream that steps down to 1 kV or less.

        Args:
            what: a load, a device, or the mRID of either.

        Returns:
            None for what stands on the primary, or is not fed.

        Raises:
            FeederFault: no load and no device has that mRID.
        """
        if isinstance(what, str):
            everything: list[CimLoad | CimDevice] = [*self.loads, *self.devices]
            found = [x for x in everything if same_mrid(x.mrid, what)]
            if not found:
                raise FeederFault(
                    f"{self.path}: no load, inverter or generator with mRID {what!r}; "
                    f"the feeder has {len(self.loads)} loads and {len(self.devices)} devices"
                )
            what = found[0]
        return self._fed_through.get(what.bus)

    @property
    def not_fed(self) -> tuple[str, ...]:
        """Buses that no closed path ties to a source."""
        buses = dict.fromkeys(b for e in self.elements for b in e.buses)
        return tuple(b for b in buses if b not in self._fed_through)

    def to_opendss(self, folder: Path) -> Path:
        """Write the feeder as OpenDSS text.

        Args:
            folder: where to; made if it is not there. Best an empty one: `Feeder.open` copies
                all of it.

        Returns:
            The file to open: `Feeder.open(str(path), cim.placements)`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        entry = folder / ENTRY
        entry.write_text(self.text, encoding="ascii")
        return entry

    @cached_property
    def text(self) -> str:
        """The OpenDSS text.

        Names are sanitised and numbers finite, so it holds no more statements than are written
        here.
        """
        source, *rest = self.elements
        buses = dict.fromkeys(b for e in self.elements for b in e.buses)
        based = [(b, self.base_kv[b]) for b in buses if b in self.base_kv]
        return "\n".join(
            [
                "! Written by GEEMS from a CIM model.",
                "Clear",
                source.text,
                *self.definitions,
                *(e.text for e in rest),
                *(c.text for c in self.controls),
                f"Set VoltageBases=[{' '.join(fmt(kv) for kv in sorted({k for _, k in based}))}]",
                "MakeBusList",
                *(f"SetkVBase bus={bus} kVLL={fmt(kv)}" for bus, kv in based),
                *(
                    f"SetBusXY bus={bus} x={fmt(x)} y={fmt(y)}"
                    for bus, (x, y) in self.coordinates.items()
                    if bus in self.base_kv
                ),
                "",
            ]
        )

    @cached_property
    def _fed_through(self) -> dict[str, ServiceTransformer | None]:
        """The service transformer each fed bus hangs on, walking out from the sources."""
        beside: dict[str, list[Element]] = {}
        for element in self.elements:
            if element.joins:
                for bus in element.buses:
                    beside.setdefault(bus, []).append(element)
        sources = [e.buses[0] for e in self.elements if e.name.startswith("vsource.")]
        through: dict[str, ServiceTransformer | None] = dict.fromkeys(sources)
        waiting = deque(sources)
        while waiting:
            bus = waiting.popleft()
            for element in beside.get(bus, []):
                service = self.services.get(element.name)
                down = service is not None and bus == service.primary_bus
                for other in element.buses:
                    if other not in through:
                        through[other] = service if down else through[bus]
                        waiting.append(other)
        return through
