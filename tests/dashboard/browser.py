"""Debian's Chromium, and what is looked at on a page with it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

PROGRAM = "chromium"
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000
SERIOUS = {"serious", "critical"}
STREAMLIT_S = {
    # The list box of a select is named by its field, which axe does not see from within.
    ("aria-input-field-name", "[role=listbox]"),
    # A scrolling region of Streamlit's own around the page; its contents can be reached by keyboard.
    ("scrollable-region-focusable", "[data-testid=stMain]"),
    ("scrollable-region-focusable", "[data-testid=stSidebarContent]"),
}
"""Rules that Streamlit's own elements break: a rule and the selector that it breaks it with."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser; where there is none the tests are skipped, but fail where ``CI`` is set."""
    program = shutil.which(PROGRAM)
    if program is None:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say("chromium is not installed. On Debian: sudo apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def window_of(browser: Browser, *, width: int = 1280, height: int = 900) -> Iterator[BrowserContext]:
    """Open a window; its pages share a cache, and nothing else."""
    window = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="light", reduced_motion="reduce", locale="en-GB"
    )
    window.set_default_timeout(PATIENCE_MS)
    try:
        yield window
    finally:
        window.close()


def overflow(page: Page) -> int:
    """Give by how many pixels the page is wider than its window."""
    script = "() => { const e = document.querySelector('[data-testid=stMain]'); return e.scrollWidth - e.clientWidth }"
    return int(page.evaluate(script))


def violations(page: Page) -> list[str]:
    """Give what axe holds against the page, serious and critical, but for what is Streamlit's own."""
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for rule in found
        if rule["impact"] in SERIOUS
        for node in rule["nodes"]
        if not _is_streamlit_s(page, rule["id"], node["target"])
    ]


def _is_streamlit_s(page: Page, rule: str, target: list[str]) -> bool:
    return any(
        rule == other and page.eval_on_selector(target[0], "(element, selector) => element.matches(selector)", selector)
        for other, selector in STREAMLIT_S
    )
