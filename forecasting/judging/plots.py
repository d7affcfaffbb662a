"""Draw an evaluation: whether the bands keep their word, what they look like, who errs least."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.day_ahead.scores import HOURS, DayAheadScore
from forecasting.judging.evaluate import NAMES, Evaluation
from forecasting.judging.judged import DAY
from forecasting.record import LEVELS
from forecasting.scores import BANDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DAYS = 3
_LABELS = {
    "geems": "geems",
    "persistence": "persistence",
    "smart_persistence": "smart persistence",
    "yesterday": "yesterday",
    "five_day_mean": "five-day mean",
    "paper_lstm": "paper's LSTM",
}
_OURS, _REFERENCE, _OTHERS, _TRUTH = "#0b6e4f", "#c8553d", "#9aa5b1", "#1f2933"
_LIGHTER = "#e0a899"
_COLOURS = {"geems": _OURS, "smart_persistence": _REFERENCE}


def draw(evaluation: Evaluation, path: Path, day_ahead: DayAheadScore | None = None) -> None:
    """Write one picture (PNG) with three panels, and two more for the day ahead.

    Raises:
        OSError: the file cannot be written.
    """
    # 0.5 s to import and wanted by this alone; no window is ever opened.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    rows = 2 if day_ahead is None else 3
    figure = Figure(figsize=(11.0, 3.75 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, 2)
    _reliability(figure.add_subplot(grid[0, 0]), evaluation)
    _errors(figure.add_subplot(grid[0, 1]), evaluation)
    _days(figure.add_subplot(grid[1, :]), evaluation)
    if day_ahead is not None:
        _hourly_errors(figure.add_subplot(grid[2, 0]), day_ahead)
        _hourly_coverage(figure.add_subplot(grid[2, 1]), day_ahead)
    judged = evaluation.judged
    figure.suptitle(
        f"{judged.site}: next 15 minutes, polls every {judged.minutes} min, "
        f"{int(evaluation.scored.sum())} daylight intervals"
    )
    figure.savefig(path, dpi=120, format="png")


def _reliability(axes: "Axes", evaluation: Evaluation) -> None:
    axes.plot([0, 100], [0, 100], color=_TRUTH, linewidth=0.8, linestyle=":", label="perfect")
    levels = 100.0 * np.array(LEVELS)
    for name in ("smart_persistence", "geems"):
        share = 100.0 * np.array(evaluation.reliability[name])
        axes.plot(
            levels,
            share,
            marker="o",
            markersize=4,
            linestyle="--" if name == "smart_persistence" else "-",
            color=_COLOURS[name],
            label=_LABELS[name],
        )
    axes.set(
        title="Do quantiles keep their word?",
        xlabel="level of the quantile [%]",
        ylabel="truths at or below it [%]",
        xlim=(0, 100),
        ylim=(0, 100),
    )
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def _errors(axes: "Axes", evaluation: Evaluation) -> None:
    names = NAMES[::-1]
    values = [evaluation.scores[name].nrmse_pct for name in names]
    colours = [_COLOURS.get(name, _OTHERS) for name in names]
    bars = axes.barh([_LABELS[name] for name in names], values, color=colours)
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.set(title="Error", xlabel="nRMSE [% of the rating]", xlim=(0, 1.12 * max(*values, 1e-9)))
    axes.spines[["top", "right"]].set_visible(False)


def _days(axes: "Axes", evaluation: Evaluation) -> None:
    """The days of the test span whose errors are nearest to usual, in a row."""
    rows = _usual_days(evaluation)
    forecast, rated = evaluation.forecasts["geems"], evaluation.judged.geometry.rated_kw
    starts = evaluation.judged.record.starts[rows]
    hours = np.arange(len(rows)) / 4.0
    quantiles = 100.0 * forecast.quantiles_kw[rows] / rated
    for percent, alpha in ((90, 0.12), (80, 0.2), (50, 0.35)):
        low, high = BANDS[percent]
        axes.fill_between(
            hours,
            quantiles[:, low],
            quantiles[:, high],
            color=_OURS,
            alpha=alpha,
            linewidth=0,
            label=f"{percent} % band",
        )
    axes.plot(hours, 100.0 * forecast.mean_kw[rows] / rated, color=_OURS, label="mean")
    truth = 100.0 * evaluation.truth_kw[rows] / rated
    axes.plot(hours, truth, color=_TRUTH, linewidth=0.9, label="measured")
    sixes = [t for t, s in enumerate(starts) if s.hour % 6 == 0 and s.minute == 0]
    axes.set_xticks(
        [t / 4.0 for t in sixes],
        [
            f"{starts[t]:%H:%M\n%d %b}" if k % 4 == 0 else f"{starts[t]:%H:%M}"
            for k, t in enumerate(sixes)
        ],
    )
    axes.set(
        title="A few usual days of the test span",
        xlabel="UTC",
        ylabel="power [% of the rating]",
        xlim=(0, max(hours[-1], 1.0)),
        ylim=(0, 118),  # room for the legend above full power
    )
    axes.legend(frameon=False, ncols=5, loc="upper center")


def _hourly_errors(axes: "Axes", score: DayAheadScore) -> None:
    """Of the day ahead and both its references."""
    hours = [h.hour for h in score.hours]
    for name, label, colour in (
        ("smart_persistence", "smart persistence", _REFERENCE),
        ("last_hour", "last hour's index kept", _LIGHTER),
        ("faded", "one of low sun given up", _OTHERS),
    ):
        values = [h.references[name] for h in score.hours]
        axes.plot(hours, values, color=colour, linestyle="--", label=label)
    axes.plot(hours, [h.nrmse_pct for h in score.hours], color=_OURS, label="geems")
    axes.set(title="The day ahead: error", ylabel="nRMSE [% of the rating]", ylim=(0, None))
    _by_hour(axes)


def _hourly_coverage(axes: "Axes", score: DayAheadScore) -> None:
    """Of the bands of the day ahead."""
    hours = [h.hour for h in score.hours]
    for percent, values in (
        (90, [h.coverage90_pct for h in score.hours]),
        (80, [h.coverage80_pct for h in score.hours]),
        (50, [h.coverage50_pct for h in score.hours]),
    ):
        alpha = percent / 90.0
        axes.axhline(percent, color=_TRUTH, linewidth=0.8, linestyle=":")
        axes.plot(hours, values, color=_OURS, alpha=alpha, label=f"{percent} % band")
    axes.set(
        title="Do its bands keep their word?", ylabel="truths within the band [%]", ylim=(0, 100)
    )
    _by_hour(axes)


def _by_hour(axes: "Axes") -> None:
    axes.set(xlabel="hour after the issue", xlim=(1, HOURS), xticks=[1, *range(4, HOURS + 1, 4)])
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")


def _usual_days(evaluation: Evaluation) -> NDArray[np.int64]:
    """Rows of the run of days whose absolute error is nearest to the median of all such runs."""
    record = evaluation.judged.record
    first = int(np.argmax(evaluation.scored))
    # Solar midnight parts the days, so that none is cut.
    shift = pd.Timedelta(hours=evaluation.judged.geometry.longitude_deg / 15.0)
    dates = (record.starts[first:] + shift).floor("D")
    day = ((dates - dates[0]) // pd.Timedelta(days=1)).to_numpy(dtype=np.int64)
    scored = evaluation.scored[first:]
    error_kw = np.abs(evaluation.forecasts["geems"].mean_kw - evaluation.truth_kw)[first:]
    count = np.bincount(day[scored], minlength=day[-1] + 1)
    total = np.bincount(day[scored], weights=error_kw[scored], minlength=day[-1] + 1)
    runs = max(len(count) - _DAYS + 1, 1)
    known = np.array([count[d : d + _DAYS].min() for d in range(runs)])
    mean = np.array(
        [total[d : d + _DAYS].sum() / max(count[d : d + _DAYS].sum(), 1) for d in range(runs)]
    )
    whole = known >= 0.5 * known.max()
    distance = np.where(whole, np.abs(mean - np.median(mean[whole])), np.inf)
    begin = first + int(np.argmax(day >= int(np.argmin(distance))))
    return np.arange(begin, min(begin + _DAYS * DAY, len(record)))
