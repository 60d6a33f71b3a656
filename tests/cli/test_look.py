import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from tests.cli.conftest import Canary
from tests.cli.terminal import at_terminal
from tests.client.fake_server import FakeServer

from serinus.core.policy import ThresholdPolicy, policy_values


def verdict(health: str, **facts: Any) -> dict[str, Any]:
    return {
        "health": health,
        "recommendation": "rollback",
        "reason": "canary errors 18.9 % against 0.0 %",
        "action": "rolled_back",
        "checked_at": (datetime.now(UTC) - timedelta(seconds=12)).isoformat(),
        "baseline": {"requests": 157, "errors": 0, "error_rate": 0.0, "p95_ms": 8.8},
        "canary": {"requests": 43, "errors": 8, "error_rate": 0.189, "p95_ms": 8.3},
        "policy": policy_values(ThresholdPolicy()),
    } | facts


def arm(version: str, requests: int, errors: int) -> dict[str, Any]:
    return {
        "version": version,
        "requests": requests,
        "model_errors": errors,
        "timeouts": 0,
        "client_errors": 2,
        "platform_errors": 0,
        "error_rate": errors / requests,
        "p50_ms": 2.5,
        "p95_ms": 8.75,
        "p99_ms": 12.0,
        "mean_ms": 3.0,
    }


@pytest.fixture
def rollout(server: FakeServer) -> FakeServer:
    server.start_canary("heart-prod", "heart@2", 20)
    server.health["heart-prod"] = verdict("critical")
    return server


# -- models


def test_models_lists_them_with_their_latest_version(canary: Canary, server: FakeServer) -> None:
    ran = canary("models")

    assert ran.code == 0
    assert "heart@2" in ran.out


def test_a_model_is_shown_with_its_versions(canary: Canary, server: FakeServer) -> None:
    ran = canary("models", "heart")

    for fact in ("heart@1", "heart@2", "accuracy 0.541", "underfit", "ann"):
        assert fact in ran.out


def test_a_version_is_shown_with_all_that_is_known(canary: Canary, server: FakeServer) -> None:
    ran = canary("models", "heart@2")

    for fact in ("heart@2", "skops", "12.3 kB", "sha256:", "age int", "healthy, ill"):
        assert fact in ran.out


def test_a_model_that_is_not_there_exits_with_3(canary: Canary, server: FakeServer) -> None:
    assert canary("models", "wine").code == 3
    assert canary("models", "heart@9").code == 3


def test_where_there_is_nothing_the_way_on_is_told(canary: Canary, server: FakeServer) -> None:
    server.versions.clear()
    server.states.clear()

    assert "canary register" in canary("models").out
    assert "canary deploy" in canary("status").out


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (["models"], "/models"),
        (["models", "heart"], "/models/heart/versions"),
        (["status"], "/deployments"),
        (["status", "heart-prod"], "/deployments/heart-prod"),
        (["health", "heart-prod"], "/deployments/heart-prod/health"),
        (["metrics", "heart-prod"], "/deployments/heart-prod/metrics"),
        (["history", "heart-prod"], "/deployments/heart-prod/events"),
    ],
    ids=" ".join,
)
def test_json_and_yaml_are_the_document_of_the_api_and_nothing_else(
    canary: Canary, server: FakeServer, command: list[str], path: str
) -> None:
    as_json, as_yaml = canary(*command, "-o", "json"), canary(*command, "-o", "yaml")

    assert as_json.document == yaml.safe_load(as_yaml.out)
    assert {seen.path for seen in server.seen} == {path}


# -- status


def test_status_shows_every_deployment_with_split_and_health(canary: Canary, rollout: FakeServer) -> None:
    rollout.add_deployment("calm-prod", "heart@1")

    ran = canary("status")

    assert ran.code == 0
    for fact in ("heart-prod", "canary", "80 % / 20 %", "critical", "calm-prod", "stable", "100 %"):
        assert fact in ran.out


def test_status_of_one_shows_the_split_the_health_and_what_is_possible(canary: Canary, rollout: FakeServer) -> None:
    ran = canary("status", "heart-prod")

    for fact in ("heart@1", "80 %", "heart@2", "20 %", "critical", "rollback", "12 s ago", "+18.9 points"):
        assert fact in ran.out
    assert "configure, traffic, pause, promote, rollback" in ran.out


def test_the_bar_is_divided_as_the_traffic_is(canary: Canary, rollout: FakeServer) -> None:
    bar = next(line for line in canary("status", "heart-prod").out.splitlines() if "━" in line)

    assert (bar.count("━"), bar.count("─")) == (32, 8)


def test_status_is_shown_although_health_is_not_known(canary: Canary, rollout: FakeServer) -> None:
    rollout.health["heart-prod"] = {"health": None, "reason": "no check yet"}

    ran = canary("status", "heart-prod")

    assert ran.code == 0
    assert "not judged" in ran.out


@pytest.mark.parametrize("width", [40, 60, 79, 100, 200])
def test_no_line_is_longer_than_the_terminal_is_wide(
    canary: Canary, rollout: FakeServer, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    rollout.metrics["heart-prod"] = {"baseline": arm("heart@1", 157, 0), "canary": arm("heart@2", 43, 8)}

    shown = [canary("status"), canary("models"), canary("models", "heart"), canary("models", "heart@1")]
    shown += [canary(command, "heart-prod") for command in ("status", "health", "metrics", "history")]

    assert max(len(line) for ran in shown for line in ran.out.splitlines()) <= width


# -- health


@pytest.mark.parametrize(
    ("health", "code"), [("healthy", 0), ("inconclusive", 0), ("degraded", 6), ("critical", 6), ("splendid", 0)]
)
def test_health_exits_with_6_if_the_canary_is_degraded_or_critical(
    canary: Canary, rollout: FakeServer, health: str, code: int
) -> None:
    rollout.health["heart-prod"] = verdict(health)

    table, document = canary("health", "heart-prod"), canary("health", "heart-prod", "-o", "json")

    assert (table.code, document.code) == (code, code)
    assert health in table.out
    assert document.document["health"] == health


def test_health_without_a_canary_is_not_judged_and_no_failure(canary: Canary, server: FakeServer) -> None:
    ran = canary("health", "heart-prod")

    assert ran.code == 0
    assert "no canary is running" in ran.out


def test_health_shows_both_arms_the_difference_and_what_is_allowed(canary: Canary, rollout: FakeServer) -> None:
    ran = canary("health", "heart-prod")

    for fact in ("18.9 %", "0.0 %", "+18.9 points ✗", "+5.0 points", "-0.5 ms ✓", "+100.0 ms", "157", "43"):
        assert fact in ran.out
    assert "canary errors 18.9 % against 0.0 %" in ran.out


def test_half_of_what_is_allowed_is_marked(canary: Canary, rollout: FakeServer) -> None:
    rollout.health["heart-prod"] = verdict("degraded", canary={"requests": 43, "error_rate": 0.03, "p95_ms": 8.8})

    assert "+3.0 points ▴" in canary("health", "heart-prod").out


# -- metrics


def test_metrics_shows_both_arms_side_by_side(canary: Canary, server: FakeServer) -> None:
    server.metrics["heart-prod"] = {
        "rollout": "heart-prod:1",
        "since": (datetime.now(UTC) - timedelta(minutes=3)).isoformat(),
        "baseline": arm("heart@1", 12157, 0),
        "canary": arm("heart@2", 43, 8),
    }

    ran = canary("metrics", "heart-prod")

    assert ran.code == 0
    for fact in ("heart@1", "heart@2", "12 157", "43", "18.6 %", "8.8 ms", "3 min ago", "heart-prod:1"):
        assert fact in ran.out


def test_metrics_without_traffic_claim_nothing(canary: Canary, server: FakeServer) -> None:
    nothing = dict.fromkeys(arm("heart@1", 1, 0))
    server.metrics["heart-prod"] = {"baseline": nothing | {"version": "heart@1", "requests": 0}, "canary": None}

    ran = canary("metrics", "heart-prod")

    assert ran.code == 0
    assert "0.0 %" not in ran.out


# -- history


def kinds(document: Any) -> list[str]:
    return [event["kind"] for event in document["events"]]


def test_history_shows_the_newest_first_and_the_oldest_on_demand(canary: Canary, rollout: FakeServer) -> None:
    newest = canary("history", "heart-prod", "-o", "json").document
    oldest = canary("history", "heart-prod", "--reverse", "-o", "json").document

    assert kinds(newest) == ["canary_started", "deployment_created"]
    assert kinds(oldest) == ["deployment_created", "canary_started"]


def test_history_can_be_narrowed_to_kinds_and_a_number(canary: Canary, rollout: FakeServer) -> None:
    created = canary("history", "heart-prod", "--kind", "deployment_created", "-o", "json")
    one = canary("history", "heart-prod", "--limit", "1")

    assert kinds(created.document) == ["deployment_created"]
    assert "canary started" in one.out
    assert "created" not in one.out
    assert "--limit" in one.err


def test_history_tells_who_what_when_and_why(canary: Canary, rollout: FakeServer) -> None:
    canary("rollback", "heart-prod", "--reason", "complaints from support")
    rollout.events[-1]["at"] = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()

    ran = canary("history", "heart-prod")

    for fact in ("rolled back", "ann", "5 min ago", "complaints", "heart@2 at 20 %, against heart@1"):
        assert fact in ran.out


def test_a_newer_servers_events_and_fields_are_shown_as_they_are(canary: Canary, rollout: FakeServer) -> None:
    rollout.events[-1] |= {"kind": "mirror_started", "data": {"mirror": "heart@3"}, "colour": "blue"}
    rollout.events[0] |= {"data": {"base": "other words"}}

    ran = canary("history", "heart-prod")

    assert ran.code == 0
    for fact in ("mirror started", "mirror heart@3", "base other words"):
        assert fact in ran.out


def test_what_others_write_cannot_steer_the_terminal(canary: Canary, rollout: FakeServer) -> None:
    rollout.events[-1] |= {"reason": "fine\x1b[2J\x07 [bold]really[/bold]", "actor": "\x1b]0;owned\x07"}

    ran = canary("history", "heart-prod")

    assert "\x1b" not in ran.out
    assert "\x07" not in ran.out
    assert "[bold]really[/bold]" in ran.out.replace("\n", " ")


# -- watch


def test_watch_shows_changes_goes_through_a_restart_and_ends_with_ctrl_c(rollout: FakeServer) -> None:
    with at_terminal("status", "heart-prod", "--watch", SERINUS_URL=rollout.url) as terminal:
        terminal.wait_for("20 %")
        rollout.start_answering_nonsense()
        terminal.wait_for("unreachable, retrying")
        rollout.answer_instead = None
        terminal.screen = ""
        terminal.wait_for("every second")
        terminal.interrupt()
        code = terminal.end()

    assert code == 0


def test_watch_as_json_gives_one_document_a_line(rollout: FakeServer) -> None:
    with at_terminal("status", "heart-prod", "--watch", "-o", "json", SERINUS_URL=rollout.url) as terminal:
        terminal.wait_for("\n")
        terminal.screen = ""
        terminal.wait_for("\n")
        line = terminal.screen.splitlines()[0]

    assert json.loads(line)["name"] == "heart-prod"


def test_watch_of_what_is_not_there_exits_with_3(canary: Canary, server: FakeServer) -> None:
    assert canary("status", "nowhere", "--watch").code == 3


def test_at_a_terminal_there_is_colour_unless_it_is_not_wanted(rollout: FakeServer) -> None:
    with at_terminal("status", SERINUS_URL=rollout.url) as coloured:
        coloured.end()
    with at_terminal("status", SERINUS_URL=rollout.url, NO_COLOR="1") as plain:
        plain.end()

    assert "\x1b[33m" in coloured.screen
    assert "\x1b[33m" not in plain.screen
