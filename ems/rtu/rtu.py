"""The RTU itself: GOOSE on one side, Modbus TCP servers on the other.

Frames are received, repeated and supervised by a process of its own; this one changes registers
and answers Modbus requests.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Self

from ems.domain import DeviceAddress
from ems.errors import BadInput, Fault
from ems.outstation import DeviceServer
from ems.protocols.goose import Data, GooseProcess, Heard, LinkFault, Lost, Station
from ems.protocols.loop_thread import LoopThread
from ems.protocols.scl import GooseBlock, SclFile
from ems.rtu.unit import Unit

log = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
LONGEST_WAIT_S = 0.2
"""How long a stop, or a GOOSE process that hangs, may stay unnoticed [s]."""


def present() -> tuple[float, datetime]:
    """The machine's clocks: one that never steps [s], and the day."""
    return time.monotonic(), datetime.now(UTC)


class Rtu:
    """All devices of some ICD files on one interface, each with a Modbus port of its own."""

    def __init__(
        self,
        files: Sequence[SclFile],
        interface: str,
        *,
        host: str = LOOPBACK,
        port: int = 0,
        prefix: Sequence[str] = (),
        clock: Callable[[], tuple[float, datetime]] = present,
    ) -> None:
        """Take the files; nothing is opened before `start`.

        Args:
            files: one per device.
            interface: where GOOSE comes from and goes to.
            host: address of the Modbus servers.
            port: of the first device, the others follow; 0 takes any that are free.
            prefix: program that starts the process that holds the interface.
            clock: the present: on a clock that never steps [s], and of the day.

        Raises:
            BadInput: a file does not say enough, or two files claim the same.
        """
        self._clock = clock
        self.units = tuple(
            Unit(file, clock, partial(self._forward, k)) for k, file in enumerate(files)
        )
        _check_apart(self.units)
        blocks = [u.setpoints.block for u in self.units if u.setpoints is not None]
        self._goose = GooseProcess(
            Station(
                interface=interface,
                publishes=tuple(blocks),
                subscribes=tuple(b.block for u in self.units for b in u.measurements),
            ),
            prefix=prefix,
        )
        self._by_block = {b.block.gocb_ref: u for u in self.units for b in u.measurements}
        self._servers = [DeviceServer(u.name, u.registers, host=host) for u in self.units]
        for k, server in enumerate(self._servers):
            server.port = port + k if port else 0
        self._loop: LoopThread | None = None
        self._gone = threading.Event()

    @property
    def addresses(self) -> Mapping[str, DeviceAddress]:
        """Where clients find each device."""
        return {server.name: server.address for server in self._servers}

    def start(self) -> None:
        """Open the interface and the ports.

        Raises:
            LinkFault: the interface cannot be used.
            PortInUse: a port is taken.
        """
        self._goose.start()
        self._loop = LoopThread("geems-rtu")
        for server in self._servers:
            self._loop.run(server.start())

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set.

        Raises:
            LinkFault: the interface, or the process that holds it, is gone.
        """
        while not stop.is_set():
            self.step(LONGEST_WAIT_S)

    def step(self, wait_s: float) -> None:
        """Take the next change, waiting for it at most so long [s].

        Raises:
            LinkFault: the interface, or the process that holds it, is gone.
        """
        due = [d for unit in self.units if (d := unit.settle()) is not None]
        until_s = max(0.0, min(due) - time.monotonic()) if due else wait_s
        told = self._goose.receive(min(wait_s, until_s))
        if self._gone.is_set():
            raise LinkFault(f"{self._goose.station.interface}: the GOOSE process takes no setpoint")
        while told is not None:  # all that waits: what is judged must be the present
            self._hear(told)
            told = self._goose.receive(0.0)
        self._supervise()

    def _hear(self, told: Heard | Lost) -> None:
        unit = self._by_block[told.gocb_ref]
        if isinstance(told, Heard):
            if told.gocb_ref not in unit.heard:
                log.info("%s: heard", told.gocb_ref)
            unit.take(told.gocb_ref, told.values)
        else:
            log.warning("%s: %s; it reads as not available", told.gocb_ref, told.standing.value)
            unit.forget(told.gocb_ref)

    def _supervise(self) -> None:
        """Values run out also where the process that holds the link stands still."""
        for reference, unit in self._by_block.items():
            values = self._goose.values(reference)
            if values is None and reference in unit.heard:
                log.warning("%s: time allowed to live has run out", reference)
                unit.forget(reference)
            elif values is not None and reference not in unit.heard:
                log.info("%s: heard again", reference)
                unit.take(reference, values)

    def _forward(self, index: int, values: tuple[Data, ...]) -> None:
        """Send the setpoints of a device; called on the servers' loop."""
        block = self.units[index].setpoints
        if block is None:  # never: a unit without one has no writable point
            return
        try:
            self._goose.publish(block.block.gocb_ref, values, self._clock()[1])
        except LinkFault:
            self._gone.set()

    def close(self) -> None:
        """Stop all servers and end the process. May be called twice."""
        if self._loop is not None:
            for server in self._servers:
                self._loop.run(server.stop())
            self._loop.close()
            self._loop = None
        self._goose.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _check_apart(units: Sequence[Unit]) -> None:
    """No two devices share a control block, an address or an APPID."""
    faults: list[Fault] = []
    owners: dict[tuple[str, object], str] = {}
    for unit in units:
        for block in _blocks(unit):
            for what, key in (
                ("control block", block.block.gocb_ref),
                ("MAC-Address", block.block.dst_mac.hex("-").upper()),
                ("APPID", f"{block.block.appid:04X}"),
            ):
                other = owners.setdefault((what, key), unit.name)
                if owners[what, key] != unit.name:
                    problem = f"{what} {key} is also that of '{other}'; give each its own"
                    faults.append(Fault(place=unit.name, problem=problem))
    names = [unit.name for unit in units]
    faults += [
        Fault(place=name, problem="two files describe an IED of this name")
        for name in sorted({n for n in names if names.count(n) > 1})
    ]
    if faults:
        raise BadInput(faults)


def _blocks(unit: Unit) -> list[GooseBlock]:
    return [*unit.measurements, *([unit.setpoints] if unit.setpoints is not None else [])]
