"""Values to store, as the services would make them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from serinus.core.commands import Command, Create, StartCanary
from serinus.core.deployment import Deployment
from serinus.core.events import Event, EventKind
from serinus.core.evidence import Counts, Key
from serinus.core.judge import judge
from serinus.core.lifecycle import apply
from serinus.core.log_frames import START, Batch, Position, Taken
from serinus.core.log_rows import encoded, microseconds
from serinus.core.names import VersionRef
from serinus.core.policy import Settings, ThresholdPolicy
from serinus.core.records import EvidenceReport, HealthSnapshot, Lineage, Once, PredictionRecord, VersionDraft
from serinus.core.routing import Role
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.ports import Store

NOW = datetime(2025, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
V1, V2 = VersionRef("heart", 1), VersionRef("heart", 2)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def draft(model: str = "heart", *, metrics: Mapping[str, float] | None = None) -> VersionDraft:
    """Give a draft in which every field holds something."""
    return VersionDraft(
        model=model,
        digest="sha256:" + "0f" * 32,
        size=2**40,
        format="skops",
        signature=Signature(
            features=(
                Feature("age", Dtype.FLOAT),
                Feature("smoker", Dtype.BOOL, nullable=True),
                Feature("town", Dtype.STR),
                Feature("id", Dtype.INT),
            ),
            output=Output(OutputKind.CLASS, (0, 2.0, True, "both"), ("no", "2.0", "yes", "both")),
        ),
        examples=((63.0, None, "Köln \N{SMILING FACE WITH SUNGLASSES}", 2**62), (1e-300, True, "", -1)),
        metrics={"auc": 0.1 + 0.2} if metrics is None else metrics,
        parameters={"depth": 3, "grid": [1, None, {"c": 0.5}], "big": 2**70},
        tags={"team": "risk"},
        description="Trained on the spring data.",
        lineage=Lineage("sha256:aa", "run-7", "c0ffee", "heart@0"),
        created_by="ada",
    )


def created(name: str = "fraud") -> tuple[Deployment, tuple[Event, ...]]:
    settings = Settings(sticky=True, promote_from_weight=12.5, policy=ThresholdPolicy(error_delta=0.1 + 0.2))
    return apply(None, Create(name=name, baseline=V1, settings=settings, actor="ada"), NOW)


async def saved(store: Store, name: str = "fraud") -> Deployment:
    """Store a new deployment, of generation 1."""
    state, events = created(name)
    await store.save(state, 0, events)
    return state


async def do(store: Store, state: Deployment, command: Command, now: datetime = NOW) -> Deployment:
    """Apply a command and store what comes of it."""
    new, events = apply(state, command, now)
    await store.save(new, state.generation, events)
    return new


async def saved_canary(store: Store, name: str = "fraud") -> Deployment:
    """Store a deployment with a canary at 5 %, of generation 2."""
    return await do(store, await saved(store, name), start(V2), at(1))


def start(canary: VersionRef, weight: float = 5.0) -> StartCanary:
    return StartCanary(canary=canary, weight=weight, actor="ada", reason="new data")


def check_event(deployment: str = "fraud", kind: EventKind = EventKind.HEALTH_CHECK_PASSED) -> Event:
    facts: dict[str, object] = {"requests": 120, "rate": 0.25, "arms": [{"p95_ms": None}], "ok": True}
    return Event(deployment, 2, kind, NOW, "health-checker", "as it was", f"{deployment}:1", facts)


def snapshot(rollout: str = "fraud:1", when: datetime = NOW, *, failed: bool = False) -> HealthSnapshot:
    baseline = Counts(100, 3, 1, 2, 1, {0: 10, 230: 86, 672: 4}, 12345.678)
    canary = Counts(10, 0, 0, 0, 0, {3: 10}, 0.1 + 0.2)
    evidence = {
        Key(rollout, "heart@1", 1, Role.BASELINE): baseline,
        Key(rollout, "heart@2", 1, Role.CANARY): canary,
    }
    verdict = None if failed else judge(ThresholdPolicy(), baseline, canary)
    reason = "no gateway answered" if failed else "compared"
    return HealthSnapshot(rollout.partition(":")[0], rollout, when, verdict, reason, "continue", evidence)


def prediction(number: int, deployment: str = "fraud", when: datetime | None = None) -> PredictionRecord:
    return PredictionRecord(
        id=f"0196-{number:06}",
        at=at(number) if when is None else when,
        deployment=deployment,
        rollout=f"{deployment}:1",
        split_version=3,
        role=Role.CANARY,
        version="heart@2",
        answered_by="heart@1",
        inputs_hmac="ab" * 32,
        key_id="k1",
        prediction='"yes"',
        prediction_class="yes",
        confidence=0.1 + 0.2,
        latency_ms=7.0,
        error_kind="timeout",
        forced=True,
        entity_hmac="cd" * 32,
    )


def batch(records: Sequence[PredictionRecord], begins: Position = START) -> Batch:
    """Give records as a journal does."""
    payload = b"".join(encoded(record) for record in records)
    instants = [microseconds(record.at) for record in records]
    ends = Position(max(begins.segment, 1), begins.place + len(payload) + 1)
    return Batch(begins, ends, payload, len(records), min(instants, default=0), max(instants, default=0))


async def write_log(store: Store, records: Sequence[PredictionRecord], journal: str = "journal") -> Taken:
    """Log records, wherever the store has the journal."""
    return await store.take_in(journal, batch(records, await store.position(journal)))


ONCE = Once("key-1", "what was asked")


def report(boot: str, requests: int, *, gateway: str = "host:1", rollout: str = "fraud:1") -> EvidenceReport:
    """Give what a gateway process counted of a rollout."""
    return EvidenceReport(
        gateway, boot, {Key(rollout, "heart@2", 1, Role.CANARY): Counts(requests, latency_sum_ms=0.5)}
    )
