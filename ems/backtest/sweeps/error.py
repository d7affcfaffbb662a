"""What errors of the forecast cost: the same days with a share of the error left."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ems.backtest.case import ForecastName
from ems.backtest.pools import Pool
from ems.backtest.running import Tell
from ems.backtest.seeds import summed_up
from ems.backtest.study import Study
from ems.backtest.sweeps.points import Point, Ran, named, run_points
from ems.backtest.working import SimulateDay, usual_day
from ems.errors import BadInput, Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPoint:
    """One policy at one share of the forecast's error; over several seeds the mean."""

    site: str
    policy: str
    error: float
    """Share of the forecast's error that is left; 0 is perfect, 1 as forecast [1]."""
    nrmse_pct: float | None
    """Of the sun's forecast, over all ratings [%]."""
    cost_usd: float
    """Energy, fuel and demand charge [$]."""
    more_usd: float | None
    """Than at the least error of the sweep [$]; None: not over the same days."""
    curtailed_pct: float
    """PV energy not used, of what was available [%]."""
    violated: int
    """Intervals with a limit broken in the truth."""
    model_violated: int
    """The same in the EMS's model."""
    caution_usd: float | None
    """What the band of the forecast cost [$]."""
    days: int
    """Simulated, of each seed."""


def error_faults(forecast: ForecastName) -> list[Fault]:
    """A forecast that does not err: every share of its error is the same."""
    if forecast != "perfect":
        return []
    problem = "perfect has no error that a share could be left of; name another forecast"
    return [Fault(place="--forecast", problem=problem)]


def forecast_error(
    study: Study,
    folder: Path,
    errors: Sequence[float],
    *,
    jobs: int | None = None,
    workers: Callable[[], Pool] | None = None,
    tell: Tell = lambda _told: None,
    simulate: SimulateDay = usual_day,
) -> tuple[list[ErrorPoint], list[Ran]]:
    """Run a study at several shares of the forecast's error.

    What is expected is the truth plus that share of the forecast's error, of sun and load, now and
    ahead. The upper bound of the sun stays one for any sky: it is what keeps limits, and no better
    forecast may lower it.

    Args:
        study: what is run; its own `forecast_error` is replaced.
        folder: each share gets a folder in it.
        errors: shares, 0 is perfect.
        jobs: processes; None: one per core.
        workers: opens workers of another kind.
        tell: called whenever a day is over.
        simulate: one day.

    Returns:
        One point for each policy and share, shares rising; and what became of each share.

    Raises:
        BadInput: it is no study, its forecast does not err, or a folder is another's.
    """
    faults = error_faults(study.forecast)
    if faults:
        raise BadInput(faults)
    shares = sorted(set(errors))
    points = [
        Point(name=f"error_{named(share)}", study=replace(study, forecast_error=share))
        for share in shares
    ]
    ran = run_points(points, folder, jobs=jobs, workers=workers, tell=tell, simulate=simulate)
    least = {_of(row): row for row in summed_up(ran[0].metrics)} if ran else {}
    found = []
    for share, of in zip(shares, ran, strict=True):
        for row in summed_up(of.metrics):
            base = least.get(_of(row))
            found.append(
                ErrorPoint(
                    site=row["site"],
                    policy=row["policy"],
                    error=share,
                    nrmse_pct=row["forecast_nrmse_pct"],
                    cost_usd=_cost_usd(row),
                    more_usd=_more_usd(row, base),
                    curtailed_pct=row["curtailed_pct"],
                    violated=row["violated"],
                    model_violated=row["model_violated"],
                    caution_usd=row["caution_usd"],
                    days=row["days"] // row["seeds"],
                )
            )
    return found, ran


def _of(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["site"], row["policy"]


def _more_usd(row: Mapping[str, Any], base: Mapping[str, Any] | None) -> float | None:
    """Than the base, where that is of the same days."""
    if base is None or base["days"] != row["days"]:
        return None
    return _cost_usd(row) - _cost_usd(base)


def _cost_usd(row: Mapping[str, Any]) -> float:
    """Energy, fuel and demand charge [$]."""
    return float(row["cost_usd"] + row["demand_usd"])
