"""The month's highest import: by the site's calendar, as it was measured, and never forgotten."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ems.assembly.meter import NetMeter
from ems.clock import INTERVAL
from ems.cycle import left_by, run_cycle
from ems.domain import Before, CycleRecord, Infeasible, MonthPeak, month_peak
from ems.domain.peak import month_begin
from ems.settings import TEMPLATE, load_settings
from ems.store import LOAD, MinuteMean, Store
from tests.sites import AUTO, NOW, PRICE_USD_PER_KWH, ports, segment

MINUTE = timedelta(minutes=1)
PACIFIC = "America/Los_Angeles"
SITE = replace(segment(), demand_charge_usd_per_kw=15.0, zone=PACIFIC)


def local(*at: int, zone: str = PACIFIC) -> datetime:
    return datetime(*at, tzinfo=ZoneInfo(zone)).astimezone(UTC)  # type: ignore[misc, arg-type]


@pytest.fixture(scope="module")
def decided() -> CycleRecord:
    return run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, ports(SITE), NOW)


def record(
    like: CycleRecord,
    start: datetime,
    peak_kw: float | None,
    since: datetime | None = None,
    grid_kw: float = 0.0,
) -> CycleRecord:
    """A cycle of an interval, with what it knew of the month."""
    dispatch = replace(like.secured.dispatch, grid_kw=grid_kw, peak_kw=peak_kw)
    return replace(
        like, start=start, secured=replace(like.secured, dispatch=dispatch),
        before=Before(peak_kw=peak_kw, peak_since=since),
    )  # fmt: skip


class Meter:
    """Tells what it was given."""

    def __init__(self, kw: Mapping[datetime, float]) -> None:
        self.kw = kw
        self.asked: list[tuple[datetime, datetime, float]] = []

    def imported_kw(
        self, since: datetime, until: datetime, loss_factor: float
    ) -> Mapping[datetime, float]:
        self.asked.append((since, until, loss_factor))
        return {at: kw for at, kw in self.kw.items() if since <= at < until}


# --- the calendar --------------------------------------------------------------------


def test_the_zone_is_that_of_the_site_file() -> None:
    assert load_settings(TEMPLATE, {}).to_site().zone == PACIFIC


def test_the_last_evening_of_a_month_still_belongs_to_it(decided: CycleRecord) -> None:
    five = local(2019, 5, 31, 17)  # June in UTC
    before = record(decided, five - INTERVAL, 9000.0)
    assert month_peak(before, {five - INTERVAL: 8000.0}, PACIFIC, five).kw == 9000.0


def test_the_first_interval_of_a_month_begins_anew_and_the_next_knows_it(
    decided: CycleRecord,
) -> None:
    midnight = local(2019, 6, 1)
    may = record(decided, midnight - INTERVAL, 9000.0)
    assert month_peak(may, {midnight - INTERVAL: 9500.0}, PACIFIC, midnight) == MonthPeak(
        kw=0.0, since=None
    )
    june = record(decided, midnight, 0.0)
    assert month_peak(june, {midnight: 4000.0}, PACIFIC, midnight + INTERVAL).kw == 4000.0


def test_the_first_local_evening_of_a_month_is_no_new_month(decided: CycleRecord) -> None:
    evening = local(2019, 6, 1, 17)
    before = record(decided, evening - INTERVAL, 7000.0)
    assert month_peak(before, {}, PACIFIC, evening).kw == 7000.0


@pytest.mark.parametrize(
    ("when", "zone", "begin"),
    [
        ((2019, 3, 31, 23, 45), PACIFIC, datetime(2019, 3, 1, 8, tzinfo=UTC)),
        ((2019, 11, 30, 23, 45), PACIFIC, datetime(2019, 11, 1, 7, tzinfo=UTC)),
        ((2019, 4, 1), "Europe/Berlin", datetime(2019, 3, 31, 22, tzinfo=UTC)),
        ((2019, 1, 1, 3), "Asia/Kathmandu", datetime(2018, 12, 31, 18, 15, tzinfo=UTC)),
    ],
)
def test_a_month_begins_at_its_own_offset_whatever_clocks_did_since(
    when: tuple[int, ...], zone: str, begin: datetime
) -> None:
    assert month_begin(local(*when, zone=zone), zone) == begin


def test_the_day_that_clocks_change_does_not_end_the_month(decided: CycleRecord) -> None:
    # 01:45 standard time follows 01:45 summer time by an hour.
    at = datetime(2019, 11, 3, 9, 45, tzinfo=UTC)
    before = record(decided, at - INTERVAL, 6000.0)
    assert month_peak(before, {at - INTERVAL: 6500.0}, PACIFIC, at) == MonthPeak(
        kw=6500.0, since=None
    )


# --- what is known -------------------------------------------------------------------


def test_what_was_measured_counts_and_not_what_was_expected(decided: CycleRecord) -> None:
    before = record(decided, NOW, 5000.0, grid_kw=9000.0)
    later = NOW + INTERVAL
    assert month_peak(before, {NOW: 6000.0}, PACIFIC, later).kw == 6000.0
    assert month_peak(before, {}, PACIFIC, later).kw == 9000.0


def test_an_interval_that_is_decided_again_has_not_drawn_anything_yet(
    decided: CycleRecord,
) -> None:
    before = record(decided, NOW, 5000.0, grid_kw=9000.0)
    assert month_peak(before, {}, PACIFIC, NOW + timedelta(minutes=5)).kw == 5000.0


def test_a_cycle_without_a_safe_dispatch_forgets_no_peak(decided: CycleRecord) -> None:
    before = record(decided, NOW, 5000.0, grid_kw=9000.0)
    flow = before.secured.load_flow
    none = Infeasible(
        dispatch=before.secured.dispatch, load_flow=flow, reason="none", violations=()
    )
    failed = replace(before, secured=none)
    found = left_by(failed, SITE, AUTO, NOW + INTERVAL, meter=Meter({NOW: 6000.0}))
    assert (found.peak_kw, found.peak_since) == (6000.0, None)


def test_cycles_that_failed_leave_a_gap_that_the_meter_fills(decided: CycleRecord) -> None:
    before = record(decided, NOW, 5000.0)
    later = NOW + 4 * INTERVAL
    drawn = {NOW + i * INTERVAL: 5000.0 + 100.0 * i for i in range(4)}
    assert month_peak(before, drawn, PACIFIC, later) == MonthPeak(kw=5300.0, since=None)
    del drawn[NOW + 2 * INTERVAL]
    gap = month_peak(before, drawn, PACIFIC, later)
    assert gap == MonthPeak(kw=5300.0, since=NOW + 3 * INTERVAL)


def test_a_month_that_began_while_nobody_looked_is_not_known_in_whole(
    decided: CycleRecord,
) -> None:
    before = record(decided, local(2019, 5, 20), 9000.0)
    now = local(2019, 6, 10)
    assert month_peak(before, {}, PACIFIC, now) == MonthPeak(kw=0.0, since=now)


def test_a_cycle_that_counted_no_charge_tells_nothing_of_the_month(decided: CycleRecord) -> None:
    before = record(decided, NOW, None, grid_kw=4000.0)
    assert month_peak(before, {}, PACIFIC, NOW + INTERVAL) == MonthPeak(kw=4000.0, since=NOW)


# --- in the cycle --------------------------------------------------------------------


def test_the_first_cycle_pays_for_its_peak_and_says_that_the_month_is_not_known(
    decided: CycleRecord,
) -> None:
    assert decided.before is not None
    assert (decided.before.peak_kw, decided.before.peak_since) == (0.0, NOW)
    assert decided.secured.dispatch.peak_kw == 0.0
    assert any("not known in whole" in note for note in decided.secured.notes)
    assert decided.ledger.demand_usd == pytest.approx(15.0 * decided.secured.dispatch.grid_kw)


def test_it_is_said_once_and_kept_in_every_record(decided: CycleRecord) -> None:
    later = run_cycle(SITE, AUTO, PRICE_USD_PER_KWH, ports(SITE), NOW + INTERVAL, decided)
    assert later.before is not None
    assert later.before.peak_kw == decided.secured.dispatch.grid_kw
    assert later.before.peak_since == NOW
    assert not any("not known in whole" in note for note in later.secured.notes)


def test_a_site_without_a_demand_charge_asks_no_meter(decided: CycleRecord) -> None:
    meter = Meter({NOW: 6000.0})
    found = left_by(decided, segment(), AUTO, NOW + INTERVAL, meter=meter)
    assert (found.peak_kw, meter.asked) == (None, [])


def test_a_meter_that_fails_stops_no_cycle(decided: CycleRecord) -> None:
    class Broken(Meter):
        def imported_kw(
            self, since: datetime, until: datetime, loss_factor: float
        ) -> Mapping[datetime, float]:
            del since, until, loss_factor
            raise OSError("the disk is gone")

    before = record(decided, NOW, 5000.0, grid_kw=7000.0)
    assert left_by(before, SITE, AUTO, NOW + INTERVAL, meter=Broken({})).peak_kw == 7000.0


def test_losses_are_added_as_the_last_load_flow_has_them(decided: CycleRecord) -> None:
    meter = Meter({})
    policy = replace(AUTO, fit_losses=True)
    found = left_by(decided, SITE, policy, NOW + INTERVAL, meter=meter)
    assert meter.asked == [(NOW, NOW + INTERVAL, found.loss_factor)]
    assert found.loss_factor is not None
    assert found.loss_factor > 0.0


# --- in the service ------------------------------------------------------------------


def test_the_service_s_minutes_make_a_meter_where_load_and_every_der_were_measured(
    tmp_path: Path,
) -> None:
    store = Store.open(tmp_path / "geems.sqlite")
    first = {LOAD: 10_000.0, "pv": 3000.0, "dg": 1000.0, "bes": -100.0}
    second = {LOAD: 10_000.0, "pv": 3000.0, "dg": 1000.0}
    absurd = {**first, LOAD: 1e9}
    intervals = ((timedelta(), first), (INTERVAL, second), (2 * INTERVAL, absurd))
    store.add_minute(
        *(
            MinuteMean(device=name, time=NOW + at + k * MINUTE, p_kw=p_kw)
            for at, told in intervals
            for k in range(10)
            for name, p_kw in told.items()
        )
    )
    found = NetMeter(SITE, store, 10.0).imported_kw(NOW, NOW + 3 * INTERVAL, 0.02)
    store.close()
    assert found == {NOW: pytest.approx(6300.0)}


def test_some_minutes_of_an_interval_are_no_mean_that_anybody_is_charged_for(
    tmp_path: Path,
) -> None:
    store = Store.open(tmp_path / "geems.sqlite")
    told = {LOAD: 10_000.0, "pv": 3000.0, "dg": 1000.0, "bes": -100.0}
    store.add_minute(
        *(
            MinuteMean(device=name, time=NOW + k * MINUTE, p_kw=p_kw)
            for name, p_kw in told.items()
            for k in range(9 if name == "pv" else 15)
        )
    )
    found = NetMeter(SITE, store, 10.0).imported_kw(NOW, NOW + INTERVAL, 0.02)
    store.close()
    assert found == {}


@pytest.mark.parametrize("poll_s", [10.0, 60.0, 90.0, 100.0, 120.0, 400.0, 900.0])
@pytest.mark.parametrize("answered", [1.0, 0.4])
def test_polls_that_are_minutes_apart_make_a_mean_where_most_are_answered(
    poll_s: float, answered: float, tmp_path: Path
) -> None:
    store = Store.open(tmp_path / "geems.sqlite")
    told = {LOAD: 10_000.0, "pv": 3000.0, "dg": 1000.0, "bes": -100.0}
    polled = sorted({int(k * poll_s // 60.0) for k in range(int(900.0 / poll_s))})
    store.add_minute(
        *(
            MinuteMean(device=name, time=NOW + k * MINUTE, p_kw=p_kw)
            for name, p_kw in told.items()
            for k in polled[: round(answered * len(polled))]
        )
    )
    found = NetMeter(SITE, store, poll_s).imported_kw(NOW, NOW + INTERVAL, 0.02)
    store.close()
    assert found == ({NOW: pytest.approx(6300.0)} if answered == 1.0 else {})
