"""The operator's page, in a real browser, served by the real service over devices in memory."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SAMPLE = Path(__file__).parents[1] / "unit" / "test_record_sample.json"

pytestmark = pytest.mark.needs("chromium")

# argv: database, sample record. Six earlier cycles; the one at start has a write that failed.
PROGRAM = textwrap.dedent("""
    import sys
    from dataclasses import replace
    from datetime import UTC, datetime
    from pathlib import Path
    from ems.clock import INTERVAL, interval_start
    from ems.daemon import Service, serve
    from ems.domain import Bes, Dg, Limits, Partial, Policy, Pv, Site
    from ems.errors import Unreachable
    from ems.gateways.memory import MemoryField
    from ems.ports import Ports
    from ems.record import from_json
    from ems.store import Store

    base = from_json(Path(sys.argv[2]).read_text())
    site = Site(
        name="segment13", latitude_deg=36.7, longitude_deg=-119.8,
        ders=(
            Pv(name="pv", bus="B13", rated_kw=10_000.0),
            Dg(name="dg", bus="B7", rated_kw=3000.0, cost_usd_per_kwh=0.1),
            Bes(name="bes", bus="B11", rated_kw=200.0, capacity_kwh=1000.0),
        ),
        limits=Limits(v_min_pu=0.88, v_max_pu=1.10), load_max_kw=14_500.0, load_min_kw=5000.0,
    )
    store = Store.open(sys.argv[1])

    def record_at(start):
        return replace(base, start=start, forecast=replace(base.forecast, start=start))

    for i in range(6, 0, -1):
        store.append(record_at(interval_start(datetime.now(UTC)) - i * INTERVAL))

    def run(now, watched):
        failed = Partial(command=base.outcomes["dg"].command, reason="no <answer> within 3 s")
        record = replace(
            record_at(interval_start(now)),
            outcomes={**base.outcomes, "dg": failed},
            alarms=("dg: written in part: no <answer> within 3 s",),
        )
        store.append(record)
        field.write([outcome.command for outcome in base.outcomes.values()])
        return record

    field = MemoryField(site, 9000.0)
    field.fail("dg", Unreachable("dg: 127.0.0.1:5023 does not answer"))
    ports = Ports(field=field, network=None, history=store, forecaster=None, journal=store)
    service = Service(
        site=site, policy=Policy(control="auto"), ports=ports, store=store, run=run, poll_s=0.5
    )
    serve(service, "127.0.0.1", 0, lambda url: print(url, flush=True))
""")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    database = tmp_path_factory.mktemp("page") / "geems.sqlite"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(database), str(SAMPLE)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0, "an open browser must not hold up the end of the service"
    finally:
        process.kill()
        process.communicate()


class Seen:
    """An open page, and what its console and network said."""

    def __init__(self, page: object) -> None:
        from playwright.sync_api import Page

        assert isinstance(page, Page)
        self.page = page
        self.complaints: list[str] = []
        self.asked: set[str] = set()
        page.on("console", lambda m: self.complaints.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda e: self.complaints.append(str(e)))
        page.on("request", lambda r: self.asked.add(r.url))

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.page.wait_for_selector("#ders tbody th")
        self.page.wait_for_selector("#devices .badge.bad")


@pytest.fixture
def seen(browser: object, url: str) -> Iterator[Seen]:
    from playwright.sync_api import Browser

    assert isinstance(browser, Browser)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    found = Seen(context.new_page())
    found.open(url)
    yield found
    context.close()
    assert found.complaints == []
    assert {a for a in found.asked if not a.startswith(url)} == set(), "asked elsewhere"


def test_a_generator_on_its_ramp_is_not_said_to_follow_and_where_it_goes_is_told(
    seen: Seen,
) -> None:
    def ramping(route: Any) -> None:
        health = route.fetch().json()
        health["devices"]["dg"] |= {"response": "ramping", "ramps_to_kw": 2750.0}
        route.fulfill(json=health)

    seen.page.route("**/health", ramping)
    seen.page.wait_for_selector("#devices .device:has-text('On its ramp')")
    told = seen.page.inner_text("#devices .device:has-text('On its ramp')")
    assert "ramps to 2,750 kW" in told
    assert "Follows" not in told
    seen.page.unroute_all(behavior="wait")


def test_the_page_says_why_in_one_sentence_and_how_it_stands(seen: Seen) -> None:
    page = seen.page
    assert page.inner_text("#reason").startswith("PV plant pv is held at 7,653 kW")
    assert page.inner_text("#status") == "Degraded"
    assert page.inner_text("#site") == "segment13"
    assert page.inner_text("#mode") == "Automatic"
    assert re.fullmatch(r"in \d+:\d\d", page.inner_text("#next"))


def test_the_table_shows_setpoint_cap_measurement_read_back_and_outcome(seen: Seen) -> None:
    rows = [row.inner_text() for row in seen.page.query_selector_all("#ders tbody tr")]
    pv, dg, bes = (" ".join(row.split()) for row in rows)
    assert pv == "pv PV · B13 7,653 of 9,874 available 0 7,653 7,953 – 7,653 kW, 0 kvar Sent"
    assert dg == "dg Generator · B7 3,000 −400 – 2,997 – – In part no <answer> within 3 s"
    assert bes == "bes Battery · B11 200 −200 – 199 60.0 200 kW, −200 kvar Sent"


def test_the_voltage_chart_shows_every_bus_the_band_and_the_worst(seen: Seen) -> None:
    page = seen.page
    chart = page.query_selector("#volts svg")
    assert chart is not None
    drawn = chart.inner_html()
    assert drawn.count("<text") >= 13 + 4, "bus names and voltages"
    for kind in ("band", "limit", "sent", "free", "worst"):
        assert f'class="{kind}' in drawn
    assert "B13.3 1.1000" in drawn
    assert "Voltage of 13 buses between 0.88 and 1.1 pu" in (
        chart.get_attribute("aria-label") or ""
    )
    assert "without network limits it would be 1.1273 pu" in page.inner_text("#volts-readout")


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("falls_by_pu", [0.001, 0.005, 0.02])
def test_the_label_of_the_worst_bus_covers_no_mark(
    seen: Seen, width: int, falls_by_pu: float
) -> None:
    from playwright.sync_api import Route

    def highest_at_the_head(route: Route) -> None:
        found = route.fetch().json()
        found["voltages"] = [
            {"node": f"B{i}.2", "bus": f"B{i}", "v_pu": v_pu, "free_v_pu": v_pu - 0.001}
            for i in range(1, 14)
            for v_pu in [1.0348 - falls_by_pu * min(i - 1, 1) - 0.001 * i]
        ]
        route.fulfill(json=found | {"v_max_node": "B1.2"})

    seen.page.route("**/dispatch/latest", highest_at_the_head)
    seen.page.set_viewport_size({"width": width, "height": 900})
    seen.page.reload()
    seen.page.wait_for_selector("#volts svg path.sent")
    marks, hidden = seen.page.evaluate(
        """async () => {
            const svg = document.querySelector("#volts svg");
            while (svg.viewBox.baseVal.width !== svg.parentElement.clientWidth)
                await new Promise(requestAnimationFrame);
            const label = svg.querySelector("text.strong, text.alert").getBBox();
            const bars = [...svg.querySelectorAll("path.free, path.sent")].flatMap((p) =>
                [...p.getAttribute("d").matchAll(/M(\\S+) (\\S+)V([^M]+)/g)]);
            const marks = bars.map((m) => m.slice(1).map(Number));
            return [marks.length, marks.filter(([x, low, high]) =>
                x > label.x && x < label.x + label.width
                && low > label.y && high < label.y + label.height)];
        }"""
    )
    assert marks == 26
    assert hidden == []


def test_the_day_chart_says_how_many_hours_it_shows(seen: Seen) -> None:
    assert seen.page.inner_text("#day-title") == "Last 6 hours"


def test_the_day_chart_draws_every_series(seen: Seen) -> None:
    paths = seen.page.query_selector_all("#day svg path.series")
    names = {str(path.get_attribute("class")).split()[1] for path in paths}
    assert names == {"available", "pv", "dg", "bes", "load", "grid", "voltage"}
    assert all("H" in str(path.get_attribute("d")) for path in paths)


def test_the_charts_can_be_read_by_keyboard_and_as_tables(seen: Seen) -> None:
    page = seen.page
    page.focus("#volts svg")
    page.keyboard.press("End")
    assert page.inner_text("#volts-readout").startswith("B13: 1.1000 to 1.1000 pu")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#volts-readout").startswith("B12: ")
    page.focus("#day svg")
    page.keyboard.press("Home")
    assert "PV available 9,874" in page.inner_text("#day-readout")
    assert len(page.query_selector_all("#volts-table tbody tr")) == 13
    assert len(page.query_selector_all("#day-table tbody tr")) == 7


def test_alarms_and_silent_devices_are_shown_as_text_never_as_markup(seen: Seen) -> None:
    page = seen.page
    alarms = [li.inner_text() for li in page.query_selector_all("#alarms li")]
    assert "dg: written in part: no <answer> within 3 s" in alarms
    assert "dg: 127.0.0.1:5023 does not answer" in alarms
    assert page.inner_text("#alarm-count") == f"{len(alarms)} alarms"
    assert page.query_selector("answer") is None
    devices = " ".join(page.inner_text("#devices").split())
    assert "dg Silent 127.0.0.1:5023 does not answer" in devices
    assert "pv Answers Follows command refreshed" in devices


def test_nothing_moves_when_the_answers_arrive(seen: Seen) -> None:
    shift = seen.page.evaluate(
        """() => new Promise((done) => {
            let sum = 0;
            new PerformanceObserver((list) => {
                for (const e of list.getEntries()) sum += e.value;
            }).observe({ type: "layout-shift", buffered: true });
            requestAnimationFrame(() => requestAnimationFrame(() => done(sum)));
        })"""
    )
    assert shift < 0.1, "above this a page counts as unsteady: https://web.dev/articles/cls"


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_narrow_screen_needs_no_sideways_scrolling(seen: Seen, width: int) -> None:
    seen.page.set_viewport_size({"width": width, "height": 800})
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_that_wcag_asks_for(seen: Seen, scheme: str) -> None:
    """WCAG 2.2, success criterion 1.4.3: at least 4.5 to 1."""
    seen.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of two literals
    poor = seen.page.evaluate(
        """() => {
            const light = (c) => {
                const f = c.map((x) => x / 255).map((x) =>
                    x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
                return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2];
            };
            const rgb = (s) => s.match(/[\\d.]+/g).map(Number);
            const ground = (e) => {
                for (; e; e = e.parentElement) {
                    const c = rgb(getComputedStyle(e).backgroundColor);
                    if (c.length === 3 || c[3] > 0) return c;
                }
                return [255, 255, 255];
            };
            document.documentElement.style.setProperty("transition", "none");
            for (const b of document.querySelectorAll(".badge")) b.style.transition = "none";
            const poor = [];
            for (const e of document.querySelectorAll("body *")) {
                const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
                if (!text || !e.checkVisibility()) continue;
                const style = getComputedStyle(e);
                const svg = e.namespaceURI.endsWith("svg");
                const [a, b] = [light(rgb(svg ? style.fill : style.color)), light(ground(e))];
                const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                if (ratio < 4.5) poor.push(`${e.tagName} ${e.textContent}: ${ratio.toFixed(2)}`);
            }
            return poor;
        }"""
    )
    assert poor == []


def test_a_service_that_stops_answering_is_told_and_what_is_shown_is_called_old(
    browser: object, url: str
) -> None:
    from playwright.sync_api import Browser

    assert isinstance(browser, Browser)
    page = browser.new_page()
    found = Seen(page)
    found.open(url)
    page.route("**/api/**", lambda route: route.abort())
    page.wait_for_selector("#lost:not([hidden])")
    assert "what is shown is old" in page.inner_text("#lost")
    page.unroute("**/api/**")
    page.wait_for_selector("#lost", state="hidden")
    page.close()
