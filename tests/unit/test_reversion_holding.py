"""Devices without a timer keep their last command when GEEMS is silent: what that may break."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from ems.assembly import OpenSite
from ems.cli.site_check import all_faults, remarks
from ems.constrain import holding_violations, unproved
from ems.constrain.cases import severity
from ems.domain import Bes, InForce, RowKind, Setpoint
from ems.ports import Ports
from ems.record import from_json
from ems.settings import TEMPLATE
from feeders import Feeder
from tests.sites import NOW, segment

SAMPLE = Path(__file__).with_name("test_record_sample.json")

PV_MAP = (
    'registers = { p_kw = { address = 0, type = "float32" }, q_kvar = { address = 2, type = '
    '"float32" }, cap_kw = { address = 4, type = "float32" }, q_set_kvar = { address = 6, type = '
    '"float32" } }'
)
"""Everything that a plant is commanded by, and no timer."""


def test_what_devices_without_a_timer_may_hold_is_judged_at_both_ends_of_it() -> None:
    site = segment()
    feeder = Feeder.open("segment13", site.placements)
    assert holding_violations(site, feeder, ()) == ()
    assert holding_violations(site, feeder, ("bes",)) == ()
    worst, *_ = holding_violations(site, feeder, ("pv",))
    assert worst.kind is RowKind.V_MAX
    assert worst.place.startswith("B13")
    assert worst.case == "held at most P, most Q, lowest load, clear sky"
    both = holding_violations(site, feeder, ("pv", "dg", "bes"))
    assert severity(both[0]) > severity(worst)


def test_a_limit_that_is_broken_whatever_a_device_holds_is_no_fault_of_its_timer() -> None:
    site = segment(v_min_pu=0.99)
    feeder = Feeder.open("segment13", site.placements)
    found = holding_violations(site, feeder, ("bes",))
    assert [v.kind for v in found] == [RowKind.V_MIN]  # charging, it makes it worse
    ders = (
        replace(d, rated_kw=0.1, q_max_kvar=0.0) if isinstance(d, Bes) else d for d in site.ders
    )
    idle = replace(site, ders=tuple(ders))
    assert holding_violations(idle, feeder, ("bes",)) == ()


def test_what_cannot_be_proved_is_told_with_the_devices_that_are_to_blame() -> None:
    site = segment()
    feeder = Feeder.open("segment13", site.placements)
    assert unproved(site, feeder, ()) == ""
    assert unproved(site, feeder, {"pv"}).startswith(
        "not proved safe when GEEMS dies: pv keeps its last command, and what it may be told could "
        "break B13"
    )
    both = unproved(site, feeder, {"pv", "dg"})
    assert "pv, dg keep their last command, and what they may be told could" in both
    assert "; give them a timer, or a limit of the device's own" in both


def test_a_site_whose_plant_has_no_timer_is_valid_and_says_what_cannot_be_proved(
    tmp_path: Path,
) -> None:
    site = tmp_path / "site.toml"
    text = TEMPLATE.read_text(encoding="utf-8")
    site.write_text(text.replace("port = 5021 }", f"port = 5021, {PV_MAP} }}"), encoding="utf-8")
    assert all_faults(site) == []
    holds, unsure = remarks(site)
    assert holds.startswith("pv: no register of its map holds a reversion timer")
    assert unsure.startswith("not proved safe when GEEMS dies: pv keeps its last command")
    site.write_text(text, encoding="utf-8")
    assert remarks(site) == []


def test_a_device_that_is_found_to_have_no_timer_when_it_is_written_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = segment()
    feeder = Feeder.open("segment13", site.placements)
    unused = cast("Any", None)
    opened = OpenSite(
        site=site, policy=unused, tariff=unused, store=unused,
        ports=Ports(
            field=unused, network=feeder, history=unused, forecaster=unused, journal=unused
        ),
    )  # fmt: skip
    told = Setpoint(der="pv", p_kw=4000.0, q_kvar=0.0, cap_kw=4000.0)
    at = InForce(setpoints=(told,), written=NOW)
    record = from_json(SAMPLE.read_text())
    for reverts, lines in ((True, 0), (False, 1), (False, 1)):
        opened.previous = replace(record, in_force={"pv": replace(at, reverts=reverts)})
        opened._judge_holding()
        assert caplog.text.count("pv keeps its last command") == lines
        assert ("pv keeps its last command" in opened.unproved) == (lines > 0)
