"""From an artefact of the register to the forecast the service would make with it."""

import numpy as np

from forecasting import baselines
from forecasting.baselines import Method
from forecasting.calibration.bands import calibrated
from forecasting.clearsky import PvGeometry
from forecasting.day_ahead.blend import Blend
from forecasting.day_ahead.horizon import DayAhead
from forecasting.judging.challenge import ChallengeFault, Contender
from forecasting.judging.seen import training_spans
from forecasting.record import LEVELS, PlantRecord, QuantileForecast
from forecasting.runtime import PaperLstm
from models import Artefact

JUDGED = ("paper_lstm", "pv_pooled", "pv_day_ahead")
"""Kinds that can be judged here."""

DAY_AHEAD_INTERVALS = 91
"""A day ahead that is judged is issued so often, and answers until the next. So each interval is
forecast once, and as 91 and 96 share no factor, in 91 days each time of day from each distance."""


def contender(artefact: Artefact) -> Contender:
    """A model ready to be judged, calibrated on line as in service.

    Raises:
        ChallengeFault: nothing is known of its kind.
        ParityFault: the runtime does not answer what Keras answered.
        ValueError: it holds no usable model, or does not say what it was trained on.
    """
    return Contender(
        id=artefact.id,
        kind=artefact.kind,
        sha256=artefact.sha256,
        method=method_of(artefact),
        spans=training_spans(artefact.manifest),
    )


def method_of(artefact: Artefact) -> Method:
    """The forecast of an artefact; it is loaded and its parity vectors are run.

    That of a day ahead is a row of days, each issued when the one before ends.

    Raises:
        ChallengeFault: nothing is known of its kind.
        ParityFault: the runtime does not answer what Keras answered.
        ValueError: it holds no usable model.
    """
    if artefact.kind == "paper_lstm":
        return baselines.paper_lstm(PaperLstm(artefact))
    if artefact.kind == "pv_pooled":
        return _pooled(artefact)
    if artefact.kind == "pv_day_ahead":
        return _day_ahead(artefact)
    raise ChallengeFault(
        f"'{artefact.id}' is of kind {artefact.kind}; kinds that are judged: {', '.join(JUDGED)}"
    )


def parity_error(artefact: Artefact) -> float | None:
    """Largest difference between what the runtime answers and what Keras did.

    None for a kind that stores no parity vectors.

    Raises:
        ParityFault: it is too large.
        ValueError: the artefact holds no usable model.
    """
    if artefact.kind == "paper_lstm":
        return PaperLstm(artefact).parity_error
    if artefact.kind == "pv_pooled":
        from forecasting.pooled import PooledLstm  # noqa: PLC0415

        return float(PooledLstm(artefact).parity_error)
    return None


def _pooled(artefact: Artefact) -> Method:
    from forecasting.pooled import PooledLstm  # noqa: PLC0415

    model = PooledLstm(artefact)

    def method(record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        return calibrated(model.series(record, geometry), record, geometry)

    return method


def _day_ahead(artefact: Artefact) -> Method:
    """Alone: without a weather forecast, and without that of the next interval."""
    model = DayAhead(Blend.from_artefact(artefact))

    def method(record: PlantRecord, geometry: PvGeometry) -> QuantileForecast:
        n, often = len(record), DAY_AHEAD_INTERVALS
        days = model.batch(record, geometry, np.arange(0, n, often))
        return QuantileForecast(
            starts=record.starts,
            mean_kw=days.mean_kw[:, :often].reshape(-1)[:n],
            quantiles_kw=days.quantiles_kw[:, :often].reshape(-1, len(LEVELS))[:n],
        )

    return method
