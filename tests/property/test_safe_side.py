"""What is ordered is never more than what was asked: older models and register maps."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from ems.domain.address import PlainRegister
from ems.gateways.plain import decoded, encoded
from ems.protocols.sunspec import ModelBlock, model
from ems.protocols.sunspec.control1xx import (
    PointsWrite,
    cap,
    held_cap,
    held_reactive,
    held_storage,
    reactive,
    storage,
)

RATED_W = st.integers(1000, 10_000_000).map(float)
SHARE = st.floats(0, 1)
EXPONENT = st.sampled_from((-2, -1, 0))
EPS = 1 + 1e-12
"""A value decoded to binary and back; below any register's step."""


def controls(sf: int) -> ModelBlock:
    block = ModelBlock(model(123))
    for name in ("WMaxLimPct", "WMaxLim_Ena", "VArMaxPct", "VArPct_Mod", "VArPct_Ena"):
        block.set_raw(name, 0)
    block.set_raw("WMaxLimPct_SF", sf)
    block.set_raw("VArPct_SF", sf)
    return block


def apply(block: ModelBlock, write: PointsWrite) -> None:
    first = write.points[0].offset
    block.registers[first : first + len(write.registers)] = list(write.registers)


@given(rated=RATED_W, share=SHARE, sf=EXPONENT)
def test_an_older_cap_is_at_most_the_cap_asked(rated: float, share: float, sf: int) -> None:
    block = controls(sf)
    asked = share * rated / 1000
    apply(block, cap(block, asked, rated, 0))
    held = held_cap(block, rated)
    assert held is not None
    assert 0 <= held <= asked * EPS
    assert asked - held <= rated / 1000 * 10**sf / 100 * (1 + 1e-9)


@given(rated=RATED_W, share=st.floats(-1, 1), sf=EXPONENT)
def test_older_reactive_power_is_at_most_what_was_asked_either_way(
    rated: float, share: float, sf: int
) -> None:
    block = controls(sf)
    asked = share * rated / 1000
    write = reactive(block, asked, rated, rated, 0)
    assert write is not None
    apply(block, write)
    held = held_reactive(block, rated, rated)
    assert held is not None
    assert abs(held) <= abs(asked) * EPS
    assert held * asked >= 0


@given(rated=RATED_W, share=st.floats(-1, 1), sf=EXPONENT)
def test_an_older_battery_moves_at_most_the_power_asked(
    rated: float, share: float, sf: int
) -> None:
    block = ModelBlock(model(124))
    for name in ("StorCtl_Mod", "OutWRte", "InWRte"):
        block.set_raw(name, 0)
    block.set_raw("InOutWRte_SF", sf)
    asked = share * rated / 1000
    for write in storage(block, asked, rated, rated, 0):
        apply(block, write)
    held = held_storage(block, rated, rated)
    assert held is not None
    assert abs(held) <= abs(asked) * EPS
    assert held * asked >= 0


REGISTERS = st.builds(
    PlainRegister,
    address=st.just(0),
    type=st.sampled_from(("int16", "uint16", "int32", "uint32")),
    scale=st.sampled_from((-1.0, -0.1, 0.001, 0.1, 0.3, 1.0, 10.0)),
    offset=st.sampled_from((-5.0, 0.0, 0.25, 45.0)),
    low_word_first=st.booleans(),
)


@given(register=REGISTERS, count=st.integers(0, 0x7FFF), part=st.floats(0, 0.999))
def test_a_limit_in_a_register_is_never_above_what_was_asked(
    register: PlainRegister, count: int, part: float
) -> None:
    signed = -count if register.type.startswith("int") and count % 2 else count
    asked = register.scale * (signed + part) + register.offset
    try:
        held = decoded(register, encoded(register, Decimal(repr(asked)), floor=True))
    except ValueError:
        return  # the next count is beyond the register
    assert held is not None
    assert held <= asked + 1e-9
    assert asked - held <= abs(register.scale) * (1 + 1e-9)


@given(register=REGISTERS, count=st.integers(0, 0x7FFE), part=st.floats(0, 0.999))
def test_a_setpoint_in_a_register_is_no_further_from_zero(
    register: PlainRegister, count: int, part: float
) -> None:
    asked = register.scale * (count + part)
    bare = PlainRegister(
        address=0, type=register.type, scale=register.scale, low_word_first=register.low_word_first
    )
    held = decoded(bare, encoded(bare, Decimal(repr(asked)), floor=False))
    assert held is not None
    assert abs(held) <= abs(asked) + 1e-9
    assert abs(asked - held) <= abs(register.scale) * (1 + 1e-9)


@given(asked=st.floats(-1e6, 1e6, allow_subnormal=False), low_first=st.booleans())
def test_single_precision_goes_towards_zero(asked: float, low_first: bool) -> None:
    register = PlainRegister(address=0, type="float32", low_word_first=low_first)
    held = decoded(register, encoded(register, Decimal(repr(asked)), floor=False))
    assert held is not None
    assert abs(held) <= abs(asked)
    assert abs(asked - held) <= abs(asked) * 2e-7 + 1e-38
