"""Lineage out: each rollout is an OpenLineage run of its deployment, on model versions and their training data."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID, uuid5

import attr
import httpx2
from openlineage.client import event_v2 as lineage
from openlineage.client import facet_v2 as facets
from openlineage.client.generated.base import DatasetFacet, RunFacet
from openlineage.client.serde import Serde

from serinus import __version__
from serinus.core.decide import ACTOR
from serinus.core.errors import InvalidInput
from serinus.core.events import Event, EventKind
from serinus.core.names import VersionRef
from serinus.core.records import ModelVersion, RecordedEvent
from serinus.notify.posting import named, posted

PATH = "/api/v1/lineage"
PRODUCER = f"urn:serinus:{__version__}"
Versions = Callable[[VersionRef], Awaitable[ModelVersion | None]]


@attr.define(kw_only=True)
class ModelVersionFacet(DatasetFacet):
    """A model version: its file, where it comes from, and what it was measured at."""

    digest: str
    format: str
    runId: str  # noqa: N815 - as OpenLineage spells
    gitCommit: str  # noqa: N815
    datasetDigest: str  # noqa: N815
    parent: str
    metrics: dict[str, float]

    @staticmethod
    def _get_schema() -> str:
        return "urn:serinus:facet:model-version:1"


@attr.define(kw_only=True)
class RolloutFacet(RunFacet):
    """A rollout: its two versions, and what happened last."""

    rollout: str
    canary: str
    baseline: str
    event: str
    actor: str
    reason: str

    @staticmethod
    def _get_schema() -> str:
        return "urn:serinus:facet:rollout:1"


class Lineage:
    """Tells a server of rollouts.

    Args:
        url: the server's, without the path. namespace: of the jobs and datasets. identity: the store's; runs are named
            after it and their rollout. versions: finds a model version.
    """

    def __init__(self, http: httpx2.AsyncClient, url: str, namespace: str, identity: str, versions: Versions) -> None:
        self.name = named("openlineage", url)
        self.kinds = frozenset(_STATES)
        self._http = http
        self._url = url + PATH
        self._namespace = namespace
        self._identity = UUID(identity)
        self._versions = versions

    async def notify(self, events: Sequence[RecordedEvent]) -> None:
        """Post each event; raises what ``posted`` does, or Unavailable where the store does not answer."""
        for recorded in events:
            run = await self._run_event(recorded.event)
            body = Serde.to_json(run).encode()
            await posted(self._http, self._url, body, {"content-type": "application/json"})

    async def _run_event(self, event: Event) -> lineage.RunEvent:
        canary, baseline = (str(event.data.get(name, "")) for name in _ROLES[event.kind])
        state = _state(event)
        run: dict[str, Any] = {
            "processing_engine": facets.processing_engine_run.ProcessingEngineRunFacet(
                version=__version__, name="serinus", producer=PRODUCER
            ),
            "serinus_rollout": RolloutFacet(
                rollout=event.rollout,
                canary=canary,
                baseline=baseline,
                event=event.kind.value,
                actor=event.actor,
                reason=event.reason,
                producer=PRODUCER,
            ),
        }
        if state in {lineage.RunState.FAIL, lineage.RunState.ABORT}:
            run["errorMessage"] = facets.error_message_run.ErrorMessageRunFacet(
                message=event.reason or "rolled back", programmingLanguage="none", producer=PRODUCER
            )
        return lineage.RunEvent(
            eventType=state,
            eventTime=event.at.isoformat(),
            run=lineage.Run(runId=str(run_id(self._identity, event.rollout)), facets=run),
            job=self._job(event.deployment),
            inputs=await self._inputs(canary, baseline),
            outputs=self._outputs(event),
            producer=PRODUCER,
        )

    def _job(self, deployment: str) -> lineage.Job:
        kind = facets.job_type_job.JobTypeJobFacet(
            processingType="STREAMING", integration="SERINUS", jobType="ROLLOUT", producer=PRODUCER
        )
        return lineage.Job(namespace=self._namespace, name=deployment, facets={"jobType": kind})

    async def _inputs(self, canary: str, baseline: str) -> list[lineage.InputDataset]:
        """Give the canary and the baseline, their parents, and the data that each of them was trained on."""
        found: dict[str, lineage.InputDataset] = {}
        for text in (canary, baseline):
            version = await self._version(text)
            for dataset in self._with_data(text, version):
                found.setdefault(dataset.name, dataset)
            if version is not None and (parent := version.draft.lineage.parent):
                for dataset in self._with_data(parent, await self._version(parent)):
                    found.setdefault(dataset.name, dataset)
        return list(found.values())

    def _with_data(self, text: str, version: ModelVersion | None) -> list[lineage.InputDataset]:
        known = [lineage.InputDataset(namespace=self._namespace, name=text, facets=_facets(text, version))]
        digest = version.draft.lineage.dataset_digest if version else ""
        if digest:
            data = {"version": _version_facet(digest)}
            known.append(lineage.InputDataset(namespace=self._namespace, name=f"dataset {digest}", facets=data))
        return known

    def _outputs(self, event: Event) -> list[lineage.OutputDataset]:
        """Give what the deployment serves, once that is another version."""
        if event.kind not in {EventKind.PROMOTED, EventKind.BAKE_ENDED}:
            return []
        served = {"version": _version_facet(str(event.data.get("to", "")))}
        return [lineage.OutputDataset(namespace=self._namespace, name=f"served by {event.deployment}", facets=served)]

    async def _version(self, text: str) -> ModelVersion | None:
        try:
            return await self._versions(VersionRef.parse(text))
        except InvalidInput:  # a parent is what its trainer called it
            return None


def run_id(identity: UUID, rollout: str) -> UUID:
    """Name the run of a rollout: the same whenever it is asked for."""
    return uuid5(identity, rollout)


def _state(event: Event) -> lineage.RunState:
    if event.kind is EventKind.PROMOTED and event.data.get("holdback"):
        return lineage.RunState.RUNNING  # it bakes
    if event.kind is EventKind.ROLLED_BACK and event.actor != ACTOR:
        return lineage.RunState.ABORT
    return _STATES[event.kind]


def _facets(text: str, version: ModelVersion | None) -> dict[str, DatasetFacet]:
    known: dict[str, DatasetFacet] = {"version": _version_facet(text.rpartition("@")[2])}
    if version is None:
        return known
    draft = version.draft
    fields = [
        facets.schema_dataset.SchemaDatasetFacetFields(name=feature.name, type=feature.dtype.value)
        for feature in draft.signature.features
    ]
    known["schema"] = facets.schema_dataset.SchemaDatasetFacet(fields=fields, producer=PRODUCER)
    known["serinus_modelVersion"] = ModelVersionFacet(
        digest=draft.digest,
        format=draft.format,
        runId=draft.lineage.run_id,
        gitCommit=draft.lineage.git_commit,
        datasetDigest=draft.lineage.dataset_digest,
        parent=draft.lineage.parent,
        metrics=dict(draft.metrics),
        producer=PRODUCER,
    )
    return known


def _version_facet(version: str) -> DatasetFacet:
    return facets.dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=version, producer=PRODUCER)


_STATES = {
    EventKind.CANARY_STARTED: lineage.RunState.START,
    EventKind.PROMOTED: lineage.RunState.COMPLETE,
    EventKind.BAKE_ENDED: lineage.RunState.COMPLETE,
    EventKind.ROLLED_BACK: lineage.RunState.FAIL,
}
_ROLES = {
    EventKind.CANARY_STARTED: ("canary", "baseline"),
    EventKind.PROMOTED: ("to", "from"),
    EventKind.BAKE_ENDED: ("to", "from"),
    EventKind.ROLLED_BACK: ("canary", "baseline"),
}
"""Where the data of an event names canary and baseline."""
