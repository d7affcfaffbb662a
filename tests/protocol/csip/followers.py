"""Inverters behind our own clients, at the server under test, by the clock that tests move."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from ems.domain import Pv
from ems.enddevice.client import EndDeviceClient
from ems.enddevice.session import Session, tls
from ems.plant.ieee2030_5 import SimulatedDer
from ems.plant.inverter import State
from ems.plant.terminal import NOMINAL, Terminal
from ems.protocols.ieee2030_5 import modes, sep
from ems.protocols.loop_thread import LoopThread
from tests.protocol.csip.utility import PIN, Utility

SUNNY_KW = 80.0
REGISTERED_S = 30.0
"""Longer than a registration takes on a loaded machine [s]."""


class Followers:
    """Inverters by name, each a client with a certificate of its own, or behind an aggregator's."""

    def __init__(self, utility: Utility) -> None:
        self.utility = utility
        self.ders: dict[str, SimulatedDer] = {}
        self._clients: dict[str, EndDeviceClient] = {}
        self._sessions: list[Session] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._loop = LoopThread("csip-clients")

    def follow(self, *names: str, through: str | None = None) -> None:
        """Let inverters find their server and follow it, by their own certificates or another's."""
        shown = through or names[0]
        issued = self.utility.issued(shown)
        context = tls(issued.cert_file, issued.key_file, self.utility.pki.ca_file, check_name=True)
        session = Session(self.utility.url, context)
        self._sessions.append(session)

        async def start() -> None:
            for name in names:
                der = SimulatedDer(Pv(name=name, bus=name, rated_kw=100.0, q_max_kvar=50.0))
                client = EndDeviceClient(
                    session,
                    self.utility.issued(name).lfdi,
                    der,
                    clock=self.utility.clock,
                    pin=PIN,
                )
                self.ders[name], self._clients[name] = der, client
                self._tasks.append(asyncio.create_task(client.run()))
            async with asyncio.timeout(REGISTERED_S):
                for name in names:
                    await self._clients[name].refresh()

        self._loop.run(start())
        self.live(2)

    def state(self, name: str) -> State:
        """What an inverter is doing."""
        return self.ders[name].inverter.state

    def refresh(self) -> None:
        """Let all of them read, follow and answer."""

        async def refreshing() -> None:
            async with asyncio.timeout(REGISTERED_S):
                for client in self._clients.values():
                    await client.refresh()

        self._loop.run(refreshing())

    def pass_s(self, seconds: float) -> None:
        """Let time pass, at once, and everybody look what it brings."""
        self.utility.pass_s(seconds)
        self.refresh()

    def live(self, seconds: int, at: Terminal = NOMINAL) -> None:
        """Let the inverters live, under a grid."""

        async def living() -> None:
            for _ in range(seconds):
                for der in self.ders.values():
                    der.step(SUNNY_KW, at)

        self._loop.run(living())

    def answers(self, mrid: str) -> dict[str, list[int]]:
        """Statuses of the Responses to an event, by inverter, in the order they came."""
        found: dict[str, list[int]] = {}
        names = {self.utility.issued(name).lfdi: name for name in self.ders}
        for answer in self.utility.do(lambda: self.utility.board.responses(mrid)):
            found.setdefault(names[answer.lfdi], []).append(answer.status)
        return found

    def sources(self) -> dict[str, Mapping[str, str]]:
        """By inverter and mode, the mRID of what is in force."""
        return {
            name: {mode: o.source for mode, o in der.control.ordered.items()}
            for name, der in self.ders.items()
        }

    def publish(self, program: str, start_s: int, duration_s: int, **base: Any) -> str:
        """A control that starts so many seconds from now; its mRID."""
        board, start = self.utility.board, self.utility.now + start_s
        made = self.utility.do(
            lambda: board.publish(
                program, base=sep.DERControlBase(**base), start=start, duration=duration_s
            )
        )
        return made.mrid

    def default(self, program: str, limit: int, **settings: int) -> str:
        """A default control with a limit; its mRID."""
        board, base = self.utility.board, sep.DERControlBase(opModMaxLimW=limit)
        change = partial(board.set_default, program, base, **settings)  # type: ignore[arg-type]  # by name
        made = self.utility.do(change)
        assert made.default is not None
        return made.default.mRID

    def curve(self, mode: str, *points: Any, **of: Any) -> sep.Link:
        """A curve of a mode, by its link."""
        board = self.utility.board
        made = self.utility.do(
            lambda: board.add_curve(mode, type=modes.CURVE_TYPES.index(mode), points=points, **of)
        )
        return sep.Link(href=made.href)

    def close(self) -> None:
        async def closing() -> None:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for session in self._sessions:
                await session.close()

        self._loop.run(closing())
        self._loop.close()
