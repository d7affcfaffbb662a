"""What a backtest is asked: sites, days, policies, seeds; and the chains of days that makes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from difflib import get_close_matches
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from itertools import pairwise
from math import ceil, isinf
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from ems.backtest.case import STEPS, Case, Errors, ForecastName, PolicyName
from ems.backtest.keeping import ChainKey
from ems.backtest.period import Period, period_faults
from ems.domain import Policy, Site
from ems.errors import Fault
from ems.tariff import Tariff
from feeders import fingerprint
from feeders.astray import LARGEST_SD

if TYPE_CHECKING:  # workers read neither site files nor series, and pandas and pydantic take 1 s
    from ems.backtest.series_file import FileProfiles
    from ems.settings import Settings

POLICIES: tuple[PolicyName, ...] = get_args(PolicyName)
FORECASTS: tuple[ForecastName, ...] = get_args(ForecastName)
CUT = 28
"""Days from which a chain is cut, so that parts of it run side by side."""
PARTS = 6
"""Into so many parts at most: each cut costs a day of run-in."""
PART_DAYS = 61
"""Or so many that none is longer [d]."""
LARGEST_SEED = 2**63 - 1
"""Rows hold it as a whole number of 64 bits."""
_ALSO = (
    *("numpy", "scipy", "highspy", "cyipopt-wheels", "opendssdirect.py", "dss-python-backend"),
    *("pandas", "pvlib", "pyarrow", "ai-edge-litert"),
)
_SOURCES = ("ems", "forecasting", "feeders", "models")
"""Packages of GEEMS, beside each other in a checkout and where they are installed."""
_APART = ("ems/volttron_driver/", "ems/web/")
"""What no row comes from; the first is not installed either."""
_DIGITS = 16
"""Of a digest that tells edits apart, and guards against no one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySite:
    """A site that is simulated."""

    site: Site
    policy: Policy
    tariff: Tariff
    feeder: str
    """Name of a shipped feeder, or path of an OpenDSS file."""
    zone: str
    """Whose midnights days begin at."""
    confidence: float = 1.0
    """Share of intervals whose sun stays above the lower bound [1]."""
    profiles: "FileProfiles | None" = None
    """None: sun and load are made up."""

    @property
    def name(self) -> str:
        """Of the site."""
        return self.site.name

    @classmethod
    def of(cls, settings: "Settings", profiles: "FileProfiles | None" = None) -> Self:
        """The site of a site file."""
        return cls(
            site=settings.to_site(),
            policy=settings.to_policy(),
            tariff=settings.to_tariff(),
            feeder=settings.feeder_source(),
            zone=settings.site.timezone,
            confidence=settings.dispatch.confidence,
            profiles=profiles,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Days that follow from each other."""

    key: ChainKey
    case: Case
    period: Period
    blocks: tuple[tuple[date, ...], ...]
    """Its days, cut into parts that can begin on their own."""
    linked: bool
    """Whether a block goes on where the one before it ended."""

    @property
    def days(self) -> tuple[date, ...]:
        """All of them."""
        return tuple(day for block in self.blocks for day in block)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """All that is asked of one backtest."""

    sites: tuple[StudySite, ...]
    first: date
    last: date
    """Included."""
    policies: tuple[PolicyName, ...]
    seeds: tuple[int, ...] = (0,)
    errors: Errors = field(default_factory=Errors)
    forecast: ForecastName = "lstm"
    forecast_error: float = 1.0
    """Share of the forecast's error that is left; 0 is perfect [1]."""
    steps: int | None = None
    """In an interval; None: five minutes each, where profiles tell as much."""
    end_soc: Literal["free", "start"] = "free"
    """`start`: each battery ends the period as it began."""
    soc_start_pct: float = 60.0
    """Charge of every battery before the first interval, within its bounds [%]."""
    independent_days: bool = False
    """Every day begins from the site's initial state."""
    reasons: bool = True
    """Whether each interval is explained."""

    def period(self, site: StudySite) -> Period:
        """The days, by a site's midnights."""
        return Period(first=self.first, last=self.last, zone=site.zone)

    def chains(self) -> tuple[Chain, ...]:
        """All chains; what takes longest comes first, so that no process is left with it alone."""
        slowest = ("geems_lookahead", "oracle", "geems", "paper", "rules", "none")
        ordered = sorted(self.policies, key=slowest.index)
        return tuple(
            self._chain(site, seed, policy)
            for site in self.sites
            for seed in self.seeds
            for policy in ordered
        )

    def _chain(self, of: StudySite, seed: int, policy: PolicyName) -> Chain:
        days = self.period(of).days
        return Chain(
            key=ChainKey(site=of.name, policy=policy, seed=seed),
            case=Case(
                name=of.name,
                site=of.site,
                policy=of.policy,
                tariff=of.tariff,
                feeder=of.feeder,
                zone=of.zone,
                method=policy,
                seed=seed,
                errors=self.errors,
                forecast=self.forecast,
                forecast_error=self.forecast_error,
                confidence=of.confidence,
                end_soc=self.end_soc,
                soc_start_pct=self.soc_start_pct,
                reasons=self.reasons,
            ),
            period=self.period(of),
            blocks=tuple((day,) for day in days)
            if self.independent_days
            else blocks_of(days, by_month=of.site.demand_charge_usd_per_kw > 0.0),
            linked=not self.independent_days,
        )

    def asked(self) -> dict[str, Any]:
        """The study as JSON holds it: two that give the same rows have the same."""
        return {
            "versions": dict(versions()),
            "from": str(self.first),
            "to": str(self.last),
            "policies": sorted(self.policies),
            "seeds": sorted(self.seeds),
            "errors": asdict(self.errors),
            "forecast": self.forecast,
            "forecast_error": self.forecast_error,
            "steps": self.steps,
            "end_soc": self.end_soc,
            "soc_start_pct": self.soc_start_pct,
            "independent_days": self.independent_days,
            "reasons": self.reasons,
            "sites": {of.name: _asked_of(of) for of in self.sites},
        }


def blocks_of(days: tuple[date, ...], *, by_month: bool = False) -> tuple[tuple[date, ...], ...]:
    """A chain's days cut into parts of one length, or a day less.

    The days alone say where, so that the result is the same on any number of processes.

    Args:
        days: of the chain, one after the other.
        by_month: cut only where a month begins: a peak that a part does not know of would have all
            its days until then run again.
    """
    count = max(min(ceil(len(days) / CUT), PARTS), ceil(len(days) / PART_DAYS))
    ends = [len(days) * part // count for part in range(count + 1)]
    if by_month:
        whole = [0, *(i for i, day in enumerate(days) if day.day == 1), len(days)]
        ends = sorted({min(whole, key=lambda at: abs(at - end)) for end in ends})
    return tuple(days[begin:end] for begin, end in pairwise(ends))


@cache
def versions() -> Mapping[str, str]:
    """Of GEEMS and of what it computes with.

    An edited checkout keeps its version; its sources tell it apart.
    """
    return {
        "geems": version("geems"),
        "sources": sources_of(Path(__file__).parents[2]),
        "python": python_version(),
        **{name: version(name) for name in _ALSO},
    }


def sources_of(root: Path) -> str:
    """Digest of the packages' files, alike in a checkout and where they are installed."""
    digest = sha256()
    for package in _SOURCES:
        for path in sorted((root / package).rglob("*")):
            name = path.relative_to(root).as_posix()
            if not path.is_file() or "__pycache__" in path.parts or name.startswith(_APART):
                continue
            digest.update(f"{name}\0{sha256(path.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()[:_DIGITS]


def study_faults(study: Study) -> list[Fault]:
    """What is wrong with a study, besides its sites and profiles."""
    faults = []
    if not study.sites:
        faults.append(Fault(place="SITE", problem="no site is given"))
    names = [of.name for of in study.sites]
    for name in sorted({n for n in names if names.count(n) > 1}):
        problem = f"two site files call their site {name}; results would lie in one folder"
        faults.append(Fault(place="SITE", problem=problem))
    faults += period_faults(study.first, study.last)
    faults += policy_faults(study.policies)
    if not study.seeds or len(set(study.seeds)) < len(study.seeds):
        problem = "give at least one seed, and each once"
        faults.append(Fault(place="--seeds", problem=problem))
    faults += [
        Fault(place="--seeds", problem=f"{seed} is out of reach; give 0 to {LARGEST_SEED}")
        for seed in study.seeds
        if not 0 <= seed <= LARGEST_SEED
    ]
    off = study.errors.parameter_error
    if not 0.0 <= off <= LARGEST_SD:
        problem = f"{off:g} could leave a line without impedance; give 0 to {LARGEST_SD:g}"
        faults.append(Fault(place="--parameter-error", problem=problem))
    if study.steps is not None and study.steps not in STEPS:
        problem = f"{study.steps} steps are of no whole minutes; give one of {_listed(STEPS)}"
        faults.append(Fault(place="--steps", problem=problem))
    return faults


def policy_faults(asked: tuple[str, ...]) -> list[Fault]:
    """Policies that there are not, or that are asked twice."""
    faults = []
    for name in dict.fromkeys(asked):
        if name not in POLICIES:
            near = get_close_matches(name.lower().replace("-", "_"), POLICIES, n=1)
            mend = f"did you mean {near[0]}?" if near else f"known: {_listed(POLICIES)}"
            faults.append(Fault(place="--policies", problem=f'unknown policy "{name}"; {mend}'))
        elif asked.count(name) > 1:
            faults.append(Fault(place="--policies", problem=f"{name} is asked twice"))
    if not asked:
        problem = f"none is given; known: {_listed(POLICIES)}"
        faults.append(Fault(place="--policies", problem=problem))
    return faults


def _asked_of(of: StudySite) -> Mapping[str, Any]:
    told = {
        "feeder": fingerprint(of.feeder),
        "zone": of.zone,
        "confidence": of.confidence,
        "profiles": "generated" if of.profiles is None else f"sha256 {of.profiles.sha256}",
        "assumed": [] if of.profiles is None else list(of.profiles.assumed),
        "site": asdict(of.site),
        "policy": asdict(of.policy),
        "tariff": {**asdict(of.tariff), "zone": str(of.tariff.zone)},
    }
    plain: Mapping[str, Any] = _finite(told)
    return plain


def _finite(value: Any) -> Any:
    """The same without infinity, which JSON has no number for, and without tuples."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and isinf(value) else value


def _listed(names: tuple[Any, ...]) -> str:
    return ", ".join(str(name) for name in names)
