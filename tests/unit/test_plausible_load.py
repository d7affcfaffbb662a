"""What the load meter may read, and what becomes of what cannot be."""

import math

import pytest

from ems.domain import LoadReading
from ems.errors import DeviceError
from ems.measure import plausible_load
from tests.sites import NOW, segment

SITE = segment()


def reading(p_kw: float, q_kvar: float | None = 900.0) -> LoadReading:
    return LoadReading(time=NOW, p_kw=p_kw, q_kvar=q_kvar)


@pytest.mark.parametrize("p_kw", [math.nan, math.inf, -1e6, 1e6])
def test_a_power_that_cannot_be_is_no_reading(p_kw: float) -> None:
    found = plausible_load(SITE, reading(p_kw))
    assert isinstance(found, DeviceError)
    assert "load reads" in str(found)


@pytest.mark.parametrize("q_kvar", [math.nan, -math.inf, 5e9])
def test_a_reactive_power_that_cannot_be_is_not_known(q_kvar: float) -> None:
    assert plausible_load(SITE, reading(5000.0, q_kvar)) == reading(5000.0, None)


@pytest.mark.parametrize("q_kvar", [None, 0.0, -1500.0])
def test_what_can_be_is_believed(q_kvar: float | None) -> None:
    assert plausible_load(SITE, reading(5000.0, q_kvar)) == reading(5000.0, q_kvar)


def test_an_error_stays_one() -> None:
    silent = DeviceError("no answer")
    assert plausible_load(SITE, silent) is silent
