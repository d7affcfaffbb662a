"""What a sweep prints: no number is cut, and a few days are not taken for a year unsaid."""

import re
from typing import Any

import pytest

from ems.cli.sweep_table import print_batteries, print_errors, print_hosting

WORTH = 20_314.0


def of_batteries(last: str) -> dict[str, Any]:
    point = {
        "capacity_kwh": 800.0, "rated_kw": 200.0, "saved_usd_per_year": WORTH,
        "marginal_usd_per_kwh_year": 25.39, "cycles_per_year": 1462.0, "curtailed_pct": 8.99,
        "violated": 12,
    }  # fmt: skip
    return {
        "site": "segment13", "from": "2019-06-02", "to": last, "figures": ["battery.png"],
        "points": [point | {"policy": policy} for policy in ("geems", "geems_lookahead")],
    }  # fmt: skip


@pytest.mark.parametrize("width", range(60, 141))
def test_no_number_and_no_title_is_cut_however_wide_the_terminal_is(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    print_batteries(of_batteries("2019-06-02"))
    text = capsys.readouterr().out
    assert "…" not in text
    for told in ("20 314", "25.39", "1 462", "8.99", "saved", "cycles", "per further"):
        assert told in text
    point = {
        "policy": "geems_lookahead", "error": 0.5, "nrmse_pct": 8.7, "cost_usd": 1_330_163.0,
        "more_usd": 118_297.0, "curtailed_pct": 13.94, "violated": 112, "model_violated": 89,
    }  # fmt: skip
    print_errors(of_batteries("2019-06-02") | {"points": [point]})
    text = capsys.readouterr().out
    assert "…" not in text
    for told in ("1 330 163", "118 297", "13.94", "112", "in model"):
        assert told in text


def test_what_limits_hosting_may_be_broken_into_lines_and_is_never_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    why = "B13.1 at 1.1002 pu, 0.0002 pu above 1.1 pu (worst hours)"
    capacity = {
        "bus": "B13", "with_geems": False, "over": "worst hours", "rated_kw": 11_416.0,
        "at_least": True, "limited_by": why,
    }  # fmt: skip
    print_hosting(of_batteries("2019-06-02") | {"capacities": [capacity]})
    text = capsys.readouterr().out
    assert "≥ 11 416" in text
    assert set(re.findall(r"[\w.()]+", why)) <= set(re.findall(r"[\w.()]+", text))


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("2019-06-02", "A year is reckoned here as 365 times this one day: other seasons, "),
        ("2019-06-11", "A year is reckoned here as 36.5 times these 10 days: other seasons, "),
        ("2020-05-31", None),
    ],
)
def test_a_few_days_are_said_to_be_no_year(
    last: str, said: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    print_batteries(of_batteries(last))
    text = capsys.readouterr().out
    assert ("A year is reckoned" in text) == (said is not None)
    assert said is None or said in text
