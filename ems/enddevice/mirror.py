"""Readings of a device, mirrored at its server: one usage point, a meter reading per quantity."""

from collections.abc import Sequence

from ems.enddevice.application import Measured
from ems.enddevice.session import Refused, Session
from ems.protocols.ieee2030_5 import identity, sep

ROLE = f"{1 << 0 | 1 << 3 | 1 << 6:04X}"
"""A mirror, of a DER, at a submeter."""
ELECTRICITY, ELECTRICITY_SECONDARY, ON = 0, 1, 1
REVERSE = 19
"""flowDirection: what the DER delivers is positive."""
INSTANT = 0
"""dataQualifier: no mean and no extreme."""
UNKNOWN = 404
"""Answer of a server that has forgotten the usage point."""


class Mirror:
    """The mirrored usage point of one device."""

    def __init__(self, session: Session, points: str, lfdi: str, pen: int) -> None:
        """Not made yet.

        Args:
            session: to the server.
            points: address of its MirrorUsagePointList.
            lfdi: whose readings these are.
            pen: private enterprise number in the identifiers.
        """
        self._session = session
        self._points = points
        self._lfdi = lfdi
        self._pen = pen
        self._href: str | None = None

    async def post(self, readings: Sequence[Measured], now: int, every_s: int) -> None:
        """Post readings, and make the usage point where there is none.

        Args:
            readings: one value for each quantity, measured when they say, by the server's time.
            now: server's time [s].
            every_s: how often this is done [s].

        Raises:
            Lost, Refused: as the session.
        """
        if not readings:
            return
        if self._href is None:
            self._href = await self._session.post(self._points, self._point(readings, every_s))
        posted = sep.MirrorMeterReadingList(
            MirrorMeterReading_=[self._reading(m, now) for m in readings]
        )
        try:
            await self._session.post(self._href, posted)
        except Refused as error:
            if error.status == UNKNOWN:
                self._href = None
            raise

    def _point(self, readings: Sequence[Measured], every_s: int) -> sep.MirrorUsagePoint:
        return sep.MirrorUsagePoint(
            mRID=self._mrid("point"),
            description="DER",
            roleFlags=ROLE,
            serviceCategoryKind=ELECTRICITY,
            status=ON,
            deviceLFDI=self._lfdi,
            postRate=every_s,
            MirrorMeterReading_=[self._described(m) for m in readings],
        )

    def _described(self, measured: Measured) -> sep.MirrorMeterReading:
        return sep.MirrorMeterReading(
            mRID=self._mrid(measured.name),
            description=measured.name,
            ReadingType_=sep.ReadingType(
                commodity=ELECTRICITY_SECONDARY,
                dataQualifier=INSTANT,
                flowDirection=REVERSE,
                kind=measured.kind,
                powerOfTenMultiplier=measured.power_of_ten,
                uom=measured.uom,
            ),
        )

    def _reading(self, measured: Measured, now: int) -> sep.MirrorMeterReading:
        at = now if measured.time is None else int(measured.time)
        return sep.MirrorMeterReading(
            mRID=self._mrid(measured.name),
            description=measured.name,
            lastUpdateTime=now,
            Reading_=sep.Reading(
                timePeriod=sep.DateTimeInterval(duration=0, start=at),
                value=round(measured.value * 10.0**-measured.power_of_ten),
            ),
        )

    def _mrid(self, what: str) -> str:
        return identity.mrid("mirror", self._lfdi, what, pen=self._pen)
