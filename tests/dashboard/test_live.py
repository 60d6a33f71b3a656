"""The live page as a person uses it: a real server, a real browser."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect
from tests import models
from tests.dashboard.conftest import BY_HAND, Callers, Dashboard
from tests.server import Server, eventually

from serinus.client import DocumentClient
from serinus.examples.heart_disease import story

APPROVED = {
    "apiVersion": "serinus/v1",
    "kind": "RolloutPlan",
    "metadata": {"name": "by-word"},
    "spec": {"steps": [{"setWeight": 10}, {"approval": {}}, {"setWeight": 50}, {"approval": {}}]},
}


JUMP = 0.1
"""Up to here browsers call the layout of a page stable (cumulative layout shift)."""
WATCH = """() => {
  const seen = window.seen = {frames: 0, charts: [], headings: [], shift: 0};
  const met = (list, value) => { if (!list.includes(value)) list.push(value) };
  new PerformanceObserver(all => all.getEntries().forEach(each => seen.shift += each.value))
    .observe({type: 'layout-shift'});
  const look = () => {
    seen.frames += 1;
    met(seen.charts, document.querySelectorAll('[data-testid=stVegaLiteChart] svg').length);
    met(seen.headings, document.querySelectorAll('h1, h2, h3').length);
    requestAnimationFrame(look);
  };
  look();
}"""
"""Looks at every frame that is drawn: how many charts and headings there are, and how far things move."""


def opened(page: Page, dashboard: Dashboard, name: str) -> None:
    page.goto(dashboard.page("live_traffic", name))
    expect(page.get_by_role("heading", name="Traffic", exact=True)).to_be_visible()


def requests_of(cell: Locator) -> int:
    return int(cell.inner_text().replace(" ", ""))


def says(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("alert").filter(has_text=text).first).to_be_visible()


def test_requests_are_counted_while_one_looks_on_without_a_flicker(
    page: Page, dashboard: Dashboard, server: Server, release: str
) -> None:
    opened(page, dashboard, release)
    expect(page.get_by_role("heading", name="No requests yet")).to_be_visible()

    with Callers(server.url, release):
        cell = page.get_by_role("row", name=re.compile("^requests [0-9]")).get_by_role("cell").first
        expect(cell).to_have_text(re.compile("[0-9]"))
        chart = page.locator("[data-testid=stVegaLiteChart] svg").first
        expect(chart).to_be_visible()
        page.evaluate("window.chart = document.querySelector('[data-testid=stVegaLiteChart] svg')")
        before = cell.inner_text()
        assert eventually(lambda: cell.inner_text() != before, every_s=0.2)
        expect(page.get_by_role("row", name=re.compile("^requests . s")).get_by_role("cell").first).to_have_text(
            re.compile(r"[1-9][0-9.]*")
        )
        page.evaluate(WATCH)
        begin = requests_of(cell)
        assert eventually(lambda: requests_of(cell) > begin + 100, every_s=0.2)
        seen = page.evaluate("window.seen")
        assert seen["frames"] > 3
        assert seen["charts"] == [2], "a chart was gone for a moment"
        assert seen["headings"] == [6], "a part of the page was gone for a moment"
        assert seen["shift"] < JUMP
        assert page.evaluate("window.chart.isConnected")
    expect(page.get_by_role("img", name=f"80 % of the traffic to {models.STABLE}, 20 % to risk@2")).to_be_visible()


def test_what_others_do_is_seen_without_a_click(
    page: Page, dashboard: Dashboard, client: DocumentClient, release: str
) -> None:
    opened(page, dashboard, release)

    client.set_weight(release, 35)
    expect(page.get_by_role("img", name=re.compile("35 % to risk@2"))).to_be_visible()

    client.pause(release)
    expect(page.get_by_text("Paused: the canary keeps its share")).to_be_visible()
    expect(page.get_by_role("button", name="Promote")).to_be_disabled()
    expect(page.get_by_text("promote (the rollout is paused: resume it first)")).to_be_visible()

    client.rollback(release)
    expect(page.get_by_role("link", name="Deploy a new canary")).to_be_visible()


def test_a_rollback_asks_and_stands_in_the_history_with_its_reason(
    page: Page, dashboard: Dashboard, client: DocumentClient, release: str
) -> None:
    opened(page, dashboard, release)
    page.get_by_role("button", name="Roll back").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(f"All the traffic of {release} goes to {models.STABLE}, at once.")).to_be_visible()

    dialog.get_by_label("Reason").fill("complaints from support")
    dialog.get_by_label("Reason").press("Tab")
    dialog.get_by_role("button", name="Roll back").click()

    says(page, f"Rolled back: all traffic goes to {models.STABLE}.")
    (event,) = client.events(release, kinds=["rolled_back"])["events"]
    assert event["reason"] == "complaints from support"
    assert event["actor"].endswith("dashboard") or "(dashboard)" in event["actor"]


def test_no_is_an_answer(page: Page, dashboard: Dashboard, client: DocumentClient, release: str) -> None:
    opened(page, dashboard, release)
    page.get_by_role("button", name="Promote").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()

    expect(page.get_by_role("dialog")).to_have_count(0)
    assert client.deployment(release)["status"] == "canary"


def test_who_came_first_is_told_and_nothing_is_done(
    page: Page, dashboard: Dashboard, client: DocumentClient, release: str
) -> None:
    opened(page, dashboard, release)
    page.get_by_role("button", name="Promote").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    client.pause(release, reason="over the weekend")

    page.get_by_role("dialog").get_by_role("button", name="Promote").click()

    says(page, re.compile(r"somebody else acted first\. By grace, .*: paused \(over the weekend\)\."))
    says(page, "look again, then decide")
    assert client.deployment(release)["status"] == "paused"


def test_weights_are_changed_by_tens_and_by_hand_and_most_of_the_traffic_asks(
    page: Page, dashboard: Dashboard, client: DocumentClient, release: str
) -> None:
    opened(page, dashboard, release)
    page.get_by_role("button", name="+10").click()
    says(page, "The canary gets 30 % now.")
    page.get_by_role("button", name="\N{MINUS SIGN}10").click()
    says(page, "The canary gets 20 % now.")

    page.get_by_label("Weight in %").fill("75")
    page.get_by_label("Weight in %").press("Enter")
    page.get_by_role("button", name="Set weight").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(f"risk@2 gets 75 % of the traffic of {release}, up from 20 %.")).to_be_visible()
    dialog.get_by_role("button", name="Give 75 %").click()

    says(page, "The canary gets 75 % now.")
    assert client.deployment(release)["rollout"]["weight"] == 75


def test_a_plan_goes_on_with_a_persons_word(
    page: Page, dashboard: Dashboard, client: DocumentClient, stable: str
) -> None:
    client.start(stable, 2, plan=APPROVED)
    opened(page, dashboard, stable)
    expect(page.get_by_text("The plan waits for a person's word")).to_be_visible()
    expect(page.get_by_role("list", name="Steps of the plan").locator("[aria-current=step]")).to_have_text(
        re.compile("approval")
    )

    page.get_by_label("Reason").fill("the panels look right")
    page.get_by_label("Reason").press("Enter")
    page.get_by_role("button", name="Approve").click()

    says(page, "Approved")
    (event,) = client.events(stable, kinds=["approved"])["events"]
    assert event["reason"] == "the panels look right"


def test_the_demo_leaves_a_canary_that_waits_for_whoever_looks(
    page: Page, dashboard: Dashboard, client: DocumentClient
) -> None:
    client.deploy(story.DEPLOYMENT, models.STABLE, BY_HAND)
    assert not story.leave_one_to_watch(client)
    client.start(story.DEPLOYMENT, 2, 20)
    client.promote(story.DEPLOYMENT)

    assert story.leave_one_to_watch(client)

    opened(page, dashboard, story.DEPLOYMENT)
    expect(page.get_by_text("The plan waits for a person's word")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_be_enabled()


def test_a_promotion_can_be_undone(page: Page, dashboard: Dashboard, client: DocumentClient, release: str) -> None:
    opened(page, dashboard, release)
    page.get_by_role("button", name="Promote").click()
    page.get_by_role("dialog").get_by_role("button", name="Promote").click()
    says(page, "Promoted: risk@2 is the baseline.")

    page.get_by_role("button", name="Undo the last promotion").click()
    page.get_by_role("dialog").get_by_role("button", name="Undo").click()

    says(page, f"Undone: {models.STABLE} serves again.")
    assert client.deployment(release)["baseline"] == str(models.STABLE)


def test_a_rollback_needs_no_mouse(page: Page, dashboard: Dashboard, client: DocumentClient, release: str) -> None:
    opened(page, dashboard, release)
    button = page.get_by_role("button", name="Roll back")
    expect(button).to_be_enabled()
    for _ in range(60):
        page.keyboard.press("Tab")
        if button.evaluate("element => element === document.activeElement"):
            break
    page.keyboard.press("Enter")
    confirm = page.get_by_role("dialog").get_by_role("button", name="Roll back")
    expect(confirm).to_be_visible()
    for _ in range(10):
        page.keyboard.press("Tab")
        if confirm.evaluate("element => element === document.activeElement"):
            break
    page.keyboard.press("Enter")

    says(page, "Rolled back")
    assert client.deployment(release)["status"] == "stable"


def test_a_canary_under_way_is_replaced_after_a_yes(
    page: Page, dashboard: Dashboard, client: DocumentClient, release: str
) -> None:
    page.goto(dashboard.page("deploy_canary", release))
    page.get_by_text("back first, and replace it").click()
    page.get_by_role("button", name="Start risk@2").click()
    page.get_by_role("dialog").get_by_role("button", name="Replace").click()

    says(page, "risk@2 is started.")
    expect(page).to_have_url(re.compile(f"live_traffic.deployment={release}"))
    assert client.deployment(release)["rollout"]["id"] == f"{release}:2"


def test_the_deployment_that_is_looked_at_stays_from_page_to_page(
    page: Page, dashboard: Dashboard, client: DocumentClient, release: str
) -> None:
    client.deploy("a-first-one", models.STABLE, BY_HAND)
    opened(page, dashboard, release)

    for title in ("Model comparison", "Deployment history", "Deploy new canary"):
        page.get_by_role("link", name=title).click()
        expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
        expect(page.get_by_role("combobox", name="Deployment")).to_have_value(release)
        expect(page).to_have_url(re.compile(f"deployment={release}"))


@pytest.mark.parametrize("name", ["nobody-knows-it"])
def test_a_link_to_a_deployment_that_is_gone_says_so(page: Page, dashboard: Dashboard, stable: str, name: str) -> None:
    page.goto(dashboard.page("live_traffic", name))

    expect(page.get_by_role("heading", name=f"There is no deployment '{name}'")).to_be_visible()
