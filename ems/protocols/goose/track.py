"""How a frame follows the ones before it.

Two rules make a stream of frames one publisher's: within a state (stNum) neither the time stamp
nor the values change while sqNum grows, and from state to state the time stamp never goes back.
A frame that breaks them was sent by somebody else, or by a publisher that started again.
"""

from enum import Enum, auto

from ems.protocols.goose.frame import Frame, GooseMessage

RING = 0xFFFF_FFFF
"""Numbers of stNum, and of sqNum without its 0: after the largest comes 1."""
HALF = RING // 2
LATE_S = 0.2
"""How long after a state began frames of earlier ones may still come in [s]: they overtake each
other within milliseconds. Later than that they are strays, or another publisher's."""
FIRST_FRAMES = 3
"""sqNum up to which state 1 reads as a restart: a publisher repeats its first frame within
milliseconds, and a few may be lost while a link comes up. Later ones are another publisher's."""


class Follows(Enum):
    """What a frame is to a track."""

    NEXT = auto()
    """It goes on, possibly after frames that were lost."""
    RESTARTED = auto()
    """The publisher started again: state 1, later than before."""
    DUPLICATE = auto()
    """The last frame once more."""
    OVERTAKEN = auto()
    """From before, and merely late."""
    OLD = auto()
    """From long before: a stray, or another publisher further back."""
    FOREIGN = auto()
    """Of another publisher: it contradicts the track."""


class Track:
    """The frames of what looks like one publisher."""

    def __init__(self, frame: Frame, now: float, expires: float, *, certain: bool) -> None:
        self.src = frame.src
        self.since = now
        """When the first frame of the state came in [s]."""
        self.expires = expires
        """Until when the last frame holds [s]."""
        self.certain = certain
        """False while it may be no more than a stray old frame."""
        self.changed = True
        """Whether the last frame began a state."""
        self.lost = 0
        """Frames or states that the last frame showed to be missing."""
        self._set(frame.message)

    def _set(self, message: GooseMessage) -> None:
        self.message = message
        self.at = message.st_num, message.sq_num
        self.t = message.t

    def relation(self, frame: Frame, now: float) -> Follows:
        """What a frame is to this track."""
        message = frame.message
        if frame.src != self.src:
            return Follows.FOREIGN
        states = (message.st_num - self.at[0]) % RING
        if message.t.seconds == self.t.seconds and message.t.fraction == self.t.fraction:
            order = 0
        else:
            order = 1 if message.t > self.t else -1
        if states == 0:
            return self._within_state(frame, order)
        if states < HALF:
            return Follows.NEXT if order >= 0 else Follows.FOREIGN
        if order > 0:
            return Follows.RESTARTED if _first(message) else Follows.FOREIGN
        return Follows.OVERTAKEN if now < self.since + LATE_S else Follows.OLD

    def _within_state(self, frame: Frame, order: int) -> Follows:
        message = frame.message
        if order > 0 and _first(message):
            return Follows.RESTARTED  # it was in state 1 before, too
        if order or message.all_data != self.message.all_data:
            return Follows.FOREIGN
        if message.sq_num == self.at[1]:
            return Follows.DUPLICATE
        if _repeats(self.at[1], message.sq_num) < HALF:
            return Follows.NEXT
        return Follows.OVERTAKEN

    def go_on(self, frame: Frame, now: float, expires: float) -> None:
        """Take the next frame."""
        at = frame.message.st_num, frame.message.sq_num
        states = (at[0] - self.at[0]) % RING
        self.changed = states > 0
        repeats = _repeats(self.at[1], at[1])
        # A new state begins with 0, so its number is how many of its frames are missing.
        self.lost = states - 1 + at[1] if states else repeats - 1
        if states:
            self.since = now
        self.certain = True
        self.expires = expires
        self._set(frame.message)

    def start_again(self, frame: Frame, now: float, expires: float) -> None:
        """Take the first frame after a restart."""
        self.since, self.changed, self.lost = now, True, 0
        self.expires = expires
        self._set(frame.message)


def _first(message: GooseMessage) -> bool:
    return message.st_num == 1 and message.sq_num <= FIRST_FRAMES


def _repeats(before: int, after: int) -> int:
    """How many repetitions lie between two sqNum of one state, on the ring without 0."""
    if after == 0:  # the first frame of a state is before all others
        return RING - 1 if before else 0
    return after if before == 0 else (after - before) % RING
