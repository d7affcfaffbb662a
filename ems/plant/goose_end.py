"""The plant's devices on GOOSE: each publishes what it measures and follows setpoints."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from ems.clock import WallClock
from ems.domain import Readback
from ems.outstation import RegisterMap
from ems.plant.goose_device import Device, Local
from ems.protocols.goose import GooseProcess, Heard, LinkFault, Station, UtcTime
from ems.protocols.scl import SclFile, control_blocks
from ems.protocols.sunspec import held

log = logging.getLogger(__name__)
LONGEST_WAIT_S = 0.1
"""How long a change of the registers, or a stop, may stay unnoticed [s]."""
STEP = timedelta(seconds=3)
"""From where on the machine's clock counts as set, as for the RTU that orders."""


def _shown() -> datetime:
    return datetime.now(UTC)


class GooseEnd:
    """One device on an interface, with a process and a thread of its own."""

    def __init__(
        self,
        registers: RegisterMap,
        file: SclFile,
        interface: str,
        *,
        prefix: Sequence[str] = (),
        machine: Callable[[], datetime] = _shown,
    ) -> None:
        """Open nothing yet.

        Args:
            registers: of the device.
            file: its ICD.
            interface: where GOOSE goes to and comes from.
            prefix: program that starts the process that holds the link.
            machine: what the machine's clock shows; aware.
        """
        blocks = control_blocks(file)
        self.name = file.ieds[0].name
        self._registers = registers
        self._own = tuple(b for b in blocks if b.ied == self.name)
        self._rtu = next((b for b in blocks if b.ied != self.name), None)
        self._station = Station(
            interface=interface,
            publishes=tuple(b.block for b in self._own),
            subscribes=() if self._rtu is None else (self._rtu.block,),
        )
        self._prefix = prefix
        self._machine, self._clock = machine, WallClock(machine)
        self._goose: GooseProcess | None = None
        self._device: Device | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Open the interface, and publish and follow in a thread of its own.

        Raises:
            LinkFault: the interface cannot be used.
        """
        self._goose = GooseProcess(self._station, prefix=self._prefix)
        self._goose.start()
        self._clock.follow()
        started = UtcTime.of(self._machine())
        self._device = Device(self._registers, self._own, self._rtu, started)
        self._stop.clear()
        self.publish()
        self._thread = threading.Thread(
            target=self._live, args=(self._goose, self._device), name=f"geems-goose-{self.name}"
        )
        self._thread.daemon = True
        self._thread.start()

    def publish(self) -> None:
        """Send what changed in the registers, now; nothing while the plug is out.

        Raises:
            LinkFault: the process that holds the link is gone.
        """
        with self._lock:
            if self._goose is not None and self._device is not None:
                now = self._now(self._device)
                told = self._device.values(UtcTime.of(now))
                for block, values in zip(self._own, told, strict=True):
                    self._goose.publish(block.block.gocb_ref, values, now)

    @property
    def orders(self) -> Readback:
        """What the device's control registers order."""
        blocks = Local(self._registers).blocks(frozenset({702, 704}))
        return held(blocks[704], blocks[702].value("WMax") or 0.0).readback()

    @property
    def shown(self) -> tuple[int | None, float | None]:
        """The device's heartbeat, and its active power [kW]."""
        blocks = Local(self._registers).blocks(frozenset({701, 715}))
        watts = blocks[701].value("W")
        return blocks[715].raw("DERHb"), None if watts is None else watts / 1000

    def _live(self, goose: GooseProcess, device: Device) -> None:
        led = falling = False
        try:
            while not self._stop.is_set():
                told = goose.receive(LONGEST_WAIT_S)
                with self._lock:
                    while told is not None:  # all that waits: what is judged must be the present
                        if isinstance(told, Heard):
                            device.follow(told.values, self._now(device))
                            led, falling = True, False
                        told = goose.receive(0.0)
                    if led and not self._is_led(goose):
                        if not falling:
                            log.warning("%s: its RTU is not heard; it falls back", self.name)
                        falling = True
                        led = not device.revert()  # a register that is refused is tried again
                self.publish()
        except LinkFault as fault:
            if not self._stop.is_set():
                log.error("%s; %s is silent", fault, self.name)  # noqa: TRY400 - no defect

    def _now(self, device: Device) -> datetime:
        """What the machine's clock shows; the device is told first where it was set."""
        if abs(self._clock.astray()) >= STEP:
            by = self._clock.follow()
            log.warning("%s: its clock was set by %+.0f s", self.name, by.total_seconds())
            device.clock_set(by)
        return self._machine()

    def _is_led(self, goose: GooseProcess) -> bool:
        """Whether setpoints are within their time allowed to live."""
        return self._rtu is not None and goose.values(self._rtu.block.gocb_ref) is not None

    def stop(self) -> None:
        """End the process: the device falls silent. May be called twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._lock:
            goose, self._goose = self._goose, None
        if goose is not None:
            goose.close()


class GooseEnds:
    """All devices of a plant on one interface, and their plugs."""

    def __init__(
        self,
        registers: Mapping[str, RegisterMap],
        files: Mapping[str, SclFile],
        interface: str,
        *,
        prefix: Sequence[str] = (),
        machine: Callable[[], datetime] = _shown,
    ) -> None:
        """Open nothing yet.

        Args:
            registers: of each device, by name.
            files: the ICD of each device.
            interface: where GOOSE goes to and comes from.
            prefix: program that starts the processes that hold the link.
            machine: what the machine's clock shows; aware.
        """
        self._ends = {
            name: GooseEnd(registers[name], file, interface, prefix=prefix, machine=machine)
            for name, file in files.items()
        }

    def publish(self) -> None:
        """Send what changed in the registers, now."""
        for end in self._ends.values():
            end.publish()

    def unplug(self, name: str) -> None:
        """Pull a device's plug: it neither publishes nor hears.

        Raises:
            KeyError: there is no such device.
        """
        self._end(name).stop()

    def replug(self, name: str) -> None:
        """Put the plug back.

        Raises:
            KeyError: there is no such device.
            LinkFault: the interface cannot be used any more.
        """
        self._end(name).stop()
        self._end(name).start()

    def orders(self, name: str) -> Readback:
        """What a device's control registers order."""
        return self._end(name).orders

    def shown(self, name: str) -> tuple[int | None, float | None]:
        """A device's heartbeat, and its active power [kW]."""
        return self._end(name).shown

    def _end(self, name: str) -> GooseEnd:
        if name not in self._ends:
            raise KeyError(f"no device '{name}'; there are {', '.join(self._ends)}")
        return self._ends[name]

    def start(self) -> None:
        """Put all plugs in.

        Raises:
            LinkFault: the interface cannot be used.
        """
        for end in self._ends.values():
            end.start()

    def stop(self) -> None:
        """Pull all plugs. May be called twice."""
        for end in self._ends.values():
            end.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
