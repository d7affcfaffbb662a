"""What a device tells its server, now and then: what it is, how it is, what it measures.

Each of these may fail without the others.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from ems.enddevice.application import DerApplication, Measured
from ems.enddevice.duties import Duty
from ems.enddevice.mirror import Mirror
from ems.enddevice.registration import Registered
from ems.enddevice.reports import Reports
from ems.enddevice.session import Refused, Session
from ems.enddevice.timing import ServerTime, sooner
from ems.protocols.ieee2030_5 import sep

log = logging.getLogger(__name__)

POST_S = 300
"""How often to report where the server does not say [s]."""
LOOK_S = 1
"""How often to look whether there is an alarm [s]."""


class Telling:
    """The reports and readings of one device."""

    def __init__(
        self,
        session: Session,
        lfdi: str,
        application: DerApplication,
        time: ServerTime,
        *,
        post_s: int | None,
        pen: int,
    ) -> None:
        """Nothing is told yet.

        Args:
            session: to the server.
            lfdi: of the device.
            application: what it drives.
            time: the server's.
            post_s: report at least this often [s].
            pen: private enterprise number of whoever made the device.
        """
        self._session, self._lfdi, self._pen = session, lfdi, pen
        self._der, self._time, self._post_s = application, time, post_s
        self._post_rate_s: int | None = None
        self._reports = Reports(session, lfdi, application, pen)
        self._mirror: Mirror | None = None
        do = (self._describe, self._report, self._look, self._mirror_readings)
        self.duties = tuple(Duty(do=one) for one in do)

    def found(self, known: Registered) -> None:
        """The server has been found, maybe again."""
        self._reports.found(known.device)
        self._post_rate_s = known.device.postRate
        points = known.capability.MirrorUsagePointListLink
        self._mirror = None
        if points is not None:
            self._mirror = Mirror(self._session, points.href, self._lfdi, self._pen)

    def is_told_of(self, device: sep.EndDevice) -> None:
        """What the server says of the device at present."""
        self._reports.device = device
        self._post_rate_s = device.postRate

    def forget(self) -> None:
        """The server may have forgotten what it was told: tell it all again."""
        self._reports.forget()

    # --- duties: each returns how long until the next time ---------------------------------

    async def _describe(self) -> float:
        await self._reports.describe(int(self._time.now()))
        return self._every_s()

    async def _report(self) -> float:
        await self._reports.report(int(self._time.now()))
        return self._every_s()

    async def _mirror_readings(self) -> float:
        every_s = self._every_s()
        if self._mirror is not None:
            try:
                await self._mirror.post(self._readings(), int(self._time.now()), every_s)
            except Refused as error:
                log.warning("%s: readings: %s", self._lfdi, error)
        return every_s

    async def _look(self) -> float:
        """An alarm is told at once, without waiting for the next report."""
        now = int(self._time.now())
        if self._reports.changed(now):
            await self._reports.report(now)
        return LOOK_S

    def _every_s(self) -> int:
        """How often to report [s]."""
        return sooner(self._post_rate_s or POST_S, self._post_s)

    def _readings(self) -> Sequence[Measured]:
        """Of the DER, in the server's time."""
        return [
            measured
            if measured.time is None
            else replace(measured, time=measured.time + self._time.offset_s)
            for measured in self._der.readings()
        ]
