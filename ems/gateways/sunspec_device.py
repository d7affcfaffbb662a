"""One SunSpec device: its model chain, its measurements, its verified writes."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

from ems.domain import Bes, Command, Der, DerReading, DeviceAddress, LoadReading, Pv, Readback
from ems.errors import DeviceError, RefusedWrite, Unreachable
from ems.gateways.modbus import ExceptionAnswer, ModbusLink
from ems.protocols.sunspec import (
    BASE_ADDRESSES,
    END_OF_CHAIN,
    MARKER,
    MAX_READ,
    ModelBlock,
    RegisterWrite,
    encode,
    held,
    mismatches,
    model,
)

T = TypeVar("T")
BUSY_PAUSE_S = 0.1
"""Wait before a device that said it is busy is asked again [s]."""
MODELS_AT_MOST = 128
"""Longer chains are a device that answers nonsense."""
THREE_PHASE_METER = 203
STATUS = 122
"""Extended measurements and status of the older inverter models; newer devices may have it too."""
LOCAL_CONTROL = 1
"""LocRemCtl of model 715: somebody works on the device."""


class SunSpecDevice:
    """The EMS's end of the link to one device. Every call keeps the time budget.

    Each phase of a call (reading; writing; reading back) has the address's `timeout_s`.
    """

    def __init__(self, name: str, address: DeviceAddress) -> None:
        self.name = name
        self._link = ModbusLink(name, address)
        self._budget_s = address.timeout_s
        self._chain: dict[int, tuple[int, int]] = {}  # model: (address, registers)
        self._lock = asyncio.Lock()

    def close(self) -> None:
        """Drop the connection."""
        self._link.drop()

    # --- reading -------------------------------------------------------------------

    async def read_der(self, der: Der, now: datetime) -> DerReading:
        """Measurements, state of charge, cap in force, and available power where it is told.

        Raises:
            DeviceError: no answer, a model is missing, or P or Q is not measured.
        """
        wanted = (701, 702, 704, 713) if isinstance(der, Bes) else (701, 702, 704)
        maybe = (STATUS,) if isinstance(der, Pv) else ()
        async with self._lock:
            blocks = await self._fresh(lambda: self._blocks(wanted, maybe))
        measured, capacity = blocks[701], blocks[702]
        w_max = _w_max(capacity)
        return DerReading(
            der=self.name,
            time=now,
            p_kw=self._measured(measured, "W") / 1000,
            q_kvar=self._measured(measured, "Var") / 1000,
            v_pu=_v_pu(measured, capacity),
            soc_pct=blocks[713].value("SoC") if 713 in blocks else None,
            cap_kw=None if w_max is None else held(blocks[704], w_max).cap_kw,
            available_kw=_kilo(blocks[STATUS].value("WAval")) if STATUS in blocks else None,
            rated_kw=_kilo(w_max),
        )

    async def read_load(self, now: datetime) -> LoadReading:
        """Consumption the meter shows.

        Raises:
            DeviceError: no answer, the model is missing, or P is not measured.
        """
        async with self._lock:
            blocks = await self._fresh(lambda: self._blocks((THREE_PHASE_METER,)))
        meter = blocks[THREE_PHASE_METER]
        q_var = meter.value("VAR")
        return LoadReading(
            time=now,
            p_kw=self._measured(meter, "W") / 1000,
            q_kvar=_kilo(q_var),
        )

    def _measured(self, block: ModelBlock, name: str) -> float:
        value = block.value(name)
        if value is None:
            raise DeviceError(
                f"{self._link.place}: {name} of model {block.model.id} reads as not available "
                "(NaN); its measurement or the scale factor is missing"
            )
        return value

    # --- writing -------------------------------------------------------------------

    async def write(self, der: Der, command: Command) -> Readback:
        """Write a command, read its registers back, compare.

        Raises:
            RefusedWrite: nothing was written.
            Unreachable: no answer; what the device holds is not known.
            DeviceError: the device holds something else than was asked.
        """
        if (command.p_kw is None) != isinstance(der, Pv):
            kind = "takes a cap, not a setpoint" if isinstance(der, Pv) else "takes a setpoint"
            raise RefusedWrite(f"{self.name} {kind}: nothing was written")
        async with self._lock:
            writes, w_max = await self._prepare(command)
            doubt = await self._send(writes)
            try:
                controls = (await self._fresh(lambda: self._blocks((704,))))[704]
            except DeviceError as fault:
                raise Unreachable(
                    f"written, but not read back, so what it holds is not known: {doubt or fault}"
                ) from fault
        differing = mismatches(writes, controls)
        if differing:
            points = "; ".join(str(m) for m in differing)
            because = f" (after: {doubt})" if doubt else ""
            raise DeviceError(f"{self._link.place}: model 704 holds {points}{because}")
        return held(controls, w_max).readback()

    async def _prepare(self, command: Command) -> tuple[tuple[RegisterWrite, ...], float]:
        """The registers to write, in the device's own scale factors."""
        blocks = await self._fresh(lambda: self._blocks((702, 704), maybe=(715,)))
        if 715 in blocks and blocks[715].raw("LocRemCtl") == LOCAL_CONTROL:
            raise RefusedWrite(
                f"{self._link.place}: under local control (715.LocRemCtl), nothing was written; "
                "release it at the device"
            )
        w_max = _w_max(blocks[702])
        if w_max is None:
            raise RefusedWrite(
                f"{self._link.place}: 702.WMax and WMaxRtg read as not available (NaN), "
                "nothing was written"
            )
        try:
            return encode(command, blocks[704], w_max), w_max
        except ValueError as fault:
            raise RefusedWrite(f"{self._link.place}: {fault}; nothing was written") from fault

    async def _send(self, writes: tuple[RegisterWrite, ...]) -> str:
        """Write block by block. Returns why the outcome is in doubt, empty where it is not.

        Raises:
            RefusedWrite: the device refused the first block, so nothing was written.
        """
        start, _ = self._chain[704]
        for i, write in enumerate(writes):
            try:
                async with asyncio.timeout(self._budget_s):
                    await self._write_patiently(start + write.offset, list(write.registers))
            except ExceptionAnswer as fault:
                if i == 0 and fault.nothing_done:
                    raise RefusedWrite(
                        f"{fault} on {write.block.enable}…{write.block.timer}, nothing was written"
                    ) from fault
                return f"{fault} on {write.block.enable}…{write.block.timer}"
            except (TimeoutError, Unreachable) as fault:
                self._link.drop()
                return str(fault) or f"no answer within {self._budget_s:g} s"
        return ""

    async def _write_patiently(self, address: int, registers: list[int]) -> None:
        """Write; ask again while the device says it is busy (only then is that safe)."""
        while True:
            try:
                await self._link.write(address, registers)
            except ExceptionAnswer as fault:
                if not fault.busy:
                    raise
                await asyncio.sleep(BUSY_PAUSE_S)
            else:
                return

    # --- connection and chain --------------------------------------------------------

    async def _fresh(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do some reading within the budget, over a connection that stands.

        A connection kept from the last call may have died unseen: then once more on a new
        one.
        """
        try:
            async with asyncio.timeout(self._budget_s):
                if self._link.connected:
                    with suppress(Unreachable):
                        return await work()
                await self._link.connect()
                self._chain = await self._discover()
                return await work()
        except TimeoutError as fault:
            self._link.drop()
            raise Unreachable(
                f"{self._link.place}: no answer within {self._budget_s:g} s"
            ) from fault

    async def _discover(self) -> dict[int, tuple[int, int]]:
        """Where each model of the chain lies. Of a repeated model the first counts."""
        address = await self._base()
        chain: dict[int, tuple[int, int]] = {}
        for _ in range(MODELS_AT_MOST):
            model_id, length = await self._link.read(address, 2)
            if model_id == END_OF_CHAIN:
                break
            chain.setdefault(model_id, (address, length + 2))
            address += length + 2
        return chain

    async def _base(self) -> int:
        """First register behind the marker."""
        for base in BASE_ADDRESSES:
            try:
                marker = await self._link.read(base, len(MARKER))
            except ExceptionAnswer:
                continue
            if tuple(marker) == MARKER:
                return base + len(MARKER)
        tried = ", ".join(str(b) for b in BASE_ADDRESSES)
        raise DeviceError(
            f"{self._link.place}: not a SunSpec device, no `SunS` at {tried}; "
            "check host, port and unit"
        )

    async def _blocks(
        self, wanted: tuple[int, ...], maybe: tuple[int, ...] = ()
    ) -> dict[int, ModelBlock]:
        """Read models; those of `maybe` only where the device has them."""
        missing = [m for m in wanted if m not in self._chain]
        if missing:
            found = ", ".join(str(m) for m in self._chain)
            raise DeviceError(
                f"{self._link.place}: lacks SunSpec model {', '.join(map(str, missing))} "
                f"(it has {found})"
            )
        blocks: dict[int, ModelBlock] = {}
        for model_id in (*wanted, *(m for m in maybe if m in self._chain)):
            start, length = self._chain[model_id]
            count = min(length, model(model_id).length, MAX_READ)
            blocks[model_id] = ModelBlock(model(model_id), await self._link.read(start, count))
        return blocks


def _kilo(value: float | None) -> float | None:
    return None if value is None else value / 1000


def _w_max(capacity: ModelBlock) -> float | None:
    """The setting where there is one, the rating else [W]."""
    setting = capacity.value("WMax")
    w_max = capacity.value("WMaxRtg") if setting is None else setting
    return w_max if w_max is not None and w_max > 0 and math.isfinite(w_max) else None


def _v_pu(measured: ModelBlock, capacity: ModelBlock) -> float | None:
    """Voltage over the nominal one [pu].

    Model 702 gives the nominal voltage line to neutral for single phase, line to line else.
    """
    single = measured.raw("ACType") == model(701).points["ACType"].symbols["SINGLE_PHASE"]
    volts = measured.value("LNV" if single else "LLV")
    setting = capacity.value("VNom")
    nominal = capacity.value("VNomRtg") if setting is None else setting
    return volts / nominal if volts is not None and nominal else None
