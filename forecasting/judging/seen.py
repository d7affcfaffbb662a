"""What a model has seen in training, and from when on a record is new to it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

SAME_SKY_KM = 10.0
"""Plants nearer than this see the same clouds within 15 minutes: clouds move at about 10 m/s."""

_EARTH_KM = 6371.0


class NoSpans(ValueError):
    """A manifest does not say what a model was trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpan:
    """One series a model was trained on."""

    site: str
    last: str
    """Last day that training, or its early stop, saw, UTC."""
    sha256: str | None
    """Of the file; None: not known."""
    latitude_deg: float | None
    """None: not known [°]."""
    longitude_deg: float | None
    """None: not known [°]."""

    def is_of(self, sha256: str | None, latitude_deg: float, longitude_deg: float) -> bool:
        """Whether a record is of the same file or under the same sky.

        A span that names neither file nor place may be of any.
        """
        if self.sha256 is not None and self.sha256 == sha256:
            return True
        if self.latitude_deg is None or self.longitude_deg is None:
            return True
        here = (latitude_deg, longitude_deg)
        return _distance_km(here, (self.latitude_deg, self.longitude_deg)) < SAME_SKY_KM


def training_spans(manifest: Mapping[str, Any]) -> tuple[TrainingSpan, ...]:
    """The series named in a manifest's `training_window`.

    Raises:
        NoSpans: it names none, so nothing can be proved to be new to the model.
    """
    window: Mapping[str, Mapping[str, Any]] = manifest.get("training_window", {})
    if not window:
        raise NoSpans(
            f"'{manifest.get('id')}' does not say what it was trained on (training_window in its "
            f"manifest), so no data can be proved new to it: train it again"
        )
    return tuple(
        TrainingSpan(
            site=site,
            last=span["last"],
            sha256=span.get("sha256"),
            latitude_deg=span.get("latitude_deg"),
            longitude_deg=span.get("longitude_deg"),
        )
        for site, span in window.items()
    )


def first_unseen(
    spans: Sequence[TrainingSpan], sha256: str | None, latitude_deg: float, longitude_deg: float
) -> pd.Timestamp | None:
    """First instant after all training on a record's file or sky; None: none was trained on."""
    ends = [span.last for span in spans if span.is_of(sha256, latitude_deg, longitude_deg)]
    if not ends:
        return None
    return pd.Timestamp(max(ends), tz="UTC") + pd.Timedelta(days=1)


def _distance_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Great-circle distance of two places, latitude and longitude [°]."""
    (phi_a, lam_a), (phi_b, lam_b) = ([math.radians(x) for x in place] for place in (a, b))
    half = (
        math.sin((phi_b - phi_a) / 2) ** 2
        + math.cos(phi_a) * math.cos(phi_b) * math.sin((lam_b - lam_a) / 2) ** 2
    )
    return 2 * _EARTH_KM * math.asin(math.sqrt(min(1.0, half)))
