"""Which ladder a plant gets: by the method asked for, and the model of the register if any."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, get_args

from forecasting.clearsky import PvGeometry
from forecasting.ladder import LadderForecast, PlantLadder
from forecasting.pooled import PooledLstm
from forecasting.record import PlantRecord
from forecasting.rungs import Mean, MeanLadder, fading_index, published, usual_sky
from forecasting.runtime import PaperLstm, ParityFault
from models import Artefact, ArtefactFault, Champions, ChampionsFault

Method = Literal["lstm", "paper_lstm", "smart_persistence", "clear_sky"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)

_KIND: Final = {"lstm": "pv_pooled", "paper_lstm": "paper_lstm"}
_LOAD: Final[dict[str, Callable[[Artefact], PooledLstm | PaperLstm]]] = {
    "lstm": PooledLstm,
    "paper_lstm": PaperLstm,
}
_SIMPLE: Final[tuple[tuple[str, Mean], ...]] = (
    ("smart_persistence", fading_index),
    ("clear_sky", usual_sky),
)


class Ladder(Protocol):
    """Forecasts of one plant, one interval at a time."""

    def replay(self, record: PlantRecord) -> None:
        """Learn from a history, as if it had been forecast interval by interval."""

    def next(self, record: PlantRecord) -> LadderForecast:
        """Forecast the interval after the record's last, once its last is learnt from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The ladder of one plant."""

    ladder: Ladder
    why: str = ""
    """Why it has no model, where one was asked for."""
    notes: tuple[str, ...] = ()
    """Models that were passed over on the way to the one used."""

    @property
    def faults(self) -> tuple[str, ...]:
        """Models that are refused or missing, although they ship or were promoted."""
        without = (f"the forecast goes without its model: {self.why}",) if self.why else ()
        return (*self.notes, *without)


def simple_ladders(method: Method, geometry: PvGeometry) -> list[Ladder]:
    """What needs no model, from each rung at or below a method on, best first; nothing learnt."""
    names = [name for name, _ in _SIMPLE]
    first = names.index(method) if method in names else 0
    return [MeanLadder(_SIMPLE[k:], geometry) for k in range(first, len(_SIMPLE))]


class Models:
    """The models of a site; each artefact is loaded once, however many plants it serves."""

    def __init__(self, method: Method, root: Path | None) -> None:
        """Load nothing yet.

        Args:
            method: best rung.
            root: folder of the user's own models; None: those that ship.
        """
        self._method = method
        self._champions = Champions(_KIND[method], root) if method in _KIND else None
        self._loaded: dict[str, PooledLstm | PaperLstm | str] = {}

    def ladder(self, plant: str, geometry: PvGeometry) -> Chosen:
        """A ladder that has learnt nothing yet. Never raises: what is wrong is told."""
        if self._champions is None:
            return Chosen(ladder=simple_ladders(self._method, geometry)[0])
        model, why, notes = self._model(plant, self._champions)
        if self._method == "lstm":
            pooled = model if isinstance(model, PooledLstm) else None
            return Chosen(ladder=PlantLadder(pooled, geometry), why=why, notes=notes)
        rungs: Sequence[tuple[str, Mean]] = _SIMPLE
        if isinstance(model, PaperLstm):
            rungs = ((self._method, published(model)), *_SIMPLE)
        return Chosen(ladder=MeanLadder(rungs, geometry), why=why, notes=notes)

    def _model(
        self, plant: str, champions: Champions
    ) -> tuple[PooledLstm | PaperLstm | None, str, tuple[str, ...]]:
        """The model of a plant, why there is none, and what was passed over."""
        try:
            chosen = champions.of(plant)
        except ArtefactFault as fault:
            return None, fault.in_short, ()
        except ChampionsFault as fault:
            return None, str(fault), ()
        key = chosen.artefact.sha256
        if key not in self._loaded:
            try:
                self._loaded[key] = _LOAD[self._method](chosen.artefact)
            except (ArtefactFault, ParityFault, ValueError, RuntimeError, ImportError) as fault:
                told, who = str(fault), f"artefact '{chosen.artefact.id}'"
                self._loaded[key] = told if told.startswith(who) else f"{who}: {told}"
        found = self._loaded[key]
        return (None, found, chosen.notes) if isinstance(found, str) else (found, "", chosen.notes)
