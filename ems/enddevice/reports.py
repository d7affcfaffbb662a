"""What the device tells its server of itself: DER resources, information, alarms."""

import logging
from collections.abc import Iterator

from ems.enddevice.application import DerApplication
from ems.enddevice.paging import whole
from ems.enddevice.session import Lost, Refused, Session
from ems.protocols.ieee2030_5 import sep

log = logging.getLogger(__name__)

DER_FUNCTION_SET, PROFILE_2030_5 = 11, 2
MOST_LOG_IDS = 1 << 16
ALARMS = (
    "over current", "over voltage", "under voltage", "over frequency", "under frequency",
    "voltage imbalance", "current imbalance", "emergency local", "emergency remote",
    "low power input", "phase rotation",
)  # fmt: skip
"""Bits of alarmStatus. Bit k has the log event codes 2·k, and 2·k + 1 for its end: CSIP
Implementation Guide v2.1, table 14."""


class Reports:
    """The DER resources of one device."""

    def __init__(self, session: Session, lfdi: str, der: DerApplication, pen: int) -> None:
        self.device: sep.EndDevice | None = None
        """What the server says of the device; None: it has not been found yet."""
        self._session = session
        self._lfdi = lfdi
        self._der = der
        self._pen = pen
        self._links: sep.DER | None = None
        self._put: dict[str, str] = {}
        """By address, what was last put there, without its time."""
        self._lost: Lost | None = None
        """The first of those that the server could not take just now."""
        self._alarms = 0
        self._log_id = 0

    def found(self, device: sep.EndDevice) -> None:
        """The server has been found, maybe again: it may have forgotten what it was told."""
        self.device = device
        self._links = None
        self.forget()

    def forget(self) -> None:
        """The server may have forgotten what it was told: tell it all again."""
        self._put.clear()

    async def describe(self, now: int) -> None:
        """Put nameplate, settings and information, where they have changed.

        Raises:
            Lost: as the session, once the others are told; what is refused is noted.
        """
        device = self.device
        if device is None:
            return
        if self._links is None and device.DERListLink is not None:
            await self._find(device.DERListLink.href)
        if self._links is not None:
            await self._tell(self._links.DERCapabilityLink, self._der.capability())
            await self._tell(self._links.DERSettingsLink, self._der.settings(now), "updatedTime")
        await self._tell(device.DeviceInformationLink, self._der.information(self._lfdi))
        await self._tell(device.PowerStatusLink, self._der.power_status(now), "changedTime")
        self._raise()

    async def report(self, now: int) -> None:
        """Put status and availability; post the alarms that came and went.

        Raises:
            Lost: as the session, once the others are told; what is refused is noted.
        """
        status = self._der.status(now)
        if self._links is not None:
            await self._tell(self._links.DERStatusLink, status)
            await self._tell(self._links.DERAvailabilityLink, self._der.availability(now))
        await self._log_alarms(int(status.alarmStatus or "0", 16), now)
        self._raise()

    def changed(self, now: int) -> bool:
        """Whether there is an alarm that the server does not know yet, or no more."""
        return int(self._der.status(now).alarmStatus or "0", 16) != self._alarms

    async def _find(self, href: str) -> None:
        try:
            ders = await whole(self._session, href, sep.DERList, lambda page: page.DER_)
        except Refused as error:
            log.warning("%s: %s", self._lfdi, error)
        except Lost as error:
            self._note(error)
        else:
            for unread in ders.unread:
                log.warning("%s: passed over: %s", self._lfdi, unread)
            self._links = ders.items[0] if ders.items else None

    def _note(self, error: Lost) -> None:
        """Go on with the next resource, unless there is no server to go on with."""
        if not error.status:
            raise error
        self._lost = self._lost or error

    def _raise(self) -> None:
        lost, self._lost = self._lost, None
        if lost is not None:
            raise lost

    async def _log_alarms(self, alarms: int, now: int) -> None:
        link = None if self.device is None else self.device.LogEventListLink
        for event in self._events(alarms, now):
            if link is None:
                break
            try:
                await self._session.post(link.href, event)
            except Refused as error:
                log.warning("%s: log event %s: %s", self._lfdi, event.logEventCode, error)
        self._alarms = alarms

    def _events(self, alarms: int, now: int) -> Iterator[sep.LogEvent]:
        for bit, name in enumerate(ALARMS):
            was, is_ = self._alarms >> bit & 1, alarms >> bit & 1
            if was == is_:
                continue
            self._log_id = (self._log_id + 1) % MOST_LOG_IDS
            yield sep.LogEvent(
                createdDateTime=now,
                details=name if is_ else f"{name} is over",
                functionSet=DER_FUNCTION_SET,
                logEventCode=2 * bit + (0 if is_ else 1),
                logEventID=self._log_id,
                logEventPEN=self._pen,
                profileID=PROFILE_2030_5,
            )

    async def _tell(
        self, link: sep.Link | None, resource: sep.Resource | None, besides: str = ""
    ) -> None:
        """Put a resource where the last one differs, but for one element, or is unknown."""
        if link is None or resource is None:
            return
        told = repr({k: v for k, v in resource.__dict__.items() if k != besides})
        if self._put.get(link.href) == told:
            return
        try:
            await self._session.put(link.href, resource)
        except Refused as error:
            log.warning("%s: %s", self._lfdi, error)
        except Lost as error:
            self._note(error)
            return
        self._put[link.href] = told
