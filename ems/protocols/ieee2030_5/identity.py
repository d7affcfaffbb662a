"""Who a device is: LFDI and SFDI of its certificate, registration PIN, mRIDs.

Sources: IEEE 2030.5-2018 clause 6.3.2–6.3.4 (LFDI, SFDI, check digit), 8.4 (PIN), clause 10 on
mRID; the worked example 3E4F45AB31ED… → 167261211391 is the standard's own.
"""

import hashlib
import secrets
from typing import Final

LFDI_DIGITS: Final = 40
"""Leftmost 160 bits of SHA-256."""
_SFDI_BITS: Final = 36
PIN_DIGITS: Final = 6
_PEN_BITS: Final = 32


def lfdi_of(der: bytes) -> str:
    """Long-form identifier of a certificate in DER: 40 hexadecimal digits, upper case."""
    return hashlib.sha256(der).hexdigest()[:LFDI_DIGITS].upper()


def sfdi_of(lfdi: str) -> int:
    """Short-form identifier: the leftmost 36 bits in decimal, and a check digit."""
    return with_check_digit(int(lfdi[: _SFDI_BITS // 4], 16))


def with_check_digit(number: int) -> int:
    """A digit appended so that the sum of all digits is a multiple of ten."""
    return number * 10 + -sum(map(int, str(number))) % 10


def has_check_digit(number: int) -> bool:
    """Whether the digits add up to a multiple of ten."""
    return number >= 0 and sum(map(int, str(number))) % 10 == 0


def pin_fault(pin: int) -> str:
    """What is wrong with a registration PIN, and what was probably meant; empty: nothing."""
    if not 0 <= pin < 10**PIN_DIGITS:
        return f"{pin} has more than {PIN_DIGITS} digits; write five and their check digit"
    if has_check_digit(pin):
        return ""
    meant = with_check_digit(pin // 10)
    return f"{pin:0{PIN_DIGITS}d} has a wrong check digit; {meant:0{PIN_DIGITS}d} has the right one"


def mrid(*seed: str | int, pen: int) -> str:
    """A global identifier: 96 bits, then the private enterprise number of who made it.

    With a seed the same seed gives the same identifier; without one it is drawn.
    """
    if not 0 <= pen < 1 << _PEN_BITS:
        raise ValueError(f"pen = {pen}: a private enterprise number has 32 bits")
    text = "\x1f".join(map(str, seed))
    octets = hashlib.sha256(text.encode()).digest()[:12] if seed else secrets.token_bytes(12)
    return f"{octets.hex()}{pen:08x}".upper()
