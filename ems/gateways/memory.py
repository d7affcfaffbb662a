"""A field held in memory: for tests, and for trying things without a network.

It keeps the promises of `ems.ports.Field`: what is not written stays, a refused write
changes nothing, a device that fails does not disturb the others.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from ems.domain import Bes, Command, Der, DerReading, LoadReading, Pv, Readback, Site
from ems.errors import DeviceError, RefusedWrite

LOAD = "load"
"""Name of the aggregate load meter in `fail`."""


class MemoryField:
    """Devices as plain values; what is written is what they do at once."""

    def __init__(
        self,
        site: Site,
        load_kw: float,
        load_kvar: float | None = None,
        p_kw: Mapping[str, float] | None = None,
        q_kvar: Mapping[str, float] | None = None,
        soc_pct: Mapping[str, float] | None = None,
    ) -> None:
        """Start in the state given; DERs not named start at 0 kW, batteries at 60 %.

        Args:
            site: what is installed.
            load_kw: what the meter shows, consumption positive [kW].
            load_kvar: likewise, None where the meter does not measure it [kvar].
            p_kw: active power of each DER, injection positive [kW].
            q_kvar: reactive power of each DER, injection positive [kvar].
            soc_pct: state of charge of each battery [%].
        """
        self._ders = {d.name: d for d in site.ders}
        self._failing: dict[str, DeviceError] = {}
        self.load_kw = load_kw
        self.load_kvar = load_kvar
        self.p_kw = {d.name: 0.0 for d in site.ders} | dict(p_kw or {})
        self.q_kvar = {d.name: 0.0 for d in site.ders} | dict(q_kvar or {})
        self.soc_pct = {d.name: 60.0 for d in site.bess} | dict(soc_pct or {})
        self.cap_kw: dict[str, float | None] = {d.name: None for d in site.pvs}
        self.available_kw: dict[str, float] = {}
        """Power the sun offers each PV plant; its rating where none is given [kW]."""
        self.tells_available = False
        """Whether PV plants tell what the sun offers them."""
        self.written: list[Command] = []
        """Every command that was carried out, in order."""
        self.closed = False

    def fail(self, name: str, error: DeviceError | None) -> None:
        """Let a device (or `LOAD`) fail from now on; None mends it.

        A `RefusedWrite` fails writes only; any other error reads and writes.
        """
        if error is None:
            self._failing.pop(name, None)
        else:
            self._failing[name] = error

    def read(self, now: datetime) -> Mapping[str, DerReading | DeviceError]:
        """Read every DER."""
        return {name: self._read_fault(name) or self._reading(name, now) for name in self._ders}

    def read_load(self, now: datetime) -> LoadReading | DeviceError:
        """Read the aggregate load meter."""
        reading = LoadReading(time=now, p_kw=self.load_kw, q_kvar=self.load_kvar)
        return self._read_fault(LOAD) or reading

    def write(self, commands: Sequence[Command]) -> Mapping[str, Readback | DeviceError]:
        """Carry each command out, unless its device fails or would refuse it."""
        return {c.der: self._write_one(self._ders[c.der], c) for c in commands}

    def close(self) -> None:
        """Only remembers that it was asked to."""
        self.closed = True

    def _read_fault(self, name: str) -> DeviceError | None:
        fault = self._failing.get(name)
        return None if isinstance(fault, RefusedWrite) else fault

    def _reading(self, name: str, now: datetime) -> DerReading | DeviceError:
        p_kw, q_kvar = self.p_kw[name], self.q_kvar[name]
        if not (math.isfinite(p_kw) and math.isfinite(q_kvar)):
            return DeviceError(f"{name}: P or Q reads as not available (NaN)")
        return DerReading(
            der=name,
            time=now,
            p_kw=p_kw,
            q_kvar=q_kvar,
            soc_pct=self.soc_pct.get(name),
            cap_kw=self.cap_kw.get(name),
            available_kw=self.available_kw.get(name) if self.tells_available else None,
            rated_kw=self._ders[name].rated_kw,
        )

    def _write_one(self, der: Der, command: Command) -> Readback | DeviceError:
        fault = self._failing.get(der.name) or _refusal(der, command)
        if fault is not None:
            return fault
        self.written.append(command)
        if isinstance(der, Pv):
            self.cap_kw[der.name] = command.cap_kw
            offered = self.available_kw.get(der.name, der.rated_kw)
            cap = der.rated_kw if command.cap_kw is None else command.cap_kw
            self.p_kw[der.name] = min(offered, cap)
        elif command.p_kw is not None:
            self.p_kw[der.name] = command.p_kw
        self.q_kvar[der.name] = command.q_kvar
        return Readback(p_kw=command.p_kw, q_kvar=command.q_kvar, cap_kw=command.cap_kw)


def _refusal(der: Der, command: Command) -> RefusedWrite | None:
    """What a real device would refuse, in the same words' sense."""
    numbers = (command.p_kw, command.cap_kw, command.q_kvar, command.reversion_kw)
    if not all(math.isfinite(x) for x in numbers if x is not None):
        return RefusedWrite(f"{der.name}: a setpoint is not a finite number; nothing was written")
    if (command.p_kw is None) != isinstance(der, Pv):
        return RefusedWrite(f"{der.name}: cap and setpoint confused; nothing was written")
    lowest = -der.rated_kw if isinstance(der, Bes) else 0.0
    p_kw = command.p_kw if command.p_kw is not None else 0.0
    if not lowest <= p_kw <= der.rated_kw or abs(command.q_kvar) > der.q_max_kvar:
        return RefusedWrite(
            f"{der.name}: {p_kw:g} kW, {command.q_kvar:g} kvar lie beyond its rating; "
            "nothing was written"
        )
    return None
