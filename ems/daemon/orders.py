"""Orders that registers hold beside those that were asked."""

from ems.domain import Command, Der, DerReading, Outcome, Partial, Pv, Sent
from ems.response import tolerance_kw


def holds(outcome: Outcome) -> bool:
    """Whether the registers of a device hold its command."""
    return isinstance(outcome, Sent) or (
        isinstance(outcome, Partial) and outcome.readback is not None
    )


def same(one: Command, other: Command) -> bool:
    """Whether two commands ask the same."""
    return (one.p_kw, one.q_kvar, one.cap_kw) == (other.p_kw, other.q_kvar, other.cap_kw)


def another(der: Der, command: Command, reading: DerReading) -> str:
    """What a device's registers order instead of a command; empty where they order the same."""
    allowed = tolerance_kw(der)
    if isinstance(der, Pv):  # a cap at its rating is none
        asked = der.rated_kw if command.cap_kw is None else command.cap_kw
        there = der.rated_kw if reading.cap_kw is None else reading.cap_kw
        # Others of its server limit it, or did until now: lower than asked is no other order.
        followed = (reading.most_kw is not None or reading.lifted) and there < asked
        if abs(there - asked) > allowed and not followed:
            cap = "none" if reading.cap_kw is None else f"{there:.1f} kW"
            wanted = "none" if command.cap_kw is None else f"{asked:.1f} kW"
            return f"it holds a cap of {cap}, asked for {wanted}"
    orders = (
        ("kW", reading.p_set_kw, command.p_kw), ("kvar", reading.q_set_kvar, command.q_kvar),
    )  # fmt: skip
    for unit, held, ours in orders:
        if held is not None and ours is not None and abs(held - ours) > allowed:
            return f"it holds an order of {held:.1f} {unit}, asked for {ours:.1f} {unit}"
    return ""
