"""How a station tells its parent new values: the one message that is in a hurry.

Everything else between the two is pickled. Values are told as the octets of the data set, which
the parent reads as the station did; control blocks, which both know, are told by number.
"""

import struct

from ems.protocols.goose.ber import read_time, time_octets
from ems.protocols.goose.utc_time import UtcTime

MARK = b"N"
"""First octet; a pickle begins with 0x80."""
_HEAD = struct.Struct("=cI8sId")
"""Mark, number of the control block, t, stNum, until when the values hold."""


def news_octets(control: int, t: UtcTime, st_num: int, expires: float, octets: bytes) -> bytes:
    """New values of one control block, as a message.

    Args:
        control: which of those that the station subscribes.
        t: when they changed, by the publisher's clock.
        st_num: their state number.
        expires: until when they hold, on the clock that never steps [s].
        octets: the data set.
    """
    return _HEAD.pack(MARK, control, time_octets(t), st_num, expires) + octets


def read_news(message: bytes) -> tuple[int, UtcTime, int, float, bytes]:
    """What `news_octets` was given."""
    _, control, t, st_num, expires = _HEAD.unpack_from(message)
    return control, read_time(t, 0, len(t)), st_num, expires, message[_HEAD.size :]
