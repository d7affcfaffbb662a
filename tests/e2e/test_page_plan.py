"""The day ahead on the operator's page: shown where there is a plan."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ems.clock import INTERVAL
from ems.domain import Plan, SolverStatus, StoragePlan
from ems.record import from_json, to_json
from tests.e2e.test_page import PROGRAM, SAMPLE, Seen

pytestmark = pytest.mark.needs("chromium")


def day_ahead() -> Plan:
    start, n = from_json(SAMPLE.read_text()).start, 96
    bes = (-200.0,) * 16 + (0.0,) * 64 + (200.0,) * 16
    soc = tuple(60.0 + 2.0 * min(i, 16, 96 - i) for i in range(n))
    return Plan(
        starts=tuple(start + i * INTERVAL for i in range(n)),
        price_usd_per_kwh=(0.1,) * 48 + (0.3,) * 48,
        load_kw=(9000.0,) * n,
        p_kw={"pv": (7000.0,) * n, "dg": (3000.0,) * n, "bes": bes},
        storage={
            "bes": StoragePlan(
                start_kwh=600.0, kwh=tuple(10.0 * s for s in soc), soc_pct=soc, lowest_kwh=200.0,
                highest_kwh=1000.0, terminal_kwh=600.0, shortfall_kwh=0.0,
                shortfall_usd_per_kwh=10.0, bus_usd_per_kwh=(0.2,) * n, marginal_usd_per_kwh=0.2345,
            )
        },
        grid_kw=tuple(-1000.0 - p for p in bes),
        cost_usd=(25.0,) * n,
        status=SolverStatus.OPTIMAL, gap_usd=0.0, either_or=0, wall_s=0.0,
    )  # fmt: skip


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    planned = tmp_path / "planned.json"
    planned.write_text(to_json(replace(from_json(SAMPLE.read_text()), plan=day_ahead())))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "geems.sqlite"), str(planned)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=30)


def test_the_plan_is_drawn_as_planned_and_read_by_keyboard_table_and_address(
    browser: object, url: str
) -> None:
    from playwright.sync_api import Browser

    assert isinstance(browser, Browser)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    seen = Seen(page)
    seen.open(url)
    assert page.is_visible("#plan")
    paths = page.query_selector_all("#plan-chart svg path.planned")
    names = {str(path.get_attribute("class")).split()[2] for path in paths}
    assert names == {"bes", "soc", "price"}
    assert all("H" in str(path.get_attribute("d")) for path in paths)
    assert "Worth of one more kWh stored: bes 0.2345 $" in page.inner_text("#plan-readout")
    page.focus("#plan-chart svg")
    page.keyboard.press("Home")
    assert "planned at 0.1000 $/kWh: batteries −200" in page.inner_text("#plan-readout")
    assert len(page.query_selector_all("#plan-table tbody tr")) == 96
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    told = json.loads(page.request.get(f"{url.rstrip('/')}/api/v1/plan/latest").text())
    assert told["intervals"][0]["soc_pct"] == {"bes": 60.0}
    page.close()
    assert seen.complaints == []
