"""A plant with real sockets, and the field that reads and writes it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from ems.domain import Bes, DeviceAddress, Dg, Limits, Pv, Site
from ems.gateways.sunspec import SunSpecField
from ems.plant import GeneratedProfile, Plant

NOON = datetime(2024, 6, 3, 20, tzinfo=UTC)
"""Local noon of a sunny day at the site."""


@pytest.fixture(scope="session")
def site() -> Site:
    return Site(
        name="segment13",
        latitude_deg=37.3,
        longitude_deg=-121.9,
        ders=(
            Pv(name="pv", bus="B13", rated_kw=10_000, q_max_kvar=1000, reversion_kw=3000),
            Dg(
                name="dg",
                bus="B7",
                rated_kw=3000,
                cost_usd_per_kwh=0.1,
                ramp_up_kw_per_h=3000,
                ramp_down_kw_per_h=3000,
                q_max_kvar=400,
            ),
            Bes(name="bes", bus="B11", rated_kw=200, capacity_kwh=1000, q_max_kvar=200),
        ),
        limits=Limits(v_min_pu=0.88, v_max_pu=1.10),
        load_max_kw=14_500,
        load_min_kw=5000,
    )


@pytest.fixture
def plant(site: Site) -> Iterator[Plant]:
    plant = Plant(site, "segment13", GeneratedProfile(site, 1, date(2024, 6, 3)), NOON)
    yield plant
    plant.close()


@pytest.fixture
def addresses(plant: Plant) -> Mapping[str, DeviceAddress]:
    return plant.start()


@pytest.fixture
def field(site: Site, addresses: Mapping[str, DeviceAddress]) -> Iterator[SunSpecField]:
    field = SunSpecField(site, addresses)
    yield field
    field.close()


@pytest.fixture
def hasty_field(site: Site, addresses: Mapping[str, DeviceAddress]) -> Iterator[SunSpecField]:
    """A field that waits 0.3 s for an answer, so that tests of silence are quick."""
    hasty = {name: replace(a, timeout_s=0.3) for name, a in addresses.items()}
    field = SunSpecField(site, hasty)
    yield field
    field.close()
