"""Quality and time stamps: which bit says what."""

from datetime import UTC, datetime

import pytest

from ems.protocols.goose import GOOD, INVALID, BitString, Quality, UtcTime, Validity


@pytest.mark.parametrize(
    ("quality", "bits"),
    [
        (Quality(), "0000000000000"),
        (Quality(validity=Validity.INVALID), "0100000000000"),
        (Quality(validity=Validity.QUESTIONABLE), "1100000000000"),
        (Quality(overflow=True), "0010000000000"),
        (Quality(failure=True), "0000001000000"),
        (Quality(old_data=True), "0000000100000"),
        (Quality(substituted=True), "0000000000100"),
        (Quality(test=True), "0000000000010"),
        (Quality(operator_blocked=True), "0000000000001"),
    ],
)
def test_each_bit_has_its_place(quality: Quality, bits: str) -> None:
    assert quality.bits == BitString(int(bits, 2), 13)
    assert Quality.of(quality.bits) == quality


def test_a_value_acts_only_if_it_is_good_and_of_no_test_and_not_blocked() -> None:
    assert Quality.of(GOOD).usable
    assert not Quality.of(INVALID).usable
    assert not Quality(validity=Validity.QUESTIONABLE).usable
    assert not Quality(validity=Validity.RESERVED).usable
    assert not Quality(test=True).usable
    assert not Quality(operator_blocked=True).usable
    assert Quality(substituted=True).usable


def test_a_quality_has_thirteen_bits() -> None:
    with pytest.raises(ValueError, match="13 bits"):
        Quality.of(BitString(0, 12))


def test_a_time_stamp_is_exact_to_the_microsecond() -> None:
    for micro in (0, 1, 2, 499_999, 500_000, 999_998, 999_999):
        when = datetime(2024, 6, 3, 20, 0, 0, micro, tzinfo=UTC)
        assert UtcTime.of(when).when == when


def test_a_time_stamp_says_how_far_its_clock_can_be_trusted() -> None:
    assert UtcTime(0).accuracy_bits is None
    trusted = UtcTime(0, 0, 0x8A)
    assert trusted.leap_seconds_known
    assert trusted.accuracy_bits == 10
    assert not trusted.clock_failure
    assert not trusted.clock_not_synchronised
    assert UtcTime(0, 0, 0x60).clock_failure
    assert UtcTime(0, 0, 0x60).clock_not_synchronised
