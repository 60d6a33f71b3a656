import pytest
from tests.cli.conftest import Canary
from tests.cli.terminal import at_terminal
from tests.client.fake_server import FakeServer

from serinus.core import commands


@pytest.fixture
def rollout(server: FakeServer) -> FakeServer:
    """heart@2 is a canary at 20 %."""
    server.start_canary("heart-prod", "heart@2", 20)
    server.seen.clear()
    return server


def weight_of(server: FakeServer) -> float | None:
    active = server.states["heart-prod"].active
    return active.weight if active else None


@pytest.mark.parametrize("version", ["2", "v2", "@2", "heart@2"])
def test_start_takes_a_version_in_every_way_it_is_written(canary: Canary, server: FakeServer, version: str) -> None:
    ran = canary("start", "heart-prod", version, "--weight", "30%", "--reason", "weekly model")

    assert ran.code == 0
    assert weight_of(server) == 30.0
    assert server.events[-1]["reason"] == "weekly model"
    assert "heart@2" in ran.out
    assert "30 %" in ran.out


def test_start_gives_a_fifth_of_the_traffic_unless_told_otherwise(canary: Canary, server: FakeServer) -> None:
    canary("start", "heart-prod", "2")

    assert weight_of(server) == 20.0


def test_the_users_name_stands_in_the_history(
    canary: Canary, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "grace")

    canary("start", "heart-prod", "2")

    assert server.events[-1]["actor"] == "grace"


def test_a_second_canary_is_a_conflict(canary: Canary, rollout: FakeServer) -> None:
    assert canary("start", "heart-prod", "2").code == 4


@pytest.mark.parametrize(
    ("change", "weight"), [("30", 30.0), ("5%", 5.0), ("0", 0.0), ("+10", 30.0), ("-10", 10.0), ("-50", 0.0)]
)
def test_traffic_is_set_or_changed(canary: Canary, rollout: FakeServer, change: str, weight: float) -> None:
    assert canary("traffic", "heart-prod", change).code == 0
    assert weight_of(rollout) == weight


def test_a_change_of_traffic_holds_only_for_the_state_that_it_was_made_from(
    canary: Canary, rollout: FakeServer
) -> None:
    canary("traffic", "heart-prod", "+10")

    assert b'"expected_generation":2' in rollout.seen[-1].body


def test_traffic_without_a_canary_is_a_conflict(canary: Canary, server: FakeServer) -> None:
    assert canary("traffic", "heart-prod", "30").code == 4
    assert canary("traffic", "heart-prod", "+10").code == 4
    assert canary("traffic", "heart-prod", "-10").code == 4


def test_a_weight_that_is_none_exits_with_2(canary: Canary, rollout: FakeServer) -> None:
    assert canary("traffic", "heart-prod", "much").code == 2
    assert canary("traffic", "heart-prod", "120", "--yes").code == 2
    assert canary("start", "heart-prod", "2", "--weight", "101").code == 2


def test_a_weight_beyond_all_the_traffic_is_refused_before_anything_is_asked(
    canary: Canary, rollout: FakeServer
) -> None:
    ran = canary("traffic", "heart-prod", "101")

    assert ran.code == 2
    assert "from 0 to 100" in ran.err
    assert rollout.seen == []


def test_most_of_the_traffic_is_not_given_unasked(canary: Canary, rollout: FakeServer) -> None:
    ran = canary("traffic", "heart-prod", "80")

    assert ran.code == 2
    assert "heart@2 gets 80 % of the traffic of heart-prod, up from 20 %." in ran.err
    assert "--yes" in ran.err
    assert weight_of(rollout) == 20.0


def test_most_of_the_traffic_is_given_with_yes(canary: Canary, rollout: FakeServer) -> None:
    assert canary("traffic", "heart-prod", "80", "--yes").code == 0
    assert weight_of(rollout) == 80.0


def test_lowering_the_traffic_never_waits(canary: Canary, rollout: FakeServer) -> None:
    rollout.apply("heart-prod", commands.SetWeight(weight=90.0))

    assert canary("traffic", "heart-prod", "70").code == 0
    assert weight_of(rollout) == 70.0


@pytest.mark.parametrize(
    ("command", "consequence"),
    [
        ("promote", "heart@2 becomes the baseline of heart-prod and gets all the traffic; heart@1 is replaced."),
        ("undo", "heart@1 becomes the baseline of heart-prod again and gets all the traffic; heart@2 is replaced."),
    ],
)
def test_what_replaces_the_baseline_is_named_and_refused_where_nobody_can_be_asked(
    canary: Canary, rollout: FakeServer, command: str, consequence: str
) -> None:
    if command == "undo":
        rollout.apply("heart-prod", commands.Promote())

    ran = canary(command, "heart-prod")

    assert ran.code == 2
    assert consequence in ran.err
    assert "--yes" in ran.err
    assert {seen.method for seen in rollout.seen} == {"GET"}


def test_promote_makes_the_canary_the_baseline(canary: Canary, rollout: FakeServer) -> None:
    ran = canary("promote", "heart-prod", "-y", "--reason", "better")

    assert ran.code == 0
    assert str(rollout.states["heart-prod"].baseline) == "heart@2"
    assert rollout.events[-1]["reason"] == "better"


def test_undo_returns_to_the_version_before(canary: Canary, rollout: FakeServer) -> None:
    rollout.apply("heart-prod", commands.Promote())

    assert canary("undo", "heart-prod", "--yes").code == 0
    assert str(rollout.states["heart-prod"].baseline) == "heart@1"


def test_rollback_never_waits_and_asks_nothing_of_the_server_before(canary: Canary, rollout: FakeServer) -> None:
    ran = canary("rollback", "heart-prod", "--reason", "complaints")

    assert ran.code == 0
    assert weight_of(rollout) is None
    assert [seen.method for seen in rollout.seen] == ["POST"]
    assert "rolled back" in ran.out


def test_pause_and_resume(canary: Canary, rollout: FakeServer) -> None:
    assert "paused" in canary("pause", "heart-prod").out
    assert canary("traffic", "heart-prod", "30").code == 4
    assert canary("resume", "heart-prod", "-o", "json").document["status"] == "canary"


def test_a_gateway_that_has_not_confirmed_is_named(canary: Canary, rollout: FakeServer) -> None:
    rollout.unacknowledged = ["gateway-2"]

    ran = canary("rollback", "heart-prod")

    assert ran.code == 0
    assert "gateway-2" in ran.err


def test_at_a_terminal_promote_says_what_will_happen_and_asks(rollout: FakeServer) -> None:
    with at_terminal("promote", "heart-prod", SERINUS_URL=rollout.url) as terminal:
        asked = terminal.wait_for("[y/N]")
        terminal.type("y\n")
        code = terminal.end()

    assert "heart@2 becomes the baseline of heart-prod" in asked
    assert code == 0
    assert str(rollout.states["heart-prod"].baseline) == "heart@2"


@pytest.mark.parametrize("answer", ["n\n", "\n", "perhaps\n", "\x04"])
def test_at_a_terminal_anything_but_yes_changes_nothing(rollout: FakeServer, answer: str) -> None:
    with at_terminal("promote", "heart-prod", SERINUS_URL=rollout.url) as terminal:
        terminal.wait_for("[y/N]")
        terminal.type(answer)
        code = terminal.end()

    assert code == 1
    assert "Nothing was changed" in terminal.screen
    assert str(rollout.states["heart-prod"].baseline) == "heart@1"


def test_an_answer_holds_only_for_the_state_that_was_asked_about(rollout: FakeServer) -> None:
    with at_terminal("promote", "heart-prod", SERINUS_URL=rollout.url) as terminal:
        terminal.wait_for("[y/N]")
        rollout.apply("heart-prod", commands.SetWeight(weight=30.0))
        terminal.type("y\n")
        code = terminal.end()

    assert code == 4
    assert str(rollout.states["heart-prod"].baseline) == "heart@1"


def test_at_a_terminal_nothing_is_asked_where_nothing_is_possible(server: FakeServer) -> None:
    with at_terminal("promote", "heart-prod", SERINUS_URL=server.url) as terminal:
        code = terminal.end()

    assert code == 4
    assert "[y/N]" not in terminal.screen


def test_at_a_terminal_rollback_does_not_ask(rollout: FakeServer) -> None:
    with at_terminal("rollback", "heart-prod", SERINUS_URL=rollout.url) as terminal:
        code = terminal.end()

    assert code == 0
    assert weight_of(rollout) is None
