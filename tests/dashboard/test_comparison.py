"""The comparison as a person reads it: a real server, the page by itself and in a browser."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest
from tests.dashboard.apps import app_of, written
from tests.dashboard.conftest import BY_HAND, Callers, Dashboard
from tests.models import STABLE
from tests.server import Server, eventually

from serinus.client import DocumentClient

CHARTS = 6


@pytest.fixture(scope="module")
def judged(server: Server, client: DocumentClient) -> Iterator[str]:
    """A deployment whose first rollout ended, with a second one under way that has traffic and checks."""
    client.deploy("judged", STABLE, BY_HAND)
    client.start("judged", 2, 30)
    with Callers(server.url, "judged"):
        assert eventually(lambda: _is_compared(client, 1))
        client.rollback("judged", reason="not this week")
        client.start("judged", 2, 40)
        assert eventually(lambda: _is_compared(client, 2))
        yield "judged"


def _is_compared(client: DocumentClient, rollout: int) -> bool:
    points = client.history("judged", rollout)["points"]
    return len(points) > 1 and all(points[-1][role]["requests"] > 5 for role in ("baseline", "canary"))


@pytest.fixture
def shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    return app_of(monkeypatch, server.url, "model_comparison")


def test_a_rollout_under_way_is_set_against_its_limits(shown: AppTest, judged: str) -> None:
    shown.query_params["deployment"] = judged

    told = written(shown.run())

    assert "Verdict:" in told
    assert "Time to decision:" in told
    assert "tolerance 0.5 points, margin 5 points" in told
    assert "40 % of the traffic, running" in told
    assert len(shown.get("vega_lite_chart")) == CHARTS
    assert {"Latency", "Errors by kind", "Evidence that it is worse"} <= {each.value for each in shown.subheader}


def test_a_rollout_that_ended_can_be_chosen(shown: AppTest, judged: str) -> None:
    shown.query_params["deployment"] = judged
    shown.run().selectbox(key=f"rollout_of_{judged}").select(f"{judged}:1")

    told = written(shown.run())

    assert shown.query_params["rollout"] == f"{judged}:1"
    assert "not this week" in told
    assert "rolled back" in told
    assert re.search(r"Time to decision:</strong> rolled back after [\d.]+ (s|min)", told)
    assert len(shown.get("vega_lite_chart")) == CHARTS


def test_by_thresholds_the_differences_stand_against_the_deltas(
    shown: AppTest, server: Server, client: DocumentClient, stable: str
) -> None:
    client.configure(stable, {"policy": {"name": "threshold", "interval_s": 0.2, "min_requests": 1_000_000}})
    client.start(stable, 2, 50)
    with Callers(server.url, stable):
        assert eventually(lambda: client.health(stable)["health"] == "healthy")
    shown.query_params["deployment"] = stable

    told = written(shown.run())

    assert "holds above 2.5 points, rolls back above 5 points" in told
    assert len(shown.get("vega_lite_chart")) == CHARTS
    assert "Difference of the error rate over time" in {each.value for each in shown.subheader}


def test_without_a_canary_it_says_so_and_shows_the_baseline(shown: AppTest, stable: str) -> None:
    shown.query_params["deployment"] = stable

    told = written(shown.run())

    assert "No canary yet" in told
    assert f"canary start {stable}" in told


def test_new_evidence_is_drawn_in_the_same_charts(page: Page, dashboard: Dashboard, judged: str) -> None:
    page.goto(dashboard.page("model_comparison", judged))
    cell = page.get_by_role("row", name=re.compile("^requests [0-9]")).get_by_role("cell").first
    expect(page.locator("[data-testid=stVegaLiteChart] svg")).to_have_count(CHARTS)
    assert eventually(lambda: _are_laid_out(page)), "they are drawn anew while the page takes its width"
    before = cell.inner_text()

    assert eventually(lambda: cell.inner_text() != before, every_s=0.2)
    assert page.evaluate("window.charts.every(each => each.isConnected)")


def _are_laid_out(page: Page) -> bool:
    """Take hold of the charts, and say whether the same ones are there a moment later."""
    page.evaluate("window.charts = [...document.querySelectorAll('[data-testid=stVegaLiteChart] svg')]")
    page.wait_for_timeout(500)
    return bool(page.evaluate(f"window.charts.length === {CHARTS} && window.charts.every(each => each.isConnected)"))
