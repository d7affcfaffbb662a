"""Following a utility: its DERControls are limits of the site, not orders to single devices.

The site shows itself to the utility's server as one DER, rated as all of its DERs together. What
the server asks for holds from the start of its event, and is answered as any device answers.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ems.clock import Clock, WallClock
from ems.domain import Imposed, Site
from ems.enddevice.client import EndDeviceClient
from ems.enddevice.session import Session, lfdi_of_file, tls
from ems.enddevice.timing import backoff_s
from ems.gateways.ieee2030_5.imposing import imposed, still
from ems.gateways.ieee2030_5.site_as_der import SiteAsDer
from ems.protocols.loop_thread import LoopThread

log = logging.getLogger(__name__)

FIRST_S = 30.0
"""How long the first cycle waits for a server that may be starting, too [s]."""
CEASED_S = 120.0
"""How long DERs may take to give nothing: the next poll, a decision, the devices' answers [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UtilityAddress:
    """Where a utility's server is, and how the site proves who it is."""

    url: str
    """Of its DeviceCapability."""
    ca_file: Path
    cert_file: Path
    key_file: Path
    pin: int | None = None
    """What the server must know of the site; None: whatever it says."""
    lost_after_s: float = 300.0
    """After how long without an answer it counts as lost [s]."""


class Utility:
    """A utility's server, followed in a thread of its own from `start` to `close`."""

    def __init__(
        self,
        site: Site,
        at: UtilityAddress,
        last: Imposed | None = None,
        *,
        clock: Clock | None = None,
        passed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask nothing yet.

        Args:
            site: shown as one DER.
            at: where the server is.
            last: the limits that the process before knew; kept until the server is heard.
            clock: the site's.
            passed_s: counts seconds [s].

        Raises:
            BadInput: a certificate or key cannot be used.
        """
        self.der = SiteAsDer(site)
        self._at, self._last = at, last or Imposed()
        self._clock = clock or WallClock()
        self._passed_s = passed_s
        self._context = tls(at.cert_file, at.key_file, at.ca_file, check_name=True)
        self._lfdi = lfdi_of_file(at.cert_file)
        self._lock = threading.Lock()
        self._client: EndDeviceClient | None = None
        self._heard_s: float | None = None
        """When all programs were last read, by `passed_s`; None: never."""
        self._ended = ""
        """Why it is not followed; empty: it is."""
        self._began_s = passed_s()
        self._settled = threading.Event()
        """Set once it was heard, or nobody waits for it any more."""
        self._waited = False
        self._ceases_s: float | None = None
        """Since when the DERs are asked to give nothing, by `passed_s`; None: they are not."""
        self._loop: LoopThread | None = None

    def start(self) -> None:
        """Begin to follow; returns at once."""
        self._loop = LoopThread("geems-utility")
        self._began_s = self._passed_s()
        asyncio.run_coroutine_threadsafe(self._follow(), self._loop.loop)

    def close(self) -> None:
        """End it. May be called twice."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def ready(self) -> None:
        """Wait until its limits are known, for a while; at once from then on."""
        if not self._waited and not self._settled.wait(FIRST_S):
            log.warning("the utility's server has not answered within %.0f s", FIRST_S)
        self._waited = True

    def end(self) -> None:
        """Wait for it no more."""
        self._settled.set()

    def told(self) -> str:
        """Where it is and whether it answers, for people."""
        with self._lock:
            lost, heard = self._lost(), self._heard_s is not None
        state = "followed" if heard else "not heard yet" if self._loop is not None else "not begun"
        return f"{self._at.url}: {lost or self._trouble() or state}"

    def limits(self) -> Imposed:
        """What it limits the site to, now."""
        with self._lock:
            asked = self.der.asked
            found = Imposed() if asked is None else imposed(asked, self.der.rated_w)
            found = replace(found, alarms=(*found.alarms, *self._alarms()))
            lost = self._lost()
            if lost or self._heard_s is None:
                return still(found, self._last, lost)
            self._last = found
            return found

    def _alarms(self) -> Iterator[str]:
        """What is asked and not done, or not understood."""
        if not self.der.ceases:
            self._ceases_s = None
        elif self._ceases_s is None:
            self._ceases_s = self._passed_s()
        else:
            since_s, given_kw = self._passed_s() - self._ceases_s, self.der.gives_kw
            if since_s > CEASED_S and given_kw:
                yield (
                    f"the utility has asked the DERs for {since_s:.0f} s to give nothing, and they "
                    f"give {given_kw:.1f} kW"
                )
        for unread in self._client.unread if self._client is not None else ():
            yield f"the utility asks what cannot be read, and is passed over: {unread}"

    def _lost(self) -> str:
        """Why it counts as lost; empty where it does not."""
        never = self._heard_s is None
        since_s = self._passed_s() - (self._began_s if self._heard_s is None else self._heard_s)
        if since_s < self._at.lost_after_s and not (never and self._waited):
            return ""
        why = self._trouble()
        ever = f"since the start, {since_s:.0f} s ago" if never else f"for {since_s:.0f} s"
        return f"the utility's server has not answered {ever}{f': {why}' if why else ''}"

    def _trouble(self) -> str:
        """Why it is not followed at present; empty: it is, as far as anybody knows."""
        client = self._client
        return self._ended or (client.trouble or client.fault if client is not None else "")

    def _heard(self) -> None:
        """All that it asks for has been read."""
        with self._lock:
            self._heard_s = self._passed_s()
        self._settled.set()

    async def _follow(self) -> None:
        """Until it is cancelled: whatever breaks, it begins anew."""
        session = Session(self._at.url, self._context)
        # Often enough for a second try before it counts as lost, however seldom the server asks.
        poll_s = max(1, int(self._at.lost_after_s / 2.0))
        self._client = client = EndDeviceClient(
            session, self._lfdi, self.der, clock=self._clock, pin=self._at.pin, poll_s=poll_s,
            heard=self._heard,
        )  # fmt: skip
        try:
            for pause_s in backoff_s(self._lfdi):
                try:
                    self._ended = ""
                    await client.run()
                except Exception as error:
                    log.exception("following the utility's server broke off, and begins anew")
                    self._ended = f"broken off: {error!r}"
                await asyncio.sleep(pause_s)
        finally:
            await session.close()
