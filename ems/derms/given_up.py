"""Which events of others a device gave up for another one of theirs, before they had begun.

A device gives up as a whole what has not begun and what another program's event will take over
(IEEE Std 2030.5-2018, 10.2.3), dispatched or not. So that is not asked again where the dispatch
ends: it would go before older events, which the device would follow.
"""

from collections.abc import Iterable, Mapping, Sequence

from ems.derms.board import Board, Control, Device, Program, Responded
from ems.derms.precedence import Ranked, begins, ends_first, goes_before, has_begun
from ems.derms.seen import DONE, OPTED_OUT, REFUSED, STARTED


def given_up(board: Board, device: Device, programs: Iterable[Program]) -> set[str]:
    """Events that a device gave up, dispatched or not, as far as is certain: their mRIDs.

    Of those that have not ended.

    Args:
        board: what is served, and what the device answered.
        device: follows the events.
        programs: its own but the dispatch's.
    """
    events = [(c, p.primacy) for p in programs for c in board.controls(p.name)]
    said = {
        event.mrid: [r for r in board.responses(event.mrid) if r.lfdi == device.lfdi]
        for event, _ in events
    }
    now = board.now()
    return {
        event[0].mrid
        for event in events
        if event[0].ends > now
        and not {STARTED, *DONE} & _statuses(said[event[0].mrid])
        and any(
            _takes_whole(other, event) and _has_taken(other, event, said, events)
            for other in events
        )
    }


def _takes_whole(other: Ranked, event: Ranked) -> bool:
    """Whether an event takes all of another program's over, whatever is left to chance.

    A newer one: the primacy of an older one may have changed since.
    """
    (newer, _), (older, _) = other, event
    return (
        newer.program != older.program
        and newer.created >= older.created
        and goes_before(other, event)
        and has_begun(newer) < ends_first(older)
        and has_begun(older) < ends_first(newer)
    )


def _has_taken(
    other: Ranked,
    event: Ranked,
    said: Mapping[str, Sequence[Responded]],
    events: Iterable[Ranked],
) -> bool:
    """Whether a device knew of an event and of the other one while the event waited.

    What begins at once may be followed until the other one begins: that is not taken for given up.
    """
    of_other, of_event = said[other[0].mrid], said[event[0].mrid]
    if not of_other or {OPTED_OUT, *REFUSED} & _statuses(of_other):
        return False
    first, heard = begins(event[0]), min(map(_at, of_other))
    told = min(map(_at, of_event)) if of_event else max(first, event[0].created)
    known = max(heard, told)
    return (
        heard < first
        and known <= first
        and not _is_over(other[0], known)
        and not _is_contested(other, events, known)
    )


def _is_over(event: Control, at: int) -> bool:
    return ends_first(event) <= at or (event.cancelled is not None and event.cancelled <= at)


def _is_contested(event: Ranked, others: Iterable[Ranked], at: int) -> bool:
    """Whether a device may have given an event up itself by then."""
    return any(
        goes_before(other, event)
        and other[0].created <= at
        and begins(other[0]) < event[0].ends
        and begins(event[0]) < other[0].ends
        for other in others
    )


def _statuses(told: Iterable[Responded]) -> set[int]:
    return {r.status for r in told}


def _at(response: Responded) -> int:
    return response.received if response.time is None else response.time
