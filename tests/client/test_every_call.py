"""Every call of both typed clients, against a real server."""

import inspect
import re
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing
from itertools import count, islice
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from tests import models
from tests.server import PATIENCE_S, Server, eventually, serving

from serinus.client import (
    AsyncClient,
    Client,
    ConflictError,
    InvalidError,
    ModelFailedError,
    NotAllowedError,
    NotFoundError,
    PredictionFailure,
    StaleGenerationError,
    calls,
)
from serinus.client.endpoints import Endpoint, Endpoints, Procedure, Series
from serinus.client.results import (
    Deployment,
    Event,
    EventsPage,
    Prediction,
    Predictions,
    ServerHealth,
    Version,
)
from serinus.core.errors import InvalidInput

_numbers = count(1)
RELEASED = "released"
"""A deployment that has seen a canary rolled back and one promoted, and at which nothing happens any more."""
IDLE = "idle"
"""A deployment without traffic."""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {
        "SERINUS_ALLOW_PICKLE": "true",
        "SERINUS_CHECK_INTERVAL": "0.05",
        "SERINUS_EVIDENCE_INTERVAL": "0.05",
        "SERINUS_LOG_INTERVAL": "0.02",
    }
    with serving(tmp_path_factory.mktemp("client") / "home", **settings) as server:
        with server.client() as client:
            for model in (models.Risk(), models.Risk(), models.Raises()):
                models.register(client, "risk", model)
            client.deploy(RELEASED, models.STABLE, {"auto_rollback": False, "auto_promote": False})
            client.deploy(IDLE, models.STABLE)
            client.start(RELEASED, 3, 50.0)
            for _ in range(20):
                client.predict(RELEASED, models.KNOWN)
            assert eventually(lambda: client.metrics(RELEASED)["canary"]["requests"])
            client.rollback(RELEASED, reason="it raises")
            client.start(RELEASED, 2, 20.0)
            client.promote(RELEASED)
        yield server


class Caller:
    """Calls a client's methods by name, and awaits what is to be awaited."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = client

    async def __call__(self, method: str, *args: Any, **given: Any) -> Any:
        came = getattr(self.client, method)(*args, **given)
        return await came if inspect.isawaitable(came) else came

    async def listed(self, method: str, *args: Any, most: int | None = None, **given: Any) -> list[Any]:
        """Give what a series gives, up to a number."""
        series: Generator[Any, None, None] | AsyncGenerator[Any, None] = getattr(self.client, method)(*args, **given)
        if isinstance(series, Generator):
            return list(islice(series, most))
        found: list[Any] = []
        async with aclosing(series):
            async for each in series:
                found.append(each)
                if len(found) == most:
                    break
        return found


@pytest.fixture(params=[Client, AsyncClient], ids=["sync", "async"])
async def call(request: pytest.FixtureRequest, real: Server) -> AsyncIterator[Caller]:
    kind: type[Client | AsyncClient] = request.param
    client = kind(real.url, actor="ada", timeout=PATIENCE_S)
    yield Caller(client)
    if isinstance(client, AsyncClient):
        await client.aclose()
    else:
        client.close()


@pytest.fixture
def name() -> str:
    """The name of a deployment that does not exist yet."""
    return f"prod-{next(_numbers)}"


async def test_a_whole_release_is_steered(call: Caller, name: str) -> None:
    made: Deployment = await call("deploy", name, "risk@1", {"sticky": True}, reason="first")
    set_up: Deployment = await call("configure", name, {"auto_promote": False}, expected_generation=1)
    would = await call("rehearse", name, 2, 20.0)
    started: Deployment = await call("start", name, 2, 20.0)
    moved: Deployment = await call("set_weight", name, 50.0)
    paused: Deployment = await call("pause", name)
    resumed: Deployment = await call("resume", name)
    promoted: Deployment = await call("promote", name, reason="better")
    undone: Deployment = await call("undo", name)

    assert (made.baseline, made.generation, made.settings.sticky) == ("risk@1", 1, True)
    assert made.created_at.tzinfo is not None
    assert set_up.settings.auto_promote is False
    assert (would.would.generation, would.would.split.canary) == (3, 20.0)
    assert started.rollout is not None
    assert (started.rollout.canary, started.rollout.weight, started.rollout.plan) == ("risk@2", 20.0, None)
    assert moved.rollout is not None
    assert moved.rollout.weight == 50.0
    assert (paused.status, resumed.status) == ("paused", "canary")
    assert promoted.baseline == "risk@2"
    assert undone.baseline == "risk@1"
    assert [each.phase for each in await call("rollouts", name)] == ["promoted"]
    page: EventsPage = await call("events", name, newest_first=True, limit=2)
    assert [(each.kind, each.actor, each.deployment) for each in page.events] == [
        ("promotion_undone", "ada", name),
        ("promoted", "ada", name),
    ]
    assert page.next == page.events[-1].id


async def test_a_plan_is_sent_as_a_document_and_does_not_take_a_word_too_early(call: Caller, name: str) -> None:
    await call("deploy", name, models.STABLE)
    plan = {
        "apiVersion": "serinus/v1",
        "kind": "RolloutPlan",
        "metadata": {"name": "careful"},
        "spec": {"steps": [{"setWeight": 5}, {"approval": {}}, {"setWeight": 50}]},
    }
    started: Deployment = await call("start", name, 2, plan=plan)
    assert started.rollout is not None
    assert started.rollout.plan is not None
    assert (started.rollout.plan.name, started.rollout.plan.document["kind"]) == ("careful", "RolloutPlan")
    with pytest.raises(ConflictError):  # the step before is not done yet
        await call("approve", name)
    rolled_back: Deployment = await call("rollback", name)
    assert rolled_back.status == "stable"


async def test_a_model_is_packed_and_registered(call: Caller, name: str) -> None:
    data = pd.DataFrame({"age": [63, 41, 57, 29], "chol": [233.5, 204.0, 354.0, 180.5], "num": [0, 1, 1, 0]})
    model = LogisticRegression().fit(data[["age", "chol"]], data["num"])

    version: Version = await call("register", model, name, data=data, target="num", metrics={"accuracy": 0.5})

    assert version.ref == f"{name}@1"
    assert version.metrics == {"accuracy": 0.5}
    assert version.created_by == "ada"
    assert [(each.name, each.dtype) for each in version.signature.features] == [("age", "int"), ("chol", "float")]
    assert version.signature.output.classes == (0, 1)
    assert await call("version", version.ref) == version
    assert await call("versions", name) == (version,)
    summary = next(each for each in await call("models") if each.name == name)
    assert (summary.versions, summary.latest) == (1, version.ref)


async def test_a_package_or_a_file_is_registered_too(call: Caller, name: str, tmp_path: Path) -> None:
    package = models.pickled(models.Risk(seconds=0.001 * next(_numbers)))
    file = tmp_path / "model.pkl"
    file.write_bytes(package.data)

    first: Version = await call("register_package", name, package, tags={"team": "cardio"})
    second: Version = await call("register_file", name, file, signature=models.NUMBER, allow_pickle=True)

    assert (first.tags, first.digest) == ({"team": "cardio"}, second.digest)
    assert second.ref == f"{name}@2"


async def test_one_prediction_and_many_are_answered(call: Caller) -> None:
    one: Prediction = await call("predict", RELEASED, models.KNOWN, "patient-1")
    rows: list[Any] = [models.KNOWN, {"age": 41}, {"age": float("inf"), "chol": 1.0}, {"age": 30, "chol": 1.5}]
    many: list[Any] = await call("predict_many", RELEASED, rows, at_once=2)
    table: list[Any] = await call("predict_many", RELEASED, pd.DataFrame([models.KNOWN] * 20))

    assert (one.prediction, one.model_version, one.model_role, one.failover) == (0.63, "risk@2", "baseline", False)
    assert [type(each) for each in many] == [Prediction, PredictionFailure, PredictionFailure, Prediction]
    assert [each.row for each in many[1:3]] == [1, 2]
    assert isinstance(many[1].error, InvalidError)
    assert many[1].error.field == "features.chol"
    assert many[2].error.field == "features.age"
    assert many[3].prediction == 0.3
    assert [each.prediction for each in table] == [0.63] * 20


async def test_several_rows_are_answered_by_one_model(call: Caller) -> None:
    rows = [models.KNOWN, {"age": 41, "chol": 204.0}]
    answered: Predictions = await call("predict_rows", RELEASED, rows, "patient-1")
    table: Predictions = await call("predict_rows", RELEASED, pd.DataFrame([models.KNOWN] * 20))

    assert [each.prediction for each in answered.predictions] == [0.63, 0.41]
    assert (answered.model_version, answered.model_role, answered.failover) == ("risk@2", "baseline", False)
    assert len(table.predictions) == 20
    with pytest.raises(InvalidError) as refused:
        await call("predict_rows", RELEASED, [models.KNOWN, {"age": 41, "chol": float("nan")}])
    assert refused.value.field == "features.chol"
    with pytest.raises(InvalidInput) as not_sent:
        await call("predict_rows", RELEASED, [models.KNOWN, 7])
    assert not_sent.value.field == "instances.1"


async def test_who_answers_can_be_said_where_that_is_allowed(call: Caller, name: str) -> None:
    switches = {"allow_forced": True, "auto_rollback": False, "auto_promote": False}
    await call("deploy", name, models.STABLE, switches)
    await call("start", name, 2, 1.0)

    answers = [await call("predict", name, models.KNOWN, canary=who) for who in ("always", "never")]

    assert [each.model_role for each in answers] == ["canary", "baseline"]
    await call("rollback", name)


async def test_predictions_for_entities_are_drawn_by_them(call: Caller, name: str) -> None:
    await call("deploy", name, models.STABLE, {"sticky": True, "auto_rollback": False, "auto_promote": False})
    await call("start", name, 2, 50.0)
    patients = [f"patient-{number}" for number in range(40)]

    roles = [
        [each.model_role for each in await call("predict_many", name, [models.KNOWN] * 40, entity_ids=patients)]
        for _ in range(2)
    ]

    assert roles[0] == roles[1]
    assert set(roles[0]) == {"baseline", "canary"}
    await call("rollback", name)


async def test_what_has_happened_is_told_alike_by_all(call: Caller, real: Server) -> None:
    with Client(real.url) as other:
        assert await call("deployment", RELEASED) == other.deployment(RELEASED)
        assert await call("health", RELEASED) == other.health(RELEASED)
        assert await call("metrics", RELEASED, f"{RELEASED}:1") == other.metrics(RELEASED, f"{RELEASED}:1")
        assert await call("explain", RELEASED) == other.explain(RELEASED)
        assert await call("history", RELEASED, 1, points=5) == other.history(RELEASED, 1, points=5)
        assert (await call("production_of", RELEASED)).production == other.production_of(RELEASED).production
        assert await call.listed("looks", RELEASED, 1, limit=2) == list(other.looks(RELEASED, 1, limit=2))
        assert await call("forecast", IDLE, [5, 20], 50.0) == other.forecast(IDLE, [5, 20], 50.0)


async def test_what_has_happened_has_types(call: Caller) -> None:
    up: ServerHealth = await call("server_health")
    assert up.status == "ok"
    assert {each.name for each in await call("deployments")} >= {RELEASED}

    counts = await call("metrics", RELEASED, f"{RELEASED}:1")
    assert counts.canary.model_errors == counts.canary.requests > 0
    assert sum(bucket.count for bucket in counts.baseline.latency) == counts.baseline.requests

    explanation = await call("explain", RELEASED, f"{RELEASED}:1")
    assert (explanation.rollout.phase, explanation.decisions[0].kind) == ("rolled_back", "canary_started")
    assert "it raises" in [decision.reason for decision in explanation.decisions]

    forecast = await call("forecast", IDLE, [5], 50.0, steps=[(5, 60.0), (100, 0)])
    (share,) = forecast.weights
    assert share.weight == 5.0
    assert share.found["5"].seconds > 0
    assert [step.weight for step in forecast.plan.steps] == [5.0, 100.0]

    everywhere = await call("production")
    (here,) = (each for each in everywhere.deployments if each.deployment == RELEASED)
    assert (here.production.baseline, here.production.canary, here.production.event.kind) == (
        "risk@2",
        None,
        "promoted",
    )
    before = await call("production_of", RELEASED, here.production.since.replace(year=here.production.since.year + 1))
    assert before.production == here.production

    history = await call("history", RELEASED, 1)
    assert history.rollout.id == f"{RELEASED}:1"
    assert all(point.weight == 50.0 for point in history.points)
    pages = await call.listed("looks", RELEASED, 1)
    assert {page.rollout for page in pages} == {f"{RELEASED}:1"}


async def test_the_timeline_is_read_page_by_page_and_followed(call: Caller) -> None:
    pages = await call.listed("event_pages", RELEASED, limit=2)
    events = [event for page in pages for event in page.events]
    followed: list[Event] = await call.listed("follow", RELEASED, after=0, most=len(events))

    assert [len(page.events) for page in pages[:-1]] == [2] * (len(pages) - 1)
    told = [event.kind for event in events if not event.kind.startswith(("health_check", "rollback_recommended"))]
    assert told == ["deployment_created", "canary_started", "rolled_back", "canary_started", "promoted"]
    assert followed == events
    some: list[Event] = await call.listed("follow", after=events[1].id, kinds=["promoted"], most=1)
    assert some[0].kind == "promoted"
    (one,) = (await call("events", RELEASED, kinds=["rolled_back"], since=events[0].at, until=events[-1].at)).events
    assert one.reason == "it raises"


async def test_each_refusal_has_a_type(call: Caller, name: str) -> None:
    await call("deploy", name, models.STABLE, {"failover": False})

    with pytest.raises(NotFoundError):
        await call("deployment", "nowhere")
    with pytest.raises(NotAllowedError) as not_allowed:
        await call("promote", name)
    with pytest.raises(StaleGenerationError):
        await call("configure", name, {"sticky": True}, expected_generation=7)
    with pytest.raises(InvalidError):
        await call("start", name, 2, 300.0)
    with pytest.raises(NotFoundError):
        await call.listed("follow", "nowhere", most=1)

    assert not_allowed.value.state == "stable"
    assert not_allowed.value.possible == ("configure", "start")


async def test_a_model_that_fails_is_told_from_a_server_that_does(call: Caller, name: str) -> None:
    await call("deploy", name, models.STABLE, {"failover": False, "allow_forced": True, "auto_rollback": False})
    await call("start", name, 3, 100.0)

    with pytest.raises(ModelFailedError) as failed:
        await call("predict", name, models.KNOWN)

    assert failed.value.code == "SERINUS-MODEL-ERROR"
    await call("rollback", name)


async def test_a_command_that_is_sent_twice_under_one_key_happens_once(call: Caller, name: str) -> None:
    await call("deploy", name, models.STABLE)
    command = calls.configure(name, {"failover": False})

    first = await call("send", command, key=f"key-of-{name}")
    second = await call("send", command, key=f"key-of-{name}")

    assert (first.generation, second.generation) == (2, 2)
    assert [each.kind for each in (await call("events", name)).events] == ["deployment_created", "configured"]


def test_every_method_says_what_it_does_and_what_it_gives() -> None:
    for method in _methods():
        described = getattr(Client, method)
        assert described.__doc__
        assert inspect.signature(described).return_annotation is not inspect.Signature.empty, method
        assert described.__name__ == method


def test_every_method_is_called_here() -> None:
    called = re.findall(r'call(?:\.listed)?\(\s*"(\w+)"', Path(__file__).read_text())

    assert set(_methods()) <= set(called)


def _methods() -> list[str]:
    return [name for name, value in vars(Endpoints).items() if isinstance(value, Endpoint | Procedure | Series)]
