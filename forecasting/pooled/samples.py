"""From measured series to what the pooled network is fitted to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from forecasting.clearsky import PvGeometry
from forecasting.data.sources import SourceRows
from forecasting.pooled.augment import (
    capped,
    gappy,
    other_losses,
    other_orientation,
    other_scale,
)
from forecasting.pooled.features import LAG_FEATURES, TARGET_FEATURES, WIDTH, Float32s, rows
from forecasting.pooled.observed import HISTORY, LAGS, answerable, observed
from forecasting.pooled.sky import interval_number, plant_sky
from forecasting.record import PlantRecord

TRAINED_TO = 0.55
STOPPED_TO = 2 / 3
"""Shares of a series, by time: up to the first it trains, up to the second it stops the
training; the last third is the test span and is not looked at."""

INTERVAL_MIN = 15

# Where a cap binds, the forecast alone decides how far it is lifted; below it the plant shows
# within minutes what is available.
_WHERE_A_CAP_BINDS = 6.0

# A little below the 5° that are scored, so that the edge is learned from both sides.
_LEAST_ELEVATION_DEG = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Rows of the network and what it should answer."""

    x: Float32s
    """Shape (sample, `WIDTH`)."""
    y: Float32s
    """Available power as a share of the rating, shape (sample, 1) [1]."""
    weight: Float32s
    """How much its error counts, shape (sample,) [1]."""

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.y)

    def part(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> "Samples":
        """Some of the samples."""
        return Samples(x=self.x[chosen], y=self.y[chosen], weight=self.weight[chosen])


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSamples:
    """Samples of one source."""

    training: Samples
    validation: Samples


def joined(parts: Iterable[Samples]) -> Samples:
    """All samples, in the order of the parts."""
    listed = list(parts)
    return Samples(
        x=np.concatenate([p.x for p in listed]),
        y=np.concatenate([p.y for p in listed]),
        weight=np.concatenate([p.weight for p in listed]),
    )


def site_samples(source: SourceRows, plants: int, seed: Sequence[int]) -> SiteSamples:
    """Samples of one source, as seen by several plants.

    The first plant is the source's own with a tidy record. The others face elsewhere (where
    irradiance was measured) or are configured with another scale (where power was). A third
    has gaps, a third gaps and caps. Rows of 5 minutes give intervals that begin in between.

    Args:
        source: The measured series.
        plants: How many.
        seed: Of the random numbers; those of another source should differ.
    """
    training: list[Samples] = []
    validation: list[Samples] = []
    for number in range(plants):
        rng = np.random.default_rng([*seed, number])
        late_rows = number % (INTERVAL_MIN // source.minutes)
        geometry, record = _plant(source, number, late_rows, rng)
        stop = int(len(record) * STOPPED_TO)
        truth = record.available_kw[:stop] / geometry.rated_kw
        seen = _disturbed(record.part(0, stop), geometry.rated_kw, number, rng)
        found, at = _samples(seen, geometry, truth, late_min=late_rows * source.minutes)
        early = at < int(len(record) * TRAINED_TO)
        training.append(found.part(early))
        validation.append(found.part(~early))
    return SiteSamples(training=joined(training), validation=joined(validation))


def _plant(
    source: SourceRows, number: int, late_rows: int, rng: Generator
) -> tuple[PvGeometry, PlantRecord]:
    own = source.source.geometry
    if number == 0:
        return own, source.record()
    if source.source.quantity != "ghi_wm2":
        # Half of them are configured as the source says.
        geometry = other_scale(own, rng) if number % 2 else own
        return geometry, source.record(late_rows=late_rows)
    geometry = other_orientation(own, rng)
    record = source.record(geometry, late_rows=late_rows)
    # Half of them lose what the configuration does not know.
    return geometry, other_losses(record, geometry.rated_kw, rng) if number % 2 else record


def _disturbed(record: PlantRecord, rated_kw: float, number: int, rng: Generator) -> PlantRecord:
    kind = number // 2 % 3
    if kind == 0:
        return record
    return gappy(capped(record, rated_kw, rng) if kind == 2 else record, rng)


def _samples(
    record: PlantRecord, geometry: PvGeometry, truth: NDArray[np.float64], *, late_min: int
) -> tuple[Samples, NDArray[np.int64]]:
    """Samples of every daylight interval of known truth, and their places in the record."""
    first = interval_number(record.starts[0]) - HISTORY
    sky = plant_sky(geometry, first, len(record) + HISTORY + 1, late_min=late_min)
    targets = np.arange(len(record))
    seen = observed(
        record.parts_kw,
        record.floor_kw,
        record.cap_kw,
        geometry.rated_kw,
        made_kw=record.made_kw,
    )
    high = sky.elevation_deg[HISTORY:-1] > _LEAST_ELEVATION_DEG
    targets = targets[high & np.isfinite(truth) & answerable(seen, targets)]
    if not len(targets):
        nothing = np.empty((0, 1), np.float32)
        empty = Samples(x=np.empty((0, WIDTH), np.float32), y=nothing, weight=nothing[:, 0])
        return empty, targets
    y = np.clip(truth[targets], 0.0, 1.0)
    binds = y > record.cap_kw[targets] / geometry.rated_kw
    samples = Samples(
        x=rows(seen, sky, geometry.azimuth_deg, targets),
        y=y.astype(np.float32)[:, None],
        weight=np.where(binds, _WHERE_A_CAP_BINDS, 1.0).astype(np.float32),
    )
    return samples, targets


def without_thirds(samples: Samples, share: float, rng: Generator) -> Samples:
    """The samples, some as if only 15-minute means had been measured.

    Args:
        samples: Left unchanged.
        share: Of the samples, that lose their thirds [1].
        rng: Chooses them.
    """
    x = samples.x.copy()
    chosen = np.flatnonzero(rng.uniform(size=len(x)) < share)
    x[chosen[:, None], _OF_THIRDS] = 0.0
    return replace(samples, x=x)


_FINE = ("thirds_known", "k_first_third", "k_middle_third", "k_last_third")
_OF_THIRDS = [
    step * len(LAG_FEATURES) + LAG_FEATURES.index(name) for step in range(LAGS) for name in _FINE
] + [
    LAGS * len(LAG_FEATURES) + TARGET_FEATURES.index(name)
    for name in ("last_third", "last_below_cap")
]
