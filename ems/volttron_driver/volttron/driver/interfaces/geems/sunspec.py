"""SunSpec points of one device by name: `704.WMaxLimPct`, `705.Crv[1].Pt[2].V`.

Model definitions and transport are pysunspec2's. Its scaling is not used for writing: it rounds
65.15 % up to the next count, and a limit must never come out above what was asked.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from decimal import ROUND_DOWN, Decimal
from typing import Any

from gevent.lock import RLock
from sunspec2.modbus.client import (
    SunSpecModbusClientDeviceTCP,
    SunSpecModbusClientError,
    SunSpecModbusValueError,
)
from sunspec2.modbus.modbus import ModbusClientError
from volttron.driver.base.interfaces import DriverInterfaceError

REFERENCE = re.compile(
    r"(?P<model>\d+)\.(?P<path>[A-Za-z_]\w*(\[\d+\])?(\.[A-Za-z_]\w*(\[\d+\])?)*)"
)
FAILURES = (OSError, ModbusClientError, SunSpecModbusClientError, SunSpecModbusValueError)
"""What a device that does not answer, or refuses, makes the library raise."""
TEXT = {"string", "ipaddr", "ipv6addr", "eui48"}


class SunSpecDevice:
    """One connection, opened when it is first needed, and again whenever it broke."""

    def __init__(self, address: str, port: int, unit: int, timeout_s: float) -> None:
        self.place = f"{address}:{port}, unit {unit}"
        self._make = lambda: SunSpecModbusClientDeviceTCP(
            slave_id=unit, ipaddr=address, ipport=port, timeout=timeout_s
        )
        self._device: Any = None
        self._turn = RLock()

    def close(self) -> None:
        """End the connection. May be called twice."""
        with self._turn:
            if self._device is not None:
                self._device.close()
                self._device = None

    def read(self, references: Iterable[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """Read points, each model once.

        Returns:
            Values by reference, and why the others have none.
        """
        values: dict[str, Any] = {}
        errors: dict[str, str] = {}
        fresh: dict[int, str] = {}
        with self._turn:
            for reference in references:
                try:
                    model_id, _ = split(reference)
                    if model_id not in fresh:
                        fresh[model_id] = self._refresh(model_id)
                    if fresh[model_id]:
                        errors[reference] = fresh[model_id]
                        continue
                    value = _value(self._point(reference))
                except DriverInterfaceError as fault:
                    errors[reference] = str(fault)
                    continue
                if value is None:
                    errors[reference] = f"{self.place}: {reference} reads as not available (NaN)"
                else:
                    values[reference] = value
        return values, errors

    def write(self, reference: str, value: Any) -> Any:
        """Write one point in one request, and read its registers back.

        Returns:
            What the device then holds, in the point's unit.

        Raises:
            DriverInterfaceError: refused, not answered, or the device holds something else.
        """
        with self._turn:
            values, errors = self.read([reference])
            if reference not in values and "not available" not in errors[reference]:
                raise DriverInterfaceError(errors[reference])
            point = self._point(reference)
            raw = _raw(reference, value, point)
            try:
                point.value = raw
                point.write()
                point.read()
            except FAILURES as fault:
                self.close()
                raise DriverInterfaceError(
                    f"{self.place}: {reference} not written: {fault}"
                ) from fault
            if point.value != raw:
                raise DriverInterfaceError(
                    f"{self.place}: {reference}: asked {raw} counts, the device holds {point.value}"
                )
            return _value(point)

    def points(self) -> Iterator[tuple[str, str, bool, str]]:
        """Every point the device implements: reference, unit, writable, label."""
        with self._turn:
            device = self._connected()
            for key, instances in device.models.items():
                if isinstance(key, int):
                    for path, point in _walk(instances[0], ""):
                        pdef = point.pdef
                        if pdef["type"] in {"pad", "sunssf"} or path in {"ID", "L"}:
                            continue
                        if _value(point) is not None:
                            yield (
                                f"{key}.{path}",
                                pdef.get("units") or "",
                                pdef.get("access") == "RW",
                                pdef.get("label") or "",
                            )

    def kinds(self, references: Iterable[str]) -> dict[str, type]:
        """Python types of the points the device has: whole numbers, quantities or text."""
        found: dict[str, type] = {}
        with self._turn:
            try:
                self._connected()
            except DriverInterfaceError:
                return found
            for reference in references:
                with suppress(DriverInterfaceError):
                    found[reference] = _kind(self._point(reference).pdef)
        return found

    # --- the connection ----------------------------------------------------------------

    def _connected(self) -> Any:
        if self._device is None:
            device = self._make()
            try:
                device.scan(full_model_read=True)
                device.connect()
            except FAILURES as fault:
                device.close()
                raise DriverInterfaceError(f"{self.place}: no SunSpec device ({fault})") from fault
            self._device = device
        return self._device

    def _refresh(self, model_id: int) -> str:
        """Read one model; why that failed, empty where it did not."""
        for again in (True, False):
            kept = self._device is not None
            try:
                self._model(model_id).read()
            except DriverInterfaceError as fault:
                return str(fault)
            except FAILURES as fault:
                self.close()
                # A connection kept from the last call may have died unseen: once more.
                if not (again and kept):
                    return f"{self.place}: no answer ({fault})"
            else:
                return ""
        return f"{self.place}: no answer"

    def _model(self, model_id: int) -> Any:
        models = self._connected().models
        if model_id not in models:
            there = ", ".join(str(m) for m in models if isinstance(m, int))
            raise DriverInterfaceError(f"{self.place}: no model {model_id}; it has {there}")
        return models[model_id][0]

    def _point(self, reference: str) -> Any:
        model_id, path = split(reference)
        found = self._model(model_id)
        for step in path.split("."):
            name, _, index = step.partition("[")
            if index:
                repeats = found.groups.get(name)
                number = int(index.rstrip("]"))
                if not isinstance(repeats, list) or not 1 <= number <= len(repeats):
                    raise DriverInterfaceError(f"{self.place}: no {step} in {reference}")
                found = repeats[number - 1]
            elif name in found.groups:
                found = found.groups[name]
            elif name in found.points:
                found = found.points[name]
            else:
                raise DriverInterfaceError(f"{self.place}: no {name} in model {model_id}")
        if not hasattr(found, "pdef"):
            raise DriverInterfaceError(f"{reference} is a group, not a point")
        return found


def _kind(pdef: dict[str, Any]) -> type:
    if pdef["type"] in TEXT:
        return str
    return float if pdef.get("sf") or pdef["type"].startswith("float") else int


def split(reference: str) -> tuple[int, str]:
    """Model and path of a reference.

    Raises:
        DriverInterfaceError: it is not written like one.
    """
    found = REFERENCE.fullmatch(reference)
    if found is None:
        raise DriverInterfaceError(
            f"'{reference}' is no SunSpec point; write model and point, as 704.WMaxLimPct"
        )
    return int(found["model"]), found["path"]


def _raw(reference: str, value: Any, point: Any) -> Any:
    """The count that stands for a value, towards zero: never more than was asked."""
    if point.pdef["type"] in TEXT:
        return str(value)
    try:
        exact = Decimal(str(value if not isinstance(value, bool) else int(value)))
    except ArithmeticError:
        exact = Decimal("NaN")
    if not exact.is_finite():
        raise DriverInterfaceError(f"{reference}: {value!r} is not a finite number")
    if point.pdef["type"].startswith("float"):
        return float(exact)
    sf = _scale_factor(point)
    if sf is None:
        raise DriverInterfaceError(f"{reference}: its scale factor reads as not available")
    return int(exact.scaleb(-sf).to_integral_value(rounding=ROUND_DOWN))


def _scale_factor(point: Any) -> int | None:
    """Exponent of a point: 0 where it has none, None where the device does not tell it."""
    sf = point.pdef.get("sf")
    if sf is None:
        return 0
    if isinstance(sf, int):
        return sf
    holder = point.group.points.get(sf) or point.model.points.get(sf)
    return None if holder is None else holder.value


def _value(point: Any) -> Any:
    """The quantity in the point's unit; None where it is not available.

    Not the library's own scaling: without a scale factor that passes the bare count on.
    """
    raw = point.value
    if raw is None or point.pdef["type"] in TEXT or isinstance(raw, float):
        return raw
    sf = _scale_factor(point)
    if sf is None:
        return None
    return float(Decimal(raw).scaleb(sf)) if point.pdef.get("sf") is not None else raw


def _walk(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, point in group.points.items():
        yield prefix + name, point
    for name, inner in group.groups.items():
        if isinstance(inner, list):
            for number, one in enumerate(inner, start=1):
                yield from _walk(one, f"{prefix}{name}[{number}].")
        else:
            yield from _walk(inner, f"{prefix}{name}.")
