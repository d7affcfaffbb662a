"""The plant's devices as another SunSpec implementation sees them: pysunspec2's own client."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from sunspec2.modbus import client

from ems.domain import Command, DeviceAddress
from ems.gateways.sunspec import SunSpecField
from ems.plant import LOAD, Misbehaviour, Plant

Discover = Callable[[str], Any]


@pytest.fixture
def discover(addresses: Mapping[str, DeviceAddress]) -> Iterator[Discover]:
    opened: list[Any] = []

    def scan(name: str) -> Any:
        device = client.SunSpecModbusClientDeviceTCP(
            slave_id=addresses[name].unit,
            ipaddr=addresses[name].host,
            ipport=addresses[name].port,
            timeout=2,
        )
        opened.append(device)
        device.scan()
        return device

    yield scan
    for device in opened:
        device.close()


@pytest.mark.parametrize(
    ("name", "models"),
    [
        ("pv", [1, 701, 702, 704, 715]),
        ("dg", [1, 701, 702, 704, 715]),
        ("bes", [1, 701, 702, 704, 713, 715]),
        (LOAD, [1, 203]),
    ],
)
def test_the_model_chain_is_discovered(discover: Discover, name: str, models: list[int]) -> None:
    device = discover(name)
    assert [m.model_id for m in device.model_list] == models
    assert device.common[0].Mn.value == "GEEMS"
    assert device.common[0].SN.value == name
    assert not [m.error_info for m in device.model_list if m.error_info]


def test_measurements_and_ratings_read_the_same(discover: Discover, plant: Plant) -> None:
    truth = plant.truth()
    pv = discover("pv")
    measured, capacity = pv.DERMeasureAC[0], pv.DERCapacity[0]
    assert measured.W.cvalue == pytest.approx(truth.p_kw["pv"] * 1000, abs=500)
    assert measured.Var.cvalue == 0
    assert measured.A.value is None  # not implemented reads as none, not as zero
    assert capacity.WMaxRtg.cvalue == capacity.WMax.cvalue == 10_000_000
    assert capacity.VarMaxAbs.cvalue == 1_000_000
    node = truth.load_flow.nodes.index("B13.1")
    v_pu = measured.LLV.cvalue / capacity.VNom.cvalue
    assert v_pu == pytest.approx(truth.load_flow.v_pu[node], abs=3e-5)


def test_state_of_charge_and_load_read_the_same(discover: Discover, plant: Plant) -> None:
    assert discover("bes").DERStorageCapacity[0].SoC.cvalue == 60.0
    meter = discover(LOAD).ac_meter_abcn[0]
    assert meter.W.cvalue == pytest.approx(plant.truth().load_kw * 1000, abs=500)
    assert meter.VAR.cvalue == pytest.approx(plant.truth().load_kvar * 1000, abs=500)


def test_what_the_client_writes_moves_the_device(discover: Discover, plant: Plant) -> None:
    controls = discover("bes").DERCtlAC[0]
    controls.WSetEna.value = 1
    controls.WSetMod.value = 1
    controls.WSet.cvalue = -123_456
    controls.VarSetEna.value = 1
    controls.VarSetMod.value = 4
    controls.VarSet.cvalue = 99_000
    controls.write()
    plant.advance_to(plant.now)
    assert plant.truth().p_kw["bes"] == pytest.approx(-123.456)
    assert plant.truth().q_kvar["bes"] == pytest.approx(99)


def test_what_the_client_caps_is_capped_and_reverts(discover: Discover, plant: Plant) -> None:
    controls = discover("pv").DERCtlAC[0]
    controls.WMaxLimPctEna.value = 1
    controls.WMaxLimPct.cvalue = 50.0
    controls.WMaxLimPctRvrt.cvalue = 20.0
    controls.WMaxLimPctEnaRvrt.value = 1
    controls.WMaxLimPctRvrtTms.value = 600
    controls.write()
    plant.advance_to(plant.now + timedelta(seconds=60))
    controls.read()
    assert plant.truth().p_kw["pv"] == 5000
    assert controls.WMaxLimPctRvrtRem.value == 540
    plant.advance_to(plant.now + timedelta(seconds=540))
    controls.read()
    assert plant.truth().p_kw["pv"] == 2000
    assert (controls.WMaxLimPct.cvalue, controls.WMaxLimPctRvrtRem.value) == (20.0, 0)


def test_what_the_ems_writes_reads_the_same(discover: Discover, field: SunSpecField) -> None:
    field.write(
        [
            Command(
                der="pv", p_kw=None, q_kvar=-250.5, cap_kw=6515.99, reversion_kw=3000.7,
                reversion_s=1800,
            ),
            Command(
                der="dg", p_kw=2999.9999, q_kvar=100, cap_kw=None, reversion_kw=1000,
                reversion_s=900,
            ),
        ]
    )  # fmt: skip
    pv, dg = discover("pv").DERCtlAC[0], discover("dg").DERCtlAC[0]
    assert (pv.WMaxLimPctEna.value, pv.WMaxLimPct.cvalue) == (1, 65.15)  # down, not 65.16
    assert (pv.WMaxLimPctEnaRvrt.value, pv.WMaxLimPctRvrt.cvalue) == (1, 30.0)
    assert pv.WMaxLimPctRvrtTms.value == pv.VarSetRvrtTms.value == 1800
    assert (pv.VarSetEna.value, pv.VarSetMod.value, pv.VarSet.cvalue) == (1, 4, -250_500)
    assert (pv.VarSetEnaRvrt.value, pv.VarSetRvrt.cvalue) == (1, 0)
    assert pv.WSet.value is None  # a PV plant takes a cap
    assert (dg.WSetEna.value, dg.WSetMod.value, dg.WSet.cvalue) == (1, 1, 2_999_999)
    assert (dg.WSetEnaRvrt.value, dg.WSetRvrt.cvalue) == (1, 1_000_000)
    assert dg.WSetRvrtTms.value == 900


@pytest.mark.parametrize(
    ("model", "point", "raw", "code"),
    [
        ("DERMeasureAC", "W", 1, 2),  # read-only
        ("DERCapacity", "WMax", 1, 2),  # a setting this device does not let be set
        ("DERCtlAC", "WMaxLimPctRvrtRem", 1, 2),  # read-only between writable ones
        ("DERCtlAC", "WSet", 1, 2),  # not implemented by a PV plant
        ("DERCtlAC", "WMaxLimPct", 10_001, 3),
        ("DERCtlAC", "WMaxLimPctEna", 2, 3),
        ("DERCtlAC", "VarSet", 1_000_001, 3),
        ("DERCtlAC", "VarSetMod", 1, 3),
    ],
)
def test_a_write_the_device_cannot_take_gets_the_right_exception(
    discover: Discover, model: str, point: str, raw: int, code: int
) -> None:
    target = getattr(discover("pv"), model)[0].points[point]
    target.value = raw
    with pytest.raises(Exception, match=rf"exception.*{code}"):
        target.write()


@pytest.mark.parametrize("point", ["WSet", "WSetRvrt", "WSetRvrtTms", "VarSet", "VarSetRvrtTms"])
@pytest.mark.parametrize("half", [0, 1])
def test_half_a_point_cannot_be_written(
    discover: Discover, plant: Plant, point: str, half: int
) -> None:
    device = discover("bes")
    controls = device.DERCtlAC[0]
    with pytest.raises(Exception, match=r"exception.*2"):
        device.write(controls.model_addr + controls.points[point].offset + half, b"\x00\x01")
    plant.advance_to(plant.now)
    assert plant.truth().p_kw["bes"] == 0


def test_reading_beyond_the_chain_is_an_illegal_address(discover: Discover) -> None:
    device = discover("pv")
    with pytest.raises(Exception, match=r"exception.*2"):
        device.read(40_000 + 400, 10)


def test_a_measurement_that_is_lost_reads_as_none(discover: Discover, plant: Plant) -> None:
    device = discover("bes")
    plant.misbehave("bes", Misbehaviour.BLIND)
    device.DERMeasureAC[0].read()
    device.DERStorageCapacity[0].read()
    assert device.DERMeasureAC[0].W.value is None
    assert device.DERStorageCapacity[0].SoC.value is None
