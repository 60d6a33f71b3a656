"""A canary that follows a plan, from the command line."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.cli.conftest import Canary
from tests.client.fake_server import FakeServer

from serinus.core import commands
from serinus.core.deployment import Phase
from serinus.core.presets import PRESETS
from serinus.plans import to_document

MINE = """\
apiVersion: serinus/v1
kind: RolloutPlan
metadata: {name: mine}
spec:
  steps:
    - setWeight: 5
    - approval: {}
    - setWeight: 100
    - promote: {}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    return str(path)


@pytest.fixture
def waiting(server: FakeServer, canary: Canary, file: str) -> FakeServer:
    """heart@2 is a canary that waits for a person at the second step of four."""
    canary("start", "heart-prod", "2", "--plan", file)
    server.apply("heart-prod", commands.Advance(step=1))
    return server


@pytest.fixture
def baking(server: FakeServer) -> FakeServer:
    """heart@2 has been promoted by a plan, and heart@1 keeps 5 %."""
    plan = PRESETS["standard"]
    server.start_canary("heart-prod", "heart@2", 50)
    state = server.states["heart-prod"]
    assert state.rollout is not None
    server.states["heart-prod"] = replace(state, rollout=replace(state.rollout, plan=plan))
    server.apply("heart-prod", commands.Promote())
    return server


def test_the_name_of_a_plan_is_sent_as_it_is(canary: Canary, server: FakeServer) -> None:
    ran = canary("start", "heart-prod", "2", "--plan", "standard")

    assert ran.code == 0
    assert json.loads(server.seen[-1].body) == {"version": 2, "plan": "standard"}
    assert "standard: step 1 of 10, 1 % of the traffic" in ran.out


def test_a_file_is_read_and_sent_as_a_document(canary: Canary, server: FakeServer, file: str) -> None:
    ran = canary("start", "heart-prod", "2", "--plan", file, "--reason", "weekly model", "-o", "json")

    sent = json.loads(server.seen[-1].body)
    assert sent["plan"]["metadata"] == {"name": "mine"}
    assert ran.document["rollout"]["plan"]["document"] == sent["plan"]
    assert ran.document["rollout"]["weight"] == 5.0


def test_what_is_wrong_with_a_plan_is_shown_with_its_line_and_nothing_is_sent(
    canary: Canary, server: FakeServer, tmp_path: Path
) -> None:
    (tmp_path / "wrong.yaml").write_text(MINE.replace("setWeight: 5\n", "setWeight: 500\n"))

    ran = canary("start", "heart-prod", "2", "--plan", str(tmp_path / "wrong.yaml"))

    assert ran.code == 2
    assert "Line 6: spec.steps[0].setWeight is 500." in ran.err
    assert server.seen == []


def test_a_plan_that_is_nowhere_exits_with_3_and_names_those_that_there_are(canary: Canary, server: FakeServer) -> None:
    ran = canary("start", "heart-prod", "2", "--plan", "standart")

    assert ran.code == 3
    assert "standard" in ran.err
    assert server.seen == []


def test_a_plan_and_a_weight_are_not_given_together(canary: Canary, server: FakeServer) -> None:
    ran = canary("start", "heart-prod", "2", "--plan", "standard", "--weight", "20")

    assert ran.code == 2
    assert "--weight" in ran.err
    assert server.seen == []


def test_replace_takes_the_place_of_a_canary_under_way(canary: Canary, server: FakeServer) -> None:
    server.add_version("heart@3")
    server.start_canary("heart-prod", "heart@2", 20)

    refused = canary("start", "heart-prod", "3", "--plan", "fast")
    taken = canary("start", "heart-prod", "3", "--plan", "fast", "--replace")

    assert (refused.code, taken.code) == (4, 0)
    active = server.states["heart-prod"].active
    assert active is not None
    assert str(active.canary) == "heart@3"
    assert "rolled_back" in [event["kind"] for event in server.events]


def test_status_says_that_a_person_is_waited_for(canary: Canary, waiting: FakeServer) -> None:
    one, all_ = canary("status", "heart-prod").out, canary("status").out

    assert "mine: step 2 of 4, wait for a person's approval: canary approve heart-prod" in one
    assert "canary 2/4" in all_
    assert "configure, traffic, pause, approve, promote, rollback" in one


def test_approve_gives_the_word_and_shows_what_comes_of_it(canary: Canary, waiting: FakeServer) -> None:
    ran = canary("approve", "heart-prod", "--reason", "looks right")

    assert ran.code == 0
    assert waiting.events[-1]["reason"] == "looks right"
    assert "canary approve" not in ran.out


def test_approve_where_nothing_waits_is_a_conflict(canary: Canary, server: FakeServer) -> None:
    server.start_canary("heart-prod", "heart@2", 20)

    assert canary("approve", "heart-prod").code == 4


def test_a_step_that_is_being_done_is_shown_with_when_it_was_come_to(canary: Canary, server: FakeServer) -> None:
    canary("start", "heart-prod", "2", "--plan", "standard")
    server.apply("heart-prod", commands.Advance(step=3, weight=5.0))
    state = server.states["heart-prod"]
    assert state.rollout is not None
    assert state.rollout.progress is not None
    then = state.rollout.progress.entered_at - timedelta(minutes=2)
    progress = replace(state.rollout.progress, entered_at=then)
    server.states["heart-prod"] = replace(state, rollout=replace(state.rollout, progress=progress))

    ran = canary("status", "heart-prod")

    assert "step 4 of 10, pause for 5 min and 200 canary requests (came to it 2 min ago)" in " ".join(ran.out.split())


def test_the_history_tells_of_the_steps(canary: Canary, waiting: FakeServer) -> None:
    canary("approve", "heart-prod")
    waiting.apply("heart-prod", commands.Advance(step=3, weight=100.0))

    told = " ".join(canary("history", "heart-prod").out.split())

    for fact in ("by the plan mine", "approved", "step 2", "5 % to 100 %"):
        assert fact in told


def test_a_promotion_that_bakes_is_shown_as_one_that_can_be_undone(canary: Canary, baking: FakeServer) -> None:
    ran = canary("status", "heart-prod")
    told = " ".join(ran.out.split())

    assert "baking" in told
    assert "95 % promoted heart@2" in told
    assert "5 % before heart@1" in told
    assert "heart@1 keeps 5 % until" in told
    assert "in 9 min" in told or "in 10 min" in told
    assert "5 % / 95 %" in canary("status").out


def test_the_bar_of_a_promotion_that_bakes_is_nearly_all_of_the_new_version(canary: Canary, baking: FakeServer) -> None:
    bar = next(line for line in canary("status", "heart-prod").out.splitlines() if "━" in line)

    assert (bar.count("━"), bar.count("─")) == (2, 38)


def test_promote_says_what_ending_the_bake_means(canary: Canary, baking: FakeServer) -> None:
    asked = canary("promote", "heart-prod")
    done = canary("promote", "heart-prod", "--yes")

    assert asked.code == 2
    assert "heart@2 gets all the traffic of heart-prod; heart@1 keeps no share of it." in asked.err
    assert done.code == 0
    rollout = baking.states["heart-prod"].rollout
    assert rollout is not None
    assert rollout.phase is Phase.PROMOTED


def test_rollback_while_it_bakes_returns_to_the_version_before(canary: Canary, baking: FakeServer) -> None:
    ran = canary("rollback", "heart-prod")

    assert ran.code == 0
    assert str(baking.states["heart-prod"].baseline) == "heart@1"
    assert "serves again" in " ".join(canary("history", "heart-prod").out.split())


def test_a_forecast_of_a_named_plan_asks_for_its_shares(canary: Canary, server: FakeServer) -> None:
    canary("forecast", "heart-prod", "--plan", "standard", "--rate", "50")

    assert server.seen[-1].query == [
        *(("weights", weight) for weight in ("1", "5", "20", "50")),
        ("rate", "50"),
        ("plan", "standard"),
    ]


def test_a_forecast_of_a_file_sends_its_shares_and_its_pauses(
    canary: Canary, server: FakeServer, tmp_path: Path
) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(to_document(PRESETS["standard"])))

    canary("forecast", "heart-prod", "--plan", str(file), "--weights", "2")

    assert server.seen[-1].query == [
        ("weights", "2"),
        *(("step", step) for step in ("1:120", "5:300", "20:300", "50:300", "100:0")),
    ]
