"""Every refusal is a problem document that says what was wrong, where, and what to do."""

import json
from typing import Any

import httpx2
import pytest
from tests.http.conftest import ARTIFACT_LIMIT
from tests.http.problems import problem
from tests.models import KNOWN, STABLE

from serinus.client import DocumentClient

ROUTES_OF_A_DEPLOYMENT = [
    ("GET", "", None),
    ("PATCH", "", {"settings": {"dry_run": True}}),
    ("POST", "/canary", {"version": 2, "weight": 5}),
    ("PATCH", "/traffic", {"weight": 5}),
    ("POST", "/pause", None),
    ("POST", "/resume", None),
    ("POST", "/promote", None),
    ("POST", "/rollback", None),
    ("POST", "/undo", None),
    ("GET", "/rollouts", None),
    ("GET", "/events", None),
    ("GET", "/health", None),
    ("GET", "/metrics", None),
]
COMMANDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "configure": ("PATCH", "", {"settings": {"dry_run": True}}),
    "start": ("POST", "/canary", {"version": 2, "weight": 5}),
    "set weight": ("PATCH", "/traffic", {"weight": 5}),
    "pause": ("POST", "/pause", {}),
    "resume": ("POST", "/resume", {}),
    "promote": ("POST", "/promote", {}),
    "rollback": ("POST", "/rollback", {}),
    "undo": ("POST", "/undo", {}),
}
"""Each command by the name under which ``possible`` lists it."""


def reach(client: DocumentClient, name: str, state: str) -> None:
    """Make a deployment that is stable, in canary or paused."""
    client.deploy(name, STABLE)
    if state != "stable":
        client.start(name, 2, 20)
    if state == "paused":
        client.pause(name)


@pytest.mark.parametrize(("method", "path", "body"), ROUTES_OF_A_DEPLOYMENT)
def test_a_deployment_that_does_not_exist_is_not_found(
    http: httpx2.Client, method: str, path: str, body: dict[str, Any] | None
) -> None:
    refusal = problem(http.request(method, f"/deployments/nowhere{path}", json=body), 404)

    assert refusal["code"] == "SERINUS-NOT-FOUND"
    assert refusal["field"] == "deployment"
    assert "nowhere" in refusal["detail"]
    assert "canary status" in refusal["remedy"]


def test_a_prediction_of_a_deployment_that_does_not_exist_is_not_found(http: httpx2.Client) -> None:
    refusal = problem(http.post("/predict/nowhere", json={"features": KNOWN}), 404)

    assert (refusal["code"], refusal["field"]) == ("SERINUS-NOT-FOUND", "deployment")


@pytest.mark.parametrize("state", ["stable", "canary", "paused"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_done_where_it_is_possible_and_refused_where_it_is_not(
    http: httpx2.Client, client: DocumentClient, name: str, state: str, command: str
) -> None:
    reach(client, name, state)
    before = client.deployment(name)
    method, path, body = COMMANDS[command]

    answer = http.request(method, f"/deployments/{name}{path}", json=body)

    after = client.deployment(name)
    assert before["status"] == state
    if command in before["possible"]:
        assert answer.is_success, answer.text
        assert after["generation"] == before["generation"] + 1
    else:
        refusal = problem(answer, 409)
        assert refusal["code"] == "SERINUS-NOT-ALLOWED"
        assert refusal["state"] == state
        assert refusal["possible"] == before["possible"]
        assert after == before


@pytest.mark.parametrize("command", ["configure", "set weight", "pause", "promote", "rollback"])
def test_a_command_given_on_an_outdated_look_is_refused(
    http: httpx2.Client, client: DocumentClient, name: str, command: str
) -> None:
    reach(client, name, "canary")
    seen = client.set_weight(name, 30)["generation"] - 1
    method, path, body = COMMANDS[command]

    refusal = problem(
        http.request(method, f"/deployments/{name}{path}", json={**body, "expected_generation": seen}), 409
    )

    assert refusal["code"] == "SERINUS-STALE-GENERATION"
    assert refusal["field"] == "expected_generation"
    assert (refusal["expected"], refusal["actual"]) == (seen, seen + 1)
    assert client.deployment(name)["rollout"]["weight"] == 30


@pytest.mark.parametrize("weight", ["-1", "100.01", "20.005", "NaN", "1e999", '"20"', "true", "null", "[5]"])
def test_a_weight_that_is_no_share_is_refused_by_name(
    http: httpx2.Client, client: DocumentClient, name: str, weight: str
) -> None:
    reach(client, name, "canary")

    answer = http.patch(
        f"/deployments/{name}/traffic",
        content=f'{{"weight": {weight}}}',
        headers={"content-type": "application/json"},
    )

    assert problem(answer, 422)["field"] == "weight"
    assert client.deployment(name)["rollout"]["weight"] == 20


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PATCH", "/traffic", {"weight": 5, "wieght": 6}, "wieght"),
        ("PATCH", "", {"settings": {"stiky": True}}, "settings.stiky"),
        ("PATCH", "", {"settings": {"policy": {"error_dleta": 0.1}}}, "settings.policy.error_dleta"),
        ("POST", "/pause", {"why": "tea"}, "why"),
    ],
)
def test_a_misspelt_field_is_refused_by_name(
    http: httpx2.Client, client: DocumentClient, name: str, method: str, path: str, body: dict[str, Any], field: str
) -> None:
    reach(client, name, "canary")

    refusal = problem(http.request(method, f"/deployments/{name}{path}", json=body), 422)

    assert refusal["field"] == field
    assert client.deployment(name)["generation"] == 2


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"policy": {"error_delta": 1.5}}, "settings.policy.error_delta"),
        ({"policy": {"min_requests": 0}}, "settings.policy.min_requests"),
        ({"policy": {"name": "astrology"}}, "settings.policy.name"),
        ({"promote_from_weight": 101}, "settings.promote_from_weight"),
        ({"dry_run": "no"}, "settings.dry_run"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(
    http: httpx2.Client, client: DocumentClient, name: str, settings: dict[str, Any], field: str
) -> None:
    reach(client, name, "stable")

    assert problem(http.patch(f"/deployments/{name}", json={"settings": settings}), 422)["field"] == field


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/deployments", b"{"),
        ("/deployments", b'{"name": "\xff"}'),
        ("/predict/{name}", b""),
        ("/predict/{name}", b"{"),
        ("/predict/{name}", b"\xff\xfe"),
        ("/predict/{name}", b'{"features": {"age": "\xff", "chol": 1}}'),
    ],
)
def test_a_body_that_is_no_json_is_refused_as_such(
    http: httpx2.Client, client: DocumentClient, name: str, path: str, content: bytes
) -> None:
    reach(client, name, "stable")

    refusal = problem(
        http.post(path.format(name=name), content=content, headers={"content-type": "application/json"}), 400
    )

    assert refusal["code"] in {"SERINUS-MALFORMED", "SERINUS-HTTP-400"}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("method", "path", "size"),
    [
        ("POST", "/predict/{name}", 2**20),
        ("POST", "/deployments/{name}/pause", 2**20),
        ("PUT", "/artifacts/sha256:" + "0" * 64, ARTIFACT_LIMIT),
    ],
)
def test_a_body_over_the_limit_is_refused(
    http: httpx2.Client, client: DocumentClient, name: str, method: str, path: str, size: int, *, chunked: bool
) -> None:
    reach(client, name, "canary")
    body = b'{"reason": "' + b"x" * size + b'"}'

    refusal = problem(
        http.request(
            method,
            path.format(name=name),
            content=iter([body]) if chunked else body,
            headers={"content-type": "application/json"},
        ),
        413,
    )

    assert refusal["code"] == "SERINUS-TOO-LARGE"
    assert "SERINUS_MAX_" in refusal["remedy"]
    assert client.deployment(name)["status"] == "canary"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing/here", 404),
        ("POST", "/predict/", 404),
        ("POST", "/predict/a/b", 404),
        ("DELETE", "/deployments", 405),
        ("POST", "/health", 405),
        ("GET", "/predict/{name}", 405),
        ("PUT", "/predict/{name}", 405),
    ],
)
def test_what_is_not_there_is_a_problem_too(
    http: httpx2.Client, client: DocumentClient, name: str, method: str, path: str, status: int
) -> None:
    reach(client, name, "stable")

    answer = http.request(method, path.format(name=name))

    assert problem(answer, status)["code"] == f"SERINUS-HTTP-{status}"
    assert (status == 405) == bool(answer.headers.get("allow"))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/deployments/{{name}}/events?after={10**30}"),
        ("GET", "/deployments/{name}/events?limit=0"),
        ("GET", "/deployments/{name}/events?limit=9999"),
        ("GET", "/deployments/{name}/events?order=random"),
        ("GET", "/deployments/{name}/events?kind=nonsense"),
        ("GET", f"/models/risk/versions/{10**30}"),
        ("GET", "/models/risk/versions/none"),
    ],
)
def test_a_parameter_out_of_its_range_is_refused(
    http: httpx2.Client, client: DocumentClient, name: str, method: str, path: str
) -> None:
    reach(client, name, "stable")

    assert problem(http.request(method, path.format(name=name)), 422)["field"]


def test_a_version_beyond_every_number_is_not_a_failure_of_the_server(
    http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    reach(client, name, "stable")
    huge = {"version": 10**30, "weight": 5}

    assert http.post(f"/deployments/{name}/canary", json=huge).status_code in {404, 422}
    assert http.post("/deployments", json={"name": f"{name}-2", "model": "risk", "version": 10**30}).status_code in {
        404,
        422,
    }


def test_a_name_is_given_once_and_has_no_odd_characters(http: httpx2.Client, client: DocumentClient, name: str) -> None:
    reach(client, name, "stable")
    body = {"model": "risk", "version": 1}

    assert problem(http.post("/deployments", json={**body, "name": name}), 409)["code"] == "SERINUS-EXISTS"
    assert problem(http.post("/deployments", json={**body, "name": "Über Prod"}), 422)["field"] == "name"
    assert problem(http.post("/deployments", json={**body, "name": "x" * 64}), 422)["field"] == "name"


def test_sticky_cannot_change_under_a_running_canary(http: httpx2.Client, client: DocumentClient, name: str) -> None:
    reach(client, name, "canary")

    refusal = problem(http.patch(f"/deployments/{name}", json={"settings": {"sticky": True}}), 422)

    assert refusal["field"] == "settings.sticky"


def test_a_refusal_shows_what_was_sent_but_never_at_full_length(http: httpx2.Client, name: str) -> None:
    refusal = problem(http.post("/deployments", json={"name": name, "model": "risk", "version": "x" * 5000}), 422)

    assert len(json.dumps(refusal)) < 1000
