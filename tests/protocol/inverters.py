"""An inverter under imposed voltage, frequency and sun, and a client of its curves."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sunspec2.modbus import client

from ems.domain import Bes, DeviceAddress, Pv
from ems.outstation import DeviceServer
from ems.plant.field_device import FieldDevice
from ems.plant.terminal import Terminal
from ems.protocols.loop_thread import LoopThread

NOW = datetime(2024, 6, 3, 20, tzinfo=UTC)
P_KW, VA = 1000.0, 1200.0
"""Ratings; the circle is wide enough for 44 % of it at full power."""
Q_KVAR = 0.44 * VA
PV = Pv(name="pv", bus="b", rated_kw=P_KW, q_max_kvar=Q_KVAR, s_max_kva=VA)
BES = Bes(
    name="bes", bus="b", rated_kw=P_KW, capacity_kwh=4 * P_KW, q_max_kvar=Q_KVAR, s_max_kva=VA
)
WITHIN = 0.01
"""How far P and Q may be off, over their ratings."""
SETTLED_S = 120
"""Longer than any response here takes [s]."""


class Bench:
    """A device under imposed voltage, frequency and sun, and a client at its server."""

    def __init__(self, address: DeviceAddress, device: FieldDevice) -> None:
        self._device, self._now = device, NOW
        self.at, self.sun_kw = Terminal(), P_KW
        self.client = client.SunSpecModbusClientDeviceTCP(
            slave_id=address.unit, ipaddr=address.host, ipport=address.port, timeout=2
        )
        self.after(1)
        self.client.scan()
        self.controls = self.client.DERCtlAC[0]
        self.measured = self.client.DERMeasureAC[0]

    def after(
        self, seconds: float, *, v: float | None = None, hz: float | None = None
    ) -> tuple[float, float]:
        """Impose, let time pass, and read: P over its rating, Q over the apparent power rating."""
        self.at = Terminal(
            v_pu=self.at.v_pu if v is None else v, hz=self.at.hz if hz is None else hz
        )
        self._now += timedelta(seconds=seconds)
        self._device.step(self._now, self.sun_kw, self.at)
        self._device.show(self.at.v_pu, self.at.hz)
        if not hasattr(self, "measured"):
            return 0.0, 0.0
        self.measured.read()
        return self.measured.W.cvalue / 1000 / P_KW, self.measured.Var.cvalue / 1000 / VA

    @property
    def connected(self) -> bool:
        self.measured.read()
        return bool(self.measured.ConnSt.value == 1)


Open = Callable[[Pv | Bes], Bench]


@contextmanager
def inverters() -> Iterator[Open]:
    loop = LoopThread("test-inverter")
    servers: list[DeviceServer] = []
    opened: list[Bench] = []

    def serve(der: Pv | Bes) -> Bench:
        device = FieldDevice(der, NOW, 50, inverter="ieee1547")
        server = DeviceServer(der.name, device.registers)
        loop.run(server.start())
        servers.append(server)
        opened.append(Bench(server.address, device))
        return opened[-1]

    yield serve
    for each in opened:
        each.client.close()
    for server in servers:
        loop.run(server.stop())
    loop.close()


def enable(model: Any, *, on: bool = True) -> None:
    model.Ena.value = int(on)
    model.write()


def store(model: Any, x: str, y: str, points: Sequence[tuple[float, float]]) -> None:
    """Write the second curve and ask for its adoption."""
    curve = model.Crv[1]
    curve.ActPt.value = len(points)
    for place, (at, value) in zip(curve.Pt, points, strict=False):
        getattr(place, x).cvalue = at
        getattr(place, y).cvalue = value
    model.write()
    adopt(model)


def adopt(model: Any, number: int = 2) -> None:
    model.AdptCrvReq.value = number
    model.write()
    model.read()


def adopted(model: Any) -> bool:
    return bool(model.AdptCrvRslt.value == 1)
