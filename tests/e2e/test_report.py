"""The report of a backtest in a real browser: it asks nobody, and can be read anywhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ems.backtest.report import write_report
from tests.backtest_reports import kept_study

pytestmark = pytest.mark.needs("chromium")

POOR = """() => {
    const light = (c) => {
        const f = c.slice(0, 3).map((x) => x / 255).map((x) =>
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
"""Texts below the contrast of WCAG 2.2, success criterion 1.4.3."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    kept_study(folder)
    return write_report(folder)


class Opened:
    """The report in a page, and what console and network said."""

    def __init__(self, page: object, report: Path) -> None:
        from playwright.sync_api import Page

        assert isinstance(page, Page)
        self.page = page
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda m: self.complaints.append(f"{m.type}: {m.text}"))
        page.on("pageerror", lambda e: self.complaints.append(str(e)))
        page.on("request", lambda r: self.asked.append(r.url))
        page.goto(report.as_uri())


@pytest.fixture
def opened(browser: object, report: Path) -> Iterator[Opened]:
    from playwright.sync_api import Browser

    assert isinstance(browser, Browser)
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    yield Opened(page, report)
    context.close()


def test_it_opens_without_a_complaint_and_asks_for_nothing_but_itself(
    opened: Opened, report: Path
) -> None:
    opened.page.wait_for_load_state("networkidle")
    assert opened.complaints == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [report.as_uri()]


def test_every_figure_is_drawn_and_named(opened: Opened) -> None:
    drawn = opened.page.query_selector_all("figure svg[role=img]")
    assert len(drawn) == 5
    for svg in drawn:
        box = svg.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) > 200
        assert svg.get_attribute("aria-label")
    assert "voltage [pu]" in opened.page.inner_text("figure >> nth=0")


def test_a_worst_interval_leads_to_its_explanation(opened: Opened) -> None:
    link = opened.page.locator("#segment13-worst table a").first
    target = str(link.get_attribute("href"))
    link.click()
    assert opened.page.url.endswith(target)
    assert "beyond a limit" in opened.page.inner_text(f"{target}:target")


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_narrow_screen_needs_no_sideways_scrolling(opened: Opened, width: int) -> None:
    opened.page.set_viewport_size({"width": width, "height": 800})
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_that_wcag_asks_for(opened: Opened, scheme: str) -> None:
    opened.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of two literals
    assert opened.page.evaluate(POOR) == []


def test_on_paper_nothing_is_cut_off(opened: Opened) -> None:
    opened.page.set_viewport_size({"width": 700, "height": 1000})  # A4 within its margins
    opened.page.emulate_media(media="print", color_scheme="dark")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 700
    assert opened.page.evaluate(POOR) == []
    cut = opened.page.evaluate(
        "[...document.querySelectorAll('.drawn')].filter((e) => e.scrollWidth > e.clientWidth + 1)"
        ".length"
    )
    assert cut == 0
