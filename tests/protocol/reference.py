"""Devices made of pysunspec2's definitions alone, served by plain pymodbus.

Nothing of the project's own codec: what the gateway reads and writes here is judged by another
implementation.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusBaseServer, ModbusSerialServer, ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice
from sunspec2 import device as sunspec
from sunspec2 import mb

from ems.domain import DeviceAddress

ROOM = 1000
"""Registers a device may have."""
MARKER, END = (0x5375, 0x6E53), (0xFFFF, 0)
Values = Mapping[str, Any]
Watch = Callable[["ReferenceDevice", int, list[int] | None, int], Any]
"""Called with the address, the registers to be written (None: a read) and their count; what it
returns is the answer's exception."""


class ReferenceDevice:
    """Models in a chain, each with the values given; all else reads as not implemented."""

    def __init__(self, models: Sequence[tuple[int, Values]], base: int = 40_000) -> None:
        self.base = base
        self.models = list(models)
        self.watch: Watch = lambda *_: None
        self.registers: list[int] = [*MARKER]
        self._models: dict[int, tuple[int, int]] = {}
        for number, values in models:
            built = sunspec.Model(model_id=number, data=dict(values))
            octets = built.get_mb()
            words = [int.from_bytes(octets[i : i + 2], "big") for i in range(0, len(octets), 2)]
            self._models[number] = (len(self.registers), len(words))
            self.registers += words
        self.registers += END

    def point(self, number: int, name: str) -> Any:
        """A point as the reference decodes it from the registers, scale factor applied."""
        start, count = self._models[number]
        octets = b"".join(r.to_bytes(2, "big") for r in self.registers[start : start + count])
        built = sunspec.Model(model_id=number, data=octets, model_len=count - 2)
        return built.points[name].cvalue

    def put(self, number: int, name: str, raw: int | None) -> None:
        """Let a register hold something, not implemented for None."""
        start, _ = self._models[number]
        point = sunspec.Model(model_id=number).points[name]
        if raw is None:
            octets = mb.create_unimpl_value(point.pdef["type"], len=2 * point.len)
        else:
            octets = point.info.to_data(raw, 2 * point.len)
        for i in range(point.len):
            word = int.from_bytes(octets[2 * i : 2 * i + 2], "big")
            self.registers[start + point.offset + i] = word

    def start_of(self, number: int) -> int:
        """Address of a model's identifier."""
        return self.base + self._models[number][0]

    def simulated(self, unit: int) -> SimDevice:
        """As pymodbus serves it."""
        return SimDevice(
            id=unit,
            simdata=[
                SimData(
                    address=self.base,
                    count=ROOM,
                    values=0,
                    datatype=DataType.REGISTERS,
                )
            ],
            action=self._act,
        )

    async def _act(
        self,
        function: int,  # noqa: ARG002 - pymodbus' action
        start_address: int,
        address: int,
        count: int,
        current: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        written = None if values is None else [int(v) for v in values]
        count = count if written is None else len(written)
        answer = self.watch(self, address, written, count)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer is not None:
            return ExcCodes(answer)
        first = address - self.base
        if first < 0 or first + count > len(self.registers):
            return ExcCodes.ILLEGAL_ADDRESS
        if written is not None:
            self.registers[first : first + count] = written
        at = address - start_address
        current[at : at + count] = self.registers[first : first + count]
        return None


class Served:
    """One server, with one unit or several behind it."""

    def __init__(self, devices: Mapping[int, ReferenceDevice]) -> None:
        self.devices = devices
        self.connections = 0
        self._server: ModbusBaseServer | None = None
        self.port = 0

    def _trace(self, connected: bool) -> None:
        self.connections += connected

    async def start(self, context: ssl.SSLContext | None = None) -> None:
        simulated = [d.simulated(unit) for unit, d in self.devices.items()]
        here = ("127.0.0.1", 0)
        self._server = (
            ModbusTcpServer(simulated, address=here, trace_connect=self._trace)
            if context is None
            else ModbusTlsServer(simulated, address=here, sslctx=context, trace_connect=self._trace)
        )
        await self._server.serve_forever(background=True)
        self.port = self._server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]  # a listener's transport is an asyncio server

    async def start_serial(self, path: str) -> None:
        """As RTU on a line; a unit that is not there stays silent, as on a real one."""
        simulated = [d.simulated(unit) for unit, d in self.devices.items()]
        self._server = ModbusSerialServer(
            simulated, port=path, baudrate=115_200, parity="N", ignore_missing_devices=True
        )
        await self._server.serve_forever(background=True)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it so
            self._server = None

    def address(self, unit: int = 1, **more: Any) -> DeviceAddress:
        here = DeviceAddress(host="127.0.0.1", port=self.port, unit=unit, timeout_s=2.0)
        return replace(here, **more)


# --- devices as one meets them ----------------------------------------------------------

COMMON = (1, {"Mn": "Acme", "Md": "Inverter", "Vr": "1.2", "SN": "A-0001"})


def newest_pv() -> ReferenceDevice:
    """100 kW, at 61.3 kW; scale factors unlike those of the simulated plant."""
    capacity = {"WMaxRtg": 1000, "WMax": 1000, "W_SF": 2, "VAMaxRtg": 1100, "VA_SF": 2}
    capacity |= {"VarMaxInjRtg": 440, "VarMaxAbsRtg": 400, "Var_SF": 2, "VNom": 480, "V_SF": 0}
    controls = dict.fromkeys(
        (
            *("WMaxLimPctEna", "WMaxLimPctEnaRvrt", "WMaxLimPctRvrtTms"),
            *("VarSetEna", "VarSetRvrt", "VarSetEnaRvrt", "VarSetRvrtTms", "VarSet", "VarSetMod"),
        ),
        0,
    )
    controls |= {"WMaxLimPct": 1000, "WMaxLimPctRvrt": 1000, "WMaxLimPct_SF": -1, "VarSet_SF": 2}
    measured = {"ACType": 2, "St": 1, "ConnSt": 1, "W": 613, "Var": -52, "W_SF": 2, "Var_SF": 2}
    measured |= {"LLV": 489, "Hz": 5998, "V_SF": 0, "Hz_SF": -2}
    status = {"WAval": 72, "WAval_SF": 3}
    beat = {"LocRemCtl": 0, "DERHb": 17, "ControllerHb": 41}
    return ReferenceDevice(
        [COMMON, (701, measured), (702, capacity), (704, controls), (122, status), (715, beat)]
    )


def newest_bes() -> ReferenceDevice:
    """50 kW, 100 kWh, at −20 kW and 55.5 %."""
    capacity = {"WMaxRtg": 50, "W_SF": 3, "VarMaxInjRtg": 20, "VarMaxAbsRtg": 20, "Var_SF": 3}
    controls = dict.fromkeys(
        (
            *("WSetEna", "WSetMod", "WSet", "WSetRvrt", "WSetEnaRvrt", "WSetRvrtTms"),
            *("VarSetEna", "VarSetRvrt", "VarSetEnaRvrt", "VarSetRvrtTms", "VarSet", "VarSetMod"),
        ),
        0,
    )
    controls |= {"WSet_SF": 1, "VarSet_SF": 1}
    measured = {"ACType": 2, "W": -2000, "Var": 0, "W_SF": 1, "Var_SF": 1}
    storage = {"WHRtg": 100, "WH_SF": 3, "SoC": 555, "Pct_SF": -1}
    return ReferenceDevice(
        [COMMON, (701, measured), (702, capacity), (704, controls), (713, storage)]
    )


def older_pv() -> ReferenceDevice:
    """20 kW, at 12.34 kW, two DC inputs."""
    measured = {"W": 1234, "W_SF": 1, "VAr": 50, "VAr_SF": 1, "Hz": 5001, "Hz_SF": -2, "St": 4}
    measured |= {"PPVphAB": 4040, "PPVphBC": 4060, "PPVphCA": 4050, "V_SF": -1}
    measured |= {"PhVphA": 2335, "PhVphB": 2340, "PhVphC": 2338}
    nameplate = {"DERTyp": 4, "WRtg": 20, "WRtg_SF": 3, "VARtg": 20, "VARtg_SF": 3}
    nameplate |= {"VArRtgQ1": 12, "VArRtgQ4": -12, "VArRtg_SF": 3}
    settings = {"WMax": 2000, "WMax_SF": 1, "VRef": 400, "VRef_SF": 0}
    settings |= {"VArMaxQ1": 1200, "VArMaxQ4": -1000, "VArMax_SF": 1}
    status = {"ECPConn": 1, "WAval": 1500, "WAval_SF": 1}
    controls = {"Conn": 1, "WMaxLimPct": 100, "WMaxLimPct_SF": 0, "WMaxLimPct_RvrtTms": 0}
    controls |= {"WMaxLimPct_WinTms": 30, "WMaxLim_Ena": 0}
    controls |= {"VArMaxPct": 0, "VArPct_SF": -1, "VArPct_Mod": 0, "VArPct_Ena": 0}
    controls |= {"VArPct_RvrtTms": 0}
    modules = {
        "DCA_SF": -1, "DCV_SF": 0, "DCW_SF": 1, "N": 2,
        "module": [
            {"ID": 1, "IDStr": "east", "DCV": 610, "DCW": 700},
            {"ID": 2, "IDStr": "west", "DCV": 600, "DCW": 560},
        ],
    }  # fmt: skip
    return ReferenceDevice(
        [
            *(COMMON, (103, measured), (120, nameplate), (121, settings), (122, status)),
            *((123, controls), (160, modules)),
        ]
    )


def older_bes() -> ReferenceDevice:
    """10 kW, 30 kWh, at 3 kW; the battery says 61.5 %, the inverter 60 %."""
    measured = {"W": 300, "W_SF": 1, "VAr": 0, "VAr_SF": 0}
    nameplate = {"DERTyp": 82, "WRtg": 10, "WRtg_SF": 3, "WHRtg": 30, "WHRtg_SF": 3}
    nameplate |= {"MaxDisChaRte": 100, "MaxDisChaRte_SF": 2}
    settings = {"WMax": 10, "WMax_SF": 3}
    storage = {"WChaMax": 80, "WChaMax_SF": 2, "StorCtl_Mod": 0, "ChaState": 60, "ChaState_SF": 0}
    storage |= {"OutWRte": 1000, "InWRte": 1000, "InOutWRte_SF": -1, "InOutWRte_RvrtTms": 0}
    battery = {"SoC": 615, "SoC_SF": -1, "LocRemCtl": 0, "Hb": 9, "WHRtg": 300, "WHRtg_SF": 2}
    return ReferenceDevice(
        [
            *(COMMON, (103, measured), (120, nameplate), (121, settings), (124, storage)),
            (802, battery),
        ]
    )
