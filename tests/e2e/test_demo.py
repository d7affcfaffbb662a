"""`geems demo` as a user runs it, and its figures seen from outside."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ems.domain import Der, Pv
from ems.reproduce import reference_site
from feeders import shipped
from tests.witness import Point, solved_outside


def run(*arguments: str, cwd: Path, code: int = 0) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-m", "ems.cli", "demo", "--speed", "max", "--json", *arguments],
        cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done


def demo(*arguments: str, cwd: Path, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, cwd=cwd, code=code).stdout)
    return found


def seen_from_outside(result: dict[str, Any]) -> list[float]:
    """Highest voltage of every cycle: what was decided, with PV at what it made of its cap."""

    def power(der: Der) -> str:
        return "made_kw" if isinstance(der, Pv) else "kw"

    points = [
        Point(
            feeder=str(shipped()["segment13"].entry),
            load_kw=cycle["load_kw"],
            load_kvar=None,
            ders=tuple(
                (d.name, d.bus, cycle[f"{d.name}_{power(d)}"], cycle[f"{d.name}_kvar"])
                for d in reference_site().ders
            ),
        )
        for cycle in result["cycles"]
    ]
    return [seen.v_max_pu for seen in solved_outside(points)]


def test_three_hours_on_real_sockets_keep_the_limit_that_would_have_been_broken(
    tmp_path: Path,
) -> None:
    """And a cap from the first cycle on hides neither the sun nor what the limits cost.

    Nothing is measured of what a plant under a cap could make.
    """
    done = run("--cycles", "12", cwd=tmp_path)
    assert "12/12" in done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert len(result["cycles"]) == 12
    assert result["setpoints_written_and_read_back"] == result["setpoints"] == 36
    assert result["violations"] == result["violations_within"] == 0
    assert all(c["v_max_uncontrolled_pu"] > 1.10 for c in result["cycles"])
    assert all(c["v_max_pu"] <= 1.10 for c in result["cycles"])
    assert all(v <= 1.10 for v in seen_from_outside(result))
    assert all(c["why"] for c in result["cycles"])
    for cycle in result["cycles"]:
        assert cycle["pv_cap_kw"] < cycle["pv_available_kw"]
        assert cycle["pv_forecast"] == "lstm"
        assert cycle["pv_expected_kw"] == pytest.approx(cycle["pv_available_kw"], rel=0.1)
        assert cycle["compliance_usd_per_h"] > 100.0
        assert len(cycle["pv_quantiles_kw"]) == len(result["quantile_levels"])


@pytest.fixture
def cloudy(tmp_path: Path) -> Path:
    """A week measured elsewhere: broken clouds, noon an hour off, a gap."""
    times = pd.date_range("2019-06-10", "2019-06-19", freq="15min", tz="UTC", inclusive="left")
    hour = np.asarray(times.hour + times.minute / 60.0)
    clear = np.clip(np.sin((hour - 12.5) / 14.0 * np.pi), 0.0, None)
    clouds = np.random.default_rng(5).choice([0.15, 0.5, 1.0, 1.05], size=len(times))
    frame = pd.DataFrame({"time_utc": times, "value": 3300.0 * clear * clouds})
    file = tmp_path / "measured.csv"
    frame.drop(index=range(40, 43)).to_csv(file, index=False)
    return file


def test_a_measured_cloudy_day_is_played_without_a_violation(cloudy: Path, tmp_path: Path) -> None:
    result = demo("--cycles", "8", "--pv", str(cloudy), "--day", "2019-06-17", cwd=tmp_path)
    assert result["violations"] == result["violations_within"] == 0
    assert result["setpoints_written_and_read_back"] == result["setpoints"]
    assert all(v <= 1.10 for v in seen_from_outside(result))


def test_a_pulled_plug_degrades_and_breaks_nothing(tmp_path: Path) -> None:
    result = demo("--cycles", "6", "--unplug", "pv", cwd=tmp_path, code=3)
    states = [c["status"] for c in result["cycles"]]
    assert states[:3] == ["verified"] * 3
    assert states[3:] == ["degraded"] * 3
    assert result["violations"] == result["violations_within"] == 0
    assert any("pv" in alarm for alarm in result["cycles"][-1]["alarms"])
