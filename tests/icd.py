"""Devices and their ICD files, for tests of SCL, of the RTU and of the plant's GOOSE end."""

from datetime import UTC, datetime
from pathlib import Path

from ems.domain import Bes, Dg, Pv
from ems.plant.field_device import FieldDevice
from ems.protocols.scl import SclFile, SingleLoad, der_model, load_model, read_icd

PV = Pv(name="pv", bus="B1", rated_kw=1000, q_max_kvar=300, reversion_kw=400)
BES = Bes(name="bes", bus="B1", rated_kw=200, capacity_kwh=800, q_max_kvar=100)
DG = Dg(name="dg", bus="B1", rated_kw=500, cost_usd_per_kwh=0.1, q_max_kvar=150)
LOADS = (SingleLoad(name="671", rated_kw=1155.0), SingleLoad(name="634a", rated_kw=160.0))
NOON = datetime(2024, 6, 3, 20, tzinfo=UTC)
FOLDER = Path(__file__).parent / "scenario" / "icd"
THIRD_PARTY = FOLDER / "third_party.icd"


def pv_file() -> SclFile:
    return der_model(PV, 0)


def bes_file() -> SclFile:
    return der_model(BES, 1)


def load_file() -> SclFile:
    return load_model("load", LOADS, 3)


def third_party() -> SclFile:
    return read_icd(THIRD_PARTY.read_bytes(), THIRD_PARTY.name)


def pv_device() -> FieldDevice:
    """A PV plant that makes 800 kW at 1.02 pu."""
    device = FieldDevice(PV, NOON, 50.0, tells_available=True)
    device.step(NOON, 800.0)
    device.show(1.02)
    return device
