"""What Serinus needs from the outside, as Protocols; adapters provide it, services ask for nothing else."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol

from serinus.core.answers import Answer, RawOutput
from serinus.core.deployment import Deployment, Rollout
from serinus.core.events import Event, EventKind
from serinus.core.log_frames import Batch, Position, Taken
from serinus.core.looks import Tested
from serinus.core.lookups import Found, Lookup
from serinus.core.names import VersionRef
from serinus.core.records import (
    EvidenceReport,
    HealthSnapshot,
    Lease,
    ModelSummary,
    ModelVersion,
    Once,
    Outcome,
    PredictionRecord,
    Pruned,
    RecordedEvent,
    Untold,
    VersionDraft,
)
from serinus.core.routing import Cut, Split
from serinus.core.rows import Rows
from serinus.core.signature import Row, Signature
from serinus.core.work import Work


class Clock(Protocol):
    """The time."""

    def microseconds(self) -> int:
        """Give the wall clock's time as whole microseconds since 1970 (UTC)."""
        ...

    def now(self) -> datetime:
        """Give the wall clock's time, with a time zone."""
        ...

    def monotonic(self) -> float:
        """Give seconds that never go back."""
        ...


CHECKER = "checker"
"""The lease of the checker that leads; its term fences what it writes."""


class Store(Protocol):
    """The truth: versions, deployments, events, predictions. Each method is one transaction.

    Every method raises Unavailable where the database does not answer.

    ``term`` fences: with one given, nothing is written, and Deposed is raised, unless the lease ``CHECKER`` is still
    of that term when the transaction ends. ``once`` is kept in the same transaction, so that ``outcome`` tells what
    came of it; a key that is there already raises KeyReused, and nothing is written.
    """

    async def register(self, draft: VersionDraft, now: datetime, *, once: Once | None = None) -> ModelVersion:
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

    async def save(
        self,
        new: Deployment,
        expected_generation: int,
        events: Sequence[Event],
        *,
        term: int | None = None,
        once: Once | None = None,
    ) -> list[RecordedEvent]:
        """Write state, rollout, events and outbox in one transaction, guarded by the generation.

        ``expected_generation`` 0 means the deployment must not exist yet.

        Raises:
            StaleGeneration: the stored generation is another; nothing was written.
            AlreadyExists: a new deployment's name is taken.
        """
        ...

    async def record(self, events: Sequence[Event], *, term: int | None = None) -> list[RecordedEvent]:
        """Append events that change no state, with their outbox entries."""
        ...

    async def outcome(self, key: str) -> Outcome | None:
        """Tell what came of a command that was given this key."""
        ...

    async def events(
        self,
        deployment: str,
        *,
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
        kinds: Sequence[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[RecordedEvent]:
        """List a deployment's events; ``after`` is the id of the last one already seen (before, if newest first).

        ``since`` and ``until`` are the first and the last instant.
        """
        ...

    async def timeline(
        self,
        deployments: Sequence[str] = (),
        *,
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
        kinds: Sequence[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[RecordedEvent]:
        """List the events of some deployments, or of all, as ``events`` does.

        An event becomes visible after those with smaller ids: who has seen one has missed none before it.
        """
        ...

    async def production_events(self, until: datetime, deployment: str | None = None) -> list[RecordedEvent]:
        """List what ``core.production`` replays to tell what was in production at an instant.

        Of one deployment or of all, its transitions from the last that begins or ends a rollout on; by deployment,
        oldest first.
        """
        ...

    async def rollout(self, rollout: str) -> Rollout | None:
        """Find one rollout by its id."""
        ...

    async def rollouts(self, deployment: str, *, limit: int = 100) -> list[Rollout]:
        """List a deployment's rollouts, newest first."""
        ...

    async def save_snapshot(
        self,
        snapshot: HealthSnapshot,
        *,
        reports: Sequence[EvidenceReport] = (),
        term: int | None = None,
        tested: Tested | None = None,
    ) -> None:
        """Keep one health check and, in place of what was kept of each boot, the reports of the rollout it rests on.

        ``tested``, how far a sequential test has come with it, takes the place of what was kept of that.
        """
        ...

    async def tested(self, rollout: str) -> Tested | None:
        """Find how far the sequential test of a rollout has come."""
        ...

    async def looks(self, rollout: str, *, after: int = 0, limit: int = 1000) -> list[tuple[int, HealthSnapshot]]:
        """List the checks of a rollout that a sequential test took in, oldest first, with growing numbers."""
        ...

    async def kept_reports(self, rollout: str) -> list[EvidenceReport]:
        """Give the newest report of each gateway process that a health check of the rollout was ever saved with."""
        ...

    async def snapshots(
        self, rollout: str, *, since: datetime | None = None, until: datetime | None = None, limit: int = 1000
    ) -> list[HealthSnapshot]:
        """List a rollout's health checks, newest first, of the instants ``since`` and ``until`` and between."""
        ...

    async def sampled_snapshots(self, rollout: str, points: int) -> list[HealthSnapshot]:
        """Give some of a rollout's health checks, oldest first: all, or ``points`` at most, evenly spread over time.

        The first and the last are among them. No more than these are read, however many there are.
        """
        ...

    async def last_snapshot(self, deployment: str) -> HealthSnapshot | None:
        """Find the newest health check of a deployment."""
        ...

    async def take_in(self, journal: str, batch: Batch) -> Taken:
        """Append the rows of a journal to the prediction log, and keep with them how far the store has the journal.

        Each row gets in once: if the store has the journal to another position than that where the batch begins,
        nothing is written, and that position is given. A row whose id is there already is passed over; one that the
        database cannot hold is refused, and the others are written.
        """
        ...

    async def position(self, journal: str) -> Position:
        """Say how far the store has a journal; START where it knows nothing of it."""
        ...

    async def forget(self, journal: str) -> None:
        """Forget a journal that is no more."""
        ...

    async def predictions(self, deployment: str, *, limit: int = 100) -> list[PredictionRecord]:
        """List logged predictions, newest first."""
        ...

    async def prune(self, before: datetime) -> Pruned:
        """Remove predictions, health checks of ended rollouts and outcomes older than an instant; never an event."""
        ...

    async def hold(self, name: str, holder: str, ttl_s: float, now: datetime) -> Lease:
        """Take or renew a lease for ``ttl_s`` seconds if nobody else holds it, and say who does hold it now.

        Its term grows by one whenever it is taken anew: by another holder, or by the same one after it ran out. A
        database that several machines share goes by its own clock, else it is ``now``.
        """
        ...

    async def release(self, name: str, holder: str) -> None:
        """Give a lease back, if this holder has it; its term stays."""
        ...

    async def ping(self) -> None:
        """Return if the database answers."""
        ...

    async def close(self) -> None:
        """Release what is open."""
        ...


OnSplit = Callable[[str, object], None]
"""Told the deployment and what the board now keeps for it (a mapping, None if nothing, or whatever is there)."""


class Journal(Protocol):
    """Logged predictions on this machine's disk, in order, until the store has them; this process alone has it."""

    @property
    def name(self) -> str:
        """By which the store keeps how far it has it; no other journal ever has it."""
        ...

    @property
    def size(self) -> int:
        """Bytes that wait for the store."""
        ...

    def append(self, rows: Sequence[bytes], oldest: int, newest: int) -> None:
        """Write rows: all of them or, when it raises Unavailable, none. They outlive this process.

        ``oldest`` and ``newest`` bound their instants, in microseconds since 2000.
        """
        ...

    def sync(self) -> None:
        """Let what was written outlive the machine's loss of power; Unavailable if it may not. Called from a thread."""
        ...

    def read(self, after: Position, limit: int) -> Batch | None:
        """Read on from a position, about ``limit`` bytes; None where nothing follows. Called from a thread."""
        ...

    def release(self, until: Position) -> None:
        """Give up what the store has."""
        ...

    def close(self, *, remove: bool) -> None:
        """Leave it to whoever takes it next, or remove it."""
        ...


class Journals(Protocol):
    """The journals of one store on this machine."""

    def begin(self) -> Journal:
        """Begin the journal of this process; Unavailable if the disk does not let it."""
        ...

    def adopt(self) -> Sequence[Journal]:
        """Take over the journals that processes left behind. Called from a thread."""
        ...


class Board(Protocol):
    """What every gateway sees at once: splits with generations, who has seen them, the lease, and the evidence.

    A method that asks a board on another machine raises Unavailable where it does not answer.
    """

    async def publish(self, split: Split, *, promoted: str = "") -> bool:
        """Put up a split and tell all gateways; False, and nothing changed, if a newer generation is up.

        A cut of the same rollout that is up stays: it goes into the new split, before one that the new split brings.
        ``promoted`` names the rollout that became the split's baseline: where a promised cut of it is up, that stays.
        """
        ...

    async def cut(
        self, deployment: str, cut: Cut, *, expected_generation: int | None = None, term: int | None = None
    ) -> Split | None:
        """Take the canary's share to zero at once and tell all gateways.

        Gives the split as it is up now, with this cut or the one that was there before; None, and nothing changed, if
        there is no rollout on the board or its split is of another generation than the one expected.

        Raises:
            Deposed: ``term`` is given, and a lease of a newer term has been up.
        """
        ...

    async def promise(self, deployment: str, cut: Cut) -> Split | None:
        """Mark a cut as promised, so that no promotion replaces it; None, and nothing changed, if it is up no more."""
        ...

    async def split(self, deployment: str) -> object:
        """Give what is kept for a deployment, as it is; None if nothing."""
        ...

    async def splits(self) -> dict[str, object]:
        """Give what is kept for every deployment."""
        ...

    async def join(self, gateway: str, on_split: OnSplit) -> None:
        """Announce a live gateway, to be told of every change; it is told of all there is at once.

        A board that does not answer is no error here: the gateway is told of what there is when it does.
        """
        ...

    async def leave(self, gateway: str) -> None:
        """Take a gateway out."""
        ...

    def acknowledge(self, gateway: str, deployment: str, stamp: int) -> None:
        """Say that this gateway routes by the split with this stamp from now on; never blocks."""
        ...

    async def unacknowledged(self, deployment: str, stamp: int, timeout_s: float) -> list[str]:
        """Wait until every gateway has acknowledged the stamp or a newer one; name those that have not.

        Those are live ones, and those that went without a word, for as long as they may have the lease.
        """
        ...

    def gone(self) -> list[str]:
        """Name the gateways that went without a word, as far as is known here and as long as they may have the lease.

        What they counted last is not on the board; never blocks.
        """
        ...

    async def renew(self, term: int, ttl_s: float) -> None:
        """Renew the lease under which canaries have traffic: somebody judges them.

        Raises:
            Deposed: a lease of a newer term has been up; nothing changed.
        """
        ...

    def leased(self) -> bool:
        """Say whether canaries may have traffic, as far as is known here; never blocks, and is asked on every draw."""
        ...

    async def report(self, report: EvidenceReport) -> None:
        """Put up a gateway process's cumulative evidence, in place of what it had put up before."""
        ...

    async def reports(self, rollout: str) -> list[EvidenceReport]:
        """Give the evidence of one rollout of every gateway process that has any, ended ones included."""
        ...

    async def ping(self) -> None:
        """Return if the board answers."""
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

    async def ping(self) -> None:
        """Return if the artifact store answers."""
        ...


class Model(Protocol):
    """A model in memory.

    ``takes_matrix``: whether it makes a matrix of floats of all rows, so that one may be given in their place.
    """

    @property
    def takes_matrix(self) -> bool:
        """Say so."""
        ...

    def predict(self, rows: Rows) -> RawOutput:
        """Predict for rows in training order; may raise anything."""
        ...


class ModelLoader(Protocol):
    """Turns an artifact's bytes into a model."""

    def load(self, data: bytes, format: str, signature: Signature) -> Model:  # noqa: A002
        """Load a model; FormatRefused where the format is unknown, not allowed, or not what the bytes are."""
        ...

    def check(self, format: str) -> None:  # noqa: A002
        """Raise FormatRefused where the format is unknown or not allowed here."""
        ...


Settle = Callable[[Sequence[Answer] | Exception], None]
"""Told once what came of a request: an answer to each of its rows, or why there are none."""


class Ticket(Protocol):
    """A request that was handed to a predictor."""

    def withdraw(self) -> None:
        """Want no answer any more: nobody is told of one, and what waits is not begun."""
        ...


class Predictor(Protocol):
    """One model version, ready to answer."""

    @property
    def version(self) -> ModelVersion:
        """The version it answers for."""
        ...

    @property
    def work(self) -> Work:
        """What it has done so far."""
        ...

    def ask(self, rows: Sequence[Row], timeout_s: float, settle: Settle) -> Ticket:
        """Ask for rows in training order, all at once; never blocks, and may settle before it returns.

        Settled with ModelError (the model raised, or its process ended), ModelTimeout (no answer in time, waiting
        included), BadOutput (NaN, infinity, a wrong shape or kind), Overloaded (the queue is full; nothing was begun)
        or Unavailable (it is closed).
        """
        ...

    def yield_to_others(self, yes: bool) -> None:  # noqa: FBT001 - the one question it is
        """Let others have the processor first, as a canary does, or not any more."""
        ...

    def close(self) -> None:
        """Give back what it holds; requests under way are answered or time out."""
        ...


class PredictorFactory(Protocol):
    """Makes predictors."""

    async def start(self, version: ModelVersion, artifact: bytes) -> Predictor:
        """Load a model and make it ready; raises what the loader raises, or ModelError."""
        ...


class FeatureSource(Protocol):
    """A feature store that answers while a request waits."""

    async def find(self, lookup: Lookup) -> Found:
        """Give what it has on an entity; Unavailable or PlatformError where it cannot be asked."""
        ...


class Notifier(Protocol):
    """Tells one target of events."""

    @property
    def name(self) -> str:
        """Stable over restarts, and without a secret: its queue and its metrics are under it."""
        ...

    @property
    def kinds(self) -> frozenset[EventKind]:
        """What it wants to be told of."""
        ...

    async def notify(self, events: Sequence[RecordedEvent]) -> None:
        """Tell of events of one deployment, in their order; of an event perhaps more than once, never not at all.

        Raises:
            Unavailable: not now; to be asked again, where its details have ``retry_after_s`` not sooner than that.
            NotificationRefused: the target will never take it. TargetGone: it will take nothing any more.
        """
        ...


class Outbox(Protocol):
    """What each target has yet to be told. Each method is one transaction, and raises Unavailable as the Store does."""

    async def identity(self) -> str:
        """Give the store's own name, a UUID that it keeps for ever."""
        ...

    async def enlist(self, target: str, now: datetime) -> None:
        """Note that a target is wanted now; one that was not known is told of what is recorded from now on."""
        ...

    async def spread(self) -> None:
        """Give each target its entry for every new event, whatever order the events became visible in.

        Of an event that no target is to be told nothing is left.
        """
        ...

    async def due(self, target: str, now: datetime, *, limit: int = 100) -> list[Untold]:
        """List what a target is to be told now, oldest first: of a deployment nothing that would pass another event."""
        ...

    async def settle(self, target: str, events: Collection[int]) -> None:
        """Note that a target needs to be told of these no more."""
        ...

    async def postpone(self, target: str, untold: Untold, not_before: datetime) -> None:
        """Keep an event, and all after it of its deployment, back until then; tries and refusals are kept with it."""
        ...

    async def untold(self, target: str) -> int:
        """Count what a target has yet to be told."""
        ...

    async def forget(self, before: datetime) -> list[str]:
        """Forget the targets that were not wanted since, with what they had yet to be told; give their names."""
        ...
