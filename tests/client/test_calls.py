from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest

from serinus.client import calls
from serinus.client.calls import Call
from serinus.core.errors import InvalidInput
from serinus.core.names import VersionRef
from serinus.core.records import Lineage, Package
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature

HEART_1 = VersionRef("heart", 1)
PACKAGE = Package(
    b"model", "skops", Signature((Feature("age", Dtype.INT),), Output(OutputKind.CLASS, (0, 1))), ((63,), (41,))
)


@pytest.mark.parametrize(
    ("call", "method", "path"),
    [
        (calls.server_health(), "GET", "/health"),
        (calls.models(), "GET", "/models"),
        (calls.versions("heart"), "GET", "/models/heart/versions"),
        (calls.version(HEART_1), "GET", "/models/heart/versions/1"),
        (calls.deployments(), "GET", "/deployments"),
        (calls.create_deployment("prod", HEART_1, {}), "POST", "/deployments"),
        (calls.deployment("prod"), "GET", "/deployments/prod"),
        (calls.configure("prod", {}), "PATCH", "/deployments/prod"),
        (calls.start("prod", 2, 20), "POST", "/deployments/prod/canary"),
        (calls.set_weight("prod", 30), "PATCH", "/deployments/prod/traffic"),
        (calls.command("prod", "promote"), "POST", "/deployments/prod/promote"),
        (calls.rollouts("prod"), "GET", "/deployments/prod/rollouts"),
        (calls.events("prod"), "GET", "/deployments/prod/events"),
        (calls.health("prod"), "GET", "/deployments/prod/health"),
        (calls.metrics("prod"), "GET", "/deployments/prod/metrics"),
        (calls.command("prod", "approve"), "POST", "/deployments/prod/approve"),
        (calls.explain("prod"), "GET", "/deployments/prod/explain"),
        (calls.looks("prod", 3), "GET", "/deployments/prod/rollouts/3/looks"),
        (calls.forecast("prod"), "GET", "/deployments/prod/forecast"),
        (calls.events(), "GET", "/events"),
        (calls.event_stream("prod"), "GET", "/events/stream"),
        (calls.history("prod", 3), "GET", "/deployments/prod/rollouts/3/history"),
        (calls.production(), "GET", "/production"),
        (calls.production_of("prod"), "GET", "/deployments/prod/production"),
        (calls.predict("prod", {}), "POST", "/predict/prod"),
    ],
    ids=lambda value: value.path if isinstance(value, Call) else None,
)
def test_a_call_has_the_method_and_path_of_the_api(call: Call[Any], method: str, path: str) -> None:
    assert (call.method, call.path) == (method, path)


def test_what_is_not_given_is_not_sent() -> None:
    assert calls.start("prod", 2, 20.0).json == {"version": 2, "weight": 20.0}
    assert calls.command("prod", "promote").json == {}
    assert calls.predict("prod", {"age": 63}).json == {"features": {"age": 63}}


@pytest.mark.parametrize("plan", ["standard", {"apiVersion": "serinus/v1"}])
def test_a_canary_is_started_by_a_plan_instead_of_a_weight(plan: str | dict[str, object]) -> None:
    assert calls.start("prod", 2, plan=plan).json == {"version": 2, "plan": plan}
    assert calls.start("prod", 2, plan=plan, replace=True).json == {"version": 2, "plan": plan, "replace": True}


def test_looks_are_asked_for_after_the_last_one_seen() -> None:
    assert calls.looks("prod", 3, after=7, limit=50).params == (("after", "7"), ("limit", "50"))


def test_an_explanation_is_of_one_rollout_or_of_the_last() -> None:
    assert calls.explain("prod", "prod:3").params == (("rollout", "prod:3"),)
    assert calls.explain("prod").params == ()


def test_a_forecast_is_of_a_plan_by_its_name_or_by_its_steps() -> None:
    assert calls.forecast("prod", [1, 5], 50.0, plan="standard").params == (
        ("weights", "1"),
        ("weights", "5"),
        ("rate", "50"),
        ("plan", "standard"),
    )
    assert calls.forecast("prod", steps=[(0.25, 120.0), (100, 2_591_999.5)]).params == (
        ("step", "0.25:120"),
        ("step", "100:2591999.5"),
    )


def test_what_happens_to_a_deployment_is_followed_after_the_last_event_seen() -> None:
    call = calls.event_stream("prod", after=7, kinds=["promoted"])

    assert call.params == (("after", "7"), ("deployment", "prod"), ("kind", "promoted"))


def test_times_are_sent_with_their_zone() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)

    assert calls.production(noon).params == (("at", "2026-03-01T12:00:00+00:00"),)
    assert calls.events("prod", since=noon, until=noon).params[-2:] == (
        ("since", "2026-03-01T12:00:00+00:00"),
        ("until", "2026-03-01T12:00:00+00:00"),
    )


def test_a_rehearsal_is_a_start_that_is_not_meant() -> None:
    start = calls.start("prod", 2, plan="standard", replace=True)

    rehearsal = calls.rehearse("prod", 2, plan="standard", replace=True)

    assert rehearsal.path == start.path
    assert rehearsal.json == {**(start.json or {}), "dry_run": True}


def test_commands_take_a_key_and_nothing_else_does() -> None:
    commands = calls.promote("prod"), calls.configure("prod", {}), calls.create_deployment("prod", HEART_1)
    others = calls.deployment("prod"), calls.put_artifact(b""), calls.predict("prod", {}, retry=True)

    assert all(call.takes_key for call in commands)
    assert not any(call.takes_key for call in others)


def test_a_version_can_be_named_as_it_is_written() -> None:
    assert calls.version("heart@1") == calls.version(HEART_1)
    assert calls.create_deployment("prod", "heart@1") == calls.create_deployment("prod", HEART_1)


def test_a_call_shows_nothing_of_what_it_sends() -> None:
    assert "17" not in repr(calls.predict("prod", {"age": 17}))


def test_the_generation_that_a_command_holds_for_is_sent() -> None:
    assert calls.set_weight("prod", 30.0, reason="more", expected_generation=4).json == {
        "weight": 30.0,
        "reason": "more",
        "expected_generation": 4,
    }


def test_an_artifact_is_sent_to_the_address_of_its_digest() -> None:
    call = calls.put_artifact(b"model")

    assert call.path == f"/artifacts/sha256:{sha256(b'model').hexdigest()}"
    assert call.content == b"model"


def test_a_version_is_sent_with_all_that_is_known_of_it() -> None:
    call = calls.create_version(
        "heart", "sha256:00", PACKAGE, {"metrics": {"accuracy": 0.85}, "lineage": Lineage(run_id="run-7")}
    )

    assert call.json == {
        "artifact": {"digest": "sha256:00", "format": "skops"},
        "signature": PACKAGE.signature.encoded(),
        "examples": [[63], [41]],
        "metrics": {"accuracy": 0.85},
        "parameters": {},
        "tags": {},
        "description": "",
        "lineage": {"dataset_digest": "", "run_id": "run-7", "git_commit": "", "parent": ""},
    }


def test_events_of_several_kinds_are_asked_for_with_one_parameter_each() -> None:
    call = calls.events("prod", after=7, limit=5, newest_first=True, kinds=["promoted", "rolled_back"])

    assert call.params == (
        ("limit", "5"),
        ("order", "desc"),
        ("after", "7"),
        ("kind", "promoted"),
        ("kind", "rolled_back"),
    )


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "Prod", "a?b"])
def test_a_name_that_would_make_another_path_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        calls.deployment(name)
