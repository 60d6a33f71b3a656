"""Whatever a canary does, callers are answered in time and the baseline is neither slowed nor blamed."""

from collections.abc import Iterator
from statistics import median
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests import models
from tests.e2e.load import Reply, ask_at_once, ask_steadily
from tests.e2e.reporting import milliseconds, say
from tests.models import KNOWN, STABLE
from tests.server import Server, eventually

from serinus.client import DocumentClient
from serinus.core.names import VersionRef

TIMEOUT_S = 1.0
"""SERINUS_PREDICT_TIMEOUT, as it is by default."""
SLACK_S = 1.0
"""What a busy machine may add to an answer: it was seen to stand still for half a second."""
REQUEST = {"features": KNOWN}

FAILING: dict[str, tuple[Any, str]] = {
    "raises": (models.Raises(), "SERINUS-MODEL-ERROR"),
    "leaves": (models.Leaves(), "SERINUS-MODEL-ERROR"),
    **{kind: (models.Answers(answer), "SERINUS-MODEL-OUTPUT") for kind, answer in models.BAD_ANSWERS.items()},
}
"""Models that fail at once, and the code that a caller sees without fail-over."""


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx2.Client]:
    with server.http() as http:
        yield http


@pytest.fixture(scope="module")
def version_of(client: DocumentClient) -> dict[str, int]:
    """Which version of risk misbehaves how."""
    kinds = {kind: model for kind, (model, _) in FAILING.items()}
    kinds |= {"hangs": models.HANGS}
    return {kind: VersionRef.parse(models.register(client, "risk", model)).version for kind, model in kinds.items()}


def prometheus(http: httpx2.Client, deployment: str, role: str) -> dict[str, float]:
    """Read how the requests of a role ended."""
    return {
        sample.labels["status"]: sample.value
        for family in text_string_to_metric_families(http.get("/metrics").text)
        for sample in family.samples
        if sample.name == "prediction_requests_total"
        and (sample.labels["deployment"], sample.labels["model_role"]) == (deployment, role)
    }


def waited(replies: list[Reply], *, failover: bool) -> list[float]:
    return [reply.seconds for reply in replies if reply.document["failover"] is failover]


async def test_a_canary_that_hangs_costs_its_callers_a_second_and_the_baseline_nothing(
    server: Server, client: DocumentClient, http: httpx2.Client, name: str, version_of: dict[str, int]
) -> None:
    client.deploy(name, STABLE, {"auto_rollback": False, "auto_promote": False})
    alone = await ask_steadily(server.port, name, 400, REQUEST, each_s=0.01)
    client.start(name, version_of["hangs"], 50)

    beside = await ask_steadily(server.port, name, 400, REQUEST, each_s=0.01)

    saved, untouched = waited(beside, failover=True), waited(beside, failover=False)
    say(f"baseline without a canary: {milliseconds(waited(alone, failover=False))}")
    say(f"baseline beside it:        {milliseconds(untouched)}")
    say(f"failed over:               {milliseconds(saved)}")
    assert {reply.status for reply in alone + beside} == {200}
    assert {reply.document["model_role"] for reply in beside} == {"baseline"}
    assert {reply.document["model_version"] for reply in beside} == {"risk@1"}
    assert 150 < len(saved) < 250
    assert median(saved) < TIMEOUT_S
    assert max(saved) < TIMEOUT_S + SLACK_S
    # Of those that drew the baseline none waited as long as a canary is waited for, and few waited at all.
    assert max(untouched) < min(waited for waited in saved if waited > TIMEOUT_S / 2)
    assert median(untouched) < TIMEOUT_S / 10
    assert eventually(lambda: client.metrics(name)["canary"]["requests"] == len(saved))
    assert eventually(lambda: client.metrics(name)["baseline"]["requests"] == 400 - len(saved))
    metrics = client.metrics(name)
    assert metrics["canary"]["timeouts"] + metrics["canary"]["model_errors"] == len(saved)
    assert metrics["canary"]["timeouts"] > len(saved) / 4
    assert metrics["canary"]["p95_ms"] > 900
    assert metrics["canary"]["platform_errors"] == 0
    assert metrics["baseline"]["requests"] == 400 - len(saved)
    assert metrics["baseline"]["model_errors"] == metrics["baseline"]["timeouts"] == 0
    shown = prometheus(http, name, "canary")
    assert shown["timeout"] + shown["error"] == len(saved)
    assert prometheus(http, name, "baseline")["success"] == 800 - len(saved)


async def test_a_canary_that_hangs_is_rolled_back_by_itself(
    server: Server, client: DocumentClient, name: str, version_of: dict[str, int]
) -> None:
    client.deploy(name, STABLE, {"policy": {"interval_s": 0.1}})
    client.start(name, version_of["hangs"], 50)

    replies = await ask_at_once(server.port, name, 80, REQUEST, connections=40)

    assert {reply.status for reply in replies} == {200}
    assert eventually(lambda: client.deployment(name)["status"] == "stable")
    # In force at once, on record a moment later.
    assert eventually(lambda: client.events(name)["events"][-1]["kind"] == "auto_rollback_triggered")
    assert client.deployment(name)["rollout"]["phase"] == "rolled_back"
    events = client.events(name)["events"]
    assert [event["kind"] for event in events][-3:] == ["health_check_failed", "rolled_back", "auto_rollback_triggered"]
    assert len({event["generation"] for event in events[-2:]}) == 1
    assert events[-2]["actor"] == "health-checker"
    assert events[-1]["data"]["canary"]["error_rate"] == 1.0
    assert client.health(name)["action"] == "rolled_back"


@pytest.mark.parametrize("kind", FAILING)
async def test_a_canary_that_fails_is_failed_over_charged_and_rolled_back(
    server: Server, client: DocumentClient, http: httpx2.Client, name: str, kind: str, version_of: dict[str, int]
) -> None:
    client.deploy(name, STABLE, {"policy": {"interval_s": 0.1}, "auto_rollback": False})
    client.start(name, version_of[kind], 50)

    replies = await ask_at_once(server.port, name, 100, REQUEST, connections=4)

    saved = sum(reply.document["failover"] for reply in replies)
    assert {reply.status for reply in replies} == {200}
    assert {reply.document["prediction"] for reply in replies} == {0.63}
    assert {reply.document["model_role"] for reply in replies} == {"baseline"}
    assert 0 < saved < 100
    assert eventually(lambda: client.metrics(name)["canary"]["model_errors"] == saved)
    assert eventually(lambda: client.metrics(name)["baseline"]["requests"] == 100 - saved)
    metrics = client.metrics(name)
    assert metrics["canary"]["requests"] == saved
    assert metrics["canary"]["timeouts"] == 0
    assert metrics["baseline"]["model_errors"] == 0
    assert prometheus(http, name, "canary")["error"] == saved
    assert prometheus(http, name, "baseline")["error"] == 0
    client.configure(name, {"auto_rollback": True})
    assert eventually(lambda: client.deployment(name)["status"] == "stable")
    # In force at once, on record a moment later.
    assert eventually(lambda: "auto_rollback_triggered" in {event["kind"] for event in client.events(name)["events"]})


@pytest.mark.parametrize("kind", FAILING)
async def test_without_fail_over_the_caller_is_told_what_the_canary_did(
    client: DocumentClient, http: httpx2.Client, name: str, kind: str, version_of: dict[str, int]
) -> None:
    client.deploy(name, STABLE, {"failover": False, "auto_rollback": False})
    client.start(name, version_of[kind], 100)

    answer = http.post(f"/predict/{name}", json=REQUEST)

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == FAILING[kind][1]
    assert answer.json()["status"] == 500


async def test_without_fail_over_a_canary_that_hangs_is_a_gateway_timeout(
    client: DocumentClient, http: httpx2.Client, name: str, version_of: dict[str, int]
) -> None:
    client.deploy(name, STABLE, {"failover": False, "auto_rollback": False})
    client.start(name, version_of["hangs"], 100)

    answer = http.post(f"/predict/{name}", json=REQUEST)

    assert answer.status_code == 504
    assert answer.json()["code"] == "SERINUS-MODEL-TIMEOUT"
    assert answer.elapsed.total_seconds() < TIMEOUT_S + SLACK_S


async def test_a_baseline_that_fails_is_told_to_the_caller_and_never_tried_on_the_canary(
    client: DocumentClient, http: httpx2.Client, name: str, version_of: dict[str, int]
) -> None:
    client.deploy(name, VersionRef("risk", version_of["raises"]))
    client.start(name, 1, 0)

    answer = http.post(f"/predict/{name}", json=REQUEST)

    assert answer.status_code == 500
    assert answer.json()["code"] == "SERINUS-MODEL-ERROR"
    assert "the weights are gone" in answer.json()["detail"]
