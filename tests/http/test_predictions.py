"""What a caller of a prediction gets, whatever they send."""

import sqlite3
from contextlib import closing
from typing import Any

import httpx2
import pytest
from tests.http.problems import problem
from tests.models import KNOWN, STABLE
from tests.server import Server, eventually

from serinus.client import DocumentClient

JSON = {"content-type": "application/json"}


def logged(server: Server, deployment: str) -> list[tuple[str, str, bool, str]]:
    """Read the prediction log: id, role, whether forced, rollout."""
    with closing(sqlite3.connect(server.database)) as database:
        return database.execute(
            "SELECT id, role, forced, rollout FROM predictions WHERE deployment = ?", [deployment]
        ).fetchall()


def test_an_answer_says_who_gave_it(http: httpx2.Client, client: DocumentClient, name: str) -> None:
    client.deploy(name, STABLE)

    answer = http.post(f"/predict/{name}", json={"features": KNOWN, "entity_id": 17})

    document = answer.json()
    assert answer.status_code == 200
    assert document.pop("prediction_id")
    assert document.pop("latency_ms") > 0
    assert document == {
        "model_role": "baseline",
        "prediction": 0.63,
        "prediction_class": None,
        "confidence": None,
        "model_version": "risk@1",
        "failover": False,
    }


@pytest.mark.parametrize(
    ("features", "status", "field"),
    [
        ('{"age": 63}', 422, "features.chol"),
        ('{"age": 63, "chol": 1.5, "weight": 80}', 422, "features.weight"),
        ('{"age": 63, "cholesterol": 1.5}', 422, "features.chol"),
        ('{"age": "63", "chol": 1.5}', 422, "features.age"),
        ('{"age": true, "chol": 1.5}', 422, "features.age"),
        ('{"age": 63.5, "chol": 1.5}', 422, "features.age"),
        ('{"age": null, "chol": 1.5}', 422, "features.age"),
        ('{"age": [63], "chol": 1.5}', 422, "features.age"),
        (f'{{"age": {2**70}, "chol": 1.5}}', 422, "features.age"),
        (f'{{"age": 63, "chol": 1{"0" * 400}}}', 422, "features.chol"),
        ('{"age": 63, "chol": 1e999}', 422, "features.chol"),
        (f'{{"age": 1{"0" * 5000}, "chol": 1.5}}', 422, "features"),
        (f'{{"age": {"[" * 5000}63{"]" * 5000}, "chol": 1.5}}', 400, "body"),
        ('{"age": 63, "chol": "NaN"}', 422, "features.chol"),
        ('{"age": 63, "chol": NaN}', 400, "body"),
        ('{"age": 63, "chol": Infinity}', 400, "body"),
        ("[63, 1.5]", 422, "features"),
        ("null", 422, "features"),
    ],
)
def test_features_that_do_not_fit_are_the_callers_error_and_named(
    http: httpx2.Client, client: DocumentClient, name: str, features: str, status: int, field: str
) -> None:
    client.deploy(name, STABLE)

    answer = http.post(f"/predict/{name}", content=f'{{"features": {features}}}', headers=JSON)

    assert problem(answer, status)["field"] == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "features"),
        ({"features": KNOWN, "entity": "a"}, "body"),
        ({"features": KNOWN, "entity_id": 1.5}, "entity_id"),
    ],
)
def test_a_request_of_another_shape_is_refused(
    http: httpx2.Client, client: DocumentClient, name: str, body: dict[str, Any], field: str
) -> None:
    client.deploy(name, STABLE)

    refusal = problem(http.post(f"/predict/{name}", json=body), 422)

    assert refusal["field"] == field
    assert "features" in refusal["remedy"]


YOUNG = {"age": 41, "chol": 204.0}


def test_several_rows_have_one_answer_each_and_one_who_gave_them(
    http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE)

    answer = http.post(f"/predict/{name}", json={"instances": [KNOWN, YOUNG], "entity_id": 17})

    document = answer.json()
    assert answer.status_code == 200
    assert document.pop("prediction_id")
    assert document.pop("latency_ms") > 0
    assert document == {
        "model_role": "baseline",
        "model_version": "risk@1",
        "failover": False,
        "predictions": [
            {"prediction": 0.63, "prediction_class": None, "confidence": None},
            {"prediction": 0.41, "prediction_class": None, "confidence": None},
        ],
    }


def test_several_rows_are_drawn_together_counted_once_and_logged_each(
    http: httpx2.Client, client: DocumentClient, server: Server, name: str
) -> None:
    client.deploy(name, STABLE, {"auto_rollback": False, "auto_promote": False})
    client.start(name, 2, 50)

    answers = [http.post(f"/predict/{name}", json={"instances": [KNOWN, YOUNG, KNOWN]}).json() for _ in range(20)]

    assert {each["model_role"] for each in answers} == {"baseline", "canary"}
    assert eventually(lambda: len(logged(server, name)) == 60)
    roles = {identity: role for identity, role, _, _ in logged(server, name)}
    for each in answers:
        identity = each["prediction_id"]
        assert {roles[identity], roles[f"{identity}-1"], roles[f"{identity}-2"]} == {each["model_role"]}
    assert eventually(lambda: sum(client.metrics(name)[role]["requests"] for role in ("baseline", "canary")) == 20)


def test_who_answers_several_rows_can_be_said_where_that_is_allowed(
    http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE, {"allow_forced": True})
    client.start(name, 2, 1)

    answer = http.post(f"/predict/{name}", json={"instances": [KNOWN]}, headers={"X-Canary": "always"})

    assert (answer.json()["model_role"], answer.json()["model_version"]) == ("canary", "risk@2")


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"instances": [KNOWN], "features": KNOWN}, "instances", "both"),
        ({"instances": KNOWN}, "instances", "array"),
        ({"instances": None}, "instances", "array"),
        ({"instances": []}, "body", "no rows"),
        ({"instances": [KNOWN] * 1001}, "instances", "more than 1000 rows"),
        ({"instances": [KNOWN, {"age": 41}]}, "features.chol", "Row 1"),
        ({"instances": [KNOWN, [63, 1.5]]}, "features", "Row 1"),
        ({"instances": [{"age": 63.5, "chol": 1.5}]}, "features.age", "Row 0"),
    ],
    ids=["both", "object", "null", "none", "too many", "missing", "list", "wrong"],
)
def test_several_rows_that_do_not_fit_are_the_callers_error_and_named(
    http: httpx2.Client, client: DocumentClient, name: str, body: dict[str, Any], field: str, said: str
) -> None:
    client.deploy(name, STABLE)

    refusal = problem(http.post(f"/predict/{name}", json=body), 422)

    assert refusal["field"] == field
    assert said in refusal["detail"]


@pytest.mark.parametrize(("weight", "drawn", "other"), [(100, "canary", "baseline"), (0, "baseline", "canary")])
def test_a_callers_error_is_counted_under_the_role_drawn_and_against_no_model(
    http: httpx2.Client, client: DocumentClient, name: str, weight: float, drawn: str, other: str
) -> None:
    client.deploy(name, STABLE)
    client.start(name, 2, weight)

    for _ in range(3):
        problem(http.post(f"/predict/{name}", json={"features": {"age": 63}}), 422)

    assert eventually(lambda: client.metrics(name)[drawn]["client_errors"] == 3)
    metrics = client.metrics(name)
    assert metrics[drawn]["requests"] == metrics[drawn]["model_errors"] == metrics[drawn]["timeouts"] == 0
    assert metrics[drawn]["error_rate"] is None
    assert metrics[other]["client_errors"] == 0


@pytest.mark.parametrize(("asked_for", "role"), [("always", "canary"), ("never", "baseline"), ("ALWAYS", "canary")])
def test_a_forced_role_is_obeyed_where_it_is_allowed_logged_as_forced_and_no_evidence(
    http: httpx2.Client, client: DocumentClient, server: Server, name: str, asked_for: str, role: str
) -> None:
    client.deploy(name, STABLE, {"allow_forced": True})
    client.start(name, 2, 50)

    forced = [
        http.post(f"/predict/{name}", json={"features": KNOWN}, headers={"X-Canary": asked_for}).json()
        for _ in range(12)
    ]
    http.post(f"/predict/{name}", json={"features": KNOWN})

    assert {each["model_role"] for each in forced} == {role}
    assert eventually(lambda: len(logged(server, name)) == 13)
    flags = {identity: flag for identity, _, flag, _ in logged(server, name)}
    assert all(flags[each["prediction_id"]] for each in forced)
    assert sum(flags.values()) == 12
    assert eventually(lambda: client.metrics(name)["baseline"]["requests"] + client.metrics(name)["canary"]["requests"])
    metrics = client.metrics(name)
    assert metrics["baseline"]["requests"] + metrics["canary"]["requests"] == 1


def test_a_forced_role_is_overlooked_where_it_is_not_allowed(
    http: httpx2.Client, client: DocumentClient, server: Server, name: str
) -> None:
    client.deploy(name, STABLE)
    client.start(name, 2, 0)

    answers = [
        http.post(f"/predict/{name}", json={"features": KNOWN}, headers={"X-Canary": "always"}).json()
        for _ in range(20)
    ]

    assert {each["model_role"] for each in answers} == {"baseline"}
    assert eventually(lambda: client.metrics(name)["baseline"]["requests"] == 20)
    assert eventually(lambda: len(logged(server, name)) == 20)
    assert not any(flag for _, _, flag, _ in logged(server, name))


def test_a_forced_canary_where_none_runs_is_the_baseline(
    http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE, {"allow_forced": True})

    answer = http.post(f"/predict/{name}", json={"features": KNOWN}, headers={"X-Canary": "always"})

    assert answer.json()["model_role"] == "baseline"


def test_an_entity_keeps_its_role_and_a_greater_share_takes_nobody_back(
    http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE, {"sticky": True, "auto_promote": False})
    client.start(name, 2, 0)

    def canaries() -> set[int]:
        asked = {
            entity: http.post(f"/predict/{name}", json={"features": KNOWN, "entity_id": entity}).json()["model_role"]
            for entity in range(80)
        }
        return {entity for entity, role in asked.items() if role == "canary"}

    steps = []
    for weight in (0, 20, 60, 100):
        client.set_weight(name, weight)
        first, second = canaries(), canaries()
        assert first == second
        steps.append(first)
    assert len(steps[0]) == 0
    assert steps[0] < steps[1] < steps[2] < steps[3]
    assert len(steps[3]) == 80


def test_a_sticky_deployment_draws_anew_for_whoever_gives_no_entity(
    http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE, {"sticky": True})
    client.start(name, 2, 50)

    answers = [http.post(f"/predict/{name}", json={"features": KNOWN}).json() for _ in range(60)]

    assert {each["model_role"] for each in answers} == {"baseline", "canary"}


def test_inputs_are_kept_as_a_keyed_hash_alone(
    http: httpx2.Client, client: DocumentClient, server: Server, name: str
) -> None:
    client.deploy(name, STABLE)
    secret = {"age": 41, "chol": 98765.4321}

    identity = http.post(f"/predict/{name}", json={"features": secret, "entity_id": "patient-x17"}).json()[
        "prediction_id"
    ]

    assert eventually(lambda: [row[0] for row in logged(server, name)] == [identity])
    with closing(sqlite3.connect(server.database)) as database:
        row = database.execute("SELECT * FROM predictions WHERE id = ?", [identity]).fetchone()
    assert not any("98765" in str(value) or "patient-x17" in str(value) for value in row)
    assert sum(len(str(value)) == 64 for value in row) == 2
