"""Plant → GOOSE → RTU → Modbus → EMS, each in a network of its own.

The RTU is `geems rtu` as anybody would start it. The plant's devices and the EMS stay in this
process; only their sockets lie in their networks, so that the page is still served here.
"""

import json
import logging
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO

from ems.assembly import OpenSite, open_site
from ems.demo.link import Link
from ems.demo.namespaces import Namespace, cable, check_possible
from ems.domain import CycleRecord, DerReading, DeviceAddress, LoadReading, Readback, Sent
from ems.errors import DeviceError, GeemsError
from ems.plant import LOAD, Plant
from ems.plant.goose_end import GooseEnds
from ems.ports import Field
from ems.protocols.scl import SclFile, SingleLoad, site_models, write_icd
from ems.settings import Settings

log = logging.getLogger(__name__)
GOOSE_WIRE, MODBUS_WIRE = "goose", "modbus"
RTU_HOST, EMS_HOST = "192.0.2.1", "192.0.2.2"
"""Addresses for documentation, RFC 5737: nothing else uses them, here or anywhere."""
PORT = 502
ARRIVAL_LIMIT_S = 5.0
"""How long a stepped demo waits for a setpoint or a measurement to arrive [s]: a thousand times
what it takes. Then it goes on, and the figures show what was lost."""
CLOSE_KW = 1e-3
"""Setpoints this close are the same: the finest count of their registers is a watt [kW]."""
METER_KW = 1.0
"""What the registers of powers can tell at least [kW]."""
REFRESH_S = 0.05
"""Some twenty times what a setpoint takes from register to device [s]."""
PAUSE_S = 0.002
"""Between two looks [s]."""
END_LIMIT_S = 10.0
"""Time for the RTU to end when it is told to [s]."""


@contextmanager
def goose_link(plant: Plant) -> Iterator[Link]:
    """The plant's devices on GOOSE, and an RTU before the EMS.

    Raises:
        BadInput: this machine lacks what it needs.
    """
    check_possible("--field goose")
    # One load as large as the segment's: the demo's meter shows their sum only.
    loads = [SingleLoad(name=LOAD, rated_kw=plant.site.load_max_kw)]
    files = site_models(plant.site.ders, loads)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="geems-icd-")))
        plant_net, rtu_net, ems_net = (_namespace(stack) for _ in range(3))
        cable(plant_net, rtu_net, GOOSE_WIRE)
        cable(rtu_net, ems_net, MODBUS_WIRE, (f"{RTU_HOST}/30", f"{EMS_HOST}/30"))
        rtu = stack.enter_context(_rtu(rtu_net, _stored(files, folder)))
        ends = GooseEnds(plant.registers, files, GOOSE_WIRE, prefix=plant_net.prefix)
        stack.enter_context(ends)
        addresses = dict(zip(files, rtu.addresses, strict=True))
        link = _GooseLink(plant, ends, ems_net, addresses, rtu.check)
        try:
            yield link
        except KeyboardInterrupt:  # the RTU's end may be what interrupts
            rtu.check_died()
            raise
        rtu.check_died()


def _namespace(stack: ExitStack) -> Namespace:
    made = Namespace()
    stack.callback(made.close)
    return made


def _stored(files: Mapping[str, SclFile], folder: Path) -> list[Path]:
    paths = []
    for file in files.values():
        path = folder / f"{file.ieds[0].name}.icd"
        path.write_bytes(write_icd(file))
        paths.append(path)
    return paths


class _Rtu:
    """`geems rtu` while it runs."""

    def __init__(self, process: "subprocess.Popen[str]", complaints: IO[str]) -> None:
        self._process, self._complaints = process, complaints
        self.addresses = _announced(process, complaints)
        """Where its devices answer, in the order of the files."""
        self._died = self._closing = False
        self._watching = threading.Thread(target=self._watch, name="demo-rtu", daemon=True)
        self._watching.start()

    def _watch(self) -> None:
        """Where the demo ends when it is told to, tell it once the RTU is no more."""
        # Code 0 is an RTU that was told to end.
        if self._process.wait() and not self._closing:
            self._died = True
            if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:  # else `check` finds out
                os.kill(os.getpid(), signal.SIGTERM)

    def close(self) -> None:
        """It is ended now, whatever its code."""
        self._closing = True

    def check_died(self) -> None:
        """See that it did not end by itself.

        Raises:
            GeemsError: it did.
        """
        if self._died:
            self.check()

    def check(self) -> None:
        """See that it runs.

        Raises:
            GeemsError: it has ended.
        """
        if self._process.poll() is not None:
            raise GeemsError(f"the RTU has ended: {_said(self._process, self._complaints)}")


def _said(process: "subprocess.Popen[str]", complaints: IO[str]) -> str:
    """What a process that has ended told on standard error."""
    complaints.seek(0)
    return complaints.read().strip() or f"it said nothing, code {process.returncode}"


@contextmanager
def _rtu(net: Namespace, icds: list[Path]) -> Iterator[_Rtu]:
    """`geems rtu` in its network."""
    command = [
        *net.prefix, sys.executable, "-m", "ems.cli", "rtu", *map(str, icds),
        "--interface", GOOSE_WIRE, "--host", RTU_HOST, "--port", str(PORT), "--json",
    ]  # fmt: skip
    with tempfile.TemporaryFile("w+") as complaints:
        # A group of its own: an interrupt typed at the demo is to end the RTU last, not first.
        process = subprocess.Popen(  # noqa: S603 - this interpreter, our own program
            command, stdout=subprocess.PIPE, stderr=complaints, text=True, process_group=0
        )
        try:
            rtu = _Rtu(process, complaints)
            try:
                yield rtu
            finally:
                rtu.close()
        finally:
            process.terminate()
            try:
                process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _announced(process: "subprocess.Popen[str]", complaints: IO[str]) -> list[DeviceAddress]:
    """What the RTU says once it serves."""
    lines = []
    for line in process.stdout or ():
        lines.append(line)
        if line.rstrip() == "}":
            break
    try:
        devices = json.loads("".join(lines))["devices"].values()
    except (ValueError, KeyError):
        process.wait(END_LIMIT_S)
        raise GeemsError(f"the RTU does not start: {_said(process, complaints)}") from None
    places = [str(device).rsplit(":", 1) for device in devices]
    return [DeviceAddress(host=host, port=int(port), unit=1) for host, port in places]


class _GooseLink:
    """What stands between plant and EMS while the demo runs."""

    def __init__(
        self,
        plant: Plant,
        ends: GooseEnds,
        ems_net: Namespace,
        addresses: Mapping[str, DeviceAddress],
        check: Callable[[], None],
    ) -> None:
        self._plant, self._ends, self._check = plant, ends, check
        self._ems_net, self._addresses = ems_net, addresses
        self._unplugged: set[str] = set()

    @contextmanager
    def open_site(self, settings: Settings) -> Iterator[OpenSite]:
        """The EMS with its sockets in its own network; the page stays outside."""
        with ExitStack() as stack:
            opening = open_site(settings, self._addresses)
            yield self._ems_net.call(partial(stack.enter_context, opening))

    def unplug(self, name: str) -> None:
        """Pull a device's plug: it is no longer heard on GOOSE, and hears nothing."""
        self._ends.unplug(name)
        self._unplugged.add(name)

    def replug(self, name: str) -> None:
        """Put it back."""
        self._ends.replug(name)
        self._unplugged.discard(name)

    def wait_for_orders(self, record: CycleRecord) -> None:
        """Return once the devices hold what a cycle wrote and read back."""
        for name, outcome in record.outcomes.items():
            if isinstance(outcome, Sent) and name not in self._unplugged:
                held = partial(self._holds, name, outcome.readback)
                self._until(held, f"setpoint of {name}")

    def _holds(self, name: str, wanted: Readback) -> bool:
        there = self._ends.orders(name)
        pairs = (
            (there.p_kw, wanted.p_kw),
            (there.q_kvar, wanted.q_kvar),
            (there.cap_kw, wanted.cap_kw),
        )
        return all(
            a == b if a is None or b is None else math.isclose(a, b, abs_tol=CLOSE_KW)
            for a, b in pairs
        )

    def wait_for_silence(self, field: Field, now: datetime, name: str) -> None:
        """Return once the device's time allowed to live has run out."""

        def is_silent() -> bool:
            return isinstance(field.read(now)[name], DeviceError)

        self._until(is_silent, f"silence of {name}")

    def wait_for_refresh(self) -> None:
        """Give what was refreshed the time to arrive: it changes nothing that could be seen."""
        self._check()
        time.sleep(REFRESH_S)

    def wait_for_measurements(self, field: Field, now: datetime) -> None:
        """Return once the EMS reads every device's present heartbeat and power, and the load."""
        self._ends.publish()
        there = [n for n in self._plant.site.names if n not in self._unplugged]
        shown = {name: self._ends.shown(name) for name in there}
        load_kw = self._plant.truth().load_kw

        def arrived() -> bool:
            found, load = field.read(now), field.read_load(now)
            metered = isinstance(load, LoadReading) and abs(load.p_kw - load_kw) <= METER_KW
            return metered and all(_same(found[name], *shown[name]) for name in there)

        self._until(arrived, "measurements")

    def _until(self, arrived: Callable[[], bool], what: str) -> None:
        """Return once something has arrived, or is late beyond hope.

        Raises:
            GeemsError: the RTU has ended, so nothing will.
        """
        deadline = time.monotonic() + ARRIVAL_LIMIT_S
        while True:
            self._check()
            if arrived():
                return
            if time.monotonic() > deadline:
                log.warning("%s: not arrived within %g s", what, ARRIVAL_LIMIT_S)
                return
            time.sleep(PAUSE_S)


def _same(reading: DerReading | DeviceError, beat: int | None, p_kw: float | None) -> bool:
    return (
        isinstance(reading, DerReading)
        and reading.heartbeat == beat
        and (p_kw is None or abs(reading.p_kw - p_kw) <= METER_KW)
    )
