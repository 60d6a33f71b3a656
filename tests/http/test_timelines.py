"""The timelines of all deployments as one, and what they tell of production."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from tests.http.problems import problem
from tests.models import KNOWN, STABLE
from tests.server import Server, eventually

from serinus.client import DocumentClient


@pytest.fixture
def names(client: DocumentClient, name: str) -> list[str]:
    """Two deployments: one that promoted a canary and one with a canary of 10 %."""
    both = [f"{name}.a", f"{name}.b"]
    for each in both:
        client.deploy(each, STABLE)
        client.start(each, 2, 10)
    client.promote(both[0])
    return both


def events(http: httpx2.Client, **asked: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get("/events", params=asked).json()["events"]
    return found


def test_the_timelines_of_several_deployments_are_read_as_one(http: httpx2.Client, names: list[str]) -> None:
    found = events(http, deployment=names)

    assert [(each["deployment"][-1], each["kind"]) for each in found] == [
        ("a", "deployment_created"),
        ("a", "canary_started"),
        ("b", "deployment_created"),
        ("b", "canary_started"),
        ("a", "promoted"),
    ]
    assert {each["id"] for each in found} <= {each["id"] for each in events(http, limit=1000)}


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_all_pages_together_are_the_whole(http: httpx2.Client, names: list[str], order: str) -> None:
    pages: list[list[int]] = []
    after: int | None = 0
    while after is not None:
        page = http.get("/events", params={"deployment": names, "limit": 2, "order": order, "after": after}).json()
        pages.append([each["id"] for each in page["events"]])
        after = page["next"]

    whole = [each["id"] for each in events(http, deployment=names)]
    assert [number for page in pages for number in page] == (whole if order == "asc" else whole[::-1])
    assert [len(page) for page in pages] == [2, 2, 1]


def test_the_timeline_can_be_read_between_two_times(http: httpx2.Client, names: list[str]) -> None:
    whole = events(http, deployment=names)
    first, last = whole[1]["at"], whole[3]["at"]

    assert events(http, deployment=names, since=first, until=last) == whole[1:4]
    one = http.get(f"/deployments/{names[1]}/events", params={"since": last.replace("+00:00", "Z")}).json()
    assert [each["id"] for each in one["events"]] == [whole[3]["id"]]


def test_a_time_without_a_zone_is_in_utc_and_any_other_zone_will_do(http: httpx2.Client, names: list[str]) -> None:
    whole = events(http, deployment=names)
    at = datetime.fromisoformat(whole[2]["at"])
    elsewhere = (at + timedelta(hours=2)).replace(tzinfo=None).isoformat() + "+02:00"

    assert events(http, deployment=names, since=at.replace(tzinfo=None).isoformat()) == whole[2:]
    assert events(http, deployment=names, since=elsewhere) == whole[2:]


@pytest.mark.parametrize("path", ["/events", "/events/stream"])
@pytest.mark.parametrize(
    ("asked", "field", "value"),
    [
        ({"kind": ["promoted", "demoted"]}, "kind", "demoted"),
        ({"after": "-1"}, "after", "-1"),
        ({"after": "soon"}, "after", "soon"),
    ],
)
def test_what_cannot_be_asked_of_a_timeline_is_refused(
    http: httpx2.Client, path: str, asked: dict[str, Any], field: str, value: str
) -> None:
    refusal = problem(http.get(path, params=asked), 422)

    assert refusal["field"] == field
    assert value in refusal["detail"]
    assert refusal["remedy"]


@pytest.mark.parametrize("path", ["/events", "/events/stream"])
def test_a_deployment_that_does_not_exist_has_no_timeline(http: httpx2.Client, path: str) -> None:
    refusal = problem(http.get(path, params={"deployment": "nowhere"}), 404)

    assert "nowhere" in refusal["detail"]


@pytest.mark.parametrize(
    ("path", "field"),
    [("/events", "since"), ("/events", "until"), ("/production", "at"), ("/deployments/{}/production", "at")],
)
@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "", "2026-03-01T12:00:00 02:00", "0001-01-01T00:00+23:00"])
def test_what_is_no_time_is_refused(http: httpx2.Client, names: list[str], path: str, field: str, text: str) -> None:
    refusal = problem(http.get(path.format(names[0]), params={field: text}), 422)

    assert refusal["field"] == field
    assert repr(text) in refusal["detail"]
    assert "ISO 8601" in refusal["remedy"]


def test_production_is_told_as_it_was_at_each_time(http: httpx2.Client, names: list[str]) -> None:
    created, started, promoted = events(http, deployment=names[0])

    def was(at: str) -> dict[str, Any]:
        told: dict[str, Any] = http.get(f"/deployments/{names[0]}/production", params={"at": at}).json()["production"]
        return told

    assert {"baseline": "risk@1", "canary": None, "weight": None, "generation": 1}.items() <= was(created["at"]).items()
    during = was(started["at"])
    assert (during["baseline"], during["canary"], during["weight"]) == ("risk@1", "risk@2", 10.0)
    assert (during["rollout"], during["status"]) == (f"{names[0]}:1", "canary")
    assert (during["since"], during["event"]) == (started["at"], started)
    now = http.get(f"/deployments/{names[0]}/production").json()
    assert (now["production"]["baseline"], now["production"]["event"]) == ("risk@2", promoted)
    assert abs(datetime.fromisoformat(now["at"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_production_everywhere_is_null_where_there_was_none_yet(http: httpx2.Client, names: list[str]) -> None:
    second = events(http, deployment=names[1])[0]
    before = datetime.fromisoformat(second["at"]) - timedelta(microseconds=1)

    told = http.get("/production", params={"at": before.isoformat()}).json()["deployments"]

    found = {each["deployment"]: each["production"] for each in told}
    assert found[names[0]]["canary"] == "risk@2"
    assert found[names[1]] is None
    assert list(found) == sorted(found)


def test_before_its_creation_a_deployment_is_not_found(http: httpx2.Client, names: list[str]) -> None:
    refusal = problem(http.get(f"/deployments/{names[0]}/production", params={"at": "2020-02-29"}), 404)

    assert refusal["field"] == "at"
    assert names[0] in refusal["detail"]
    assert refusal["remedy"]


def test_the_history_of_a_rollout_is_its_evidence_over_time(
    server: Server, http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE, {"policy": {"name": "sequential", "alpha": 0.02, "error_margin": 0.04}})
    client.start(name, 2, 10)

    def history(points: int = 200) -> dict[str, Any]:
        client.predict(name, KNOWN)  # where there is nothing new to judge, little is kept
        told: dict[str, Any] = http.get(f"/deployments/{name}/rollouts/1/history", params={"points": points}).json()
        return told

    assert eventually(lambda: len(history()["points"]) > 1)
    client.set_weight(name, 50)
    assert eventually(lambda: history()["points"][-1]["weight"] == 50.0)
    client.rollback(name)

    told = history()
    assert told["thresholds"] == {
        "rollback_odds": 50.0,
        "promotion_odds": 100.0,
        "metrics": [
            {"name": "errors", "role": "guardrail", "tolerance": 0.004, "margin": 0.04},
            {"name": "p95", "role": "guardrail", "tolerance": 10.0, "margin": 100.0},
        ],
    }
    first = told["points"][0]
    assert first["weight"] == 10.0
    assert first["baseline"].keys() == {"requests", "errors", "error_rate", "p95_ms"}
    assert [each["name"] for each in first["metrics"]] == ["errors", "p95"]
    assert first["metrics"][0].keys() == {"name", "finding", "odds_against", "odds_for", "difference", "low", "high"}
    assert [each["at"] for each in told["points"]] == sorted(each["at"] for each in told["points"])
    assert told["rollout"]["phase"] == "rolled_back"
    assert len(history(2)["points"]) == 2


def test_the_history_of_a_rollout_by_thresholds_has_their_deltas(
    http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE, {"policy": {"name": "threshold", "error_delta": 0.04, "p95_delta_ms": 80.0}})
    client.start(name, 2, 10)

    told = http.get(f"/deployments/{name}/rollouts/1/history").json()

    assert told["thresholds"]["metrics"] == [
        {"name": "errors", "role": "guardrail", "hold": 0.02, "rollback": 0.04},
        {"name": "p95", "role": "guardrail", "hold": 40.0, "rollback": 80.0},
    ]


def test_a_rollout_that_was_not_has_no_history(http: httpx2.Client, names: list[str]) -> None:
    refusal = problem(http.get(f"/deployments/{names[0]}/rollouts/2/history"), 404)

    assert (refusal["field"], "rollouts" in refusal["remedy"]) == ("number", True)
    assert problem(http.get(f"/deployments/{names[0]}/metrics", params={"rollout": f"{names[1]}:1"}), 404)
