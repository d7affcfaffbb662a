"""IEEE 2030.5 clients over real TLS whose DERs a test scripts, and sites that they belong to."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ems.clock import WallClock
from ems.derms.certificates import Pki, make_pki
from ems.enddevice.application import NOT_APPLICABLE, NOTHING, ControlInForce, Measured, Value
from ems.enddevice.client import EndDeviceClient
from ems.enddevice.session import Session, lfdi_of_file, tls
from ems.protocols.ieee2030_5 import modes, sep, values
from ems.protocols.loop_thread import LoopThread
from ems.settings import TEMPLATE

MODES = frozenset({"opModMaxLimW", "opModFixedW", "opModFixedVar", "opModConnect"})
LOAD_KW = 9000.0
RATED_KW = {"pv": 10_000.0, "bes": 200.0, "dg": 3000.0, "load": 14_500.0}
OFFERED_KW = {"pv": 7000.0, "bes": 0.0, "dg": 2000.0, "load": -LOAD_KW}
"""What each does while nobody asks for anything."""


@dataclass(slots=True, kw_only=True)
class ScriptedDer:
    """A DER in memory that does what it is asked at once (`ems.enddevice.DerApplication`)."""

    rated_kw: float
    offered_kw: float
    """Power it makes while nobody asks for anything; a cap lowers it [kW]."""
    storage: bool = False
    supports: frozenset[str] = MODES
    rejects: int | None = None
    """The Response to every control; None: it follows."""
    asked: ControlInForce = NOTHING
    applied: list[ControlInForce] = field(default_factory=list)

    @property
    def p_kw(self) -> float:
        """What it does [kW]."""
        if self.asked.value("opModConnect") is False:
            return 0.0
        fixed, limit = self.asked.value("opModFixedW"), self.asked.value("opModMaxLimW")
        if isinstance(fixed, int):
            return values.share(fixed) * self.rated_kw
        cap_kw = values.share(limit) * self.rated_kw if isinstance(limit, int) else self.rated_kw
        return min(self.offered_kw, cap_kw)

    @property
    def q_kvar(self) -> float:
        """Likewise [kvar]."""
        fixed = self.asked.value("opModFixedVar")
        return values.share(fixed.value) * self.rated_kw if isinstance(fixed, sep.FixedVar) else 0.0

    def refuses(self, control: Mapping[str, Value]) -> int | None:
        if self.rejects is not None:
            return self.rejects
        return None if control.keys() <= self.supports else NOT_APPLICABLE

    def apply(self, control: ControlInForce) -> None:
        self.asked = control
        self.applied.append(control)

    def capability(self) -> sep.DERCapability:
        return sep.DERCapability(
            modesSupported=modes.bits_of(self.supports),
            rtgMaxW=values.active_power(self.rated_kw * 1000.0),
            rtgMaxVar=values.reactive_power(self.rated_kw * 1000.0),
            type_=80 if self.storage else 4,
        )

    def settings(self, now: int) -> sep.DERSettings:
        rated = values.active_power(self.rated_kw * 1000.0)
        return sep.DERSettings(setGradW=0, setMaxW=rated, updatedTime=now)

    def status(self, now: int) -> sep.DERStatus:
        soc = sep.StateOfChargeStatus(dateTime=now, value=6000) if self.storage else None
        return sep.DERStatus(readingTime=now, stateOfChargeStatus=soc)

    def availability(self, now: int) -> sep.DERAvailability:
        return sep.DERAvailability(readingTime=now)

    def information(self, lfdi: str) -> None: ...

    def power_status(self, now: int) -> None: ...

    def readings(self) -> Sequence[Measured]:
        return (
            Measured(
                name="active power", value=self.p_kw * 1000.0, uom=38, power_of_ten=0, kind=37
            ),
            Measured(
                name="reactive power", value=self.q_kvar * 1000.0, uom=63, power_of_ten=0, kind=37
            ),
        )


def ders() -> dict[str, ScriptedDer]:
    """All devices of the reference site."""
    return {
        name: ScriptedDer(
            rated_kw=RATED_KW[name], offered_kw=OFFERED_KW[name], storage=name == "bes"
        )
        for name in RATED_KW
    }


class Clients:
    """Clients that live in a thread of their own; each can be unplugged."""

    def __init__(self, pki: Pki, url: str, applications: Mapping[str, ScriptedDer]) -> None:
        self._pki, self._url = pki, url
        self.ders = dict(applications)
        self._loop = LoopThread("clients")
        self._running: dict[str, asyncio.Task[None]] = {}

    def plug(self, *names: str) -> None:
        """Let them begin."""
        self._loop.run(self._begin(names))

    def unplug(self, *names: str) -> None:
        """Let them fall silent, in the middle of whatever they do."""
        self._loop.run(self._cancel(names))

    def close(self) -> None:
        self.unplug(*self._running)
        self._loop.close()

    async def _begin(self, names: Sequence[str]) -> None:
        for name in names:
            task = asyncio.get_running_loop().create_task(self._live(name))
            self._running[name] = task

    async def _cancel(self, names: Sequence[str]) -> None:
        tasks = [self._running.pop(name) for name in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _live(self, name: str) -> None:
        issued = self._pki.device[name]
        context = tls(issued.cert_file, issued.key_file, self._pki.ca_file, check_name=True)
        session = Session(self._url, context)
        client = EndDeviceClient(
            session, lfdi_of_file(issued.cert_file), self.ders[name], clock=WallClock()
        )
        try:
            await client.run()
        finally:
            await session.close()


def site_of_clients(
    folder: Path, *, port: int = 0, poll_s: int = 1, timeout_s: float = 10.0, more: str = ""
) -> tuple[Path, Pki]:
    """The reference site, its devices and its meter clients of its own server."""
    pki = make_pki(folder / "pki", tuple(RATED_KW))
    text = TEMPLATE.read_text(encoding="utf-8")
    for at, name in enumerate(("load", "pv", "bes", "dg")):
        named = f'protocol = "ieee2030_5", enddevice = "{name}", timeout_s = {timeout_s}'
        text = text.replace(f'host = "127.0.0.1", port = {5020 + at}', named)
    text = text.replace("port = 8080", "port = 0")
    text = text.replace('method = "lstm"', 'method = "clear_sky"')
    devices = "".join(
        f'[[ieee2030_5.device]]\nname = "{name}"\nlfdi = "{pki.device[name].lfdi}"\n'
        for name in RATED_KW
    )
    table = (
        f"[ieee2030_5]\nport = {port}\npoll_rate_s = {poll_s}\npost_rate_s = {poll_s}\n"
        f'cert_file = "{pki.server.cert_file}"\nkey_file = "{pki.server.key_file}"\n'
        f'ca_file = "{pki.ca_file}"\n'
    )
    path = folder / "site.toml"
    path.write_text(f"{text}\n{table}{devices}{more}", encoding="utf-8")
    return path, pki


@contextmanager
def living(
    pki: Pki, url: str, applications: Mapping[str, ScriptedDer] | None = None
) -> Iterator[Clients]:
    """Clients that are all plugged in."""
    made = Clients(pki, url, applications or ders())
    try:
        made.plug(*made.ders)
        yield made
    finally:
        made.close()
