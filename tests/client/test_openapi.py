"""The clients leave out nothing that the API has: its routes, their parameters, the members of what is sent."""

import re
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from tests import models

from serinus.client import calls, results
from serinus.client.calls import Call
from serinus.client.many import predict_rows
from serinus.http.app import control_plane

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AGREED: dict[str, Any] = {"reason": "because", "expected_generation": 3}
ABOUT = calls.About(metrics={"auc": 0.9}, description="first", lineage=results.Lineage())

EVERYTHING: list[Call[Any]] = [
    calls.server_health(),
    calls.put_artifact(b"model"),
    calls.models(),
    calls.versions("heart"),
    calls.version("heart@1"),
    calls.create_version("heart", "sha256:00", models.pickled(models.Risk()), ABOUT),
    calls.deployments(),
    calls.create_deployment("prod", "heart@1", {}, reason="first"),
    calls.deployment("prod"),
    calls.configure("prod", {}, **AGREED),
    calls.start("prod", 2, 5.0, model="heart", plan="standard", replace=True, **AGREED),
    calls.rehearse("prod", 2, 5.0),
    calls.set_weight("prod", 5.0, **AGREED),
    *(each("prod", **AGREED) for each in (calls.pause, calls.resume, calls.approve)),
    *(each("prod", **AGREED) for each in (calls.promote, calls.rollback, calls.undo)),
    calls.rollouts("prod", limit=5),
    calls.events("prod", after=1, limit=2, kinds=["promoted"], since=NOON, until=NOON),
    calls.events(after=1, limit=2, kinds=["promoted"], since=NOON, until=NOON),
    calls.event_stream("prod", after=1, kinds=["promoted"]),
    calls.health("prod"),
    calls.metrics("prod", "prod:1"),
    calls.metrics("prod", between=True),
    calls.explain("prod", "prod:1"),
    calls.looks("prod", 1, after=1, limit=2),
    calls.history("prod", 1, points=5),
    calls.production(NOON),
    calls.production_of("prod", NOON),
    calls.forecast("prod", [5.0], 50.0, plan="standard", steps=[(5.0, 60.0)], entities=1000),
    calls.predict("prod", {"age": 63}, "patient-1", canary="always"),
    predict_rows("prod", [{"age": 63}], "patient-1", canary="always"),
]
FOR_OTHERS = ("/v2", "/invocations/", "/metrics", "/health/")
"""Beginnings of routes that probes, Prometheus and the clients of other protocols ask for."""
SENT_BY_ANOTHER_NAME = {"X-Serinus-Actor", "Idempotency-Key", "last-event-id"}
"""Headers that stand in no call: of the client, of every command, and one that ``after`` stands for."""
BY_ANOTHER_ROUTE = {("GET", "/events"): {"deployment"}}

Route = tuple[str, str]


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    """The OpenAPI document, of a server that is not started."""
    document: dict[str, Any] = control_plane(lambda: pytest.fail("not started")).openapi()
    return document


def routes(api: dict[str, Any]) -> dict[Route, dict[str, Any]]:
    return {
        (method.upper(), path): described
        for path, methods in api["paths"].items()
        for method, described in methods.items()
        if path != "/v2" and not path.startswith(FOR_OTHERS)
    }


def route_of(call: Call[Any], known: dict[Route, Any]) -> Route:
    # What has most literal parts is meant: /events/stream before /{one}/{other}.
    fitting = [
        (method, path)
        for method, path in known
        if method == call.method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), call.path)
    ]
    return min(fitting, key=lambda route: route[1].count("{"))


def parameters(described: dict[str, Any]) -> set[str]:
    found = {each["name"] for each in described.get("parameters", []) if each["in"] in {"query", "header"}}
    return found - SENT_BY_ANOTHER_NAME


def members(described: dict[str, Any], api: dict[str, Any]) -> set[str]:
    schema = described.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    either = [schema, *schema.get("anyOf", [])]  # a body that may be left out is one thing or null
    named = [api["components"]["schemas"][each["$ref"].rpartition("/")[2]] for each in either if "$ref" in each]
    return {name for each in (schema, *named) for name in each.get("properties", {})}


def test_every_route_has_a_call_that_gives_all_it_takes(api: dict[str, Any]) -> None:
    known = routes(api)
    said: dict[Route, set[str]] = defaultdict(set)
    sent: dict[Route, set[str]] = defaultdict(set)
    for call in EVERYTHING:
        route = route_of(call, known)
        said[route] |= {name for name, _ in (*call.params, *call.headers)}
        sent[route] |= set(call.json or {})

    assert set(said) == set(known)
    assert said == {
        route: parameters(described) - BY_ANOTHER_ROUTE.get(route, set()) for route, described in known.items()
    }
    assert sent == {route: members(described, api) for route, described in known.items()}


def test_results_have_every_setting_and_all_of_the_lineage(api: dict[str, Any]) -> None:
    schemas = api["components"]["schemas"]
    for kind, schema in ((results.Settings, "SettingsIn"), (results.Lineage, "LineageIn")):
        assert {field.encode_name for field in msgspec.structs.fields(kind)} == set(schemas[schema]["properties"])
