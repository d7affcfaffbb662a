"""What a site file may say, and seldom means: a sign turned round, another unit.

None of it is a fault, for there are sites where it is right.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ems.settings.schema import Settings
from ems.settings.tables import BesTable, SiteTable

FAR_FROM_ZONE_H = 3.0
"""How far the sun of a longitude may be from the standard time of its zone [h]; the west of China
is that far from Beijing's."""
SHARE_BELOW_PCT = 1.0
"""Above 0 and below this a limit of the charge is rather a share of 1 than percent, and so is a
highest charge of just this [%]."""
LONG_STORAGE_H = 48.0
"""Energy of a battery over its power from which a unit is in doubt [h]."""
DEAR_FUEL_USD_PER_KWH = 2.0
"""Cost of a generator above which a unit is in doubt [$/kWh]."""
_JANUARY, _JULY = (datetime(2024, month, 1, 12, tzinfo=UTC) for month in (1, 7))
_NOWHERE = ("UTC", "UCT", "GMT", "Etc/", "Zulu", "Universal", "Greenwich")
"""Beginnings of zones that do not tell where they are."""


def doubts(settings: Settings) -> Iterator[str]:
    """What to look at again, each with the place of its key."""
    yield from _where(settings.site)
    for i, bes in enumerate(settings.bes):
        yield from _storage(f"bes[{i}]", bes)
    for i, dg in enumerate(settings.dg):
        if dg.cost_usd_per_kwh > DEAR_FUEL_USD_PER_KWH:
            yield (
                f"dg[{i}].cost_usd_per_kwh: {dg.cost_usd_per_kwh:g} $ for one kWh is dear; is it "
                "per kWh, and in dollars?"
            )


def _where(site: SiteTable) -> Iterator[str]:
    """Longitude and latitude against what the zone tells of them."""
    if site.timezone.startswith(_NOWHERE):
        return
    zone = ZoneInfo(site.timezone)
    january, july = (_offset_h(when, zone) for when in (_JANUARY, _JULY))
    standard_h = min(january, july)
    if _apart_h(site.longitude_deg, standard_h) > FAR_FROM_ZONE_H:
        other = -site.longitude_deg
        mend = (
            f"did you mean {other:g}? East is positive"
            if _apart_h(other, standard_h) <= FAR_FROM_ZONE_H
            else "look at both"
        )
        apart_h = _apart_h(site.longitude_deg, standard_h)
        yield (
            f"site.longitude_deg: {site.longitude_deg:g}° is {apart_h:.1f} h of the sun's way "
            f"from the standard time of {site.timezone}; {mend}"
        )
    # Whoever sets clocks forward does it in summer.
    if (july - january) * site.latitude_deg < 0:
        half = "north" if july > january else "south"
        yield (
            f"site.latitude_deg: {site.timezone} has its summer time in the {half}ern summer; did "
            f"you mean {-site.latitude_deg:g}? North is positive"
        )


def _offset_h(when: datetime, zone: ZoneInfo) -> float:
    offset = when.astimezone(zone).utcoffset() or timedelta()
    return offset / timedelta(hours=1)


def _apart_h(longitude_deg: float, offset_h: float) -> float:
    """Between the sun's time of a longitude and a zone's, the shorter way round [h]."""
    return abs((longitude_deg / 15.0 - offset_h + 12.0) % 24.0 - 12.0)


def _storage(at: str, bes: BesTable) -> Iterator[str]:
    for key, soc_pct in (("soc_min_pct", bes.soc_min_pct), ("soc_max_pct", bes.soc_max_pct)):
        if 0.0 < soc_pct < SHARE_BELOW_PCT or (key == "soc_max_pct" and soc_pct == SHARE_BELOW_PCT):
            yield (
                f"{at}.{key}: {soc_pct:g} % is next to empty; a percentage runs from 0 to 100: "
                f"did you mean {100 * soc_pct:g}?"
            )
    hours = bes.capacity_kwh / bes.rated_kw
    if hours > LONG_STORAGE_H:
        yield (
            f"{at}.capacity_kwh: {bes.capacity_kwh:g} kWh last for {hours:,.0f} h at the rated "
            f"{bes.rated_kw:g} kW; are both in their units?"
        )
