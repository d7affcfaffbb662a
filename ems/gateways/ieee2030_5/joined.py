"""A field made of several: each DER is read and written by the one that it belongs to."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from ems.domain import Command, DerReading, LoadReading, Readback
from ems.errors import DeviceError
from ems.ports import Field


class JoinedField:
    """Several fields as one (`ems.ports.Field`), asked in parallel: none waits for another."""

    def __init__(self, fields: Mapping[str, Field], load: Field) -> None:
        """Join them.

        Args:
            fields: by name of the DER; one field may have many.
            load: reads the meter of the load.
        """
        self._of = dict(fields)
        self._load = load
        self._parts: tuple[Field, ...] = tuple(
            {id(f): f for f in (*fields.values(), load)}.values()
        )
        self._pool = ThreadPoolExecutor(len(self._parts), thread_name_prefix="geems-joined")

    def read(self, now: datetime) -> Mapping[str, DerReading | DeviceError]:
        """Read every DER."""
        found: dict[str, DerReading | DeviceError] = {}
        for answers in self._pool.map(lambda part: part.read(now), self._parts):
            found |= answers
        return found

    def read_load(self, now: datetime) -> LoadReading | DeviceError:
        """Read the aggregate load meter."""
        return self._load.read_load(now)

    def write(self, commands: Sequence[Command]) -> Mapping[str, Readback | DeviceError]:
        """Write each command through its own field.

        Raises:
            ValueError: a command names no DER of the site, or two name the same.
        """
        names = [c.der for c in commands]
        if len(set(names)) != len(names) or not set(names) <= set(self._of):
            raise ValueError(f"commands must name DERs of the site, each once: {names}")
        shares = [
            (part, mine)
            for part in self._parts
            if (mine := [c for c in commands if self._of[c.der] is part])
        ]
        found: dict[str, Readback | DeviceError] = {}
        for answers in self._pool.map(lambda share: share[0].write(share[1]), shares):
            found |= answers
        return found

    def close(self) -> None:
        """End all connections."""
        self._pool.shutdown()
        for part in self._parts:
            part.close()
