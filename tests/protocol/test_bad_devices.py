"""Devices that are dead, slow, blind, deaf, busy, half there, or something else entirely."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from pymodbus.constants import ExcCodes

from ems.domain import Command, DerReading, DeviceAddress, Limits, LoadReading, Pv, Readback, Site
from ems.errors import DeviceError, RefusedWrite, Unreachable
from ems.gateways.sunspec import SunSpecField
from ems.outstation.registers import RegisterMap
from ems.outstation.server import DeviceServer
from ems.plant import LOAD, Misbehaviour, Plant
from ems.plant.field_device import FieldDevice
from ems.protocols.loop_thread import LoopThread
from ems.protocols.sunspec import ModelBlock, model

NOW = datetime.fromisoformat("2024-06-03T20:00:00+00:00")
PV = Pv(name="pv", bus="B1", rated_kw=1000, q_max_kvar=100)
CAP = Command(der="pv", p_kw=None, q_kvar=10, cap_kw=500, reversion_kw=100, reversion_s=900)


def solo_site() -> Site:
    return Site(
        name="solo",
        latitude_deg=0,
        longitude_deg=0,
        ders=(PV,),
        limits=Limits(v_min_pu=0.9, v_max_pu=1.1),
        load_max_kw=100,
        load_min_kw=10,
    )


TIMEOUT_S = 2.0
"""Time budget of a request here: silence is waited out, and a busy machine is not silence."""


@pytest.fixture
def serve(free_port: int) -> Iterator[Callable[[DeviceServer], SunSpecField]]:
    """Makes a field with one PV plant behind a server; nobody answers for the load."""
    loop = LoopThread("test-devices")
    servers: list[DeviceServer] = []
    fields: list[SunSpecField] = []

    def start(server: DeviceServer) -> SunSpecField:
        loop.run(server.start())
        servers.append(server)
        nobody = DeviceAddress(host="127.0.0.1", port=free_port, timeout_s=TIMEOUT_S)
        address = replace(server.address, timeout_s=TIMEOUT_S)
        fields.append(SunSpecField(solo_site(), {"pv": address, LOAD: nobody}))
        return fields[-1]

    yield start
    for field in fields:
        field.close()
    for server in servers:
        loop.run(server.stop())
    loop.close()


Serve = Callable[[DeviceServer], SunSpecField]


class OddMap(RegisterMap):
    """A register map that answers the first writes with given exceptions."""

    def __init__(self, registers: RegisterMap, answers: Sequence[int]) -> None:
        self.__dict__.update(registers.__dict__)
        self.answers = list(answers)

    def write(self, address: int, values: Sequence[int]) -> int | None:
        return self.answers.pop(0) if self.answers else super().write(address, values)


class LosesAnswers(DeviceServer):
    """Carries a write out and never says so; `swallows` writes it does not even carry out."""

    swallows = False

    async def _act(
        self,
        function_code: int,
        start_address: int,
        address: int,
        count: int,
        current_registers: list[int],
        set_values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        if set_values is not None and self.swallows:
            await asyncio.sleep(60)
        answer = await super()._act(
            function_code, start_address, address, count, current_registers, set_values
        )
        if set_values is not None and len(set_values) > 6:  # the reactive block, the last one
            await asyncio.sleep(60)
        return answer


def pv_device() -> FieldDevice:
    device = FieldDevice(PV, NOW, 60)
    device.step(NOW, 800)
    device.show(1.0)
    return device


def test_available_power_that_is_not_implemented_is_none() -> None:
    """Many devices have model 122 for its clock alone."""
    device = FieldDevice(PV, NOW, 60, tells_available=True)
    device.misbehave(Misbehaviour.BLIND)
    device.step(NOW, 800)
    device.show(1.0)
    assert device._status is not None
    assert device._status.value("WAval") is None


def test_a_slow_device_costs_its_own_budget_and_delays_no_other(
    plant: Plant, hasty_field: SunSpecField
) -> None:
    plant.misbehave("bes", Misbehaviour.SLOW)
    begun = time.monotonic()
    readings = hasty_field.read(NOW)
    assert time.monotonic() - begun < 1.0
    assert isinstance(readings["bes"], Unreachable)
    assert "no answer within 0.3 s" in str(readings["bes"])
    assert isinstance(readings["pv"], DerReading)
    plant.misbehave("bes", None)
    assert isinstance(hasty_field.read(NOW)["bes"], DerReading)


def test_an_address_where_nobody_answers_at_all(site: Site, plant: Plant) -> None:
    """A listener that takes connections and says nothing, as a hung device does."""
    addresses = dict(plant.start())
    with socket.create_server(("127.0.0.1", 0)) as mute:
        addresses["dg"] = DeviceAddress(host="127.0.0.1", port=mute.getsockname()[1], timeout_s=0.3)
        field = SunSpecField(site, addresses)
        readings = field.read(NOW)
        field.close()
    assert isinstance(readings["dg"], Unreachable)
    assert isinstance(readings["bes"], DerReading)


def test_a_measurement_that_is_not_available_is_never_zero(
    plant: Plant, field: SunSpecField
) -> None:
    for name in ("pv", LOAD):
        plant.misbehave(name, Misbehaviour.BLIND)
    reading, load = field.read(NOW)["pv"], field.read_load(NOW)
    assert isinstance(reading, DeviceError)
    assert "W of model 701 reads as not available (NaN)" in str(reading)
    assert isinstance(load, DeviceError)
    assert "W of model 203" in str(load)
    plant.misbehave(LOAD, None)
    assert isinstance(field.read_load(NOW), LoadReading)


def test_a_device_that_acknowledges_and_does_not_apply_is_found_out(
    plant: Plant, field: SunSpecField
) -> None:
    plant.misbehave("pv", Misbehaviour.DEAF)
    answer = field.write([replace(CAP, cap_kw=5000)])["pv"]
    assert isinstance(answer, DeviceError)
    assert not isinstance(answer, RefusedWrite | Unreachable)
    assert "WMaxLimPct: asked 5000, held 10000" in str(answer)


def test_a_busy_device_is_asked_again(serve: Serve) -> None:
    server = DeviceServer("pv", OddMap(pv_device().registers, [6, 5]))
    field = serve(server)
    assert isinstance(field.write([CAP])["pv"], Readback)


def test_a_device_that_stays_busy_is_given_up_within_the_budget(serve: Serve) -> None:
    server = DeviceServer("pv", OddMap(pv_device().registers, [6] * 1000))
    field = serve(server)
    begun = time.monotonic()
    answer = field.write([CAP])["pv"]
    assert time.monotonic() - begun < 3 * TIMEOUT_S
    assert isinstance(answer, DeviceError)
    assert not isinstance(answer, RefusedWrite)


@pytest.mark.parametrize("code", [1, 2, 3])
def test_an_exception_before_anything_was_done_is_a_refusal(serve: Serve, code: int) -> None:
    field = serve(DeviceServer("pv", OddMap(pv_device().registers, [code])))
    answer = field.write([CAP])["pv"]
    assert isinstance(answer, RefusedWrite)
    assert f"Modbus exception {code}" in str(answer)
    assert "WMaxLimPctEna…WMaxLimPctRvrtTms" in str(answer)


def test_a_failing_device_leaves_doubt_not_a_refusal(serve: Serve) -> None:
    field = serve(DeviceServer("pv", OddMap(pv_device().registers, [4])))
    answer = field.write([CAP])["pv"]
    assert isinstance(answer, DeviceError)
    assert not isinstance(answer, RefusedWrite)
    assert "held" in str(answer)


def test_after_a_lost_answer_the_read_back_decides_for_the_write(serve: Serve) -> None:
    field = serve(LosesAnswers("pv", pv_device().registers))
    assert field.write([CAP])["pv"] == Readback(p_kw=None, q_kvar=10, cap_kw=500)


def test_after_a_lost_write_the_read_back_decides_against_it(serve: Serve) -> None:
    server = LosesAnswers("pv", pv_device().registers)
    server.swallows = True
    field = serve(server)
    answer = field.write([CAP])["pv"]
    assert isinstance(answer, DeviceError)
    assert not isinstance(answer, RefusedWrite | Unreachable)
    assert "WMaxLimPctEna: asked 1, held 0" in str(answer)


def test_a_device_under_local_control_is_left_alone(serve: Serve) -> None:
    device = pv_device()
    device._ctl.set_raw("LocRemCtl", 1)
    field = serve(DeviceServer("pv", device.registers))
    answer = field.write([CAP])["pv"]
    assert isinstance(answer, RefusedWrite)
    assert "local control" in str(answer)
    assert device.orders.cap_kw is None


def test_a_device_without_the_models_says_which_it_lacks(serve: Serve) -> None:
    bare = RegisterMap([ModelBlock(model(1)), ModelBlock(model(701))], {}, lambda _: None)
    field = serve(DeviceServer("pv", bare))
    assert "lacks SunSpec model 702, 704 (it has 1, 701)" in str(field.read(NOW)["pv"])


@pytest.mark.parametrize("base", [0, 50_000])
def test_a_chain_at_another_base_is_found(serve: Serve, base: int) -> None:
    device = pv_device()
    device.registers.start = base
    field = serve(DeviceServer("pv", device.registers))
    assert isinstance(field.read(NOW)["pv"], DerReading)


def test_something_that_is_not_sunspec_is_told_so(serve: Serve) -> None:
    device = pv_device()
    device.registers.start = 1234
    field = serve(DeviceServer("pv", device.registers))
    assert "no `SunS` at 40000, 0, 50000" in str(field.read(NOW)["pv"])


def test_nobody_at_the_load_meters_address(serve: Serve) -> None:
    field = serve(DeviceServer("pv", pv_device().registers))
    assert isinstance(field.read_load(NOW), Unreachable)
    assert isinstance(field.read(NOW), Mapping)
