"""What a battery saves a year, by its size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ems.backtest.pools import Pool
from ems.backtest.running import Tell
from ems.backtest.seeds import summed_up
from ems.backtest.study import Study, StudySite
from ems.backtest.sweeps.points import Point, Ran, named, run_points
from ems.backtest.working import SimulateDay, usual_day
from ems.domain import Bes, Site
from ems.errors import BadInput

DAYS_OF_YEAR = 365
MONTHS_OF_YEAR = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class BatteryPoint:
    """One policy with a battery of one size; over several seeds the mean."""

    site: str
    policy: str
    capacity_kwh: float
    rated_kw: float
    cost_usd: float
    """Energy, fuel and demand charge of the days simulated [$]."""
    cost_usd_per_year: float
    """Energy and fuel of so many days, and the demand charge of so many months, a year [$]."""
    saved_usd_per_year: float | None
    """Against no battery [$]; None: no day without one could be simulated."""
    marginal_usd_per_kwh_year: float | None
    """What each kWh saves that it has more than the next smaller one; None: it is the smallest
    [$/kWh]."""
    cycles_per_year: float | None
    curtailed_pct: float
    violated: int
    """Intervals with a limit broken in the truth."""
    days: int
    """Simulated, of each seed."""


def battery_size(
    study: Study,
    folder: Path,
    capacities_kwh: Sequence[float],
    *,
    battery: str | None = None,
    hours: float | None = None,
    jobs: int | None = None,
    workers: Callable[[], Pool] | None = None,
    tell: Tell = lambda _told: None,
    simulate: SimulateDay = usual_day,
) -> tuple[list[BatteryPoint], list[Ran]]:
    """Run a study with batteries of several sizes, and with none.

    Batteries end the period as they began: what they hold is not taken for what they saved. A year
    is taken to be like the days simulated; the battery's price and wear are not counted.

    Args:
        study: what is run, of one site; its `end_soc` is replaced.
        folder: each size gets a folder in it.
        capacities_kwh: sizes [kWh]; 0, no battery, is always among them.
        battery: which of the site's; None: its only one.
        hours: capacity over power; None: as the site's [h].
        jobs: processes; None: one per core.
        workers: opens workers of another kind.
        tell: called whenever a day is over.
        simulate: one day.

    Returns:
        One point for each policy and size, sizes rising; and what became of each size.

    Raises:
        BadInput: it is no study, the site has no such battery, or a folder is another's.
    """
    (of,) = study.sites
    bes = the_battery(of.site, battery)
    sizes = sorted({0.0, *capacities_kwh})
    points = [
        Point(
            name=f"battery_{named(size)}",
            study=replace(study, sites=(_with_size(of, bes, size, hours),), end_soc="start"),
        )
        for size in sizes
    ]
    ran = run_points(points, folder, jobs=jobs, workers=workers, tell=tell, simulate=simulate)
    found: list[BatteryPoint] = []
    for size, result in zip(sizes, ran, strict=True):
        rows = summed_up(result.metrics)
        found += [_point(row, size, _power_kw(bes, size, hours), found) for row in rows]
    return found, ran


def the_battery(site: Site, name: str | None) -> Bes:
    """A battery of a site.

    Raises:
        BadInput: there is none, or none of that name, or several and no name.
    """
    known = ", ".join(b.name for b in site.bess)
    if not site.bess:
        problem = "the site has no battery; add one, of any size, to the site file"
        raise BadInput.at("SITE", problem)
    if name is None and len(site.bess) > 1:
        raise BadInput.at("--battery", f"missing: the site has several ({known})")
    found = next((b for b in site.bess if name in (None, b.name)), None)
    if found is None:
        raise BadInput.at("--battery", f"no battery is called {name}; the site has {known}")
    return found


def _power_kw(bes: Bes, size_kwh: float, hours: float | None) -> float:
    return size_kwh / (hours or bes.capacity_kwh / bes.rated_kw)


def _with_size(of: StudySite, bes: Bes, size_kwh: float, hours: float | None) -> StudySite:
    """The site with that battery; its inverter grows as its power does."""
    power_kw = _power_kw(bes, size_kwh, hours)
    scale = power_kw / bes.rated_kw
    resized = replace(
        bes,
        capacity_kwh=size_kwh,
        rated_kw=power_kw,
        q_max_kvar=scale * bes.q_max_kvar,
        s_max_kva=None if bes.s_max_kva is None else scale * bes.s_max_kva,
    )
    ders = tuple(resized if d.name == bes.name else d for d in of.site.ders)
    if not size_kwh:
        ders = tuple(d for d in of.site.ders if d.name != bes.name)
    return replace(of, site=replace(of.site, ders=ders))


def _point(
    row: dict[str, object], size: float, power_kw: float, before: Sequence[BatteryPoint]
) -> BatteryPoint:
    """With what it saves against no battery, and against the next smaller one."""
    told = {key: value for key, value in row.items() if isinstance(value, int | float)}
    days = int(told["days"] / told["seeds"])
    smaller = [p for p in before if p.policy == row["policy"]]
    year = DAYS_OF_YEAR / days
    # A demand charge is paid by the month, however few of its days there are.
    yearly = year * told["cost_usd"] + MONTHS_OF_YEAR / told["months"] * told["demand_usd"]

    def saved(against: BatteryPoint) -> float:
        """Of a year; by years, in case one of them lacks a day [$]."""
        return against.cost_usd_per_year - yearly

    cycles = told.get("cycles")
    return BatteryPoint(
        site=str(row["site"]),
        policy=str(row["policy"]),
        capacity_kwh=size,
        rated_kw=power_kw,
        cost_usd=told["total_usd"],
        cost_usd_per_year=yearly,
        saved_usd_per_year=_against_none(size, smaller, saved),
        marginal_usd_per_kwh_year=saved(smaller[-1]) / (size - smaller[-1].capacity_kwh)
        if smaller
        else None,
        cycles_per_year=None if cycles is None else year * cycles,
        curtailed_pct=told["curtailed_pct"],
        violated=int(told["violated"]),
        days=days,
    )


def _against_none(
    size: float, smaller: Sequence[BatteryPoint], saved: Callable[[BatteryPoint], float]
) -> float | None:
    if not size:
        return 0.0
    return saved(smaller[0]) if smaller and not smaller[0].capacity_kwh else None
