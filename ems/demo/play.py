"""What `geems demo` plays, and how.

With a number of cycles, time is stepped: a cycle, then the plant lives through its quarter of
an hour, minute by minute. Without, the service runs on a scaled clock until it is stopped.
"""

import logging
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from ems.assembly import OpenSite
from ems.clock import INTERVAL, Clock, ScaledClock, SteppedClock, interval_start
from ems.daemon import Service, serve
from ems.demo.goose import goose_link
from ems.demo.link import FieldKind, Link, modbus_link
from ems.domain import CycleRecord, LoadFlow, Sent, Site
from ems.errors import BadInput, GeemsError, PortInUse
from ems.plant import (
    FASTEST,
    Excursion,
    GeneratedProfile,
    MeasuredProfile,
    Plant,
    PlantTruth,
    Profile,
    run_plant,
)
from ems.settings import TEMPLATE, Settings, load_settings
from forecasting.record import LEVELS

log = logging.getLogger(__name__)

SUNNY_DAY = date(2019, 7, 15)
"""A Monday in the season and the years of the shipped tariffs."""
HISTORY = timedelta(days=5)
"""Days before the start that the database is given: what the forecast looks back on."""
LEAD = {True: timedelta(hours=1), False: timedelta(hours=3)}
"""How long before the highest sun it starts: a few cycles meet the limit at once, a running
demo shows the morning first."""

Progress = Callable[[CycleRecord], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that runs."""

    plant: Plant
    link: Link
    opened: OpenSite


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What is played."""

    site: Site
    profile: Profile
    start: datetime
    seed: int


def run_demo(
    *,
    cycles: int | None,
    speed: float | None,
    pv_file: Path | None = None,
    day: date | None = None,
    port: int = 8080,
    seed: int = 1,
    unplug: str | None = None,
    field: FieldKind = "modbus",
    progress: Progress,
    announce: Callable[[str], None] = lambda _url: None,
    plugs: Iterable[str] = (),
) -> dict[str, Any] | None:
    """Run the demo.

    Args:
        cycles: stop after so many; None serves the page until interrupted.
        speed: simulated seconds per real second, at most `FASTEST` where the page is served; None
            steps the clock without waiting.
        pv_file: measured PV series to play, scaled to the site.
        day: day of the series.
        port: of the page, when it is served; 0 takes any that is free.
        seed: of clouds and load.
        unplug: device whose network plug is pulled after half of the cycles.
        field: what lies between plant and EMS: Modbus alone, or GOOSE, an RTU and Modbus.
        progress: called after each cycle, when cycles are counted.
        announce: told the address of the page.
        plugs: while the page is served, names of devices whose plug is pulled, or put back.

    Returns:
        What happened, ready for JSON; None after serving.

    Raises:
        BadInput: the file cannot be played, options do not go together, or this machine lacks
            what the field needs.
    """
    if cycles is None and speed is None:
        raise BadInput.at("--speed max", "needs --cycles: a page cannot follow a stepped clock")
    if cycles is None and speed is not None and speed > FASTEST:
        raise BadInput.at(
            f"--speed {speed:.10g}",
            f"is too fast for a service: devices would fall back before they are refreshed; choose "
            f"at most {FASTEST:g}, or give --cycles",
        )
    with tempfile.TemporaryDirectory(prefix="geems-demo-") as folder:
        settings = _settings(Path(folder))
        play = _play(settings, pv_file, day, seed, short=cycles is not None)
        if unplug is not None and unplug not in play.site.names:
            known = ", ".join(play.site.names)
            raise BadInput.at(f"--unplug {unplug}", f"no such device; there are {known}")
        with _stage(settings, play, field) as stage:
            if cycles is None:
                _serve(settings, play, stage, speed or 1.0, port, announce, plugs)
                return None
            return _stepped(play, stage, cycles, speed, unplug, progress)


def _settings(folder: Path) -> Settings:
    """The site file that `geems init` writes, with its database in `folder`."""
    path = folder / "site.toml"
    path.write_text(TEMPLATE.read_text(encoding="utf-8"), encoding="utf-8")
    return load_settings(path, {})


def _play(
    settings: Settings, pv_file: Path | None, day: date | None, seed: int, *, short: bool
) -> Play:
    site = settings.to_site()
    chosen = day or SUNNY_DAY
    profile: Profile = GeneratedProfile(site, seed, chosen)
    if pv_file is not None:
        profile = MeasuredProfile.from_csv(pv_file, chosen, site, profile)
    noon = _highest_sun(site, profile, chosen, ZoneInfo(settings.site.timezone))
    start = interval_start(noon - LEAD[short])
    return Play(site=site, profile=profile, start=start, seed=seed)


def _highest_sun(site: Site, profile: Profile, day: date, zone: ZoneInfo) -> datetime:
    """Middle of the energy of a day: noon, whatever the clouds and the longitude of a file."""
    midnight = datetime.combine(day, time(), zone).astimezone(UTC)
    minutes = pd.date_range(midnight, periods=1440, freq="1min")
    power = np.sum([profile.pv_available_kw(pv, minutes) for pv in site.pvs], axis=0)
    if not np.any(power > 0):
        raise BadInput.at(f"--day {day}", "no sun on that day; choose another")
    middle = np.searchsorted(np.cumsum(power), 0.5 * np.sum(power))
    return midnight + timedelta(minutes=int(middle))


@contextmanager
def _stage(settings: Settings, play: Play, field: FieldKind) -> Iterator[Stage]:
    """The plant, what carries its devices' words, and the EMS connected to them."""
    open_link = goose_link if field == "goose" else modbus_link
    plant = Plant(
        play.site, settings.feeder_source(), play.profile, play.start, seed=play.seed,
        inverters="ieee1547",
    )  # fmt: skip
    try:
        with open_link(plant) as link, link.open_site(settings) as opened:
            _tell_history(play, opened)
            link.wait_for_measurements(opened.ports.field, play.start)
            yield Stage(plant=plant, link=link, opened=opened)
    finally:
        plant.close()


def _tell_history(play: Play, opened: OpenSite) -> None:
    """Five days of measured power, as a service that has run for a while would have."""
    starts = pd.date_range(play.start - HISTORY, play.start, freq="15min", inclusive="left")
    for pv in play.site.pvs:
        parts = [play.profile.pv_available_kw(pv, starts + timedelta(minutes=m)) for m in range(15)]
        mean = pd.Series(np.mean(parts, axis=0).tolist(), index=starts)
        opened.store.add_history(pv.name, mean)


# --- stepped -------------------------------------------------------------------------


def _stepped(
    play: Play,
    stage: Stage,
    cycles: int,
    speed: float | None,
    unplug: str | None,
    progress: Progress,
) -> dict[str, Any]:
    """Cycle, let the plant live its quarter of an hour, and again."""
    plant, link = stage.plant, stage.link
    clock = SteppedClock(play.start)
    service = _service(stage.opened, clock)
    pause = threading.Event()
    rows = []
    for k in range(cycles):
        now = play.start + k * INTERVAL
        if unplug is not None and k == (cycles + 1) // 2:
            link.unplug(unplug)
            link.wait_for_silence(stage.opened.ports.field, now, unplug)
        record = service.cycle()
        if record is None:
            raise GeemsError(f"the cycle of {now:%H:%M} UTC failed: {service.health().last_error}")
        link.wait_for_orders(record)
        plant.excursions(play.site.limits)
        plant.advance_to(now + plant.response)  # what was ordered, takes effect
        if k == 0:  # until the first orders had acted, nobody was in control
            plant.excursions(play.site.limits)
            plant.advance_to(plant.now)
        link.wait_for_measurements(stage.opened.ports.field, plant.now)
        after, made = plant.excursions(play.site.limits), plant.truth()
        uncontrolled = plant.uncontrolled()
        for minute in range(1, int(INTERVAL.total_seconds() // 60) + 1):
            service.poll()
            link.wait_for_refresh()
            clock.move_to(now + timedelta(minutes=minute))
            plant.advance_to(clock.now())
            link.wait_for_measurements(stage.opened.ports.field, clock.now())
        within = plant.excursions(play.site.limits)
        rows.append(_row(record, made, uncontrolled, after, within))
        progress(record)
        if speed is not None:
            pause.wait(INTERVAL.total_seconds() / speed)
    service.stop()
    return _summary(play, rows)


def _service(opened: OpenSite, clock: Clock, poll_s: float = 60.0) -> Service:
    return Service(
        site=opened.site,
        policy=opened.policy,
        ports=opened.ports,
        store=opened.store,
        run=opened.run,
        clock=clock,
        poll_s=poll_s,
        concerns=opened.concerns,
    )


def _row(
    record: CycleRecord,
    made: PlantTruth,
    uncontrolled: LoadFlow,
    after: Sequence[Excursion],
    within: Sequence[Excursion],
) -> dict[str, Any]:
    """What was decided, and what the plant made of it."""
    decided = record.secured.dispatch.setpoints
    top = max(after, key=lambda e: e.v_max_pu)
    row: dict[str, Any] = {"start": record.start.isoformat(), "status": record.status}
    for name, at in decided.items():
        row[f"{name}_kw"] = round(at.p_kw, 1)
        row[f"{name}_kvar"] = round(at.q_kvar, 1)
        if (sky := record.forecast.pv.get(name)) is not None:
            row[f"{name}_forecast"] = sky.method
            row[f"{name}_expected_kw"] = round(sky.expected_kw, 1)
            row[f"{name}_quantiles_kw"] = [round(kw, 1) for kw in sky.quantiles_kw]
            row[f"{name}_cap_kw"] = None if at.cap_kw is None else round(at.cap_kw, 1)
            row[f"{name}_available_kw"] = round(made.pv_available_kw[name], 1)
            row[f"{name}_made_kw"] = round(made.p_kw[name], 1)
    sent = sum(isinstance(o, Sent) for o in record.outcomes.values())
    return row | {
        "load_kw": round(record.snapshot.load.p_kw, 1),
        "cost_usd_per_h": round(record.secured.dispatch.cost_usd_per_h, 2),
        "compliance_usd_per_h": round(record.ledger.compliance_usd_per_h, 2),
        "setpoints_written_and_read_back": sent,
        "setpoints": len(record.outcomes),
        "v_max_uncontrolled_pu": round(uncontrolled.highest()[1], 5),
        "v_max_pu": round(top.v_max_pu, 5),
        "v_max_node": top.v_max_node,
        "violations": sum(e.nodes_above + e.nodes_below + e.elements_over for e in after)
        + sum(not e.converged for e in after),
        "violations_within": sum(e.violated for e in within),
        "v_max_within_pu": round(max(e.v_max_pu for e in within), 5),
        "why": record.ledger.sentence,
        "alarms": list(record.alarms),
    }


def _summary(play: Play, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    hours = INTERVAL.total_seconds() / 3600
    return {
        "site": play.site.name,
        "start": play.start.isoformat(),
        "limits_pu": [play.site.limits.v_min_pu, play.site.limits.v_max_pu],
        "quantile_levels": list(LEVELS),
        "cycles": list(rows),
        "setpoints": sum(r["setpoints"] for r in rows),
        "setpoints_written_and_read_back": sum(r["setpoints_written_and_read_back"] for r in rows),
        "violations": sum(r["violations"] for r in rows),
        "violations_within": sum(r["violations_within"] for r in rows),
        "cost_usd": round(sum(r["cost_usd_per_h"] for r in rows) * hours, 2),
    }


# --- served --------------------------------------------------------------------------


def _serve(
    settings: Settings,
    play: Play,
    stage: Stage,
    speed: float,
    port: int,
    announce: Callable[[str], None],
    plugs: Iterable[str],
) -> None:
    """The daemon on a scaled clock, until SIGINT or SIGTERM."""
    clock = ScaledClock(play.start, speed)
    stop = threading.Event()
    alive = threading.Thread(target=run_plant, args=(stage.plant, clock, stop), name="plant")
    alive.start()
    # A daemon: it waits on a terminal, which nothing can interrupt.
    threading.Thread(target=_plugging, args=(stage.link, plugs), daemon=True).start()
    try:
        service = _service(stage.opened, clock, settings.control.poll_s)
        with _port_of_an_option(settings.web.host, port):
            serve(service, settings.web.host, port, announce)
    finally:
        stop.set()
        alive.join()


@contextmanager
def _port_of_an_option(host: str, port: int) -> Iterator[None]:
    """What is wrong with the page's port is told of `--port`: a demo has no site file to edit."""
    try:
        yield
    except PortInUse as taken:
        raise PortInUse(
            f"{host}:{port} is in use by another program; stop that one, or choose another port "
            "(--port; 0 takes any that is free)"
        ) from taken
    except BadInput as bad:
        faults = [replace(f, place="--port") if f.place == "web.port" else f for f in bad.faults]
        raise BadInput(faults) from bad


def _plugging(link: Link, names: Iterable[str]) -> None:
    """Pull the plug of each device named, or put it back where it is out."""
    out: set[str] = set()
    for name in (line.strip() for line in names):
        try:
            if name in out:
                link.replug(name)
                out.discard(name)
            elif name:
                link.unplug(name)
                out.add(name)
        except KeyError as unknown:
            log.warning("%s", unknown.args[0])
        if name:
            log.warning("unplugged: %s", ", ".join(sorted(out)) or "none")
