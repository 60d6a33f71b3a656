"""The page that starts canaries, on a real server, without a browser."""

import pytest
from streamlit.testing.v1 import AppTest
from tests.dashboard.apps import app_of, written
from tests.server import Server

from serinus.client import DocumentClient
from serinus.core.presets import PRESETS
from serinus.dashboard import deploying


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, server: Server, stable: str) -> AppTest:
    app = app_of(monkeypatch, server.url, "deploy_canary", stable).run()
    assert not app.exception
    return app


def test_a_version_is_shown_with_what_is_known_of_it(page: AppTest) -> None:
    assert "0.87" in written(page)
    assert "baseline risk@1" in written(page)
    assert "+0.03" in written(page)


def test_the_newest_version_that_is_not_in_production_is_offered_first(page: AppTest) -> None:
    assert page.button(key="start").label == "Start risk@2"


def test_what_is_in_production_cannot_be_its_own_canary(page: AppTest) -> None:
    page.selectbox(key="version_risk").select_index(1).run()

    assert page.button(key="start").disabled
    assert "risk@1 is the baseline already: choose another version." in [each.value for each in page.caption]


def test_where_nothing_can_be_foreseen_a_canary_can_still_be_started(
    page: AppTest, client: DocumentClient, stable: str
) -> None:
    client.configure(stable, {"policy": {"name": "threshold"}})
    page.segmented_control(key="way").set_value("At a weight").run()

    assert "has no odds to foresee" in written(page)
    assert not page.button(key="start").disabled


def test_a_plan_is_foreseen_before_it_is_started(page: AppTest) -> None:
    assert "has had no traffic yet" in written(page)
    assert "Give the requests a second that you expect." in written(page)

    page.number_input(key="rate").set_value(50.0).run()

    assert "Forecast: time until" in written(page)
    assert "At 50 requests per second" in [each.value[:25] for each in page.caption]


def test_a_dry_run_changes_nothing(page: AppTest, client: DocumentClient, stable: str) -> None:
    page.button(key="dry_run").click().run()

    assert "risk@2 would get 1 % of the traffic by the plan standard. Nothing was changed." in written(page)
    assert client.deployment(stable)["status"] == "stable"


def test_a_canary_is_started_at_a_weight_with_a_reason(page: AppTest, client: DocumentClient, stable: str) -> None:
    page.segmented_control(key="way").set_value("At a weight").run()
    page.number_input(key="start_weight").set_value(12.5).run()
    page.text_input(key="start_reason").set_value("weekly model").run()
    page.button(key="start").click().run()

    assert client.deployment(stable)["rollout"]["weight"] == 12.5
    (event,) = client.events(stable, kinds=["canary_started"])["events"]
    assert event["reason"] == "weekly model"


def test_a_plan_of_ones_own_is_looked_over_as_it_is_written(page: AppTest, client: DocumentClient, stable: str) -> None:
    page.segmented_control(key="way").set_value("By your own plan").run()
    page.text_area(key="plan_text").set_value(deploying.preset_text("standard").replace("5m", "soon", 1)).run()

    assert "Line " in written(page)
    assert "soon" in written(page)
    assert page.button(key="start").disabled

    page.text_area(key="plan_text").set_value(deploying.preset_text("fast")).run()
    page.button(key="start").click().run()

    assert client.deployment(stable)["rollout"]["plan"]["name"] == "my-plan"


def test_a_canary_under_way_is_in_the_way_of_another(page: AppTest, client: DocumentClient, stable: str) -> None:
    client.start(stable, 2, 40)
    page.run()
    assert page.button(key="start").disabled

    page.checkbox(key="replace").check().run()
    page.button(key="dry_run").click().run()

    assert f"{stable}:1 would be rolled back first" in written(page)
    page.button(key="start").click().run()
    assert client.deployment(stable)["rollout"]["id"] == f"{stable}:1"


def test_who_started_one_meanwhile_is_told_and_nothing_is_done(
    page: AppTest, client: DocumentClient, stable: str
) -> None:
    client.start(stable, 2, 40, reason="before you")
    page.button(key="start").click().run()

    assert "Not started, for somebody else acted first. By grace" in written(page)
    assert "canary started (before you)" in written(page)
    assert client.deployment(stable)["rollout"]["weight"] == 40


def test_a_first_deployment_can_be_made(page: AppTest, client: DocumentClient) -> None:
    page.segmented_control(key="kind").set_value("A new deployment").run()
    page.text_input(key="new_name").set_value("made-by-hand").run()
    page.button(key="deploy").click().run()

    assert client.deployment("made-by-hand")["baseline"] == "risk@2"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_right_plan_to_begin_from(name: str) -> None:
    plan, remarks = deploying.read(deploying.preset_text(name))

    assert plan is not None
    assert not [each for each in remarks if each.is_problem]
