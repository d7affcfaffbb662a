"""The report of a backtest: one page that needs nobody, and says what it does not know."""

import json
import re
import shutil
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ems.backtest.report import write_report
from ems.backtest.report.drawing import inline
from ems.backtest.report.gathered import LEVELS, Gathered, gathered
from ems.backtest.report.kept import Kept
from ems.backtest.report.markup import number
from ems.backtest.report.stacks import chosen_days
from ems.errors import BadInput
from tests.backtest_days import FIRST, study
from tests.backtest_reports import NOON, kept_study

VOID = {"meta", "link", "br", "hr", "img", "input"}
SECOND = date(2019, 6, 2)


class Page(HTMLParser):
    """What a page holds; fails where tags do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self._keep(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._keep(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def _keep(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "xlink:href", "src"):
                self.links.append(value or "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    kept_study(out)
    write_report(out)
    return out


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def policies(folder: Path) -> dict[str, Gathered]:
    return {g.policy: g for g in gathered(Kept.at(folder), "segment13")}


def svg(folder: Path, what: str) -> str:
    return (folder / "figures" / f"segment13_{what}.svg").read_text()


def test_the_page_parses_and_asks_nobody_for_anything(text: str) -> None:
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert {link.partition(":")[0] for link in page.links if not link.startswith("#")} == {"data"}
    elsewhere = re.findall(r"https?://[^\s\"'<)]+", re.sub(r'xmlns(:\w+)?="[^"]*"', "", text))
    assert elsewhere == []
    assert "@import" not in text
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", text)


def test_every_anchor_resolves_and_no_id_is_given_twice(text: str) -> None:
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    inside = {link[1:] for link in page.links if link.startswith("#")}
    inside |= set(re.findall(r"url\(#([\w-]+)\)", text))
    assert inside
    assert inside <= set(page.ids)


def test_alarms_stand_with_the_interval_they_were_raised_in(tmp_path: Path) -> None:
    kept_study(tmp_path, alarms_told="the sun is <late>\nbes: not written")
    write_report(tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "<p>Alarms: the sun is &lt;late&gt;; bes: not written.</p>" in text


def test_each_worst_interval_links_to_its_sentence_voltages_and_setpoints(text: str) -> None:
    anchors = re.findall(r'<a href="#(segment13-interval-\d+)">', text)
    assert len(anchors) == 6, "of each policy the worst interval of each of three days"
    last = text[text.index(f'<article id="{anchors[-1]}"') :]
    explained = last[: last.index("</article>")]
    assert "PV plant pv is held &lt;b&gt;below&lt;/b&gt; the sun" in explained
    for told in ("EMS's model", "truth", "1.0990", "limits", "1.1000", "Q [kvar]", "verified"):
        assert told in explained


@pytest.mark.parametrize(
    ("above", "below", "told"),
    [
        (20, 0, "B13.19."),
        (21, 0, "B13.19 and at least 1 more."),
        (30, 12, " and at least 22 more."),
    ],
)
def test_nodes_beyond_limits_that_a_row_does_not_name_are_counted(
    tmp_path: Path, above: int, below: int, told: str
) -> None:
    names = [f"B13.{i}" for i in range(20)]
    kept_study(tmp_path, nodes_violated=",".join(names), nodes_above=above, nodes_below=below)
    write_report(tmp_path)
    text = (tmp_path / "report.html").read_text()
    listed = re.findall(r"Nodes beyond limits: ([^<]+)", text)
    assert listed
    assert all(nodes.startswith(", ".join(names)) for nodes in listed)
    assert all(nodes.endswith(told) for nodes in listed)


def test_the_deepest_violation_comes_first_with_its_nodes(text: str) -> None:
    first = text[text.index('<article id="segment13-interval-1"') :]
    explained = first[: first.index("</article>")]
    assert "2019-06-03 13:00 PDT, none" in explained
    assert "0.0700 pu beyond a limit" in explained
    assert "B13.3, B13.1, B12.3" in explained
    assert "No cycle decides" in explained


def test_policies_that_break_limits_stand_apart(text: str) -> None:
    assert "Kept every limit of the feeder and the grid: <b>geems</b>" in text
    assert "Broke limits: <b>none</b> in 12 of 288 intervals, by up to 0.0700" in text
    head = text[text.index("<caption>Cost</caption>") :].partition("</thead>")[0]
    assert head.index("geems") < head.index("none") < head.index("breaks limits")


def test_figures_are_written_as_png_and_as_svg(folder: Path) -> None:
    names = {p.name for p in (folder / "figures").iterdir()}
    stems = {
        "segment13_voltage", "segment13_cost", "segment13_curtailment",
        "segment13_day_2019-06-03", "segment13_day_2019-06-02",
    }  # fmt: skip
    assert names == {f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")}
    for path in (folder / "figures").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("voltage", ("voltage [pu]", "share of the intervals at or above [%]",
                     "upper limit 1.1", "lower limit 0.88", "none", "geems")),
        ("cost", ("cost [$]", "local day", "Jun")),
        ("curtailment", ("hour of the local day", "PV power not used, mean [kW]", "geems")),
        ("day_2019-06-03", ("power [kW]", "hours since local midnight", "PV", "batteries",
                            "generators", "grid", "load", "PV available", "none", "geems")),
    ],
)  # fmt: skip
def test_axes_say_what_they_show_and_in_which_unit(
    folder: Path, what: str, words: tuple[str, ...]
) -> None:
    drawn = set(re.findall(r"<text[^>]*>([^<]+)</text>", svg(folder, what)))
    assert set(words) <= drawn


def test_a_duration_curve_reaches_the_extremes_and_counts_time(
    policies: dict[str, Gathered],
) -> None:
    none = policies["none"]
    assert none.highest_pu[0] == pytest.approx(1.17)
    assert none.highest_pu[-1] == pytest.approx(1.08)
    assert (np.diff(none.highest_pu) <= 0).all()
    beyond = LEVELS[none.highest_pu > 1.1].max()
    assert beyond == pytest.approx(12 / 288, abs=0.006)


def test_curtailment_is_told_by_the_hour_of_the_local_clock(policies: dict[str, Gathered]) -> None:
    table = policies["geems"].curtailed_kw
    assert table.shape == (3, 24)
    assert table[:, NOON // 4].tolist() == [1000.0, 2000.0, 3000.0]
    assert table.sum() == 6000.0


def test_the_hour_that_clocks_skip_is_empty_and_the_other_days_are_not(tmp_path: Path) -> None:
    kept_study(
        tmp_path, replace(study(1, "geems"), first=date(2019, 3, 10), last=date(2019, 3, 10))
    )
    (found,) = gathered(Kept.at(tmp_path), "segment13")
    assert np.flatnonzero(np.isnan(found.curtailed_kw[0])).tolist() == [2]


def test_long_periods_are_told_by_the_month_with_its_demand_charge(tmp_path: Path) -> None:
    asked = study(33, "none")
    (of,) = asked.sites
    site = replace(of.site, demand_charge_usd_per_kw=2.0)
    kept_study(tmp_path, replace(asked, sites=(replace(of, site=site),)))
    (found,) = gathered(Kept.at(tmp_path), "segment13")
    assert list(found.parts) == ["2019-06", "2019-07"]
    june = sum(96 * (100.0 + 10 * i) for i in range(30))
    assert found.cost_usd[0] == pytest.approx(june + 2.0 * 9000.0)


def test_several_seeds_are_averaged(tmp_path: Path) -> None:
    kept_study(tmp_path / "one", study(2, "geems"))
    kept_study(tmp_path / "two", study(2, "geems", seeds=(1, 2)))
    (one,) = gathered(Kept.at(tmp_path / "one"), "segment13")
    (two,) = gathered(Kept.at(tmp_path / "two"), "segment13")
    assert two.cost_usd.tolist() == one.cost_usd.tolist()
    assert two.curtailed_kw.tolist() == one.curtailed_kw.tolist()
    assert len(two.worst) == 4, "of both seeds as many as there are"


def test_several_sites_share_a_page_and_keep_their_anchors_and_files_apart(tmp_path: Path) -> None:
    asked = study(1, "none", "geems")
    (of,) = asked.sites
    other = replace(of, site=replace(of.site, name="other"))
    kept_study(tmp_path, replace(asked, sites=(of, other)))
    page = Page(write_report(tmp_path).read_text())
    assert len(page.ids) == len(set(page.ids))
    assert {"segment13-worst", "other-worst"} <= set(page.ids)
    assert (tmp_path / "figures" / "other_voltage.svg").exists()


def test_days_are_chosen_for_depth_for_curtailment_and_for_being_usual(
    policies: dict[str, Gathered],
) -> None:
    worst, usual = chosen_days(list(policies.values()))
    assert worst.day == "2019-06-03"
    assert "furthest beyond a limit, 0.0700 pu under none" in worst.reason
    assert "most PV not used under geems, 3,000 kWh" in worst.reason
    assert usual.day == "2019-06-02"
    assert "usual day" in usual.reason


def test_what_was_assumed_is_said(text: str) -> None:
    notes = text[text.index('<section id="notes"') :]
    for told in (
        "share of the load is off by 2 %", "lines are as in the model", "made up", "clear sky",
        "more than 28 days are cut", "the month&#x27;s peak, caps and taps agree",
        "worth nothing here", "Wear of batteries", "opendssdirect",
    ):  # fmt: skip
        assert told in notes


def test_a_failed_day_is_told_before_anything_else(tmp_path: Path) -> None:
    kept_study(tmp_path, without=("geems", SECOND))
    text = write_report(tmp_path).read_text()
    head = text[: text.index("<main>")]
    assert "Days are missing." in head
    assert "2019-06-02 (segment13, geems, 0): out of &lt;memory&gt;" in head
    assert "segment13, geems, seed 0: 2 days in place of 3" in head


def test_a_seed_of_which_every_day_failed_is_named_and_its_policy_not_ranked_by_another(
    tmp_path: Path,
) -> None:
    kept_study(tmp_path, study(1, "rules", "geems", seeds=(1, 2)), quiet=True, cost_usd=1.0)
    shutil.rmtree(tmp_path / "rows/site=segment13/policy=geems/seed=2")
    text = write_report(tmp_path).read_text()
    head = text[: text.index("<main>")]
    assert "Days are missing." in head
    assert (
        "segment13, geems, seed 2: has no day; policies are compared over the seeds that all have, "
        "and not with the oracle."
    ) in head
    assert "of both on days that all have [$]" in text


def test_a_policy_of_which_every_day_failed_is_named(tmp_path: Path) -> None:
    kept_study(tmp_path, study(1, "rules", "geems"), without=("geems", FIRST), quiet=True)
    head = write_report(tmp_path).read_text().partition("<main>")[0]
    assert "segment13, geems, seed 0: has no day; the policy is left out." in head


def test_a_seed_that_no_policy_has_is_named(tmp_path: Path) -> None:
    kept_study(tmp_path, study(1, "rules", "geems", seeds=(1, 2)), quiet=True)
    for gone in tmp_path.glob("rows/*/*/seed=2"):
        shutil.rmtree(gone)
    head = write_report(tmp_path).read_text().partition("<main>")[0]
    assert "segment13, geems, seed 2: has no day; the seed is left out." in head


def test_a_cost_of_the_same_days_is_told_once(text: str, tmp_path: Path) -> None:
    assert "on days that all have" not in text
    kept_study(tmp_path, without=("geems", SECOND))
    assert "of both on days that all have [$]" in write_report(tmp_path).read_text()


def test_a_day_that_one_policy_lacks_is_drawn_for_the_others(tmp_path: Path) -> None:
    kept_study(tmp_path, without=("geems", date(2019, 6, 3)))
    text = write_report(tmp_path).read_text()
    assert "The day is missing under geems." in text


def test_a_policy_without_sun_and_limits_gets_a_page_too(tmp_path: Path) -> None:
    kept_study(tmp_path, study(1, "rules"), quiet=True)
    text = write_report(tmp_path).read_text()
    assert "1 local day, policies rules." in text
    assert "No interval broke a limit, and none paid for keeping one." in text
    assert "When the sun was given up" not in text


def test_the_same_results_give_the_same_page_and_figures(folder: Path, text: str) -> None:
    before = svg(folder, "voltage")
    assert write_report(folder).read_text() == text
    assert svg(folder, "voltage") == before


def test_sites_come_back_from_the_folder_as_they_were(folder: Path) -> None:
    (of,) = study(1).sites
    assert Kept.at(folder).sites == {of.name: of.site}


def test_a_folder_without_results_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no results of a backtest"):
        write_report(tmp_path)
    kept_study(tmp_path / "old")
    path = tmp_path / "old" / "study.json"
    told = json.loads(path.read_text())
    told["sites"]["segment13"]["site"]["strange"] = 1
    path.write_text(json.dumps(told))
    with pytest.raises(BadInput, match="was written by another version"):
        write_report(tmp_path / "old")


def test_ids_of_figures_do_not_meet_on_the_page() -> None:
    text = (
        '<?xml version="1.0"?>\n<svg width="1pt" height="2pt" viewBox="0 0 1 2"><g id="a">'
        '<use xlink:href="#a" clip-path="url(#b)" style="fill: #1f2933"/></g></svg>'
    )
    found = inline(text, "cost", 'what "it" cost')
    assert found == (
        '<svg viewBox="0 0 1 2" role="img" aria-label="what &quot;it&quot; cost"><g id="cost-a">'
        '<use xlink:href="#cost-a" clip-path="url(#cost-b)" style="fill: currentColor"/></g></svg>'
    )


def test_numbers_are_written_for_people() -> None:
    assert number(1234567.0) == "1\u202f234\u202f567"
    assert number(-0.04, 1) == "0.0"
    assert number(-1.26, 1) == "−1.3"
    assert number(None) == number(float("nan")) == "–"


def test_days_begin_when_the_study_does(folder: Path) -> None:
    assert Kept.at(folder).first == FIRST


def test_the_command_writes_a_report_anew_and_simulates_nothing(folder: Path) -> None:
    from click.testing import CliRunner

    from ems.cli import main

    (folder / "report.html").unlink()
    told = CliRunner().invoke(main, ["backtest", "--report-only", "--out", str(folder), "--json"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout) == {"ok": True, "report": str(folder / "report.html")}
    assert (folder / "report.html").exists()
    told = CliRunner().invoke(main, ["backtest", "--report-only"])
    assert told.exit_code == 2
    assert "--out: missing" in told.output
