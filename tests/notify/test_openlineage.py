"""A server that takes OpenLineage gets runs that lead from a rollout to the data that its versions were trained on."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx2
import pytest
from openlineage.client import event_v2 as lineage
from openlineage.client.facet_v2 import (
    dataset_version_dataset,
    error_message_run,
    job_type_job,
    processing_engine_run,
    schema_dataset,
)
from tests.notify.receiver import Post, Receiver, Reply, receiving
from tests.notify.samples import IDENTITY, NOW, recorded, rolled_back

from serinus.core.errors import NotificationRefused, Unavailable
from serinus.core.events import EventKind
from serinus.core.names import VersionRef
from serinus.core.records import Lineage as Origin
from serinus.core.records import ModelVersion, RecordedEvent, VersionDraft
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.notify.openlineage import Lineage, run_id

SIGNATURE = Signature((Feature("age", Dtype.FLOAT), Feature("sex", Dtype.STR)), Output(OutputKind.NUMBER))
DATA = {1: "sha256:aa11", 2: "sha256:bb22"}
MOVED: dict[str, Any] = {"from": "heart@1", "to": "heart@2"}
PAIR: dict[str, Any] = {"canary": "heart@2", "baseline": "heart@1"}


async def versions(ref: VersionRef) -> ModelVersion | None:
    """Find one of two versions, of which the second was made from the first."""
    if ref.model != "heart" or ref.version not in DATA:
        return None
    parent = "heart@1" if ref.version == 2 else ""
    origin = Origin(DATA[ref.version], f"run-{ref.version}", "c0ffee", parent)
    draft = VersionDraft(ref.model, "sha256:0f", 7, "skops", SIGNATURE, metrics={"auc": 0.9}, lineage=origin)
    return ModelVersion(ref, draft, NOW)


@pytest.fixture(scope="module")
def running() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def receiver(running: Receiver) -> Receiver:
    running.posts.clear()
    running.answers = lambda _: Reply(201)
    return running


@pytest.fixture
async def target(receiver: Receiver) -> AsyncIterator[Lineage]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        yield Lineage(http, receiver.url, "ml", IDENTITY, versions)


def read(post: Post) -> lineage.RunEvent:
    """Read a run event as its specification has it: the official classes refuse what is missing or ill-formed."""
    sent = post.json
    run = lineage.Run(runId=sent["run"]["runId"], facets=sent["run"]["facets"])
    job = lineage.Job(namespace=sent["job"]["namespace"], name=sent["job"]["name"], facets=sent["job"]["facets"])
    event = lineage.RunEvent(
        eventTime=sent["eventTime"],
        eventType=lineage.RunState[sent["eventType"]],
        run=run,
        job=job,
        inputs=[lineage.InputDataset(**each) for each in sent["inputs"]],
        outputs=[lineage.OutputDataset(**each) for each in sent["outputs"]],
        producer=sent["producer"],
    )
    assert sent["schemaURL"] == event.schemaURL
    _check_facets(sent["run"]["facets"], processing_engine=processing_engine_run.ProcessingEngineRunFacet)
    _check_facets(sent["run"]["facets"], errorMessage=error_message_run.ErrorMessageRunFacet)
    _check_facets(sent["job"]["facets"], jobType=job_type_job.JobTypeJobFacet)
    for each in [*sent["inputs"], *sent["outputs"]]:
        _check_facets(each["facets"], version=dataset_version_dataset.DatasetVersionDatasetFacet)
        _check_facets(each["facets"], schema=schema_dataset.SchemaDatasetFacet)
    return event


def _check_facets(facets: dict[str, Any], **kinds: Any) -> None:
    """See that these facets, where they are there, are what their schema says."""
    for facet in facets.values():
        assert facet["_producer"].startswith("urn:serinus:")
        assert ":" in facet["_schemaURL"]
    for name, kind in kinds.items():
        if name in facets:
            values = {key: value for key, value in facets[name].items() if not key.startswith("_")}
            assert kind(**values)._schemaURL == facets[name]["_schemaURL"]


async def told(target: Lineage, receiver: Receiver, *events: RecordedEvent) -> list[lineage.RunEvent]:
    await target.notify(events)
    return [read(post) for post in receiver.posts]


async def test_a_canary_that_starts_is_a_run_of_its_deployment(target: Lineage, receiver: Receiver) -> None:
    (event,) = await told(target, receiver, recorded(EventKind.CANARY_STARTED, **PAIR, weight=5.0))

    assert receiver.posts[0].path == "/api/v1/lineage"
    assert event.eventType is lineage.RunState.START
    assert datetime.fromisoformat(event.eventTime) == NOW
    assert (event.job.namespace, event.job.name) == ("ml", "heart-prod")
    assert UUID(event.run.runId) == run_id(UUID(IDENTITY), "heart-prod:2")


async def test_a_run_leads_to_the_versions_and_the_data_that_they_were_trained_on(
    target: Lineage, receiver: Receiver
) -> None:
    await told(target, receiver, rolled_back())

    inputs = {each["name"]: each for each in receiver.posts[0].json["inputs"]}
    assert set(inputs) == {"heart@2", "dataset sha256:bb22", "heart@1", "dataset sha256:aa11"}
    assert {each["namespace"] for each in inputs.values()} == {"ml"}
    canary = inputs["heart@2"]["facets"]
    assert canary["version"]["datasetVersion"] == "2"
    assert [(field["name"], field["type"]) for field in canary["schema"]["fields"]] == [
        ("age", "float"),
        ("sex", "str"),
    ]
    origin = canary["serinus_modelVersion"]
    assert (origin["runId"], origin["gitCommit"], origin["parent"]) == ("run-2", "c0ffee", "heart@1")
    assert (origin["datasetDigest"], origin["metrics"]) == ("sha256:bb22", {"auc": 0.9})
    assert inputs["dataset sha256:bb22"]["facets"]["version"]["datasetVersion"] == "sha256:bb22"


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (recorded(EventKind.CANARY_STARTED, **PAIR), "START"),
        (recorded(EventKind.PROMOTED, **MOVED), "COMPLETE"),
        (recorded(EventKind.PROMOTED, **MOVED, holdback=5.0, bake_until="2026-03-01T13:00:00+00:00"), "RUNNING"),
        (recorded(EventKind.BAKE_ENDED, **MOVED), "COMPLETE"),
        (rolled_back(), "FAIL"),
        (rolled_back(actor="ada"), "ABORT"),
    ],
)
async def test_each_step_is_a_state_of_the_same_run(
    event: RecordedEvent, state: str, target: Lineage, receiver: Receiver
) -> None:
    (run,) = await told(target, receiver, event)

    assert run.eventType is lineage.RunState[state]
    assert UUID(run.run.runId) == run_id(UUID(IDENTITY), "heart-prod:2")
    rollout = receiver.posts[0].json["run"]["facets"]["serinus_rollout"]
    assert (rollout["rollout"], rollout["canary"], rollout["baseline"]) == ("heart-prod:2", "heart@2", "heart@1")


async def test_a_rollback_says_why(target: Lineage, receiver: Receiver) -> None:
    event = rolled_back()
    await told(target, receiver, event)

    assert receiver.posts[0].json["run"]["facets"]["errorMessage"]["message"] == event.event.reason


async def test_what_a_deployment_serves_changes_with_a_promotion(target: Lineage, receiver: Receiver) -> None:
    started, promoted = await told(
        target, receiver, recorded(EventKind.CANARY_STARTED, **PAIR), recorded(EventKind.PROMOTED, **MOVED)
    )

    assert not started.outputs
    (served,) = promoted.outputs or []
    assert served.name == "served by heart-prod"
    assert receiver.posts[1].json["outputs"][0]["facets"]["version"]["datasetVersion"] == "heart@2"


async def test_runs_of_other_stores_and_rollouts_are_other_ones() -> None:
    ours, other = UUID(IDENTITY), UUID(int=1)

    assert len({run_id(ours, "a:1"), run_id(ours, "a:2"), run_id(other, "a:1")}) == 3


async def test_a_version_that_nobody_knows_is_named_all_the_same(target: Lineage, receiver: Receiver) -> None:
    event = rolled_back()
    facts = {**event.event.data, "canary": "lost@9", "baseline": "no ref"}
    await told(target, receiver, replace(event, event=replace(event.event, data=facts)))

    assert [each["name"] for each in receiver.posts[0].json["inputs"]] == ["lost@9", "no ref"]


async def test_only_what_changes_a_rollout_is_wanted(target: Lineage) -> None:
    assert target.kinds == {
        EventKind.CANARY_STARTED,
        EventKind.PROMOTED,
        EventKind.BAKE_ENDED,
        EventKind.ROLLED_BACK,
    }


@pytest.mark.parametrize(("status", "error"), [(503, Unavailable), (422, NotificationRefused)])
async def test_a_server_that_does_not_take_it_is_understood(
    status: int, error: type[Exception], target: Lineage, receiver: Receiver
) -> None:
    receiver.answers = lambda _: Reply(status)

    with pytest.raises(error):
        await target.notify([rolled_back()])
