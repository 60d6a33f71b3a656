"""Run with the code of the release before this one, on a database that this one has made: reads and writes through it.

python previous_release.py URL [URL ...]
"""

import asyncio
import sys
from datetime import UTC, datetime

from serinus.core.commands import Create, StartCanary
from serinus.core.events import Event, EventKind
from serinus.core.evidence import Counts, Key
from serinus.core.lifecycle import apply
from serinus.core.names import VersionRef
from serinus.core.policy import Settings
from serinus.core.records import (
    EvidenceReport,
    HealthSnapshot,
    Once,
    PredictionRecord,
    VersionDraft,
)
from serinus.core.routing import Role
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.ports import CHECKER
from serinus.stores.sql import SqlStore, open_store

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
SIGNATURE = Signature((Feature("age", Dtype.FLOAT),), Output(OutputKind.CLASS, (0, 1), ("no", "yes")))
EVIDENCE = {Key("fraud:1", "heart@2", 1, Role.CANARY): Counts(requests=5)}


async def write(store: SqlStore) -> None:
    lease = await store.hold(CHECKER, "previous", 60, NOW)
    draft = VersionDraft("heart", "sha256:" + "0f" * 32, 7, "skops", SIGNATURE)
    for number in (1, 2):
        assert (await store.register(draft, NOW, once=Once(f"key-{number}", ""))).ref.version == number
    state, events = apply(
        None, Create(name="fraud", baseline=VersionRef("heart", 1), settings=Settings(), actor="ada"), NOW
    )
    await store.save(state, 0, events)
    canary, events = apply(state, StartCanary(canary=VersionRef("heart", 2), weight=5.0, actor="ada"), NOW)
    await store.save(canary, 1, events, term=lease.term)
    await store.record([Event("fraud", 2, EventKind.HEALTH_CHECK_PASSED, NOW, "checker")], term=lease.term)
    check = HealthSnapshot("fraud", "fraud:1", NOW, None, "a check", "continue", EVIDENCE)
    await store.save_snapshot(check, reports=[EvidenceReport("host:1", "boot", EVIDENCE)], term=lease.term)
    append = store.append_predictions  # type: ignore[attr-defined]  # that release has it
    await append([prediction("a"), prediction("b"), prediction("a")])


def prediction(name: str) -> PredictionRecord:
    return PredictionRecord(
        id=name,
        at=NOW,
        deployment="fraud",
        rollout="fraud:1",
        split_version=1,
        role=Role.CANARY,
        version="heart@2",
        answered_by="heart@2",
        inputs_hmac="ab",
        key_id="k1",
        prediction='"yes"',
        prediction_class="yes",
        confidence=0.5,
        latency_ms=7.0,
        error_kind="",
        forced=False,
    )


async def read(store: SqlStore) -> None:
    (state,) = await store.deployments()
    assert state.generation == 2
    assert len(await store.versions("heart")) == 2
    assert len(await store.events("fraud")) == 3
    assert len(await store.rollouts("fraud")) == 1
    assert len(await store.snapshots("fraud:1")) == 1
    assert [kept.boot for kept in await store.kept_reports("fraud:1")] == ["boot"]
    assert len(await store.predictions("fraud")) == 2
    assert await store.outcome("key-1") is not None
    await store.release(CHECKER, "previous")
    assert (await store.prune(datetime(2026, 1, 1, tzinfo=UTC))).predictions == 2


async def run(urls: list[str]) -> None:
    for url in urls:
        store = await open_store(url)
        await write(store)
        await read(store)
        await store.close()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1:]))
