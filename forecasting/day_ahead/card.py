"""The card of a day-ahead blend: what it is, how good, what it was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forecasting.data.sources import TrainingSource
from forecasting.day_ahead.references import REFERENCES
from forecasting.day_ahead.scores import DayAheadScore

_SHOWN_HOURS = (1, 2, 4, 8, 12, 18, 24)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantScore:
    """How the day ahead did on the last third of one series."""

    source: str
    first: str
    """First day of the series, UTC."""
    tested_from: str
    """First day of the last third, UTC."""
    last: str
    shipped: DayAheadScore
    """Of the blend that ships, which saw the first two thirds."""
    left_out: DayAheadScore | None
    """Of a blend that never saw this plant; None where there is no other to learn from."""


def render_day_ahead_card(
    artefact_id: str,
    sha256: str,
    sources: Sequence[TrainingSource],
    scores: Sequence[PlantScore],
) -> str:
    """Markdown for people."""
    shipped = [s.shipped for s in scores]
    left_out = [s.left_out for s in scores if s.left_out is not None]
    means = {name: _means(shipped, left_out, name) for name in REFERENCES}
    return _TEXT.format(
        id=artefact_id,
        sha256=sha256,
        **means,
        plants=len(sources),
        south=min(s.geometry.latitude_deg for s in sources),
        north=max(s.geometry.latitude_deg for s in sources),
        rows="\n".join(line for s in scores for line in _rows(s)),
        hours="\n".join(_hours(s) for s in scores),
        shown=" | ".join(f"{h} h" for h in _SHOWN_HOURS),
        rule="|".join("---" for _ in _SHOWN_HOURS),
        data="\n".join(_data(source, s) for source, s in zip(sources, scores, strict=True)),
    )


def _means(
    shipped: Sequence[DayAheadScore], left_out: Sequence[DayAheadScore], reference: str
) -> str:
    """Mean ratio of the plants, and that of plants never seen."""
    seen, unseen = ([s.ratio(reference) for s in scores] for scores in (shipped, left_out))
    return f"{_told(_mean(seen), 3)} | {_told(_mean(unseen), 3)}"


def _mean(ratios: Sequence[float | None]) -> float | None:
    known = [ratio for ratio in ratios if ratio is not None]
    return float(np.mean(known)) if known else None


def _told(ratio: float | None, decimals: int = 2) -> str:
    return "–" if ratio is None else f"{ratio:.{decimals}f}"


def _rows(score: PlantScore) -> list[str]:
    name = f"{score.source}, from {score.tested_from}"
    rows = [_row(name, "as shipped", score.shipped)]
    if score.left_out is not None:
        rows.append(_row("", "never saw it", score.left_out))
    return rows


def _row(name: str, blend: str, s: DayAheadScore) -> str:
    smart = s.references["smart_persistence"]
    return (
        f"| {name} | {blend} | {s.nrmse_pct:.1f} | {smart.nrmse_pct:.1f} | "
        f"{_told(s.ratio())} | {_told(s.daytime_ratio)} | {_told(s.ratio('last_hour'))} | "
        f"{_told(s.ratio('faded'))} | {s.mbe_pct:+.1f} | {s.pinball_pct:.2f} | "
        f"{s.coverage50_pct:.0f} | {s.coverage80_pct:.0f} | {s.coverage90_pct:.0f} |"
    )


def _hours(score: PlantScore) -> str:
    by_hour = {h.hour: h for h in score.shipped.hours}
    cells = [
        f"{by_hour[h].nrmse_pct:.1f} / {by_hour[h].references['smart_persistence']:.1f}"
        if h in by_hour
        else "–"
        for h in _SHOWN_HOURS
    ]
    return f"| {score.source} | {' | '.join(cells)} |"


def _data(source: TrainingSource, score: PlantScore) -> str:
    return (
        f"| {source.name} | {source.quantity} | {score.first} to {score.tested_from} | "
        f"{source.licence} | {source.origin} |"
    )


_TEXT = """# {id}

The PV power of the day ahead from the plant's own past: 96 intervals, mean and quantiles. A linear
blend of clear-sky indices (the last interval, hour, four hours, day, week and month; the same time
of day yesterday, of five and of thirty days) with weights by horizon, and a linear quantile
regression on top, moved by what it missed of late. No weather forecast. Weights in JSON, SHA-256
`{sha256}`.

## How good it is

Error of the 24-hour path over that of a clear-sky index kept for 24 hours; mean of the plants:

| kept is | as shipped | never saw the plant |
|---|---|---|
| the last index: smart persistence | {smart_persistence} |
| the mean index of the last hour of daylight | {last_hour} |
| the last index, one of low sun giving way to that of the 30 days before | {faded} |

Daylight nRMSE in percent of the rating, mean over the hours 1 to 24 of the horizon, on the last
third of each series, which training never saw; a day is issued every 75 minutes, by night too.
*Smart* is smart persistence and *ratio* the error over its, *by day* over issues in daylight alone;
*hour* and *faded* are the ratios to the other two. Bias and pinball loss in percent of the rating;
coverage of the bands of 50, 80 and 90 % in percent.

| tested on | blend | nRMSE | smart | ratio | by day | hour | faded | bias | loss | 50 | 80 | 90 |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
{rows}

By hour of the horizon, day ahead / smart persistence:

| plant | {shown} |
|---|{rule}|
{hours}

A series of one year is tested on one season only.

## What it was trained on

| source | quantity | trained on | licence | origin |
|---|---|---|---|---|
{data}

The data are not part of the artefact. Irradiance was turned into the power of a nominal plant:
GHI to direct and diffuse (Erbs), plane of the array (Hay and Davies) facing the equator at the
latitude but at most 35°, power in proportion to irradiance with the rating at 1000 W/m². Each
plant counts alike in the fit, however long its series.

## What it is not for

- It knows no weather that has not arrived: beyond four hours it is the usual sky, moved by the
  past days. A weather forecast file makes it better.
- {plants} plants between latitudes {south:.1f}° and {north:.1f}°; elsewhere it is untried.
- Its bands are fitted over all plants, and moved by what they missed in the 45 days before: they
  follow a change of season or plant within weeks, not within days.
"""
