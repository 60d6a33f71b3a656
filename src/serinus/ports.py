"""What Serinus needs from the outside, as Protocols; adapters provide it, services ask for nothing else."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from serinus.core.answers import Answer, RawOutput
from serinus.core.deployment import Deployment, Rollout
from serinus.core.events import Event
from serinus.core.evidence import Evidence
from serinus.core.names import VersionRef
from serinus.core.records import (
    HealthSnapshot,
    ModelSummary,
    ModelVersion,
    PredictionRecord,
    RecordedEvent,
    VersionDraft,
)
from serinus.core.routing import Split
from serinus.core.signature import Row, Signature


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """Give the wall clock's time, with a time zone."""
        ...

    def monotonic(self) -> float:
        """Give seconds that never go back."""
        ...


class Store(Protocol):
    """The truth: versions, deployments, events, predictions. Each method is one transaction.

    Every method raises Unavailable where the database does not answer.
    """

    async def register(self, draft: VersionDraft, now: datetime) -> ModelVersion:
        """Give the draft the next number of its model: 1, 2, 3 …, without gaps however many register at once."""
        ...

    async def models(self) -> list[ModelSummary]:
        """List the models by name."""
        ...

    async def versions(self, model: str) -> list[ModelVersion]:
        """List a model's versions, oldest first; empty where there is no such model."""
        ...

    async def version(self, ref: VersionRef) -> ModelVersion | None:
        """Find one version."""
        ...

    async def deployments(self) -> list[Deployment]:
        """List the deployments by name."""
        ...

    async def deployment(self, name: str) -> Deployment | None:
        """Find one deployment."""
        ...

    async def save(self, new: Deployment, expected_generation: int, events: Sequence[Event]) -> list[RecordedEvent]:
        """Write state, rollout, events and outbox in one transaction, guarded by the generation.

        ``expected_generation`` 0 means the deployment must not exist yet.

        Raises:
            StaleGeneration: the stored generation is another; nothing was written.
            AlreadyExists: a new deployment's name is taken.
        """
        ...

    async def record(self, events: Sequence[Event]) -> list[RecordedEvent]:
        """Append events that change no state, with their outbox entries."""
        ...

    async def events(
        self,
        deployment: str,
        *,
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
        kinds: Sequence[str] = (),
    ) -> list[RecordedEvent]:
        """List a deployment's events; ``after`` is the id of the last one already seen (before, if newest first)."""
        ...

    async def rollouts(self, deployment: str, *, limit: int = 100) -> list[Rollout]:
        """List a deployment's rollouts, newest first."""
        ...

    async def save_snapshot(self, snapshot: HealthSnapshot) -> None:
        """Keep one health check."""
        ...

    async def snapshots(
        self, rollout: str, *, since: datetime | None = None, until: datetime | None = None, limit: int = 1000
    ) -> list[HealthSnapshot]:
        """List a rollout's health checks, newest first, of the instants ``since`` and ``until`` and between."""
        ...

    async def last_snapshot(self, deployment: str) -> HealthSnapshot | None:
        """Find the newest health check of a deployment."""
        ...

    async def append_predictions(self, records: Sequence[PredictionRecord]) -> None:
        """Append to the prediction log; a record whose id is there already is passed over."""
        ...

    async def predictions(self, deployment: str, *, limit: int = 100) -> list[PredictionRecord]:
        """List logged predictions, newest first."""
        ...

    async def ping(self) -> None:
        """Return if the database answers."""
        ...

    async def close(self) -> None:
        """Release what is open."""
        ...


OnSplit = Callable[[str, object], None]
"""Told the deployment and what the board now keeps for it (a mapping, None if nothing, or whatever is there)."""


@dataclass(frozen=True, slots=True)
class EvidenceReport:
    """The cumulative evidence of one gateway process since it started (``boot``)."""

    gateway: str
    boot: str
    evidence: Evidence


class Board(Protocol):
    """What every gateway sees at once: splits with generations, who has seen them, and the evidence."""

    async def publish(self, split: Split) -> bool:
        """Put up a split and tell all gateways; False, and nothing changed, if a newer generation is up."""
        ...

    async def split(self, deployment: str) -> object:
        """Give what is kept for a deployment, as it is; None if nothing."""
        ...

    async def join(self, gateway: str, on_split: OnSplit) -> None:
        """Announce a live gateway, to be told of every change; it is told of all there is at once."""
        ...

    async def leave(self, gateway: str) -> None:
        """Take a gateway out."""
        ...

    def acknowledge(self, gateway: str, deployment: str, generation: int) -> None:
        """Say that this gateway routes by the generation from now on; never blocks."""
        ...

    async def unacknowledged(self, deployment: str, generation: int, timeout_s: float) -> list[str]:
        """Wait until every live gateway has acknowledged the generation or a newer one; name those that have not."""
        ...

    async def report(self, report: EvidenceReport) -> None:
        """Put up a gateway's cumulative evidence, in place of what it had put up before."""
        ...

    async def reports(self, rollout: str) -> list[EvidenceReport]:
        """Give all gateways' evidence of one rollout."""
        ...

    async def close(self) -> None:
        """Release what is open."""
        ...


class Artifacts(Protocol):
    """Model files by digest (``sha256:<hex>``): created once, never changed, checked whenever they are read."""

    async def put(self, data: bytes) -> str:
        """Keep the bytes and give their digest; the same bytes again change nothing."""
        ...

    async def get(self, digest: str) -> bytes:
        """Read the bytes; ArtifactMissing, or ArtifactCorrupt if they are not the ones that were kept."""
        ...

    async def size(self, digest: str) -> int | None:
        """Give the size in bytes; None if it is not kept."""
        ...


class Model(Protocol):
    """A model in memory."""

    def predict(self, rows: Sequence[Row]) -> RawOutput:
        """Predict for rows in training order; may raise anything. Called from a thread."""
        ...


class ModelLoader(Protocol):
    """Turns an artifact's bytes into a model."""

    def load(self, data: bytes, format: str, signature: Signature) -> Model:  # noqa: A002
        """Load a model; FormatRefused where the format is unknown, not allowed, or not what the bytes are."""
        ...

    def check(self, format: str) -> None:  # noqa: A002
        """Raise FormatRefused where the format is unknown or not allowed here."""
        ...


class Predictor(Protocol):
    """One model version, ready to answer."""

    @property
    def version(self) -> ModelVersion:
        """The version it answers for."""
        ...

    async def predict(self, row: Row, timeout_s: float) -> Answer:
        """Answer for one row in training order.

        Raises:
            ModelError: the model raised; ModelTimeout: no answer in time (waiting in the queue included);
            BadOutput: NaN, infinity, a wrong shape or kind. Overloaded: the queue is full; nothing was begun.
        """
        ...

    def close(self) -> None:
        """Give back what it holds; requests under way are answered or time out."""
        ...


class PredictorFactory(Protocol):
    """Makes predictors."""

    async def start(self, version: ModelVersion, artifact: bytes) -> Predictor:
        """Load a model and make it ready; raises what the loader raises, or ModelError."""
        ...


class Notifier(Protocol):
    """Tells people of events."""

    async def notify(self, events: Iterable[RecordedEvent]) -> None:
        """Deliver events; an event may be delivered twice, never not at all."""
        ...
