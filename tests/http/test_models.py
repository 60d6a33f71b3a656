"""Uploading artifacts and registering versions."""

import json
import pickle
from hashlib import sha256
from typing import Any

import httpx2
import pytest
from tests import models
from tests.http.problems import problem

from serinus.client import DocumentClient

DATA = pickle.dumps(models.Risk())
DIGEST = f"sha256:{sha256(DATA).hexdigest()}"
SIGNATURE = json.loads(json.dumps(models.NUMBER.encoded()))


def fresh(text: str) -> tuple[str, bytes]:
    data = text.encode()
    return f"sha256:{sha256(data).hexdigest()}", data


def body(**changes: object) -> dict[str, Any]:
    return {"artifact": {"digest": DIGEST, "format": "pickle"}, "signature": SIGNATURE} | changes


def test_an_artifact_is_created_once(http: httpx2.Client, name: str) -> None:
    digest, data = fresh(name)

    first = http.put(f"/artifacts/{digest}", content=data)
    again = http.put(f"/artifacts/{digest}", content=data)

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json() == {"digest": digest, "size": len(data)}


def test_an_artifact_that_was_damaged_on_the_way_is_refused(http: httpx2.Client, name: str) -> None:
    digest, data = fresh(name)

    refusal = problem(http.put(f"/artifacts/{digest}", content=data + b"!"), 422)

    assert refusal["field"] == "digest"
    assert http.put(f"/artifacts/{digest}", content=data).status_code == 201


@pytest.mark.parametrize("digest", ["sha256:abc", "md5:" + "0" * 32, "sha256:" + "G" * 64])
def test_a_digest_that_is_none_is_refused(http: httpx2.Client, digest: str) -> None:
    assert problem(http.put(f"/artifacts/{digest}", content=b"x"), 422)["field"] == "digest"


def test_versions_are_numbered_and_can_be_read_back(http: httpx2.Client, name: str) -> None:
    told = {
        "metrics": {"accuracy": 0.85},
        "parameters": {"C": 1.0, "solver": "lbfgs"},
        "tags": {"team": "cardio"},
        "description": "weekly",
        "examples": [[63, 233.0], [41, 180]],
    }

    for number in (1, 2):
        answer = http.post(f"/models/{name}/versions", json=body(**told), headers={"X-Serinus-Actor": "ada"})
        assert answer.status_code == 201, answer.text
        assert answer.json()["ref"] == f"{name}@{number}"

    version = http.get(f"/models/{name}/versions/2").json()
    assert version["digest"] == DIGEST
    assert version["signature"] == SIGNATURE
    assert version["created_by"] == "ada"
    assert version["examples"] == 2
    assert {key: version[key] for key in told if key != "examples"} == {
        key: told[key] for key in told if key != "examples"
    }
    assert [each["version"] for each in http.get(f"/models/{name}/versions").json()["versions"]] == [1, 2]
    assert {"name": name, "versions": 2}.items() <= next(
        each for each in http.get("/models").json()["models"] if each["name"] == name
    ).items()


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"artifact": {"digest": "sha256:" + "0" * 64, "format": "pickle"}}, 404, "artifact.digest"),
        ({"artifact": {"digest": DIGEST, "format": "exe"}}, 422, "format"),
        ({"signature": {"features": [], "output": {"kind": "number"}}}, 422, "signature.features"),
        ({"signature": {"features": [{"name": "age", "dtype": "int"}]}}, 422, "signature"),
        ({"examples": [[63]]}, 422, "examples.0"),
        ({"examples": [[63, "high"]]}, 422, "examples.0"),
        ({"examples": [[63, 1.5]] * 33}, 422, "examples"),
        ({"metrics": {"accuracy": "good"}}, 422, "metrics.accuracy"),
        ({"tags": {"team": 7}}, 422, "tags.team"),
        ({"lineage": {"parent": "nobody@1"}}, 404, "lineage.parent"),
        ({"lineage": {"parent": "nobody"}}, 422, "lineage.parent"),
    ],
)
def test_a_version_that_cannot_be_is_refused_and_takes_no_number(
    http: httpx2.Client, name: str, change: dict[str, Any], status: int, field: str
) -> None:
    refusal = problem(http.post(f"/models/{name}/versions", json=body(**change)), status)

    assert refusal["field"] == field
    assert problem(http.get(f"/models/{name}/versions"), 404)["field"] == "model"


def test_a_model_and_a_version_that_are_not_there_are_not_found(http: httpx2.Client) -> None:
    assert problem(http.get("/models/nothing/versions/1"), 404)["field"] == "version"
    assert "1, 2" in problem(http.get("/models/risk/versions/77"), 404)["remedy"]


@pytest.mark.parametrize("model", ["class", "narrow"])
def test_a_canary_that_breaks_the_contract_is_refused_with_the_reason_on_record(
    http: httpx2.Client, client: DocumentClient, name: str, model: str
) -> None:
    client.deploy(name, models.STABLE)
    before = client.deployment(name)

    refusal = problem(http.post(f"/deployments/{name}/canary", json={"version": 1, "model": model, "weight": 10}), 422)

    assert refusal["code"] == "SERINUS-CONTRACT"
    assert refusal["field"] == "version"
    assert client.deployment(name) == before
    event = client.events(name)["events"][-1]
    assert event["kind"] == "canary_refused"
    assert refusal["detail"] in event["reason"]
    assert event["data"] == {"canary": f"{model}@1", "weight": 10.0, "code": "SERINUS-CONTRACT"}


def test_a_canary_that_fails_its_own_examples_is_refused_before_it_gets_traffic(
    http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    package = models.pickled(models.Raises())
    broken = client.register_package(name, type(package)(package.data, "pickle", models.NUMBER, ((63, 233.0),)))
    client.deploy(name, models.STABLE)

    refusal = problem(
        http.post(f"/deployments/{name}/canary", json={"model": name, "version": broken["version"], "weight": 10}), 422
    )

    assert "example row 0" in refusal["detail"]
    assert "the weights are gone" in refusal["detail"]
    assert [each["kind"] for each in client.events(name)["events"]] == ["deployment_created", "canary_refused"]


def test_a_deployment_of_a_version_that_does_not_exist_is_not_made(http: httpx2.Client, name: str) -> None:
    answer = http.post("/deployments", json={"name": name, "model": "risk", "version": 99})

    assert problem(answer, 404)["field"] == "version"
    assert http.get(f"/deployments/{name}").status_code == 404
