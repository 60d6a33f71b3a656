"""The description of the API is right, and the server keeps to it whatever is sent."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from tests.http.problems import problem
from tests.models import STABLE
from tests.server import Server

from serinus.client import DocumentClient

METHODS = ("get", "put", "post", "patch", "delete")


@pytest.fixture(scope="module")
def document(http: httpx2.Client) -> dict[str, Any]:
    document: dict[str, Any] = http.get("/openapi.json").json()
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def schemas(value: Any) -> Iterator[dict[str, Any]]:
    """Find every JSON schema in the description."""
    if isinstance(value, dict):
        if isinstance(value.get("schema"), dict):
            yield value["schema"]
        for each in value.values():
            yield from schemas(each)
    elif isinstance(value, list):
        for each in value:
            yield from schemas(each)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_whatever_is_sent_is_answered_as_described(
    server: Server, client: DocumentClient, name: str, subtests: pytest.Subtests, mode: GenerationMode
) -> None:
    load_all_checks()
    # A schema cannot say all that a value has to be: a name that is known, a weight in steps of 0.01.
    too_strict: Any = [CHECKS.get_one("positive_data_acceptance")]
    client.deploy(name, STABLE)
    client.start(name, 2, 10)
    known = {"name": name, "deployment": name, "model": STABLE.model}

    described = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    # A stream of events has no end.
    for found in described.exclude(path="/events/stream").get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]

        @given(case=operation.as_strategy(mode))
        @settings(
            max_examples=8,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def is_answered_as_described(case: Case[Any]) -> None:
            if mode is GenerationMode.POSITIVE and case.path_parameters:
                case.path_parameters |= {key: known[key] for key in case.path_parameters.keys() & known.keys()}
            case.call_and_validate(excluded_checks=too_strict)

        # What takes no parameter cannot be asked wrongly.
        with subtests.test(operation.label), suppress(Unsatisfiable):
            is_answered_as_described()


def test_every_schema_in_the_description_is_one(document: dict[str, Any]) -> None:
    found = [*schemas(document["paths"]), *document["components"]["schemas"].values()]

    assert len(found) > 30
    for schema in found:
        jsonschema_rs.meta.validate(schema)


def test_every_reference_in_the_description_leads_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    wanted = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}

    assert wanted <= document["components"]["schemas"].keys()


def test_every_operation_is_explained_and_may_answer_with_a_problem(document: dict[str, Any]) -> None:
    for label, operation in operations(document):
        assert operation["summary"], label
        assert operation["tags"], label
        for status in ("4XX", "5XX"):
            assert "application/problem+json" in operation["responses"][status]["content"], label
    identities = [operation["operationId"] for _, operation in operations(document)]
    assert len(identities) == len(set(identities))


def test_every_field_that_must_be_sent_has_an_example(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        for field in schema.get("required", []):
            about = schema["properties"][field]
            assert "examples" in about or "$ref" in about or "description" in about, f"{name}.{field}"
    predict = document["paths"]["/predict/{deployment}"]["post"]
    assert predict["requestBody"]["content"]["application/json"]["schema"]["example"]


def test_the_example_of_a_problem_is_one_that_is_really_given(
    http: httpx2.Client, client: DocumentClient, name: str, document: dict[str, Any]
) -> None:
    client.deploy(name, STABLE)
    described = document["paths"]["/deployments"]["get"]["responses"]["4XX"]["content"]["application/problem+json"]

    given_ = problem(http.post(f"/deployments/{name}/promote"), 409)

    jsonschema_rs.validate(described["schema"], given_)
    assert given_.keys() == described["example"].keys()
    assert {**given_, "instance": "", "detail": ""} == {**described["example"], "instance": "", "detail": ""}


def test_the_description_can_be_browsed(http: httpx2.Client) -> None:
    assert "text/html" in http.get("/docs").headers["content-type"]
