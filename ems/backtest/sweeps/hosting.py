"""Hosting capacity: the largest PV at a bus before the first violation, with and without GEEMS.

Three answers to "the largest PV at which …":

- worst hours: the model keeps every limit at the site's lowest load with every plant at its rating,
  batteries idle, generators off;
- without GEEMS: the truth keeps every limit in every interval of a period under policy `none`;
- with GEEMS: model and truth keep every limit in every interval of a period under policy `geems`,
  and of the energy that the plant adds no more than a share is given up.

Given up counts on the whole site: what is not used with the plant less what is not used without it,
over what the sun offers the plant. So it does not matter whose PV is capped for it.

The plant takes the place of all PV at its bus, and has the orientation and the reactive capability
of the first of them, by its rating; at a bus without PV, what the site's first plant has. A site
without PV gets 20° towards the south, and ±44 % of the rating (IEEE 1547-2018, category B).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np

from ems.backtest.case import STEPS_USUAL, Case, DayState, Errors, ForecastName, Profiles
from ems.backtest.forecasts import Foreseen, foresee
from ems.backtest.metrics import HOURS
from ems.backtest.period import Period
from ems.backtest.profiles import generated
from ems.backtest.running import Tell, Told
from ems.backtest.study import StudySite
from ems.backtest.sweeps.first_broken import NAMED, NEEDED, first_broken
from ems.backtest.sweeps.worst_hours import worst_hours
from ems.backtest.truth import feeder_of
from ems.backtest.working import SimulateDay, usual_day
from ems.domain import Pv, Site
from ems.errors import BadInput

HALVINGS = 10
"""Of the largest PV that is tried: the answer is within a thousandth of it."""
MOST_OF_LOAD = 4.0
"""Largest PV that is tried, over the site's highest load: feeders take less [1]."""
REACTIVE_SHARE = 0.44
"""Reactive power over the rating, IEEE 1547-2018 table 7, category B [1]."""

Over = Literal["worst hours", "period"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One rating that was tried."""

    rated_kw: float
    why_not: str
    """What speaks against it; empty: it can be hosted."""
    v_max_pu: float | None
    """Highest voltage, in the truth over a period, in the model at the worst hours [pu]."""
    given_up: float | None = None
    """Share of the energy it adds that is not used; None: not computed [1]."""
    at: str = ""
    """Node or element of the limit that is broken first; empty where it is none of one place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosting:
    """Largest PV at a bus."""

    bus: str
    with_geems: bool
    over: Over
    rated_kw: float
    """The answer [kW]."""
    at_least: bool
    """True: nothing larger was tried."""
    limited_by: str
    """What speaks against a larger one, in the load flow that breaks a limit first."""
    limited_at: str
    """Node or element of that limit; empty where it is none of one place."""
    tried: tuple[Tried, ...]
    """All of them, ratings rising."""


def hosting_capacity(
    of: StudySite,
    bus: str,
    *,
    with_geems: bool,
    period: Period | None = None,
    given_up: float = 0.05,
    most_kw: float | None = None,
    seed: int = 0,
    errors: Errors | None = None,
    forecast: ForecastName = "lstm",
    steps: int = STEPS_USUAL,
    tell: Tell = lambda _told: None,
    simulate: SimulateDay = usual_day,
) -> Hosting:
    """Largest PV at a bus, by halving between none and `most_kw`.

    Args:
        of: the site.
        bus: of its feeder, with three phases.
        with_geems: whether the service acts; else nobody does.
        period: local days that are simulated; None: the worst hours alone, without GEEMS.
        given_up: most of the added energy that may be lost [1].
        most_kw: largest that is tried; None: four times the site's highest load [kW].
        seed: of sun and load where the site has no profiles, and of the truth's errors.
        errors: in what truth and model differ; None: in nothing.
        forecast: best forecast of the sun that is tried.
        steps: load flows of the truth in an interval, where sun and load are made up.
        tell: called whenever a day is over, with the most days there may be.
        simulate: one day.

    Raises:
        BadInput: with GEEMS, but no period.
        feeders.FeederFault: the feeder has no such bus.
    """
    if with_geems and period is None:
        raise BadInput.at("period", "missing: what GEEMS gives up takes days to tell")
    most = MOST_OF_LOAD * of.site.load_max_kw if most_kw is None else most_kw
    case = _case(of, "geems" if with_geems else "none", seed, errors or Errors(load_noise=0.0))
    case = replace(case, forecast=forecast)
    if period is None:

        def attempt(rated_kw: float) -> Tried:
            tried = replace(case, site=with_plant(of.site, bus, rated_kw))
            found = worst_hours(tried.site, feeder_of(tried, "model"))
            return Tried(
                rated_kw=rated_kw, why_not=found.broken, v_max_pu=found.v_max_pu, at=found.at
            )

    else:
        days = _Days(case, of, bus, period, steps, tell, simulate)

        def attempt(rated_kw: float) -> Tried:
            return days.tried(rated_kw, given_up)

    tried = _halved(attempt, most)
    hosted = [t for t in tried if not t.why_not]
    best_kw = max((t.rated_kw for t in hosted), default=0.0)
    above = next((t for t in tried if t.rated_kw > best_kw or (t.why_not and not hosted)), None)
    return Hosting(
        bus=bus,
        with_geems=with_geems,
        over="worst hours" if period is None else "period",
        rated_kw=best_kw,
        at_least=above is None,
        limited_by=_against(above, case.site, bus) if above else "",
        limited_at=above.at if above else "",
        tried=tried,
    )


def _against(tried: Tried, site: Site, bus: str) -> str:
    """What speaks against a larger plant; one of no power is none, so it is not to blame."""
    if tried.rated_kw:
        return tried.why_not
    others = ", ".join(pv.name for pv in with_plant(site, bus, 0.0).pvs)
    return f"without PV there already{others and f', by {others}'}: {tried.why_not}"


def _halved(attempt: Callable[[float], Tried], most_kw: float) -> tuple[Tried, ...]:
    """Try ratings until the largest that is hosted is known to a thousandth of `most_kw`."""
    found = [attempt(0.0)]
    if not found[0].why_not:
        found.append(attempt(most_kw))
    if found[-1].why_not and len(found) > 1:
        lo, hi = 0.0, most_kw
        for _ in range(HALVINGS):
            middle = attempt((lo + hi) / 2)
            lo, hi = (lo, middle.rated_kw) if middle.why_not else (middle.rated_kw, hi)
            found.append(middle)
    return tuple(sorted(found, key=lambda t: t.rated_kw))


def with_plant(site: Site, bus: str, rated_kw: float) -> Site:
    """The site with one plant in the place of all PV at a bus; 0 kW is none."""
    there = [pv for pv in site.pvs if pv.bus.lower() == bus.lower()]
    others = tuple(d for d in site.ders if d not in there)
    if not rated_kw:
        return replace(site, ders=others)
    return replace(site, ders=(*others, _plant(site, there, bus, rated_kw)))


def _plant(site: Site, there: list[Pv], bus: str, rated_kw: float) -> Pv:
    like = next(iter([*there, *site.pvs]), None)
    if like is None:
        q_max = REACTIVE_SHARE * rated_kw
        return Pv(name=_new_name(site, bus), bus=bus, rated_kw=rated_kw, q_max_kvar=q_max)
    scale = rated_kw / like.rated_kw
    return replace(
        like,
        name=like.name if there else _new_name(site, bus),
        bus=bus,
        rated_kw=rated_kw,
        q_max_kvar=scale * like.q_max_kvar,
        s_max_kva=None if like.s_max_kva is None else scale * like.s_max_kva,
        reversion_kw=0.0,  # it may be far larger than the one whose fall-back was proved safe
        phases=3,
    )


def _new_name(site: Site, bus: str) -> str:
    name = f"pv_{bus.lower()}"
    while name in site.names:
        name += "_new"
    return name


class _Days:
    """The days of a period, simulated for one rating after the other."""

    def __init__(
        self,
        case: Case,
        of: StudySite,
        bus: str,
        period: Period,
        steps: int,
        tell: Tell,
        simulate: SimulateDay,
    ) -> None:
        self._case, self._bus, self._period = case, bus, period
        self._site, self._tell, self._simulate = of.site, tell, simulate
        # Forecasts are shares of ratings: those of one plant serve every rating of it.
        site = with_plant(of.site, bus, 1.0)
        self._seen = _foreseen(replace(case, site=site), of, site, period, steps)
        self._attempts = 0
        self._without: tuple[float, float] | None = None

    def tried(self, rated_kw: float, given_up: float) -> Tried:
        """One rating, until something speaks against it."""
        case = replace(self._case, site=with_plant(self._site, self._bus, rated_kw))
        state = DayState.at_start(case)
        lost_kwh = offered_kwh = 0.0
        v_max = -np.inf
        days = self._period.days
        for i, day in enumerate(days):
            result = self._simulate(case, self._seen.day(case, day), state)
            state = result.state
            rows = {n: result.rows[n].to_numpy().astype(np.float64) for n in NEEDED}
            named = {n: result.rows[n].to_pylist() for n in NAMED}
            v_max = max(v_max, float(np.nanmax(rows["v_max_pu"], initial=-np.inf)))
            lost_kwh += HOURS * float(rows["curtailed_kw"].sum())
            offered_kwh += HOURS * float(rows["pv_available_kw"].sum())
            over = self._attempts * len(days) + i + 1
            self._tell(Told(over=over, days=(HALVINGS + 2) * len(days), failed=0, deaths=0))
            first = first_broken(rows, named, case)
            if first is not None:
                self._attempts += 1
                row, why, at = first
                when = named["start"][row].astimezone(ZoneInfo(case.zone))
                return Tried(
                    rated_kw=rated_kw, why_not=f"{when:%Y-%m-%d %H:%M}: {why}",
                    v_max_pu=_told(v_max), at=at,
                )  # fmt: skip
        self._attempts += 1
        if self._without is None:  # the first that is tried is no plant at all
            self._without = lost_kwh, offered_kwh
        lost, offered = lost_kwh - self._without[0], offered_kwh - self._without[1]
        share = max(lost, 0.0) / offered if offered > 0.0 else 0.0
        why = f"{100 * share:.1f} % of its energy is given up" if share > given_up else ""
        return Tried(rated_kw=rated_kw, why_not=why, v_max_pu=_told(v_max), given_up=share)


def _told(v_pu: float) -> float | None:
    """None where no load flow had a solution."""
    return v_pu if np.isfinite(v_pu) else None


def _case(of: StudySite, method: Literal["none", "geems"], seed: int, errors: Errors) -> Case:
    return Case(
        name=of.name,
        site=of.site,
        policy=of.policy,
        tariff=of.tariff,
        feeder=of.feeder,
        zone=of.zone,
        method=method,
        seed=seed,
        errors=errors,
        confidence=of.confidence,
        reasons=False,  # nobody reads them
    )


def _foreseen(case: Case, of: StudySite, site: Site, period: Period, steps: int) -> Foreseen:
    """Sun and load of the period, and what was forecast of them."""
    if of.profiles is None:
        profiles = generated(site, period, seed=case.seed, steps=steps)
        return foresee(case, profiles, period)
    told = of.profiles.profiles
    new = site.pvs[-1]
    if new.name not in told.pv_share:
        told = _with_series(told, new.name)
    return foresee(case, told, period)


def _with_series(told: Profiles, name: str) -> Profiles:
    """A new plant has the sun of the first one that was measured.

    Raises:
        BadInput: none was.
    """
    first = next(iter(told.pv_share.values()), None)
    if first is None:
        raise BadInput.at("--profiles", "has no PV: nothing tells what the sun offers")
    return replace(told, pv_share={**told.pv_share, name: first})
