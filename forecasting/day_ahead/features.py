"""What is known of the sky when a day ahead is forecast, as numbers a blend can weigh.

Every feature is a clear-sky index or a change of one, so one blend serves plants of any size,
place and season. Indices of long memory hold up those of short memory: where little was measured,
the index of the last hour becomes that of the day, that of the month, and the usual 0.7. So no
feature is ever missing, not at night, not on day one and not after a month under caps.

All of it lies on one timeline that ends 96 intervals after the last issue. A feature of issue i
rests on rows before i: each reading enters it one row late, or a day late.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import lfilter

from forecasting.clearsky import Floats, PvGeometry
from forecasting.record import LEVELS, PlantRecord
from forecasting.series import INTERVAL
from forecasting.sky import INDEX_MAX, INDEX_UNKNOWN, LOW_SUN_SHARE, light_of

Ints = NDArray[np.int64]

DAY = 96
"""Intervals of a day, and the most that are forecast."""
MEMORY = 120 * DAY
"""Intervals before an issue that are looked at: four months."""

MEMORIES = (
    ("month", 30.0 * DAY, 25.0),
    ("week", 5.0 * DAY, 8.0),
    ("day", 1.0 * DAY, 4.0),
    ("hours", 16.0, 1.0),
    ("hour", 4.0, 0.3),
    ("last", 0.5, 0.1),
)
"""Name, time constant [intervals], and the clear-sky energy at which the measured index counts as
much as that of the longer memory [intervals at full rating]; a clear day has about 25 of them."""

# Days back whose same time of day is looked at, weight of a day in terms of the one after it, and
# the clear-sky energy held by the longer memory. Two hours of one noon have about 8.
_ALIKE = ((30, 0.93, 6.0), (5, 1.0, 1.0), (1, 1.0, 0.5))
_REACH = 4  # an hour to either side: clouds pass at no fixed minute

# Two hours hold several changes of this front and few of the last. Nothing measured: about the
# middle of four places. Held up by less than one interval of full sun.
_CHANGE_INTERVALS = 8.0
_CHANGE_UNKNOWN = 0.05
_CHANGE_HELD = 0.1

FEATURES = (
    "usual",
    "month",
    "five_days_alike",
    "yesterday_alike",
    "week",
    "day",
    "hours",
    "hour",
    "last",
    "hour_unsteady",
    "last_unsteady",
)
"""What the mean is blended of; see `Features.mean`."""

SPREAD_FEATURES = (
    "one",
    "mean",
    "mean_squared",
    *(f"alike_{round(100 * level)}" for level in LEVELS),
    "unsteady",
    "hour",
)
"""What the quantiles are blended of; see `Features.spread`."""

_DAYS_SAMPLED = 30
_SAMPLE_STEPS = (-3, 0, 3)  # intervals: three quarters of an hour apart a sky has changed
# A sky of which nothing is known, beside up to 90 measured indices: some of it, mostly clear.
_PRIOR_INDICES = (0.15, 0.35, 0.55, 0.7, 0.85, 0.95, 1.0, 1.0, 1.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Sun and measurements of a plant in shares of its rating; arrays of shape (row,)."""

    power: Floats
    """Available power, NaN where unknown or capped [1]."""
    clear: Floats
    """Clear-sky power [1]."""
    daylight: NDArray[np.bool_]
    """Whether the interval is scored and learnt from."""
    issues: Ints
    """Rows that forecasts are issued at the start of, shape (issue,)."""


def timeline(
    record: PlantRecord, geometry: PvGeometry, first: pd.Timestamp, last: pd.Timestamp
) -> Timeline:
    """The rows that issues from `first` to `last` look at and answer for.

    Raises:
        ValueError: `first` or `last` is no start of a 15-minute interval, with a zone.
    """
    for time in (first, last):
        if time.tz is None or time != time.floor(INTERVAL):
            raise ValueError(f"{time} starts no interval: give a quarter of an hour, in UTC")
    oldest = first - MEMORY * INTERVAL
    begin = max(oldest, min(record.starts[0], first)) if len(record) else first
    rows = round((last - begin) / INTERVAL) + DAY
    power = np.full(rows, np.nan)
    # The record may begin before the timeline, or after it, when it holds nothing of it.
    skipped = round((begin - record.starts[0]) / INTERVAL) if len(record) else 0
    if skipped >= 0:
        seen = record.part(skipped, skipped + rows)
        power[: len(seen)] = seen.available_kw / geometry.rated_kw
    clear, daylight = light_of(geometry, begin, rows)
    issues = np.arange(round((first - begin) / INTERVAL), rows - DAY + 1)
    return Timeline(power=power, clear=clear, daylight=daylight, issues=issues)


class Features:
    """Features of every issue of a timeline: worked out once, looked up by issue and target."""

    def __init__(self, line: Timeline) -> None:
        """Look back from every issue of a timeline."""
        known = np.isfinite(line.power)
        could = np.where(known, line.clear, 0.0)
        made = np.where(known, np.clip(line.power, 0.0, INDEX_MAX * line.clear), 0.0)
        self._first = int(line.issues[0])
        targets = np.arange(self._first, len(line.clear))
        self._memory = {n: m[line.issues] for n, m in _memories(made, could).items()}
        self._unsteady = _unsteadiness(made, could)[line.issues]
        self._alike = _alike(made, could, targets)
        self._levels = _levels_alike(made, could, targets)

    def mean(self, issues: Ints) -> Floats:
        """What the mean index is blended of, shape (issue, 96, `FEATURES`) [1].

        The usual index of the target's time of day, and deviations: of the other memories from
        it, and of the short ones from that of the month. No constant: a plant whose index is
        lower for its losses gets forecasts that are lower alike, on plants never seen too.
        """
        row, at = self._rows(issues)
        memory = {name: values[row][:, None] for name, values in self._memory.items()}
        unsteady = self._unsteady[row][:, None]
        month = memory["month"]
        usual, five, yesterday = self._indices_alike(at, month)
        short = {name: memory[name] - month for name in memory}
        parts = [usual, month - usual, five - usual, yesterday - usual]
        parts += [short[name] for name, _, _ in MEMORIES[1:]]
        parts += [unsteady * short["hour"], unsteady * short["last"]]
        return np.stack([np.broadcast_to(p, at.shape) for p in parts], axis=-1)

    def spread(self, issues: Ints, mean: Floats) -> Floats:
        """What the quantiles of the index are blended of, shape (issue, 96, `SPREAD_FEATURES`).

        Args:
            issues: Rows of the issues, shape (issue,).
            mean: Expected index, shape (issue, 96) [1].
        """
        row, at = self._rows(issues)
        alike = [self._levels[:, k][at] for k in range(len(LEVELS))]
        now = [self._unsteady[row][:, None], self._memory["hour"][row][:, None]]
        parts = [np.ones_like(mean), mean, mean**2, *alike, *now]
        return np.stack([np.broadcast_to(p, at.shape) for p in parts], axis=-1)

    def usual(self, issues: Ints) -> Floats:
        """Usual index of each target's time of day, shape (issue, 96) [1]."""
        row, at = self._rows(issues)
        return self._indices_alike(at, self._memory["month"][row][:, None])[0]

    def now(self, issues: Ints) -> Floats:
        """Index of the last hour, as far as there was sun, shape (issue,) [1]."""
        return self._memory["hour"][issues - self._first]

    def levels_alike(self, issues: Ints) -> Floats:
        """Indices of the targets' time of day at `LEVELS`, shape (issue, 96, level) [1]."""
        return self._levels[self._rows(issues)[1]]

    def _rows(self, issues: Ints) -> tuple[Ints, Ints]:
        row = issues - self._first
        return row, row[:, None] + np.arange(DAY)

    def _indices_alike(self, at: Ints, month: Floats) -> list[Floats]:
        """Indices of the target's time of day, 30, 5 and 1 days back, shape (issue, 96) each."""
        found: list[Floats] = []
        longer = np.broadcast_to(month, at.shape)
        for (made, could), (_, _, held) in zip(self._alike, _ALIKE, strict=True):
            longer = (made[at] + held * longer) / (could[at] + held)
            found.append(longer)
        return found


def _memories(made: Floats, could: Floats) -> dict[str, Floats]:
    """Fading indices before each row, each held up by the longer one, shape (row,) [1]."""
    found: dict[str, Floats] = {}
    longer: Floats = np.full(len(made), INDEX_UNKNOWN)
    for name, constant, held in MEMORIES:
        longer = (_faded(made, constant) + held * longer) / (_faded(could, constant) + held)
        found[name] = longer
    return found


def _faded(values: Floats, constant: float) -> Floats:
    """Sum of the `MEMORY` rows before each row, older ones fading, shape (row,).

    The end of the memory is exact, so that a longer record changes no answer.
    """
    keep = np.exp(-1.0 / constant)
    total = np.asarray(lfilter([1.0], [1.0, -keep], values), dtype=np.float64)
    before = np.concatenate([[0.0], total[:-1]])
    if len(before) > MEMORY:
        before[MEMORY:] -= keep**MEMORY * np.concatenate([[0.0], total[: -MEMORY - 1]])
    return before


def _unsteadiness(made: Floats, could: Floats) -> Floats:
    """Mean change of the index from one interval to the next, of late, shape (row,) [1]."""
    index = made / np.maximum(could, LOW_SUN_SHARE)
    both = np.minimum(could[1:], could[:-1])
    weight = np.concatenate([[0.0], both])
    change = np.concatenate([[0.0], np.abs(np.diff(index)) * both])
    held = _CHANGE_HELD * _CHANGE_UNKNOWN
    return (_faded(change, _CHANGE_INTERVALS) + held) / (
        _faded(weight, _CHANGE_INTERVALS) + _CHANGE_HELD
    )


def _alike(made: Floats, could: Floats, targets: Ints) -> list[tuple[Floats, Floats]]:
    """Energy made and clear-sky energy about the target's time on days before.

    Yesterday's hour ends at the target's time of day: its other half may lie after the issue.
    """
    sums = [np.concatenate([[0.0], np.cumsum(v)]) for v in (made, could)]
    found: list[tuple[Floats, Floats]] = []
    for days, fading, _ in _ALIKE:
        back = np.arange(1, days + 1)
        at = targets[:, None] - DAY * back
        low = np.maximum(at - _REACH, 0)
        high = np.maximum(at + np.where(back == 1, 0, _REACH) + 1, 0)
        weight = fading ** (back - 1.0)
        energy = [(s[high] - s[low]) @ weight for s in sums]
        found.append((energy[0], energy[1]))
    return found


def _levels_alike(made: Floats, could: Floats, targets: Ints) -> Floats:
    """Indices at `LEVELS` of the target's time of day on 30 days, shape (target, level)."""
    trusted = could >= LOW_SUN_SHARE
    index = np.where(trusted, made / np.maximum(could, LOW_SUN_SHARE), np.nan)
    back = np.arange(1, _DAYS_SAMPLED + 1)
    # Yesterday's are shifted back, as its hour is.
    steps = np.array(
        [[s - (_SAMPLE_STEPS[-1] if d == 1 else 0) for s in _SAMPLE_STEPS] for d in back]
    )
    at = targets[:, None] - (DAY * back[:, None] - steps).ravel()
    sampled = np.where(at >= 0, index[np.maximum(at, 0)], np.nan)
    prior = np.broadcast_to(_PRIOR_INDICES, (len(targets), len(_PRIOR_INDICES)))
    ascending = np.sort(np.concatenate([sampled, prior], axis=1), axis=1)  # NaN goes last
    last = np.isfinite(ascending).sum(axis=1)[:, None] - 1
    place = last * np.array(LEVELS)
    low = place.astype(np.int64)
    rows = np.arange(len(targets))[:, None]
    below, above = ascending[rows, low], ascending[rows, np.minimum(low + 1, last)]
    return np.asarray(below + (place - low) * (above - below))
