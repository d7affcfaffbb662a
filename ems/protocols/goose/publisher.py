"""What a publisher sends, and when: pure state, no socket and no clock.

A change of the values starts a new state: stNum one higher, sqNum 0, sent at once. The state is
then repeated, first after the shortest delay of the control block, then after twice as long each
time up to its longest; sqNum counts the repetitions. Both counters fit 32 bits and go on with 1
after the largest number: 0 is kept, in sqNum for the first frame of a state.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ems.protocols.goose.ber import sequence_octets
from ems.protocols.goose.control import ControlBlock
from ems.protocols.goose.frame import LONGEST, Frame, GooseMessage, assemble
from ems.protocols.goose.utc_time import ACCURACY_UNSPECIFIED, UtcTime
from ems.protocols.goose.values import Data

LARGEST = 0xFFFF_FFFF
"""Of stNum and sqNum."""
LIVES = 2
"""Time allowed to live, in delays to the next frame: one frame may be lost."""
LEAST_LIFE_MS = 500
"""Shortest time allowed to live [ms]. A general-purpose kernel may hold back either process for
tens of milliseconds, which must not read as the loss of a publisher that repeats after 4 ms."""

NAME_HEAD = 3
"""Octets of tag and length before a name, at most."""
BESIDE_THE_VALUES = 64
"""Octets of a message without names and values, at most: header 8; heads of message and values 4
each; t 10; timeAllowedtoLive, stNum, sqNum, confRev 7 each; flags 3 each; count 4."""


class Publisher:
    """One control block's frames."""

    def __init__(
        self,
        control: ControlBlock,
        source_mac: bytes,
        *,
        simulation: bool = False,
        nds_com: bool = False,
        clock_quality: int = ACCURACY_UNSPECIFIED,
    ) -> None:
        """Begin without values: nothing is due before the first are published.

        Args:
            control: what is published, and how often.
            source_mac: address of the interface, six octets.
            simulation: mark the frames as those of a simulator.
            nds_com: mark the control block as not completely configured.
            clock_quality: quality octet of the time stamps.
        """
        self.control = control
        self._clock_quality = clock_quality
        self._data = b""
        self._interval_ms = control.min_time_ms
        self._next_due: float | None = None
        self._frame = Frame(  # the values stay outside, as octets
            dst=control.dst_mac,
            src=source_mac,
            vlan_id=control.vlan_id,
            vlan_priority=0 if control.vlan_id is None else control.vlan_priority,
            appid=control.appid,
            simulation=simulation,
            message=GooseMessage(
                gocb_ref=control.gocb_ref,
                time_allowed_to_live_ms=0,
                dat_set=control.dat_set,
                go_id=control.go_id,
                t=UtcTime(0),
                st_num=0,
                sq_num=0,
                simulation=simulation,
                conf_rev=control.conf_rev,
                nds_com=nds_com,
                all_data=(),
            ),
        )

    @property
    def next_due(self) -> float | None:
        """When the next frame must go out [s], on the clock of `now`; None before the first."""
        return self._next_due

    @property
    def state(self) -> tuple[int, int]:
        """The stNum and sqNum of the last frame; (0, 0) before the first."""
        return self._frame.message.st_num, self._frame.message.sq_num

    def resume(self, st_num: int, sq_num: int = 0) -> None:
        """Go on counting from here, as a publisher that remembers its state over a restart."""
        message = replace(self._frame.message, st_num=st_num, sq_num=sq_num)
        self._frame = replace(self._frame, message=message)

    def publish(self, values: Sequence[Data], now: float, t: datetime) -> bytes | None:
        """The frame to send at once, or None where the values are those in force.

        Args:
            values: one for each entry of the data set.
            now: instant on a clock that never steps, such as `time.monotonic` [s].
            t: when the values changed, aware.

        Raises:
            ValueError: the values are not those of the data set, or too long for a frame.
        """
        return self.publish_octets(data_set_octets(self.control, values), now, t)

    def publish_octets(self, data: bytes, now: float, t: datetime) -> bytes | None:
        """Likewise, for values that `data_set_octets` has made octets of."""
        if self._next_due is not None and data == self._data:
            return None
        self._data = data
        last = self._frame.message
        time = UtcTime.of(t, self._clock_quality)
        return self._send((_after(last.st_num), 0), time, self.control.min_time_ms, now)

    def due(self, now: float) -> bytes | None:
        """The repetition to send at `now` [s], or None while none is due."""
        if self._next_due is None or now < self._next_due:
            return None
        last = self._frame.message
        interval_ms = min(2 * self._interval_ms, self.control.max_time_ms)
        return self._send((last.st_num, _after(last.sq_num)), last.t, interval_ms, now)

    def _send(self, state: tuple[int, int], t: UtcTime, interval_ms: int, now: float) -> bytes:
        message = replace(
            self._frame.message,
            time_allowed_to_live_ms=max(LIVES * interval_ms, LEAST_LIFE_MS),
            t=t,
            st_num=state[0],
            sq_num=state[1],
        )
        self._frame = replace(self._frame, message=message)
        self._interval_ms, self._next_due = interval_ms, now + interval_ms / 1000
        return assemble(self._frame, len(self.control.entries), self._data)


def data_set_octets(control: ControlBlock, values: Sequence[Data]) -> bytes:
    """The values as octets.

    Raises:
        ValueError: they are not those of the data set, or too long for a frame.
    """
    problems = control.mismatches(values)
    if problems:
        raise ValueError(f"{control.gocb_ref}: {'; '.join(problems)}")
    octets = sequence_octets(values)
    names = (control.gocb_ref, control.dat_set, control.go_id)
    room = LONGEST - BESIDE_THE_VALUES - sum(NAME_HEAD + len(name) for name in names)
    if len(octets) > room:
        raise ValueError(
            f"{control.gocb_ref}: values of {len(octets)} octets, a frame has room for {room}:"
            " divide the data set"
        )
    return octets


def _after(number: int) -> int:
    return 1 if number >= LARGEST else number + 1
