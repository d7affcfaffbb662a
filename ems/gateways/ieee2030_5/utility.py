"""Following a utility: its DERControls are limits of the site, not orders to single devices.

The site shows itself to the utility's server as one DER, rated as all of its DERs together. What
the server asks for holds from the start of its event, and is answered as any device answers.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ems.clock import Clock, WallClock
from ems.domain import Bes, Imposed, Site
from ems.enddevice.application import (
    INVALID,
    NOT_APPLICABLE,
    ControlInForce,
    Measured,
    Value,
)
from ems.enddevice.client import EndDeviceClient
from ems.enddevice.session import Session, lfdi_of_file, tls
from ems.enddevice.timing import backoff_s
from ems.protocols.ieee2030_5 import modes, sep, values
from ems.protocols.loop_thread import LoopThread

log = logging.getLogger(__name__)

SUPPORTS = frozenset(
    {"opModMaxLimW", "opModConnect", "opModEnergize"}
    | {"opModImpLimW", "opModExpLimW", "opModGenLimW"}
)
"""What a whole site can keep; the last three are those of CSIP-AUS."""
MIXED, OPERATING = 1, "07"
"""DERType: virtual or mixed. ConnectStatusType: connected, available, operating."""
W, VAR, POWER = 38, 63, 37
"""UomType, KindType."""
FIRST_S = 30.0
"""How long the first cycle waits for a server that may be starting, too [s]."""


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


class SiteAsDer:
    """A site as the DER that a utility limits (`ems.enddevice.DerApplication`)."""

    def __init__(self, site: Site) -> None:
        """Nobody limits it yet."""
        rated_w = 1000.0 * sum(d.rated_kw for d in site.ders)
        self.rated_w = values.watts(values.active_power(rated_w, "down"))
        """As it is told: what percentages relate to [W]."""
        self.charge_w = 1000.0 * sum(d.rated_kw for d in site.bess)
        self.asked: ControlInForce | None = None
        """What is asked for at present; None: nothing was ever heard."""
        self._measured: tuple[float, float, float | None] | None = None
        self._storage = any(isinstance(d, Bes) for d in site.ders)

    supports = SUPPORTS

    def refuses(self, control: Mapping[str, Value]) -> int | None:
        """Anything but limits: a site does not follow orders for single devices."""
        if not control.keys() <= SUPPORTS:
            return NOT_APPLICABLE
        share = control.get("opModMaxLimW")
        return INVALID if isinstance(share, int) and not 0 <= share <= values.FULL else None

    def apply(self, control: ControlInForce) -> None:
        """From now on this holds."""
        self.asked = control

    def report(self, p_kw: float, q_kvar: float, time: float | None = None) -> None:
        """What all DERs together inject, for the next readings.

        Args:
            p_kw: active power [kW].
            q_kvar: reactive power [kvar].
            time: when it was measured; None: when it is told [s since 1970].
        """
        self._measured = (1000.0 * p_kw, 1000.0 * q_kvar, time)

    def capability(self) -> sep.DERCapability:
        """All DERs as one."""
        return sep.DERCapability(
            modesSupported=modes.bits_of(SUPPORTS),
            rtgMaxW=values.active_power(self.rated_w, "down"),
            rtgMaxChargeRateW=values.active_power(self.charge_w, "down") if self._storage else None,
            type_=MIXED,
        )

    def settings(self, now: int) -> sep.DERSettings:
        """As it is rated."""
        return sep.DERSettings(
            modesEnabled=modes.bits_of(SUPPORTS),
            setGradW=0,
            setMaxW=values.active_power(self.rated_w, "down"),
            updatedTime=now,
        )

    def status(self, now: int) -> sep.DERStatus:
        """Connected and operating: GEEMS opens no breaker."""
        return sep.DERStatus(
            genConnectStatus=sep.ConnectStatus(dateTime=now, value=OPERATING), readingTime=now
        )

    def availability(self, now: int) -> sep.DERAvailability:
        """Nothing is promised."""
        return sep.DERAvailability(readingTime=now)

    def information(self, lfdi: str) -> None:
        """It does not say."""

    def power_status(self, now: int) -> None:
        """It does not say."""

    def readings(self) -> Sequence[Measured]:
        """What its DERs inject, once it was measured."""
        if self._measured is None:
            return ()
        p_w, q_var, at = self._measured
        return (
            Measured(name="active power", value=p_w, uom=W, kind=POWER, time=at),
            Measured(name="reactive power", value=q_var, uom=VAR, kind=POWER, time=at),
        )


def imposed(control: ControlInForce, rated_w: float) -> Imposed:
    """What a control in force limits a site to.

    opModMaxLimW (of the rating) and opModGenLimW bound what all DERs together inject, and so do
    opModConnect and opModEnergize where they are false: to nothing.
    """
    notes, generation = [], []
    for mode, ordered in sorted(control.ordered.items()):
        asked = ordered.value
        by = f"{'control' if ordered.event else 'default control'} {ordered.source}"
        if mode == "opModMaxLimW" and isinstance(asked, int):
            generation.append(values.share(asked) * rated_w / 1000.0)
            notes.append(f"utility: generation ≤ {generation[-1]:g} kW ({mode}, {by})")
        elif mode == "opModGenLimW" and isinstance(asked, sep.ActivePower):
            generation.append(max(values.watts(asked), 0.0) / 1000.0)
            notes.append(f"utility: generation ≤ {generation[-1]:g} kW ({mode}, {by})")
        elif mode in ("opModConnect", "opModEnergize") and asked is False:
            generation.append(0.0)
            notes.append(
                f"utility: {mode} = false ({by}): the DERs inject no more than they take; GEEMS "
                "opens no breaker"
            )
    limits = {}
    for name, mode, word in (
        ("import_kw", "opModImpLimW", "import"),
        ("export_kw", "opModExpLimW", "export"),
    ):
        found = control.ordered.get(mode)
        if found is not None and isinstance(found.value, sep.ActivePower):
            limits[name] = max(values.watts(found.value), 0.0) / 1000.0
            by = f"{'control' if found.event else 'default control'} {found.source}"
            notes.append(f"utility: {word} ≤ {limits[name]:g} kW ({mode}, {by})")
    return Imposed(
        import_kw=limits.get("import_kw"),
        export_kw=limits.get("export_kw"),
        generation_kw=min(generation, default=None),
        notes=tuple(notes),
    )


def still(now: Imposed, last: Imposed, lost: str) -> Imposed:
    """Limits while the utility is not heard.

    Those of its default control, and where that has none the last that were in force.

    Args:
        now: of what is in force without it.
        last: when it was last heard.
        lost: why it is lost.
    """
    kept = {
        name: getattr(last, name)
        for name in ("import_kw", "export_kw", "generation_kw")
        if getattr(now, name) is None and getattr(last, name) is not None
    }
    notes = [*now.notes]
    if kept:
        told = ", ".join(
            f"{name.removesuffix('_kw')} ≤ {limit:g} kW" for name, limit in kept.items()
        )
        notes.append(f"utility: not heard, its last limits are kept: {told}")
    return replace(now, **kept, notes=tuple(notes), lost=lost)


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
            lost = self._lost()
            if lost or self._heard_s is None:
                return still(found, self._last, lost)
            self._last = found
            return found

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
