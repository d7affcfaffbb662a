"""From an artefact of the register to the forecast the service would make with it."""

from forecasting import baselines
from forecasting.baselines import Method
from forecasting.calibration.conformal import calibrated
from forecasting.clearsky import PvGeometry
from forecasting.judging.challenge import ChallengeFault, Contender
from forecasting.judging.seen import training_spans
from forecasting.record import PlantRecord, QuantileForecast
from forecasting.runtime import PaperLstm
from models import Artefact

JUDGED = ("paper_lstm", "pv_pooled")
"""Kinds that forecast the next interval, and so can be judged here."""


def contender(artefact: Artefact) -> Contender:
    """A model ready to be judged, calibrated on line as in service.

    Raises:
        ChallengeFault: its kind does not forecast the next interval.
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

    Raises:
        ChallengeFault: its kind does not forecast the next interval.
        ParityFault: the runtime does not answer what Keras answered.
        ValueError: it holds no usable model.
    """
    if artefact.kind == "paper_lstm":
        return baselines.paper_lstm(PaperLstm(artefact))
    if artefact.kind == "pv_pooled":
        return _pooled(artefact)
    raise ChallengeFault(
        f"'{artefact.id}' is of kind {artefact.kind}; only kinds that forecast the next interval "
        f"are judged: {', '.join(JUDGED)}"
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
