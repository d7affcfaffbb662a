"""A cap is never rounded up, whatever the rating, the scale factor or the number."""

from hypothesis import example, given
from hypothesis import strategies as st

from ems.domain import Command
from ems.protocols.sunspec import (
    CAP,
    REACTIVE,
    SETPOINT,
    ModelBlock,
    encode,
    from_registers,
    held,
    model,
    to_registers,
)

RATINGS_W = st.integers(min_value=1, max_value=65_534).flatmap(
    lambda n: st.integers(min_value=0, max_value=4).map(lambda sf: float(n * 10**sf))
)
SHARES = st.floats(min_value=0, max_value=1.2)
PERCENT_SF = st.integers(min_value=-2, max_value=0)
POWER_SF = st.integers(min_value=-1, max_value=3)


def controls(percent_sf: int, power_sf: int) -> ModelBlock:
    block = ModelBlock(model(704))
    block.set_raw("WMaxLimPct_SF", percent_sf)
    block.set_raw("WSet_SF", power_sf)
    block.set_raw("VarSet_SF", power_sf)
    for part in (CAP, SETPOINT, REACTIVE):
        for point in part.points:
            block.set_raw(point.name, 0)
    return block


def written(command: Command, block: ModelBlock, w_max_w: float) -> ModelBlock:
    for write in encode(command, block, w_max_w):
        block.registers[write.offset : write.offset + len(write.registers)] = write.registers
    return block


@given(w_max_w=RATINGS_W, share=SHARES, reversion=SHARES, sf=PERCENT_SF)
@example(w_max_w=10_000_000.0, share=0.6515, reversion=0.07, sf=-2)
@example(w_max_w=3.0, share=1 / 3, reversion=2 / 3, sf=-2)
def test_a_cap_held_is_never_above_the_cap_asked(
    w_max_w: float, share: float, reversion: float, sf: int
) -> None:
    asked, back = share * w_max_w / 1000, reversion * w_max_w / 1000
    command = Command(
        der="pv", p_kw=None, q_kvar=0, cap_kw=asked, reversion_kw=back, reversion_s=900
    )
    block = written(command, controls(sf, 0), w_max_w)
    got = held(block, w_max_w).cap_kw
    assert got is not None
    assert got <= asked
    # … and at most one count below it, unless it lies above the rating.
    assert got >= min(asked, w_max_w / 1000) - 10.0**sf / 100 * w_max_w / 1000 * (1 + 1e-9)
    block.set_raw(CAP.value, block.raw(CAP.reversion))
    assert (held(block, w_max_w).cap_kw or 0.0) <= back


@given(
    p_kw=st.floats(min_value=-2e5, max_value=2e5),
    q_kvar=st.floats(min_value=-2e5, max_value=2e5),
    sf=POWER_SF,
)
def test_a_setpoint_held_is_never_more_power_either_way_than_asked(
    p_kw: float, q_kvar: float, sf: int
) -> None:
    command = Command(
        der="bes", p_kw=p_kw, q_kvar=q_kvar, cap_kw=None, reversion_kw=0, reversion_s=900
    )
    got = held(written(command, controls(-2, sf), 1e6), 1e6)
    for asked, there in ((p_kw, got.p_kw), (q_kvar, got.q_kvar)):
        assert there is not None
        assert abs(there) <= abs(asked)
        assert abs(asked) - abs(there) <= 10.0**sf / 1000 * (1 + 1e-9)
        assert there * asked >= 0


@given(percent=st.integers(min_value=0, max_value=10_000), n=st.integers(1, 65_534))
def test_a_cap_the_device_can_hold_is_held_exactly(percent: int, n: int) -> None:
    w_max_w = float(n * 1000)
    block = controls(-2, 0)
    block.set_raw("WMaxLimPctEna", 1)
    block.set_raw("WMaxLimPct", percent)
    cap_kw = held(block, w_max_w).cap_kw
    command = Command(der="pv", p_kw=None, q_kvar=0, cap_kw=cap_kw, reversion_kw=0, reversion_s=900)
    assert written(command, controls(-2, 0), w_max_w).raw("WMaxLimPct") == percent


@given(st.data())
def test_registers_and_integers_turn_into_each_other(data: st.DataObject) -> None:
    definition = model(data.draw(st.sampled_from([203, 701, 702, 704, 713, 715])))
    points = [p for p in definition.points.values() if p.type not in {"string", "pad"}]
    point = data.draw(st.sampled_from(points))
    registers = data.draw(
        st.lists(st.integers(0, 0xFFFF), min_size=point.size, max_size=point.size)
    )
    assert to_registers(point, from_registers(point, registers)) == registers
