"""Two hundred deployments with a hundred thousand events: pages ask for no more than they show."""

import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest
from tests.dashboard.apps import PAGES, app_of
from tests.dashboard.conftest import BY_HAND, Dashboard
from tests.dashboard.door import Door, door
from tests.models import STABLE
from tests.server import Server

from serinus.client import DocumentClient
from serinus.dashboard.history.reading import PAGE

DEPLOYMENTS, EVENTS = 200, 100_000
ENOUGH = 400_000
"""Bytes that a page may ask of the server: the names of all deployments, and one page of what it shows."""
COPIES = """
WITH RECURSIVE place(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM place WHERE n < :events)
INSERT INTO events (deployment, generation, kind, at, actor, reason, rollout, data)
SELECT printf('shop-%03d', n % :deployments), generation, 'holding', at, actor, 'event ' || n, rollout, '{}'
FROM place, (SELECT * FROM events WHERE kind = 'deployment_created' LIMIT 1)
"""


@pytest.fixture(scope="module")
def many(server: Server, client: DocumentClient) -> Iterator[Door]:
    """The way to a server with all of that, which counts what is asked."""
    with ThreadPoolExecutor(8) as callers:
        list(callers.map(lambda n: client.deploy(f"shop-{n:03}", STABLE, BY_HAND), range(DEPLOYMENTS)))
    with closing(sqlite3.connect(server.home / "serinus.db", timeout=60)) as database, database:
        database.execute(COPIES, {"deployments": DEPLOYMENTS, "events": EVENTS})
    with door(server.url, lambda _: None) as way:
        yield way


def lines(app: AppTest) -> list[str]:
    assert not app.exception, app.exception
    return [str(each.label).replace("\\", "") for each in app.expander]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_no_more_than_it_shows(many: Door, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    many.passed.clear()

    app = app_of(monkeypatch, many.url, name, "shop-007").run()

    assert not app.exception
    assert sum(size for _, size in many.passed) < ENOUGH
    assert len(many.passed) < 12


def test_events_of_all_are_paged(many: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_of(monkeypatch, many.url, "deployment_history", "shop-007")
    app.run().toggle(key="everywhere").set_value(True).run()
    first = lines(app)
    many.passed.clear()

    second = lines(app.button(key="older").click().run())

    assert (len(first), len(second)) == (PAGE, PAGE)
    assert f"event {EVENTS} " in f"{first[0]} "
    assert f"event {EVENTS - PAGE} " in f"{second[0]} "
    assert sum(size for _, size in many.passed) < ENOUGH


def test_one_of_two_hundred_deployments_is_found_by_its_name(page: Page, dashboard: Dashboard, many: Door) -> None:
    page.goto(dashboard.page("live_traffic", "shop-007"))
    choice = page.get_by_role("combobox", name="Deployment")
    choice.click()
    choice.fill("shop-183")
    page.get_by_role("option", name="shop-183").click()

    expect(page).to_have_url(re.compile("deployment=shop-183"))
    expect(page.get_by_role("heading", name="Traffic", exact=True)).to_be_visible()
