"""What end-to-end tests share: a real browser."""

import shutil
from collections.abc import Iterator

import pytest

QUIET = ("background-networking", "component-update", "sync", "gpu")
"""What the browser shall not do by itself."""


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Chromium of the distribution."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", *(f"--disable-{what}" for what in QUIET)],
        )
        yield launched
        launched.close()
