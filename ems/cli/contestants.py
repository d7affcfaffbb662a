"""Which artefacts `geems forecast evaluate` judges: the champions, or the one it is given."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ems.errors import Fault

if TYPE_CHECKING:
    from forecasting.day_ahead.horizon import DayAhead
    from forecasting.ladder import Model
    from models import Artefact

_NEXT: Final = "pv_pooled"
_DAY: Final = "pv_day_ahead"
_CALLED: Final = {_NEXT: "its model", _DAY: "its blend of the day ahead"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestants:
    """What stands behind `geems`."""

    model: "Model | None"
    """Of the next interval; None: the ladder goes without."""
    day_ahead: "DayAhead | None"
    """None where no day ahead is judged."""
    artefacts: "tuple[Artefact, ...]"
    """Of both, as far as there are any, and of what they are judged beside."""
    notes: tuple[str, ...]
    """Artefacts that were passed over or cannot be used."""


def contestants(given: str | None, horizon: str, faults: list[Fault]) -> Contestants | None:
    """Load what is judged.

    Args:
        given: Id or folder of an artefact; its kind says in which place it stands for the champion.
        horizon: "15min", or "24h" for the day ahead too.
        faults: Those of `given` are added; the champions' are notes, for `geems` goes on without.

    Returns:
        None where `given` cannot be judged.
    """
    asked = None if given is None else _asked(given, horizon, faults)
    if given is not None and asked is None:
        return None
    notes: list[str] = []
    try:
        model, next_artefact = _next_interval(asked, notes)
        day_ahead, day_artefact = _day_ahead(asked, notes) if horizon == "24h" else (None, None)
    except ValueError as fault:
        faults.append(Fault(place="--model", problem=str(fault)))
        return None
    return Contestants(
        model=model,
        day_ahead=day_ahead,
        artefacts=tuple(a for a in (next_artefact, day_artefact) if a is not None),
        notes=tuple(notes),
    )


def _asked(given: str, horizon: str, faults: list[Fault]) -> "Artefact | None":
    from ems.cli.models import models_folder
    from models import ArtefactFault, artefact, find
    from models.manifest import RUNS_CODE

    suffix = Path(given).suffix.lower()
    if suffix in RUNS_CODE:
        problem = (
            f"{suffix} files can run code and are never loaded; give an artefact's id or folder"
        )
        faults.append(Fault(place="--model", problem=problem))
        return None
    try:
        if Path(given).is_dir():
            folder = Path(given).resolve()
            found = artefact(folder.name, folder.parent)
        else:
            found = find(given, models_folder(None))
    except ArtefactFault as fault:
        faults.append(Fault(place="--model", problem=str(fault)))
        return None
    if found.kind == _NEXT or (found.kind == _DAY and horizon == "24h"):
        return found
    here = f"one of kind {_NEXT} is judged here, one of kind {_DAY} with --horizon 24h"
    problem = f"'{found.id}' is of kind {found.kind}; {here}"
    faults.append(Fault(place="--model", problem=problem))
    return None


def _next_interval(
    asked: "Artefact | None", notes: list[str]
) -> "tuple[Model | None, Artefact | None]":
    """The model of the next interval.

    Raises:
        ValueError: `asked` is one and cannot be used.
    """
    from forecasting.pooled import PooledLstm
    from forecasting.runtime import ParityFault
    from models import ArtefactFault

    given = asked is not None and asked.kind == _NEXT
    chosen = asked if given else _champion(_NEXT, notes)
    if chosen is None:
        return None, None
    try:
        return PooledLstm(chosen), chosen
    except (ArtefactFault, ParityFault, ValueError, RuntimeError) as fault:
        if given:
            raise ValueError(f"'{chosen.id}': {fault}; train it again") from fault
        notes.append(f"geems goes without {_CALLED[_NEXT]}, '{chosen.id}': {fault}")
        return None, None


def _day_ahead(asked: "Artefact | None", notes: list[str]) -> "tuple[DayAhead, Artefact | None]":
    """What forecasts the day ahead.

    Raises:
        ValueError: `asked` is a blend and cannot be used.
    """
    from forecasting.day_ahead.blend import Blend
    from forecasting.day_ahead.horizon import DayAhead

    if asked is not None and asked.kind == _DAY:
        return DayAhead(Blend.from_artefact(asked)), asked
    chosen = _champion(_DAY, notes)
    if chosen is None:
        return DayAhead.without("no artefact of it can be used"), None
    try:
        return DayAhead(Blend.from_artefact(chosen)), chosen
    except ValueError as fault:
        notes.append(f"geems goes without {_CALLED[_DAY]}: {fault}")
        return DayAhead.without(str(fault)), None


def _champion(kind: str, notes: list[str]) -> "Artefact | None":
    from ems.cli.models import models_folder
    from models import ArtefactFault, champion

    try:
        chosen = champion(kind, models_folder(None))
    except ArtefactFault as fault:
        notes.append(f"geems goes without {_CALLED[kind]}: {fault.in_short}")
        return None
    notes.extend(chosen.notes)
    return chosen.artefact
