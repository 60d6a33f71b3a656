"""Whatever others wrote is shown as text: in HTML, in Markdown, in charts, in files."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, expect
from tests import models
from tests.dashboard.apps import PAGES
from tests.dashboard.conftest import BY_HAND, Dashboard
from tests.server import Server

from serinus.client import DocumentClient

ATTACK = "<img src=x onerror=alert(1)>"
HOSTILE = f"=1+1 {ATTACK}<script>alert(2)</script> [go](javascript:alert(3)) **loud** :red[x] $x^2$"
FOREIGN = ("img[src='x']", "[data-testid=stMain] script", "a[href^='javascript']", ".katex", "strong:has-text('loud')")
"""What it would have become."""


@pytest.fixture(scope="module")
def attacked(server: Server) -> Iterator[str]:
    """A deployment of which everything that may be free text is hostile."""
    with DocumentClient(server.url, actor=HOSTILE[:90]) as client:
        models.register(
            client,
            "risk",
            models.Risk(),
            metrics={HOSTILE: 0.5},
            parameters={HOSTILE: HOSTILE},
            tags={"note": HOSTILE},
            description=HOSTILE,
        )
        client.deploy("attacked", models.STABLE, BY_HAND, reason=HOSTILE)
        client.start("attacked", 3, 20, reason=HOSTILE)
        client.rollback("attacked", reason=HOSTILE)
        client.predict("attacked", models.KNOWN)
        yield "attacked"


@pytest.mark.parametrize("name", PAGES)
def test_what_others_wrote_is_text_and_nothing_else(page: Page, dashboard: Dashboard, attacked: str, name: str) -> None:
    asked: list[str] = []

    def heard(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", heard)
    page.goto(dashboard.page(name, attacked))
    expect(page.get_by_text(ATTACK).first).to_be_visible()
    if name == "deployment_history":
        page.locator("details > summary").first.click()
        expect(page.get_by_role("term").filter(has_text="generation").first).to_be_visible()

    for selector in FOREIGN:
        expect(page.locator(selector)).to_have_count(0)
    assert asked == []


def test_a_hostile_address_is_text_too(page: Page, dashboard: Dashboard, attacked: str) -> None:
    page.goto(dashboard.page("live_traffic", "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"))

    expect(page.get_by_role("heading", name="There is no deployment '<img src=x onerror=alert(1)>'")).to_be_visible()
    expect(page.locator("img[src='x']")).to_have_count(0)


def test_no_reason_is_a_formula_in_a_file(page: Page, dashboard: Dashboard, attacked: str) -> None:
    page.goto(dashboard.page("deployment_history", attacked))
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()

    with Path(download.value.path()).open(newline="") as file:
        told = list(csv.DictReader(file))
    assert {each["reason"] for each in told} == {f"'{HOSTILE}"}
    assert {each["actor"][:2] for each in told} == {"'="}
