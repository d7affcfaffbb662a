"""Many simulated inverters, each a client of one IEEE 2030.5 server with a certificate of its own.

All clients live on one event loop, and so do the inverters' seconds: nothing of a device is
touched by two threads.
"""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ems.clock import Clock
from ems.domain import Bes, Der, Pv
from ems.enddevice.client import EndDeviceClient
from ems.enddevice.session import Session, lfdi_of_file, tls
from ems.errors import BadInput
from ems.plant.events import EventList
from ems.plant.fleet import QUIET, STEP_S, Seen, allow_descriptors
from ems.plant.ieee2030_5.der import SimulatedDer
from ems.plant.terminal import NOMINAL, Terminal
from ems.protocols.ieee2030_5 import identity
from ems.protocols.loop_thread import LoopThread

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What one device shows its server."""

    name: str
    """Of its certificate's file."""
    certificate: Path
    key: Path
    lfdi: str

    @property
    def sfdi(self) -> int:
        """Short form, with check digit."""
        return identity.sfdi_of(self.lfdi)


def credentials_of(folder: Path, ders: Sequence[str]) -> tuple[Credentials, ...]:
    """A certificate for each DER: the one of its name, or else one after another.

    Args:
        folder: of certificates, as `geems ieee2030-5 certs` makes it.
        ders: names.

    Raises:
        BadInput: there are too few, or one cannot be used.
    """
    devices = folder / "devices"
    files = {file.stem: file for file in devices.glob("*.pem")}
    names = list(ders) if files.keys() >= set(ders) else sorted(files, key=_natural)[: len(ders)]
    if len(names) < len(ders):
        raise BadInput.at(
            "--certs",
            f"{devices} holds {len(files)} certificates for {len(ders)} DERs; make them by: "
            f"geems ieee2030-5 certs {folder} --devices {len(ders)}",
        )
    return tuple(
        Credentials(
            name=name,
            certificate=files[name],
            key=files[name].with_suffix(".key"),
            lfdi=lfdi_of_file(files[name]),
        )
        for name in names
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """`device-2` before `device-10`."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ]


class ClientFleet:
    """The DERs, their clients, their time."""

    def __init__(
        self,
        ders: Sequence[Der],
        credentials: Sequence[Credentials],
        authorities: Path,
        server: str,
        *,
        clock: Clock,
        events: EventList = QUIET,
        sun: float = 0.8,
        soc_pct: float = 50.0,
        poll_s: int | None = None,
    ) -> None:
        """Power them up; nobody has asked the server yet.

        Args:
            ders: what they are: PV plants and batteries.
            credentials: of each.
            authorities: roots that the server is trusted by.
            server: its URL.
            clock: where clients take the time from; its first instant is the fleet's.
            events: what they feel of the grid.
            sun: what the sun offers every PV plant, over its rating [1].
            soc_pct: state of charge of every battery [%].
            poll_s: ask at least this often [s].

        Raises:
            BadInput: a certificate cannot be used.
        """
        self.ders = tuple(ders)
        self.credentials = tuple(credentials)
        self.started: datetime = clock.now().astimezone(UTC)
        self.t_s = 0
        """Seconds lived through [s]."""
        self.devices = {
            der.name: SimulatedDer(der, soc_pct=soc_pct)
            for der in ders
            if isinstance(der, Pv | Bes)
        }
        self.clients: Mapping[str, EndDeviceClient] = {}
        """By DER, once they are started."""
        self._events = events
        self._sun = sun
        self._felt: Mapping[str, Terminal] = events.at(0.0)
        self._clock = clock
        self._server = server
        self._poll_s = poll_s
        self._contexts = [tls(c.certificate, c.key, authorities, check_name=True)
                          for c in credentials]  # fmt: skip
        self._sessions: list[Session] = []
        self._loop: LoopThread | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of all DERs, in their order."""
        return tuple(self.devices)

    @property
    def registered(self) -> int:
        """How many have found themselves at the server."""
        return sum(client.registered.is_set() for client in self.clients.values())

    @property
    def trouble(self) -> Mapping[str, str]:
        """By DER, why there is no server for it at present."""
        found = {name: client.trouble or client.fault for name, client in self.clients.items()}
        return {name: trouble for name, trouble in found.items() if trouble}

    def start(self) -> None:
        """Let all clients look for their server."""
        allow_descriptors(len(self.devices), "connections")
        self._loop = LoopThread("geems-fleet")
        self._loop.run(self._start())

    def step(self) -> None:
        """Live through one second, feeling what holds at its end."""
        self.t_s += STEP_S
        if self._loop is not None:
            self._loop.run(self._step())

    def seen(self) -> tuple[Seen, ...]:
        """All of them as they are now."""
        return tuple(
            Seen(
                der=name,
                p_kw=device.inverter.p_kw,
                q_kvar=device.inverter.q_kvar,
                v_pu=device.at.v_pu,
                hz=device.at.hz,
                state=str(device.inverter.state),
            )
            for name, device in self.devices.items()
        )

    def stop(self) -> None:
        """Close all connections. May be called twice."""
        if self._loop is None:
            return
        self._loop.run(self._close())
        self._loop.close()
        self._loop = None

    # --- on the loop ---------------------------------------------------------------------

    async def _start(self) -> None:
        clients: dict[str, EndDeviceClient] = {}
        for (name, device), shown, context in zip(
            self.devices.items(), self.credentials, self._contexts, strict=True
        ):
            session = Session(self._server, context)
            client = EndDeviceClient(
                session, shown.lfdi, device, clock=self._clock, poll_s=self._poll_s
            )
            self._sessions.append(session)
            clients[name] = client
        self._running = [
            asyncio.create_task(self._live(name, client), name=name)
            for name, client in clients.items()
        ]
        self.clients = clients

    async def _live(self, name: str, client: EndDeviceClient) -> None:
        """One client, whose end is not that of the others."""
        try:
            await client.run()
        except Exception as error:
            log.exception("%s: its client has ended", name)
            client.trouble = f"its client has ended: {error!r}"

    async def _step(self) -> None:
        self._felt = self._events.at(self.t_s)
        for name, device in self.devices.items():
            at = self._felt.get(name, NOMINAL)
            device.step(self._sun * device.der.rated_kw, at)

    async def _close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for session in self._sessions:
            await session.close()
