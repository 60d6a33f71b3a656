"""The history as a person reads it: a real server, the page by itself and in a browser."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest
from tests.dashboard.apps import app_of, written
from tests.dashboard.conftest import BY_HAND, Dashboard
from tests.models import STABLE
from tests.server import Server

from serinus.client import DocumentClient
from serinus.dashboard.history.reading import PAGE


@pytest.fixture(scope="module")
def eventful(client: DocumentClient) -> str:
    """A deployment with 32 events: a canary that was given more 29 times and rolled back."""
    client.deploy("eventful", STABLE, BY_HAND)
    client.start("eventful", 2, 1, reason="a new try")
    for weight in range(2, 31):
        client.set_weight("eventful", weight)
    client.rollback("eventful", reason="complaints")
    return "eventful"


@pytest.fixture
def shown(server: Server, eventful: str, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    return app_of(monkeypatch, server.url, "deployment_history", eventful)


def lines(app: AppTest) -> list[str]:
    assert not app.exception, app.exception
    return [str(each.label).replace("\\", "") for each in app.expander]


def test_events_are_listed_newest_first_with_who_and_why(shown: AppTest) -> None:
    found = lines(shown.run())

    assert len(found) == PAGE
    assert "rolled back" in found[0]
    assert "by grace" in found[0]
    assert "complaints" in found[0]
    assert "29 % → 30 %" in found[1]


def test_pages_lead_to_the_first_event_and_back(shown: AppTest) -> None:
    first = lines(shown.run())
    second = lines(shown.button(key="older").click().run())

    assert "deployment created" in second[-1]
    assert len(first) + len(second) == 32
    assert shown.button(key="older").disabled
    assert lines(shown.button(key="newer").click().run()) == first


def test_events_are_found_by_kind_and_another_filter_begins_at_the_newest(shown: AppTest) -> None:
    shown.run().button(key="older").click().run()

    found = lines(shown.multiselect(key="kinds").select("canary_started").run())

    assert len(found) == 1
    assert "a new try" in found[0]
    assert "Page 1, newest first" in [each.value for each in shown.caption]


def test_events_of_all_deployments_are_named(shown: AppTest, client: DocumentClient, stable: str) -> None:
    found = lines(shown.run().toggle(key="everywhere").set_value(True).run())

    assert stable in found[0]
    assert "What was in production?" in [each.value for each in shown.subheader]
    assert stable in written(shown)
    assert client.events(None, newest_first=True, limit=1)["events"][0]["deployment"] == stable


def test_production_is_told_as_it_is_now_where_no_time_is_chosen(shown: AppTest) -> None:
    assert "<strong>risk@1</strong> with all of the traffic" in written(shown.run())


def test_production_is_told_of_a_time_that_is_chosen(shown: AppTest) -> None:
    shown.session_state["at"] = datetime(2020, 2, 29, 12)  # noqa: DTZ001 - as it is chosen on the page

    assert "eventful did not exist yet" in written(shown.run())


def test_a_filter_that_finds_nothing_says_so(shown: AppTest) -> None:
    shown.run().multiselect(key="kinds").select("approved").run()

    assert lines(shown) == []
    assert "No such events" in written(shown)


def test_what_an_event_rests_on_is_one_click_away(page: Page, dashboard: Dashboard, eventful: str) -> None:
    page.goto(dashboard.page("deployment_history", eventful))

    page.locator("summary").filter(has_text="rolled back").first.click()

    expect(page.get_by_role("term").filter(has_text="generation").first).to_be_visible()
    expect(page.get_by_text("complaints").nth(1)).to_be_visible()


@pytest.mark.parametrize("kind", ["CSV", "JSON"])
def test_all_that_is_found_is_exported_not_only_the_page(
    page: Page, dashboard: Dashboard, eventful: str, kind: str
) -> None:
    page.goto(dashboard.page("deployment_history", eventful))
    with page.expect_download() as download:
        page.get_by_role("button", name=kind).click()

    text = Path(download.value.path()).read_text()
    found = json.loads(text) if kind == "JSON" else text.splitlines()[1:]
    assert len(found) == 32
    assert download.value.suggested_filename == f"events.{kind.lower()}"
