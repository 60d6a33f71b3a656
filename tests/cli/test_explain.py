"""`canary explain`, and the metrics that it shares with `canary health`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.cli.conftest import Canary
from tests.client.fake_server import FakeServer

from serinus.core.policy import SequentialPolicy, ThresholdPolicy, policy_values


def metric(name: str, **facts: Any) -> dict[str, Any]:
    return {
        "name": name,
        "role": "guardrail",
        "finding": "inconclusive",
        "baseline": 0.002,
        "canary": 0.19,
        "difference": 0.188,
        "low": 0.081,
        "high": 0.312,
        "tolerance": 0.005,
        "margin": 0.05,
        "odds_against": 6.02,
        "odds_for": -3.9,
        "since": None,
        "alpha_spent": 0.002,
    } | facts


METRICS = [
    metric("errors", finding="fail", since=(datetime.now(UTC) - timedelta(hours=3, minutes=5)).isoformat()),
    metric("p95", role="signal", baseline=35.0, canary=31.5, difference=-3.5, low=None, high=None, odds_for=20.0),
]
DECISION = {
    "at": (datetime.now(UTC) - timedelta(hours=2, minutes=5)).isoformat(),
    "kind": "rolled_back",
    "actor": "health-checker",
    "reason": "canary errors 19.0 % against 0.2 %",
    "generation": 3,
    "policy": policy_values(SequentialPolicy()),
    "policy_digest": "sha256:0123456789abcdef",
    "baseline": {"requests": 1571, "errors": 3, "error_rate": 0.002, "p95_ms": 50.0},
    "canary": {"requests": 43, "errors": 8, "error_rate": 0.19, "p95_ms": 50.0},
    "metrics": METRICS,
    "for": ["latency within 100 ms at odds 12 to 1"],
    "against": ["errors at odds 412 to 1"],
}


@pytest.fixture
def rollout(server: FakeServer) -> FakeServer:
    server.start_canary("heart-prod", "heart@2", 20)
    server.explanations["heart-prod"] = {"decisions": [DECISION]}
    server.health["heart-prod"] = {
        "health": "critical",
        "recommendation": "rollback",
        "reason": DECISION["reason"],
        "checked_at": DECISION["at"],
        "baseline": DECISION["baseline"],
        "canary": DECISION["canary"],
        "metrics": METRICS,
        "alarms": ["the canary got 3 of 100 requests"],
        "waiting": "step 2 of 10: pauses: 50 s of 2 min to go",
    }
    return server


def test_a_decision_is_shown_with_what_it_rested_on(canary: Canary, rollout: FakeServer) -> None:
    ran = canary("explain", "heart-prod")

    assert (ran.code, ran.err) == (0, "")
    for fact in (
        *("heart-prod:1", "heart@2 against heart@1, running", "rolled back", "by health-checker", "2 h ago"),
        *("generation 3", "19.0 % against 0.2 %", "0123456789ab", "1 571 requests, 3 failed (0.2 %)", "412:1", "1:49"),
        *("latency within 100 ms at odds 12 to 1", "errors at odds 412 to 1", "✗ fail", "signal"),
    ):
        assert fact in ran.out


def test_a_policy_that_was_another_is_said_in_words(canary: Canary, rollout: FakeServer) -> None:
    other = DECISION | {"policy": policy_values(ThresholdPolicy()), "metrics": []}
    rollout.explanations["heart-prod"] = {"decisions": [other]}

    told = canary("explain", "heart-prod").out

    assert "threshold: at most 5 points" in told
    assert "p95 50.0 ms" in told


@pytest.mark.parametrize(
    ("arguments", "query"), [([], []), (["3"], [("rollout", "heart-prod:3")]), (["heart-prod:3"], None)]
)
def test_a_rollout_is_named_by_its_number_or_in_full(
    canary: Canary, rollout: FakeServer, arguments: list[str], query: list[tuple[str, str]] | None
) -> None:
    canary("explain", "heart-prod", *arguments)

    assert rollout.seen[-1].query == ([("rollout", "heart-prod:3")] if query is None else query)


@pytest.mark.parametrize("text", ["wine-prod:3", "x", "0", "-1"])
def test_what_is_no_rollout_of_the_deployment_exits_with_2(canary: Canary, rollout: FakeServer, text: str) -> None:
    assert canary("explain", "heart-prod", text).code == 2


def test_it_is_given_as_it_came(canary: Canary, rollout: FakeServer) -> None:
    assert canary("explain", "heart-prod", "-o", "json").document["decisions"] == [DECISION]


def test_without_a_decision_it_says_so(canary: Canary, server: FakeServer) -> None:
    ran = canary("explain", "heart-prod")

    assert ran.code == 0
    assert "No decision yet." in ran.out


@pytest.mark.parametrize("columns", ["80", "100", "120"])
@pytest.mark.parametrize("command", ["health", "status"])
def test_each_metric_is_shown_with_its_interval_and_its_odds(
    canary: Canary, rollout: FakeServer, monkeypatch: pytest.MonkeyPatch, columns: str, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    told = " ".join(canary(command, "heart-prod").out.split())

    for fact in ("fail", "19.0 %", "0.2 %", "+18.8 (+8.1 to +31.2) points", "412:1", "1:49", "-3.5 ms", "signal"):
        assert fact in told
    assert "errors: worse since" in told
    assert "3 h ago" in told


def test_alarms_and_what_the_plan_waits_for_are_shown(canary: Canary, rollout: FakeServer) -> None:
    told = canary("health", "heart-prod").out

    assert "▴ the canary got 3 of 100 requests" in told
    assert "the plan: step 2 of 10: pauses: 50 s of 2 min to go" in told


@pytest.mark.parametrize("columns", ["40", "60", "84", "100", "200"])
def test_no_line_is_wider_than_the_terminal(
    canary: Canary, rollout: FakeServer, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    for command in ("explain", "health", "status"):
        assert max(map(len, canary(command, "heart-prod").out.splitlines())) <= int(columns)
