"""`--set KEY=VALUE`: what may be decided otherwise, and how a wrong key is told."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ems.cycle import run_cycle
from ems.domain import Given, Setup
from ems.errors import BadInput
from ems.gateways.memory import MemoryField
from ems.replay import changed, given_of, parsed
from ems.settings import TEMPLATE, Settings, load_settings
from tests.sites import LOAD_KW, NOW, PRICE_USD_PER_KWH, GivenForecast, ports


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "site.toml"
    file.write_text(TEMPLATE.read_text())
    return load_settings(file)


@pytest.fixture
def given(settings: Settings) -> Given:
    """What a cycle of the template's site was decided from."""
    site = settings.to_site()
    field = MemoryField(site, load_kw=LOAD_KW, p_kw={"pv": 7953.0, "dg": 2997.0, "bes": 0.0})
    world = ports(site, field, GivenForecast(9000.0, 9800.0))
    record = run_cycle(site, settings.to_policy(), PRICE_USD_PER_KWH, world, NOW)
    return given_of(record, Setup(site=site, policy=settings.to_policy()), None)


Set = Callable[..., Given]


@pytest.fixture
def having(given: Given, settings: Settings) -> Set:
    return lambda *texts: with_set(given, settings, *texts)


def with_set(given: Given, settings: Settings, *texts: str) -> Given:
    changes, malformed = parsed(texts)
    return changed(given, changes, settings, malformed)


def der(given: Given, name: str) -> Any:
    (found,) = [d for d in given.site.ders if d.name == name]
    return found


def refused(having: Set, *texts: str) -> list[str]:
    with pytest.raises(BadInput) as bad:
        having(*texts)
    return [str(fault) for fault in bad.value.faults]


def test_keys_of_the_site_file_change_site_and_policy(having: Set, given: Given) -> None:
    made = having(
        "limits.v_max_pu=1.05", "pv.pv.q_max_kvar = 2500", "dispatch.mode=paper",
        "grid.export_limit_kw=100", "control.deadband_pct=1.5", 'dispatch.terminal_soc="free"',
    )  # fmt: skip
    assert made.site.limits.v_max_pu == 1.05
    assert der(made, "pv").q_max_kvar == 2500.0
    assert made.site.export_limit_kw == 100.0
    assert (made.policy.mode, made.policy.deadband_pct) == ("paper", 1.5)
    assert made.policy.terminal_soc == "free"
    assert made.site.limits.v_min_pu == given.site.limits.v_min_pu
    assert der(made, "bes") == der(given, "bes")
    assert made.snapshot == given.snapshot


def test_what_else_the_record_was_decided_with_stays_as_it_was_then(
    given: Given, settings: Settings
) -> None:
    """The site file has been changed since; only the key that is set is taken from it."""
    ders = tuple(replace(d, rated_kw=9.0) if d.name == "dg" else d for d in given.site.ders)
    limits = replace(given.site.limits, load_band_pct=7.0)
    then = replace(given.setup, site=replace(given.site, ders=ders, limits=limits))
    older = replace(given, setup=then)
    made = with_set(older, settings, "limits.v_max_pu=1.05", "dg.dg.min_kw=100")
    assert made.site.limits == replace(limits, v_max_pu=1.05)
    assert (der(made, "dg").rated_kw, der(made, "dg").min_kw) == (9.0, 100.0)


def test_price_and_load_have_keys_of_their_own(given: Given, settings: Settings) -> None:
    banded = replace(
        given.forecast, load_kvar=5000.0, load_lower_kw=13_000.0, load_upper_kw=15_000.0,
        load_quantiles_kw=(13_500.0, 14_000.0),
    )  # fmt: skip
    told = replace(given, forecast=banded)
    texts = ["price_usd_per_kwh=-0.03", f"load_kw={LOAD_KW / 2}"]
    made = with_set(told, settings, *texts)
    assert made.price_usd_per_kwh == -0.03
    assert made.snapshot.load.p_kw == made.forecast.load_kw == LOAD_KW / 2
    assert (made.forecast.load_kvar, made.forecast.load_lower_kw) == (2500.0, 6500.0)
    assert made.forecast.load_upper_kw == 7500.0
    assert made.forecast.load_quantiles_kw == (6750.0, 7000.0)


def test_what_was_measured_and_expected_can_be_stated(having: Set) -> None:
    made = having(
        "measured.bes.soc_pct=25", "measured.pv.v_pu=1.08", "measured.head_v_pu=1.02",
        "measured.load_kvar=3000", "expected.pv.expected_kw=4000", "expected.pv.upper_kw=5000",
        "expected.load_kvar=4000",
    )  # fmt: skip
    assert made.snapshot.ders["bes"].soc_pct == 25.0
    assert made.snapshot.ders["pv"].v_pu == 1.08
    assert made.snapshot.head_v_pu == 1.02
    assert made.snapshot.load.q_kvar == 3000.0
    sky = made.forecast.pv["pv"]
    assert (sky.expected_kw, sky.upper_kw) == (4000.0, 5000.0)
    assert made.forecast.load_kvar == 4000.0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("limits.v_mx_pu=1.05", "unknown key; did you mean v_max_pu?"),
        ("limit.v_max_pu=1.05", "unknown key; did you mean limits?"),
        ("price=0.3", "unknown key; did you mean price_usd_per_kwh?"),
        ("price_usd_per_kwh.now=0.3", "unknown key; did you mean price_usd_per_kwh?"),
        ("pv.roof.q_max_kvar=3", "names no pv of the site; there are pv; write pv.NAME.KEY"),
        ("pv.pv.q_max_kw=3", "unknown key; reactive powers are in kvar: q_max_kvar"),
        ("pv.pv=3", "names no pv of the site; there are pv; write pv.NAME.KEY"),
        ("measured.pvv.p_kw=3", "unknown key; did you mean pv?"),
        ("measured.pv.p_kvar=3", "unknown key; powers are in kW: p_kw"),
        ("measured.load_MW=3", "unknown key; powers are in kW: load_kw"),
        ("expected.pv.lowr_kw=3", "unknown key; did you mean lower_kw?"),
        ("expected.dg.expected_kw=3", "unknown key; known: load_kw,"),
        ("load_kw=much", "expected a number, got 'much'"),
        ("load_kw=nan", "expected a number, got nan"),
        ("measured.bes.soc_pct=true", "expected a number, got True"),
        ("measured.bes.soc_pct=140", "expected 0 to 100 %, got 140"),
        ("measured.pv.p_kw=20000", "expected -12500 to 12500 kW; 1.25 times its rating, got 20000"),
        ("load_kw=-3", "expected 0 to 18125 kW; 1.25 times load.max_kw, got -3"),
        ("load_kw=1e6", "1.25 times load.max_kw, got 1e+06"),
        ("expected.pv.lower_kw=9999", "0 ≤ lower_kw ≤ expected_kw ≤ upper_kw must hold"),
        ("expected.load_lower_kw=20000", "load_lower_kw ≤ load_kw ≤ load_upper_kw must hold"),
        ("limits.v_max_pu=0.5", "lowest voltage 0.88 pu is not below the highest, 0.5 pu"),
        ("limits.momentary_v_max_pu=1.05", "narrower than what is asked at any time, 1.1 pu"),
        ("limits.v_max_pu=high", "expected a number"),
        ("web.port=9000", "changes nothing: the site file says so already, or no decision"),
        ("pv.pv.name=roof", "a record knows its devices by their names; leave them"),
        ("limits.v_max_pu", "is not KEY=VALUE; for example limits.v_max_pu=1.05"),
        ("=3", "is not KEY=VALUE"),
    ],
)
def test_what_cannot_be_set_is_told_with_its_place_and_its_mend(
    having: Set, text: str, told: str
) -> None:
    (fault, *_) = refused(having, text)
    assert told in fault
    assert "--set" in fault or "site.toml" in fault


def test_all_faults_are_told_at_once(having: Set) -> None:
    assert len(refused(having, "limit.x=1", "load_kw=many", "pv.pv.rated=1")) == 3
    wrong = ("load_kw", "limits.v_maxpu=1.05", "load_kw=-3", "grid.a=1", "grid.a=2")
    places = [fault.partition(": ")[0] for fault in refused(having, *wrong)]
    assert sorted(places) == [
        "--set grid.a", "--set grid.a", "--set limits.v_maxpu", "--set load_kw", "--set load_kw",
    ]  # fmt: skip
    assert refused(having, "load_kw=1", "load_kw=2") == ["--set load_kw: is given twice"]


def test_what_the_record_held_that_was_odd_is_no_fault_of_a_change(
    given: Given, settings: Settings
) -> None:
    reading = replace(given.snapshot.ders["bes"], soc_pct=100.4)
    snapshot = replace(given.snapshot, ders={**given.snapshot.ders, "bes": reading})
    made = with_set(replace(given, snapshot=snapshot), settings, "load_kw=9000")
    assert made.snapshot.load.p_kw == 9000.0


def test_a_state_of_charge_is_a_batterys_and_the_sites_name_is_the_records(having: Set) -> None:
    assert refused(having, "measured.pv.soc_pct=50") == [
        "--set measured.pv.soc_pct: pv is no battery, and has no state of charge"
    ]
    assert refused(having, "site.name=elsewhere") == [
        "--set site.name: a record knows its site by its name; leave it"
    ]
    assert having("measured.bes.soc_pct=50").snapshot.ders["bes"].soc_pct == 50.0
