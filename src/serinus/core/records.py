"""What is kept on record: model versions, answered predictions, health snapshots."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from serinus.core.deployment import Deployment
from serinus.core.events import Event
from serinus.core.evidence import LAST_BUCKET, Counts, Evidence, Key
from serinus.core.judge import Verdict
from serinus.core.looks import Look
from serinus.core.names import VersionRef
from serinus.core.routing import Role
from serinus.core.signature import Scalar, Signature


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a version comes from: digest of its training data, training run, git commit, parent version."""

    dataset_digest: str = ""
    run_id: str = ""
    git_commit: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class VersionDraft:
    """A model version before it has a number.

    ``digest`` is ``sha256:<hex>`` of the artifact, ``size`` its bytes; ``examples`` are rows kept from training.
    """

    model: str
    digest: str
    size: int
    format: str
    signature: Signature
    examples: tuple[tuple[Scalar | None, ...], ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    lineage: Lineage = field(default_factory=Lineage)
    created_by: str = "unknown"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """An immutable, numbered version of a model."""

    ref: VersionRef
    draft: VersionDraft
    created_at: datetime

    @property
    def signature(self) -> Signature:
        """What the version takes and gives."""
        return self.draft.signature


@dataclass(frozen=True, slots=True)
class Package:
    """A model made ready for registration: artifact bytes, their format, the signature and example rows.

    ``parameters`` is what the making has found out; it goes on record with what the caller says of the version.
    """

    data: bytes
    format: str
    signature: Signature
    examples: tuple[tuple[Scalar | None, ...], ...] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A model and how far its versions go."""

    name: str
    versions: int
    latest: VersionRef
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event with the number the store gave it; numbers grow with time."""

    id: int
    event: Event


@dataclass(frozen=True, slots=True)
class Untold:
    """An event that a target has yet to be told of, how often that was tried, and how often the target refused it.

    ``recorded`` is None where this version of Serinus cannot read the event.
    """

    id: int
    deployment: str
    at: datetime
    recorded: RecordedEvent | None
    tries: int = 0
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """One row that a model was asked for, without its raw inputs.

    ``role``, ``version`` and ``latency_ms`` are those of the role first drawn; ``error_kind`` is "" or how that role
    failed; ``answered_by`` is the version whose answer the caller got ("" if none), ``prediction`` its JSON text.
    ``inputs_hmac`` is hex HMAC-SHA-256 of the canonical inputs under the key ``key_id``. ``forced`` requests are not
    evidence. A request of several rows has a record for each: the first has the request's ``id``, the k-th after it
    ``<id>-<k>``.
    """

    id: str
    at: datetime
    deployment: str
    rollout: str
    split_version: int
    role: Role
    version: str
    answered_by: str
    inputs_hmac: str
    key_id: str
    prediction: str
    prediction_class: str | None
    confidence: float | None
    latency_ms: float
    error_kind: str
    forced: bool
    entity_hmac: str = ""

    @property
    def begins_request(self) -> bool:
        """Whether this is the first row of its request; so many of them, so many requests."""
        return "-" not in self.id


@dataclass(frozen=True, slots=True)
class HealthSnapshot:
    """One check of one rollout: its verdict, and the cumulative evidence of the rollout when it was made.

    ``verdict`` is None where the check itself failed or was none (``reason`` says so). A sequential test is kept with
    what it took in, its ``look``, in place of the cumulative evidence.
    """

    deployment: str
    rollout: str
    at: datetime
    verdict: Verdict | None
    reason: str
    action: str
    evidence: Evidence
    look: Look | None = None


@dataclass(frozen=True, slots=True)
class EvidenceReport:
    """The cumulative evidence of one gateway process since it started (``boot``, unique to the process)."""

    gateway: str
    boot: str
    evidence: Evidence

    @property
    def size(self) -> int:
        """How much was counted; of two reports of one boot the greater is the newer."""
        return sum(c.requests + c.client_errors + c.platform_errors for c in self.evidence.values())


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a lease of the store; ``term`` grows with every new holding, and fences the writes made under it."""

    name: str
    holder: str
    term: int


@dataclass(frozen=True, slots=True)
class Once:
    """Makes a command happen once: the caller's key, and a fingerprint of what was asked under it."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command that was given a key came to: a deployment's new state and events, or a registered version."""

    fingerprint: str
    state: Deployment | None = None
    events: tuple[RecordedEvent, ...] = ()
    version: VersionRef | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows were removed."""

    predictions: int = 0
    snapshots: int = 0
    outcomes: int = 0


def encoded_evidence(evidence: Evidence) -> list[list[object]]:
    """Give evidence as compact JSON values."""
    return [
        [
            *key,
            c.requests,
            c.model_errors,
            c.timeouts,
            c.client_errors,
            c.platform_errors,
            c.latency_sum_ms,
            [list(pair) for pair in sorted(c.latency.items())],
        ]
        for key, c in sorted(evidence.items())
    ]


def decoded_evidence(raw: list[list[object]]) -> dict[Key, Counts]:
    """Read what ``encoded_evidence`` gave; ValueError or TypeError if it is something else."""
    evidence = {}
    for (
        rollout,
        version,
        split_version,
        role,
        requests,
        errors,
        timeouts,
        client,
        platform,
        total_ms,
        latency,
    ) in raw:
        key = Key(_text(rollout), _text(version), _count(split_version), Role(_text(role)))
        evidence[key] = Counts(
            requests=_count(requests),
            model_errors=_count(errors),
            timeouts=_count(timeouts),
            client_errors=_count(client),
            platform_errors=_count(platform),
            latency={_bucket(index): _count(count) for index, count in _pairs(latency)},
            latency_sum_ms=float(str(total_ms)),
        )
    return evidence


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        message = f"{value!r} is not a count"
        raise TypeError(message)
    return value


def _bucket(value: object) -> int:
    index = _count(value)
    if index > LAST_BUCKET:
        message = f"{value!r} is not a latency bucket"
        raise ValueError(message)
    return index


def _text(value: object) -> str:
    if not isinstance(value, str):
        message = f"{value!r} is not a name"
        raise TypeError(message)
    return value


def _pairs(value: object) -> list[list[object]]:
    if not isinstance(value, list):
        message = f"{value!r} is not a list of pairs"
        raise TypeError(message)
    return value
