"""The SunSpec codec against pysunspec2's own reading of the same models."""

from decimal import Decimal

import pytest
import sunspec2.device
import sunspec2.mb

from ems.domain import Command
from ems.protocols.sunspec import (
    CAP,
    MAX_WRITE,
    REACTIVE,
    SETPOINT,
    ModelBlock,
    Rounding,
    counts,
    encode,
    from_registers,
    held,
    mismatches,
    model,
    smallest_scale_factor,
    to_registers,
)

MODELS = (1, 203, 701, 702, 704, 713, 715)


def controls(**raw: int | None) -> ModelBlock:
    """Model 704 as an inverter holds it that has every control, all off."""
    block = ModelBlock(model(704))
    for name in ("WMaxLimPct_SF", "WSetPct_SF", "VarSetPct_SF"):
        block.set_raw(name, -2)
    for name in ("WSet_SF", "VarSet_SF"):
        block.set_raw(name, 0)
    for part in (CAP, SETPOINT, REACTIVE):
        for point in part.points:
            block.set_raw(point.name, 0)
    for name, value in raw.items():
        block.set_raw(name, value)
    return block


def apply(block: ModelBlock, command: Command, w_max_w: float) -> None:
    for write in encode(command, block, w_max_w):
        end = write.offset + len(write.registers)
        block.registers[write.offset : end] = write.registers


def test_every_point_lies_where_pysunspec2_puts_it() -> None:
    for model_id in MODELS:
        theirs = sunspec2.device.Model(model_id, model_len=0)
        ours = model(model_id)
        assert theirs.error_info == ""
        for name, point in theirs.points.items():
            assert ours.points[name].offset == point.offset, (model_id, name)
            assert ours.points[name].size == point.len
        assert ours.length == theirs.len


@pytest.mark.parametrize("model_id", MODELS)
def test_points_that_are_not_implemented_read_as_none_and_look_as_pysunspec2_writes_them(
    model_id: int,
) -> None:
    for point in model(model_id).points.values():
        if point.type == "string":
            continue
        registers = to_registers(point, None)
        data = b"".join(r.to_bytes(2, "big") for r in registers)
        assert data == sunspec2.mb.create_unimpl_value(point.type), point.name
        assert from_registers(point, registers) is None


@pytest.mark.parametrize(
    ("point", "raw", "registers"),
    [
        ("WSetPct", -1, [0xFFFF]),
        ("WMaxLimPct", 10_000, [0x2710]),
        ("WSet", -123_456, [0xFFFE, 0x1DC0]),
        ("WSetRvrtTms", 70_000, [0x0001, 0x1170]),
    ],
)
def test_integers_are_big_endian_twos_complement(
    point: str, raw: int, registers: list[int]
) -> None:
    definition = model(704).points[point]
    assert to_registers(definition, raw) == registers
    assert from_registers(definition, registers) == raw


@pytest.mark.parametrize(("point", "raw"), [("WMaxLimPct", 65_535), ("WSetPct", -32_768),
                                            ("WMaxLimPct", -1), ("WSet", 1 << 31)])  # fmt: skip
def test_what_does_not_fit_or_means_not_available_is_refused(point: str, raw: int) -> None:
    with pytest.raises(ValueError, match=point):
        to_registers(model(704).points[point], raw)


def test_a_value_without_its_scale_factor_is_not_available() -> None:
    block = ModelBlock(model(701))
    block.set_raw("W", 1000)
    assert block.value("W") is None
    block.set_raw("W_SF", 3)
    assert block.value("W") == 1e6


def test_a_zero_is_a_zero() -> None:
    block = ModelBlock(model(701))
    block.set_raw("W_SF", 0)
    block.set_value("W", 0.0)
    assert block.value("W") == 0.0
    block.set_value("W", float("nan"))
    assert block.value("W") is None


def test_measurements_beyond_the_register_stay_at_its_end() -> None:
    block = ModelBlock(model(701))
    block.set_raw("W_SF", 0)
    block.set_value("W", -1e9)
    assert block.value("W") == -32_767


def test_a_model_shorter_than_its_definition_lacks_its_last_points() -> None:
    short = ModelBlock(model(701), ModelBlock(model(701)).registers[:20])
    assert short.raw("TotWhInj") is None
    assert short.raw("ID") == 701


@pytest.mark.parametrize(
    ("full_scale_w", "sf"),
    [(0, 0), (200_000, 1), (3_000_000, 2), (10_000_000, 3), (32_767, 0), (32_768, 1)],
)
def test_the_finest_scale_factor_that_fits_an_int16_is_chosen(full_scale_w: float, sf: int) -> None:
    assert smallest_scale_factor(full_scale_w, 32_767) == sf


@pytest.mark.parametrize(
    ("value", "sf", "rounding", "raw"),
    [
        (70.7, -1, Rounding.FLOOR, 707),  # the float lies below the decimal it stands for
        (65.159, -2, Rounding.FLOOR, 6515),
        (-150.7, 0, Rounding.TOWARDS_ZERO, -150),
        (150.7, 0, Rounding.TOWARDS_ZERO, 150),
        (-0.5, 0, Rounding.FLOOR, -1),
        (2.5, 0, Rounding.NEAREST, 2),
        (Decimal("1e6"), 3, Rounding.FLOOR, 1000),
    ],
)
def test_rounding(value: float, sf: int, rounding: Rounding, raw: int) -> None:
    assert counts(value, sf, rounding) == raw


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_only_finite_numbers_have_counts(bad: float) -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        counts(bad, 0, Rounding.FLOOR)


def test_the_writes_hold_writable_points_only_and_fit_one_request_each() -> None:
    for block in (CAP, SETPOINT, REACTIVE):
        assert all(p.writable for p in block.points)
        assert sum(p.size for p in block.points) <= MAX_WRITE
        names = [p.name for p in block.points]
        for name in (block.value, block.reversion, block.enable_reversion):
            assert name in names
        assert not model(704).points[block.remaining].writable


def test_a_cap_and_its_reversion() -> None:
    block = controls()
    command = Command(
        der="pv", p_kw=None, q_kvar=-12.3456, cap_kw=651.59, reversion_kw=300.09, reversion_s=1800
    )
    apply(block, command, 1_000_000)
    assert [block.raw(p.name) for p in CAP.points] == [1, 6515, 3000, 1, 1800]
    assert held(block, 1_000_000).readback().cap_kw == 651.5
    assert held(block, 1_000_000).readback().q_kvar == -12.345
    assert held(block, 1_000_000).p_kw is None


def test_no_cap_is_a_control_that_is_off_with_its_timer_running() -> None:
    block = controls(WMaxLimPctEna=1, WMaxLimPct=100)
    command = Command(
        der="pv", p_kw=None, q_kvar=0, cap_kw=None, reversion_kw=300, reversion_s=1800
    )
    apply(block, command, 1_000_000)
    assert [block.raw(p.name) for p in CAP.points] == [0, 10_000, 3000, 1, 1800]
    assert held(block, 1_000_000).cap_kw is None


def test_points_geems_has_no_say_in_are_written_back_as_they_stand() -> None:
    block = controls(WSetPct=77, VarSetPri=1, VarSetPctRvrt=None)
    command = Command(der="dg", p_kw=-1.0009, q_kvar=5, cap_kw=None, reversion_kw=2, reversion_s=60)
    apply(block, command, 1_000_000)
    assert (block.raw("WSet"), block.raw("WSetRvrt")) == (-1000, 2000)
    assert (block.raw("WSetPct"), block.raw("VarSetPri"), block.raw("VarSetPctRvrt")) == (
        77, 1, None,
    )  # fmt: skip


def test_a_device_without_reactive_control_is_written_its_active_power_only() -> None:
    block = controls(VarSetEna=None)
    command = Command(der="dg", p_kw=1, q_kvar=0, cap_kw=None, reversion_kw=0, reversion_s=60)
    assert [w.block for w in encode(command, block, 1e6)] == [SETPOINT]
    asks_q = Command(der="dg", p_kw=1, q_kvar=1, cap_kw=None, reversion_kw=0, reversion_s=60)
    with pytest.raises(ValueError, match="does not implement VarSet of model 704"):
        encode(asks_q, block, 1e6)


def test_a_device_without_the_control_is_told() -> None:
    command = Command(der="pv", p_kw=None, q_kvar=0, cap_kw=1, reversion_kw=0, reversion_s=60)
    with pytest.raises(ValueError, match="does not implement WMaxLimPct of model 704"):
        encode(command, controls(WMaxLimPctEna=None), 1e6)


def test_a_read_back_that_differs_names_point_asked_and_held() -> None:
    block = controls()
    command = Command(der="dg", p_kw=5, q_kvar=0, cap_kw=None, reversion_kw=0, reversion_s=60)
    writes = encode(command, block, 1e6)
    apply(block, command, 1e6)
    assert mismatches(writes, block) == ()
    block.set_raw("WSet", 4999)
    block.set_raw("VarSetEna", None)
    assert [str(m) for m in mismatches(writes, block)] == [
        "WSet: asked 5000, held 4999",
        "VarSetEna: asked 1, held None",
    ]


def test_an_unknown_model_is_told() -> None:
    with pytest.raises(KeyError, match="no SunSpec model 64999"):
        model(64_999)
