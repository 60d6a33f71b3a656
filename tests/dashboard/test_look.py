"""Each page by day and by night, on a wide and on a narrow window, and for those who see it with other means."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from tests.dashboard.browser import overflow, violations
from tests.dashboard.conftest import BY_HAND, Callers, Dashboard
from tests.server import Server, eventually

from serinus.client import DocumentClient
from serinus.core.names import VersionRef

READY = {
    "live_traffic": "Baseline and canary",
    "model_comparison": "Errors by kind",
    "deployment_history": "Events",
    "deploy_canary": "Start",
}
"""The pages, each with a heading that comes last."""
CHARTS = {"live_traffic": 2, "model_comparison": 6, "deployment_history": 0, "deploy_canary": 1}


@pytest.fixture(scope="module")
def busy(server: Server, client: DocumentClient) -> Iterator[str]:
    """A deployment with a canary, traffic and a past."""
    name = "busy"
    client.deploy(name, VersionRef("risk", 1), BY_HAND)
    client.start(name, 2, 20, reason="a first look")
    client.rollback(name, reason="not today")
    client.start(name, 2, 30, reason="another look")
    with Callers(server.url, name):
        assert eventually(lambda: (client.metrics(name)["canary"] or {}).get("requests", 0) > 20, every_s=0.2)
        yield name


@pytest.mark.parametrize("name", READY)
def test_a_page_can_be_read_by_everybody(page: Page, dashboard: Dashboard, busy: str, name: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(dashboard.page(name, busy))
    expect(page.get_by_role("heading", name=READY[name], exact=True)).to_be_visible()
    expect(page.locator("[data-testid=stVegaLiteChart] svg")).to_have_count(CHARTS[name])
    if name == "deployment_history":
        page.locator("summary").filter(has_text="rolled back").first.click()
        expect(page.get_by_role("term").filter(has_text="generation").first).to_be_visible()

    for scheme, judged_at in (("light", 1280), ("dark", 400)):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        expect(page.locator(".stApp")).to_have_css("color-scheme", scheme)
        for width in (1680 - judged_at, judged_at):
            page.set_viewport_size({"width": width, "height": 900})
            assert eventually(lambda: overflow(page) <= 0, every_s=0.1), (
                f"{scheme} {width}: {overflow(page)} px too wide"
            )
        assert violations(page) == [], f"{scheme} {judged_at}"
    assert [url for url in asked if not url.startswith((dashboard.url, "data:", "blob:"))] == []
