"""A field with one reference device on it, and the commands it is given."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ems.domain import Bes, Command, Der, DerReading, Limits, Pv, Site
from ems.gateways.sunspec import SunSpecField
from ems.protocols.loop_thread import LoopThread
from tests.protocol.reference import ReferenceDevice, Served

NOW = datetime(2024, 6, 3, 20, tzinfo=UTC)
PV = Pv(name="der", bus="B1", rated_kw=100, q_max_kvar=40)
BES = Bes(name="der", bus="B1", rated_kw=50, capacity_kwh=100, q_max_kvar=20)
OLD_PV = Pv(name="der", bus="B1", rated_kw=20, q_max_kvar=10, reversion_kw=20)
OLD_BES = Bes(name="der", bus="B1", rated_kw=10, capacity_kwh=30)
Open = Callable[..., SunSpecField]


def site(*ders: Der) -> Site:
    return Site(
        name="solo",
        latitude_deg=0,
        longitude_deg=0,
        ders=ders,
        limits=Limits(v_min_pu=0.9, v_max_pu=1.1),
        load_max_kw=100,
        load_min_kw=10,
    )


@contextmanager
def opened_field(loop: LoopThread, free_port: int) -> Iterator[Open]:
    """A field with one device; nobody answers for the load."""
    opened: list[tuple[SunSpecField, Served]] = []

    def start(device: ReferenceDevice, der: Der, **address: Any) -> SunSpecField:
        served = Served({1: device})
        loop.run(served.start())
        nobody = replace(served.address(), port=free_port)
        field = SunSpecField(site(der), {"der": served.address(**address), "load": nobody})
        opened.append((field, served))
        return field

    yield start
    for field, served in opened:
        field.close()
        loop.run(served.stop())


def reading(field: SunSpecField) -> DerReading:
    found = field.read(NOW)["der"]
    assert isinstance(found, DerReading), found
    return found


def cap(kw: float | None, q_kvar: float = 0.0, reversion_kw: float = 10.0) -> Command:
    return Command(
        der="der", p_kw=None, q_kvar=q_kvar, cap_kw=kw, reversion_kw=reversion_kw, reversion_s=1800
    )


def setpoint(kw: float, q_kvar: float = 0.0) -> Command:
    return Command(der="der", p_kw=kw, q_kvar=q_kvar, cap_kw=None, reversion_kw=0, reversion_s=1800)
