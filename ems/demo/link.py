"""What carries the words of the plant's devices to the EMS: Modbus alone."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Literal, Protocol

from ems.assembly import OpenSite, open_site
from ems.domain import CycleRecord, DeviceAddress
from ems.plant import Plant
from ems.ports import Field
from ems.settings import Settings

FieldKind = Literal["modbus", "goose"]


class Link(Protocol):
    """Everything between plant and EMS."""

    def open_site(self, settings: Settings) -> AbstractContextManager[OpenSite]:
        """The EMS, connected to the plant's devices."""
        ...

    def unplug(self, name: str) -> None:
        """Pull a device's plug; raises `KeyError` where there is no such device."""
        ...

    def replug(self, name: str) -> None:
        """Put it back."""
        ...

    def wait_for_orders(self, record: CycleRecord) -> None:
        """Return once the devices hold what a cycle wrote."""
        ...

    def wait_for_silence(self, field: Field, now: datetime, name: str) -> None:
        """Return once the EMS hears no more of a device whose plug was pulled."""
        ...

    def wait_for_refresh(self) -> None:
        """Return once setpoints that were refreshed between cycles have arrived."""
        ...

    def wait_for_measurements(self, field: Field, now: datetime) -> None:
        """Return once the EMS would read what the plant's devices measure now."""
        ...


class ModbusLink:
    """The devices' own Modbus servers: whatever is written or shown is there at once."""

    def __init__(self, plant: Plant, addresses: Mapping[str, DeviceAddress]) -> None:
        self._plant = plant
        self._addresses = addresses

    def open_site(self, settings: Settings) -> AbstractContextManager[OpenSite]:
        """The EMS, connected to the devices."""
        return open_site(settings, self._addresses)

    def unplug(self, name: str) -> None:
        """Pull a device's plug."""
        self._plant.unplug(name)

    def replug(self, name: str) -> None:
        """Put it back."""
        self._plant.replug(name)

    def wait_for_orders(self, record: CycleRecord) -> None:
        """Nothing to wait for."""

    def wait_for_silence(self, field: Field, now: datetime, name: str) -> None:
        """Nothing to wait for."""

    def wait_for_refresh(self) -> None:
        """Nothing to wait for."""

    def wait_for_measurements(self, field: Field, now: datetime) -> None:
        """Nothing to wait for."""


@contextmanager
def modbus_link(plant: Plant) -> Iterator[Link]:
    """The plant with its Modbus servers."""
    yield ModbusLink(plant, plant.start())
