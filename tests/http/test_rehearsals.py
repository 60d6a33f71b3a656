"""A dry run of a start says what would come of it, is refused as the start would be, and changes nothing."""

from typing import Any

import httpx2
import pytest
from tests.http.problems import problem
from tests.models import STABLE

from serinus.client import DocumentClient


def rehearse(http: httpx2.Client, name: str, **asked: Any) -> httpx2.Response:
    return http.post(f"/deployments/{name}/canary", json={"dry_run": True, **asked})


def test_a_dry_run_says_what_the_split_would_be_and_changes_nothing(
    http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE)
    before = client.deployment(name), client.events(name)

    answer = rehearse(http, name, version=2, weight=12.5)

    told = answer.json()
    assert answer.status_code == 200
    assert (told["dry_run"], told["warnings"]) == (True, [])
    assert told["would"]["split"] == {"baseline": 87.5, "canary": 12.5}
    assert (told["would"]["generation"], told["would"]["status"], told["would"]["replaces"]) == (2, "canary", None)
    assert (client.deployment(name), client.events(name)) == before


def test_what_a_dry_run_says_is_what_a_start_comes_to(http: httpx2.Client, client: DocumentClient, name: str) -> None:
    client.deploy(name, STABLE)
    client.start(name, 2, 5)

    would = rehearse(http, name, version=3, plan="standard", replace=True).json()["would"]
    came = client.start(name, 3, plan="standard", replace=True)

    assert would["replaces"] == f"{name}:1"
    assert (would["generation"], would["status"]) == (came["generation"], came["status"])
    timed = {"started_at", "plan"}
    assert {key: value for key, value in would["rollout"].items() if key not in timed} == {
        key: value for key, value in came["rollout"].items() if key not in timed
    }
    assert would["rollout"]["plan"]["steps"] == came["rollout"]["plan"]["steps"]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"version": 1, "weight": 5}, 422),
        ({"version": 9, "weight": 5}, 404),
        ({"version": 2, "weight": 0.001}, 422),
        ({"version": 2, "plan": "none"}, 422),
        ({"version": 1, "model": "class", "weight": 5}, 422),
        ({"version": 2, "weight": 5, "expected_generation": 7}, 409),
    ],
)
def test_a_dry_run_is_refused_as_the_start_would_be(
    http: httpx2.Client, client: DocumentClient, name: str, asked: dict[str, Any], status: int
) -> None:
    client.deploy(name, STABLE)
    before = client.events(name)

    refusal = problem(rehearse(http, name, **asked), status)

    assert client.events(name) == before
    assert problem(http.post(f"/deployments/{name}/canary", json=asked), status) == refusal


def test_a_dry_run_beside_a_canary_is_refused_as_the_start_would_be(
    http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE)
    client.start(name, 2, 5)

    refusal = problem(rehearse(http, name, version=3, weight=5), 409)

    assert refusal == problem(http.post(f"/deployments/{name}/canary", json={"version": 3, "weight": 5}), 409)
    assert refusal["state"] == "canary"


def test_a_dry_run_does_not_use_up_the_key_of_the_start(http: httpx2.Client, client: DocumentClient, name: str) -> None:
    client.deploy(name, STABLE)
    key = {"Idempotency-Key": f"{name}-once"}
    asked = {"version": 2, "weight": 5}

    http.post(f"/deployments/{name}/canary", json={**asked, "dry_run": True}, headers=key)
    started = http.post(f"/deployments/{name}/canary", json=asked, headers=key)

    assert started.status_code == 201
    assert client.deployment(name)["rollout"]["canary"] == "risk@2"
