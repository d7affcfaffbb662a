"""What a subscriber believes, and how long: pure state, no socket and no clock.

A frame is accepted if it is of the control block in every respect and goes on where the last one
ended. Values hold until the time allowed to live of the last accepted frame has run out; then
there are none. Where two publishers claim one control block there are none either, until only
one of them is still heard.
"""

from collections import Counter
from dataclasses import dataclass
from enum import Enum

from ems.protocols.goose.ber import MalformedFrame
from ems.protocols.goose.control import ControlBlock
from ems.protocols.goose.frame import Frame, GooseMessage, decode
from ems.protocols.goose.track import RING, Follows, Track
from ems.protocols.goose.values import Data

LONGEST_LIFE = 10
"""Longest time values are held on one frame's word, in longest delays of the control block. Public
implementations allow two to four; without a bound one damaged frame would hold them for weeks."""
LEAST_BOUND_S = 5.0
"""That bound is never less [s], for control blocks that repeat every few milliseconds."""
MOST_TRACKS = 4
"""Publishers told apart at a time. Two make the values invalid; more change nothing."""


class Reason(Enum):
    """Why a frame was not taken."""

    MALFORMED = "no GOOSE frame"
    OTHER_CONTROL_BLOCK = "another control block"
    OTHER_ADDRESS = "another destination address"
    OTHER_APPID = "another APPID"
    OTHER_DATA_SET = "another data set"
    OTHER_GO_ID = "another goID"
    OTHER_REVISION = "another revision of the data set"
    NEEDS_COMMISSIONING = "the publisher needs commissioning"
    OTHER_ENTRIES = "values are not those of the data set"
    SIMULATED = "simulated"
    NOT_SIMULATED = "not simulated, while simulated frames come"
    NO_LIFE = "allowed no time to live"
    NO_STATE = "stNum 0 is no state"
    DUPLICATE = "the last frame once more"
    REORDERED = "overtaken by a later frame"
    OLD = "older than what is known"
    TWO_PUBLISHERS = "two publishers of one control block"


class Standing(Enum):
    """Whether there are values, and if not, why."""

    GOOD = "good"
    SILENT = "nothing was heard within the time allowed to live"
    SUSPICIOUS = "two publishers of one control block"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A frame that was taken."""

    message: GooseMessage
    """What it says."""
    changed: bool
    """It begins a state; else it repeats one."""
    lost: int
    """Frames that it shows to be missing before it."""
    restarted: bool
    """It is the first one after its publisher started again."""
    expires: float
    """Until when its values hold [s], on the clock of `now`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """A frame that was not taken."""

    reason: Reason
    detail: str = ""
    """What exactly, where the reason leaves it open."""


class Subscription:
    """One control block as its subscriber sees it."""

    def __init__(self, control: ControlBlock, *, accept_simulated: bool = False) -> None:
        """Begin without values.

        Args:
            control: what is subscribed.
            accept_simulated: take a simulator's frames, and from the first of them on no others.
        """
        self.control = control
        self.ignored: Counter[Reason] = Counter()
        """How many frames were not taken, by reason."""
        self.accepted = 0
        """Frames taken."""
        self.lost = 0
        """Frames that were missing."""
        self.restarts = 0
        """How often the publisher started again."""
        self._accept_simulated = accept_simulated
        self._simulated = False
        self._fitting: tuple[Data, ...] = ()
        """Values that were those of the data set."""
        self._tracks: list[Track] = []
        bound_s = LONGEST_LIFE * control.max_time_ms / 1000
        self._longest_life_s = max(bound_s, LEAST_BOUND_S)

    def receive(self, found: bytes | Frame, now: float) -> Accepted | Ignored:
        """Take a frame, or say why not.

        Args:
            found: a frame, or its octets.
            now: instant on a clock that never steps, such as `time.monotonic` [s].
        """
        try:
            frame = found if isinstance(found, Frame) else decode(found)
        except MalformedFrame as fault:
            answer: Accepted | Ignored = Ignored(reason=Reason.MALFORMED, detail=str(fault))
        else:
            answer = self._unfit(frame) or self._follow(frame, now)
        if isinstance(answer, Ignored):
            self.ignored[answer.reason] += 1
        else:
            self.accepted += 1
            self.lost += answer.lost
            self.restarts += answer.restarted
        return answer

    def values(self, now: float) -> tuple[Data, ...] | None:
        """The values in force, or None where there are none to be trusted."""
        message = self.message(now)
        return None if message is None else message.all_data

    def message(self, now: float) -> GooseMessage | None:
        """The message whose values are in force; None as `values`."""
        return self.present(now)[1]

    def standing(self, now: float) -> Standing:
        """Whether there are values, and if not, why."""
        return self.present(now)[0]

    def next_change(self, now: float) -> float | None:
        """When the standing may next change without another frame [s]; None where it cannot."""
        return self.present(now)[2]

    def present(self, now: float) -> tuple[Standing, GooseMessage | None, float | None]:
        """`standing`, `message` and `next_change` in one."""
        alive = self._alive(now)
        if not alive:
            return Standing.SILENT, None, None
        if len(alive) == 1:
            return Standing.GOOD, alive[0].message, alive[0].expires
        return Standing.SUSPICIOUS, None, min(track.expires for track in alive)

    def _alive(self, now: float) -> list[Track]:
        return [t for t in self._tracks if t.certain and now < t.expires]

    def _unfit(self, frame: Frame) -> Ignored | None:
        """What keeps a frame from being of the control block."""
        control, message = self.control, frame.message
        if message.gocb_ref != control.gocb_ref:
            return Ignored(reason=Reason.OTHER_CONTROL_BLOCK, detail=message.gocb_ref)
        if frame.dst != control.dst_mac:
            return Ignored(reason=Reason.OTHER_ADDRESS, detail=frame.dst.hex("-"))
        if frame.appid != control.appid:
            return Ignored(reason=Reason.OTHER_APPID, detail=f"{frame.appid:#06x}")
        if message.dat_set != control.dat_set:
            return Ignored(reason=Reason.OTHER_DATA_SET, detail=message.dat_set)
        if message.go_id != control.go_id and message.go_id is not None:
            return Ignored(reason=Reason.OTHER_GO_ID, detail=str(message.go_id))
        if message.conf_rev != control.conf_rev:
            return Ignored(reason=Reason.OTHER_REVISION, detail=str(message.conf_rev))
        if message.nds_com:
            return Ignored(reason=Reason.NEEDS_COMMISSIONING)
        mismatches = control.mismatches(message.all_data, self._fitting)
        if mismatches:
            return Ignored(reason=Reason.OTHER_ENTRIES, detail="; ".join(mismatches))
        self._fitting = message.all_data
        if not message.time_allowed_to_live_ms:
            return Ignored(reason=Reason.NO_LIFE)
        if not message.st_num:
            return Ignored(reason=Reason.NO_STATE)
        return self._of_the_other_world(frame)

    def _of_the_other_world(self, frame: Frame) -> Ignored | None:
        """Keep simulated frames from real ones."""
        if frame.simulated and not self._accept_simulated:
            return Ignored(reason=Reason.SIMULATED)
        if self._simulated and not frame.simulated:
            return Ignored(reason=Reason.NOT_SIMULATED)
        if frame.simulated and not self._simulated:
            self._simulated = True
            self._tracks.clear()
        return None

    def _follow(self, frame: Frame, now: float) -> Accepted | Ignored:
        """Put a fitting frame in its place among those before it."""
        self._tracks = [t for t in self._tracks if now < t.expires]
        life_s = min(frame.message.time_allowed_to_live_ms / 1000, self._longest_life_s)
        found: dict[Follows, list[Track]] = {}
        for track in self._tracks:
            found.setdefault(track.relation(frame, now), []).append(track)
        restarted = False
        going_on = found.get(Follows.NEXT)
        if going_on is not None:
            track = going_on[0]
            if len(going_on) > 1:  # the one that it follows more closely
                track = min(going_on, key=lambda t: (frame.message.st_num - t.at[0]) % RING)
            track.go_on(frame, now, now + life_s)
        elif Follows.DUPLICATE in found:
            return Ignored(reason=Reason.DUPLICATE)
        elif Follows.OVERTAKEN in found:
            return Ignored(reason=Reason.REORDERED)
        elif Follows.RESTARTED in found:
            restarted = True
            track = found[Follows.RESTARTED][0]
            track.start_again(frame, now, now + life_s)
        else:
            track = self._another(frame, now, now + life_s, stray=Follows.OLD in found)
            if not track.certain:
                return Ignored(reason=Reason.OLD, detail=_state(frame.message))
        if len(self._alive(now)) > 1:
            return Ignored(reason=Reason.TWO_PUBLISHERS, detail=self._rivals(now))
        return Accepted(
            message=frame.message,
            changed=track.changed,
            lost=track.lost,
            restarted=restarted,
            expires=track.expires,
        )

    def _another(self, frame: Frame, now: float, expires: float, *, stray: bool) -> Track:
        """Begin a track. One old frame may be a stray; it counts once a second one follows it."""
        if len(self._tracks) == MOST_TRACKS:
            self._tracks.remove(min(self._tracks, key=lambda t: (t.certain, t.expires)))
        track = Track(frame, now, expires, certain=not stray)
        self._tracks.append(track)
        return track

    def _rivals(self, now: float) -> str:
        return ", ".join(f"{t.src.hex(':')} at {t.at[0]}/{t.at[1]}" for t in self._alive(now))


def _state(message: GooseMessage) -> str:
    return f"{message.st_num}/{message.sq_num}"
