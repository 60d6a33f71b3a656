"""Whatever a newer server may send, it is shown and nothing breaks."""

import io
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from serinus.cli.display.answer import answer_view
from serinus.cli.display.arms import health_view, metrics_view
from serinus.cli.display.explain import explanation_view
from serinus.cli.display.models import models_view, version_view, versions_view
from serinus.cli.display.release import deployment_view, overview, policy_words
from serinus.cli.display.replay import replay_view
from serinus.cli.display.screen import Screen
from serinus.cli.display.split import split_bar
from serinus.cli.display.timeline import timeline
from serinus.cli.display.words import rows
from serinus.core.events import EventKind
from serinus.core.judge import MetricVerdict
from serinus.core.policy import SequentialPolicy, policy_values

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

View = Callable[[dict[str, Any], Screen], RenderableType]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["running", "paused", "critical", "heart@1", "2026-11-23T11:59:48+00:00", *EventKind]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)

ROLLOUT = ["id", "canary", "baseline", "weight", "phase", "started_at", "ended_at", "reason", "bake_until"]
PLAN = ["name", "steps", "step", "step_at", "waiting_for_approval"]
POLICY = ["name", "error_delta", "p95_delta_ms", "min_requests", "window_s", "interval_s"]
SEQUENTIAL = [field.name for field in fields(SequentialPolicy)]
METRIC = [field.name for field in fields(MetricVerdict)] + ["since"]
DECISION = ["at", "kind", "actor", "reason", "generation", "policy_digest", "for", "against"]
COURSE = ["promotion", "rollback", "last"]
ARM = ["version", "requests", "errors", "model_errors", "error_rate", "p50_ms", "p95_ms"]
EVENT = ["id", "at", "kind", "actor", "reason", "data"]
VERSION = ["ref", "created_at", "metrics", "description", "created_by", "format", "size", "lineage", "examples"]


def some(names: list[str], **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Documents with some of these names, each with anything, or with what belongs there."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, JSON) | {n: JSON | p for n, p in parts.items()})


POLICIES = st.one_of(
    *(st.fixed_dictionaries(dict.fromkeys(names, JSON)) for names in (POLICY, SEQUENTIAL)), some(POLICY)
)
METRICS = st.lists(some(METRIC), max_size=2)
ROLLOUTS = some(ROLLOUT, plan=some(PLAN), phase=st.just("baking"))
COURSES = some(COURSE, policy=POLICIES, promotion=some(["at", "after_s", "reason"]), last=some(["health", "reason"]))
SETTINGS = some(
    ["sticky", "failover", "promote_from_weight", "feature_service", "feature_entity", "new"], policy=POLICIES
)
DEPLOYMENTS = some(
    ["name", "status", "generation", "baseline", "previous", "created_at", "possible", "warnings"],
    rollout=ROLLOUTS,
    settings=SETTINGS,
)
DATA = st.dictionaries(
    st.sampled_from(["from", "to", "canary", "baseline", "weight", "changes", "step", "of", "holdback", "new"]), JSON
)
FEATURES = some(["features"], output=some(["kind", "classes", "class_names"]))
PROOF = ["rows", "class_flips", "max_difference", "max_relative_difference", "tolerance", "converter", "opset"]
VERSIONS = some(
    VERSION, signature=FEATURES, format=st.sampled_from(["onnx", "skops", 7]), parameters=some(["C"], onnx=some(PROOF))
)

VIEWS: dict[str, tuple[View, st.SearchStrategy[dict[str, Any]]]] = {
    "deployment": (deployment_view, DEPLOYMENTS),
    "overview": (
        lambda document, screen: overview(rows(document, "deployments"), {"x": "critical"}, screen),
        some([], deployments=st.lists(DEPLOYMENTS, max_size=3)),
    ),
    "health": (
        health_view,
        some(
            ["status", "health", "recommendation", "reason", "action", "checked_at", "alarms", "waiting"],
            baseline=some(ARM),
            canary=some(ARM),
            policy=POLICIES,
            metrics=METRICS,
        ),
    ),
    "explanation": (
        explanation_view,
        some(
            ["deployment"],
            rollout=ROLLOUTS,
            policy=POLICIES,
            decisions=st.lists(
                some(DECISION, policy=POLICIES, baseline=some(ARM), canary=some(ARM), metrics=METRICS), max_size=2
            ),
        ),
    ),
    "replay": (
        replay_view,
        some(
            ["rollout", "policy_file", "looks", "same"],
            happened=some(ROLLOUT),
            recorded=COURSES,
            other=COURSES,
            first_difference=some(["look", "at"], recorded=some(["health", "reason"]), replayed=some(["health"])),
        ),
    ),
    "metrics": (metrics_view, some(["deployment", "rollout", "since"], baseline=some(ARM), canary=some(ARM))),
    "timeline": (timeline, some([], events=st.lists(some(EVENT, data=DATA), max_size=3))),
    "models": (
        models_view,
        some([], models=st.lists(some(["name", "versions", "latest", "updated_at"]), max_size=3)),
    ),
    "versions": (versions_view, some([], versions=st.lists(VERSIONS, max_size=3))),
    "version": (version_view, VERSIONS),
    "answer": (
        answer_view,
        some(["prediction", "prediction_class", "confidence", "model_version", "latency_ms", "failover"]),
    ),
}


def printed(view: View, document: dict[str, Any], screen: Screen) -> str:
    stream = io.StringIO()
    Console(file=stream, width=screen.width, markup=False, emoji=False, highlight=False).print(view(document, screen))
    return stream.getvalue()


@pytest.mark.parametrize("name", VIEWS)
@given(data=st.data(), width=st.sampled_from([20, 60, 120]), unicode=st.booleans())
def test_a_view_shows_whatever_document_it_is_given(name: str, data: st.DataObject, width: int, unicode: bool) -> None:  # noqa: FBT001
    view, documents = VIEWS[name]

    assert printed(view, data.draw(documents), Screen(width, unicode, NOW))


@given(weight=st.floats(0, 100), width=st.integers(2, 60))
def test_a_share_that_exists_can_be_seen_and_the_bar_keeps_its_length(weight: float, width: int) -> None:
    bar = split_bar(weight, width, Screen(100, unicode=False, now=NOW)).plain

    assert len(bar) == width
    assert ("-" in bar) == (weight > 0)
    assert ("=" in bar) == (weight < 100)


@pytest.mark.parametrize("kind", EventKind)
def test_every_kind_of_event_has_a_word_of_its_own(kind: EventKind) -> None:
    unknown = printed(timeline, {"events": [{"kind": "unheard_of"}]}, Screen(100, unicode=True, now=NOW))
    known = printed(timeline, {"events": [{"kind": str(kind)}]}, Screen(100, unicode=True, now=NOW))

    assert "\N{BULLET}" in unknown
    assert "\N{BULLET}" not in known


@pytest.mark.parametrize(
    ("roles", "said", "unsaid"),
    [
        ({"p95_role": "signal"}, "latencies are only shown", "p95"),
        ({"error_role": "dry-run"}, "errors decide in a dry run", "points"),
        ({"error_role": "signal", "p95_role": "dry-run"}, "nothing rolls back and nothing promotes", "odds"),
    ],
)
def test_a_policy_is_said_without_what_does_not_decide(roles: dict[str, str], said: str, unsaid: str) -> None:
    words = policy_words(policy_values(SequentialPolicy(**roles)))  # type: ignore[arg-type]  # names of fields

    assert said in words
    assert unsaid not in words


def test_tolerances_that_are_given_are_said() -> None:
    words = policy_words(policy_values(SequentialPolicy(error_tolerance=0.01, p95_tolerance_ms=3.0, alpha=0.001)))

    assert "worse than 1 point more errors or p95 3 ms slower rolls back at odds 1 000 to 1" in words


@pytest.mark.parametrize("width", [60, 120])
def test_what_there_is_to_know_is_shown_once_beneath_all_deployments(width: int) -> None:
    told = [{"name": name, "status": "canary", "warnings": ["no canary has traffic"]} for name in ("a", "b")]
    untold = {"name": "c", "status": "stable", "warnings": []}

    lines = printed(lambda _, screen: overview([*told, untold], {}, screen), {}, Screen(width, unicode=False, now=NOW))

    assert lines.rstrip().endswith("! no canary has traffic")
    assert lines.count("no canary has traffic") == 1
    assert [name for name in "abc" if f"{name} !" in lines] == ["a", "b"]


def test_what_there_is_to_know_of_a_deployment_is_shown_with_it() -> None:
    document = {"name": "a", "status": "canary", "warnings": ["the canary gets no traffic"]}

    assert "! the canary gets no traffic" in printed(deployment_view, document, Screen(80, unicode=False, now=NOW))


@pytest.mark.parametrize(
    ("service", "said"), [("", "settings  defaults"), ("patients", "settings  features from patients by patient")]
)
def test_where_features_are_looked_up_is_said_only_where_they_are(service: str, said: str) -> None:
    settings = {"sticky": False, "feature_service": service, "feature_entity": "patient", "policy": {}}

    assert said in printed(deployment_view, {"name": "a", "settings": settings}, Screen(80, unicode=False, now=NOW))
