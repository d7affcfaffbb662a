"""What the dispatch sees of a device: what it told, what it is asked, by us and by others."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ems.derms.board import Control, Latest, Responded, Standing
from ems.derms.precedence import may_last
from ems.protocols.ieee2030_5 import events, sep

WATT = 38
"""UomType of active power."""
STARTED, OPTED_OUT, OPTED_IN = 2, 4, 5
"""ResponseType (IEEE 2030.5-2018, table 27)."""
SUPERSEDED = frozenset({7, 14})
"""Likewise: superseded, by its own or another program."""
REFUSED = frozenset({252, 253, 254})
DONE = REFUSED | {3, 8, 9, 10}
"""Likewise: it is over for this device, or was never followed: rejected, completed, ended with part
of the participation or without."""

Said = Mapping[str, Sequence[int]]
"""ResponseTypes by LFDI, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcoming:
    """A control of another program (`ems.gateways.ieee2030_5.port.Coming`)."""

    base: sep.DERControlBase
    start: int
    lasts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one program has for its devices."""

    default: sep.DERControlBase | None
    standing: Standing
    """Its controls that have not ended, with their status."""
    events: Mapping[str, events.Event]
    """All of its controls that are known, by mRID, those that have ended too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """What the other programs ask of a device, those of the first one first."""

    now: Sequence[sep.DERControlBase]
    """Of each the controls that the device may hold, then what is left of the default."""
    coming: Sequence[Upcoming]
    """What is still to begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the server knows of one device (`ems.gateways.ieee2030_5.port.EndDevice`)."""

    last_seen: int | None
    poll_s: float
    readings: Sequence[Latest]
    capability: sep.DERCapability | None
    settings: sep.DERSettings | None
    status: sep.DERStatus | None
    availability: sep.DERAvailability | None
    received: Mapping[str, int]
    default: sep.DERControlBase | None
    orders: Sequence[Control]
    others: Sequence[sep.DERControlBase]
    coming: Sequence[Upcoming]
    told: Mapping[str, Sequence[Responded]]


def is_there(seen: Seen | None, now: int, fresh_s: float) -> bool:
    """Whether a device is there, and tells what it does."""
    if seen is None or seen.last_seen is None:
        return False
    return any(r.uom == WATT and now - r.time <= fresh_s for r in seen.readings)


def said_of(responses: Iterable[Responded]) -> Said:
    """What devices answered to one control."""
    found: dict[str, list[int]] = {}
    for response in responses:
        found.setdefault(response.lfdi, []).append(response.status)
    return found


def asks_of(
    offers: Sequence[Offer],
    said: Callable[[str], Sequence[int]],
    never_starts: Callable[[events.Event], bool],
    now: int,
) -> Asks:
    """What other programs ask of a device, and will ask.

    A limit is never to be raised, so a default counts until it is certain that a control of its
    program takes its place; and again from when the first device may have ended that.

    Args:
        offers: of these programs, in the order in which the device goes by them.
        said: what the device answered to a control, oldest first.
        never_starts: whether it has surely given one up for others before it begins.
        now: the server's time [s].
    """
    bases: list[sep.DERControlBase] = []
    coming: list[Upcoming] = []
    of_all = [event for o in offers for event in o.events.values()]
    for offer in offers:
        listed = zip(offer.standing.controls, offer.standing.states, strict=True)
        followed = [(c, state.current) for c, state in listed if _takes(said(c.mrid))]
        active = [c for c, status in followed if status is events.Status.ACTIVE]
        bases += [c.base for c in active]
        bases += [
            c.base
            for c, status in followed
            if status is events.Status.SUPERSEDED
            and may_last(
                offer.events[c.mrid],
                offer.events.values(),
                lambda mrid: STARTED in said(mrid),
                never_starts,
                now,
            )
        ]
        coming += [
            Upcoming(base=c.base, start=_begins(c))
            for c, status in followed
            if status is events.Status.SCHEDULED
        ]
        if offer.default is None:
            continue
        holding = [
            c
            for c in active
            if _is_held(c, said(c.mrid), now)
            and not _is_taken_over(offer.events[c.mrid], of_all, said, now)
        ]
        left = _unasked(offer.default, [c.base for c in holding])
        bases += [left] if left != sep.DERControlBase() else []
        if left != offer.default:
            coming.append(Upcoming(base=offer.default, start=min(map(_ends, holding)), lasts=True))
    return Asks(now=bases, coming=coming)


def _takes(said: Sequence[int]) -> bool:
    """Whether a device follows a control, or may do so yet; what is over stays over."""
    opted = [status for status in said if status in (OPTED_OUT, OPTED_IN)]
    return not (DONE & set(said) or opted[-1:] == [OPTED_OUT])


def _is_held(control: Control, said: Sequence[int], now: int) -> bool:
    """Whether it is certain that a device which follows a control holds it now."""
    random_s = control.random_start or 0
    begun = control.start + max(0, random_s)
    if control.created > control.start:
        # Heard of while it ran, a device begins it at random from then (clause 10.2.3).
        begun = max(begun, control.created + abs(random_s))
    return (STARTED in said or now >= begun) and now < _ends(control)


def _is_taken_over(
    event: events.Event,
    others: Iterable[events.Event],
    said: Callable[[str], Sequence[int]],
    now: int,
) -> bool:
    """Whether one that goes first took all of an event's place: it does not come back after it."""
    return any(
        (other.primacy, -other.created) <= (event.primacy, -event.created)
        and (other.program != event.program or other.goes_before(event))
        and other.mrid != event.mrid
        and other.modes >= event.modes
        and other.earliest_start <= now
        and events.overlap(other, event)
        and not (other.cancelled is not None and other.cancelled <= other.earliest_start)
        and not REFUSED & set(said(other.mrid))
        for other in others
    )


def _begins(control: Control) -> int:
    """When the first device may begin a control; with its random start it may be early [s]."""
    return control.start + min(0, control.random_start or 0)


def _ends(control: Control) -> int:
    """When the first device may end it [s]."""
    return _begins(control) + control.duration + min(0, control.random_duration or 0)


def _unasked(
    default: sep.DERControlBase, active: Sequence[sep.DERControlBase]
) -> sep.DERControlBase:
    """A default control without the modes that active controls of its program ask for."""
    modes = type(default).model_fields
    asked = [m for m in modes if any(getattr(base, m) is not None for base in active)]
    return default.model_copy(update=dict.fromkeys(asked))
