"""What the checker does by itself, what it only recommends, and what it does when a check fails."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests import models
from tests.models import KNOWN, STABLE

from serinus.assembly import System, assembled
from serinus.core.commands import Create, Pause, Resume, StartCanary
from serinus.core.deployment import Phase
from serinus.core.errors import PlatformError
from serinus.core.events import EventKind
from serinus.core.judge import Health
from serinus.core.names import VersionRef
from serinus.core.policy import Settings, ThresholdPolicy
from serinus.core.records import EvidenceReport
from serinus.home import Home
from serinus.settings import read_settings

POLICY = ThresholdPolicy(interval_s=0.1, min_requests=20, p95_delta_ms=60_000)
"""Judges each round; on errors alone, for this machine may stumble."""
GOOD, BAD = VersionRef("risk", 2), VersionRef("risk", 3)
CHECKS = {
    EventKind.HEALTH_CHECK_PASSED,
    EventKind.HEALTH_CHECK_FAILED,
    EventKind.HEALTH_CHECK_INCONCLUSIVE,
    EventKind.HEALTH_CHECK_ERROR,
}


@pytest.fixture
async def system(system: System) -> System:
    """A system with risk@3, which raises, besides."""
    await system.registry.register(models.pickled(models.Raises()), "risk")
    return system


async def rollout(system: System, name: str, canary: VersionRef, **settings: Any) -> None:
    """Start a canary and send it, and the baseline, some traffic."""
    await system.engine.create(Create(name=name, baseline=STABLE, settings=Settings(policy=POLICY, **settings)))
    await system.engine.execute(name, StartCanary(canary=canary, weight=50))
    await traffic(system, name)


async def traffic(system: System, name: str) -> None:
    assert system.gateway is not None
    for _ in range(100):
        await system.gateway.predict(name, KNOWN)


async def a_round(system: System) -> None:
    """Let the policy's interval pass and all evidence reach the board, then check."""
    await asyncio.sleep(0.15)
    assert system.checker is not None
    await system.checker.tick()


async def kinds(system: System, name: str) -> list[EventKind]:
    """Give the events since the canary started."""
    return [each.event.kind for each in await system.store.events(name)][2:]


async def health_of(system: System, name: str) -> Health | None:
    snapshot = await system.store.last_snapshot(name)
    return snapshot.verdict.health if snapshot and snapshot.verdict else None


async def test_a_good_canary_is_promoted_with_the_reason_on_record(system: System) -> None:
    await rollout(system, "prod", GOOD)

    await a_round(system)

    state = await system.engine.deployment("prod")
    assert (state.baseline, state.status) == (GOOD, "stable")
    assert await kinds(system, "prod") == [
        EventKind.HEALTH_CHECK_PASSED,
        EventKind.PROMOTED,
        EventKind.AUTO_PROMOTION_TRIGGERED,
    ]


async def test_a_bad_canary_is_rolled_back_with_the_numbers_on_record(system: System) -> None:
    await rollout(system, "prod", BAD)

    await a_round(system)

    state = await system.engine.deployment("prod")
    assert (state.baseline, state.status) == (STABLE, "stable")
    events = (await system.store.events("prod"))[2:]
    assert [each.event.kind for each in events] == [
        EventKind.HEALTH_CHECK_FAILED,
        EventKind.ROLLED_BACK,
        EventKind.AUTO_ROLLBACK_TRIGGERED,
    ]
    assert {each.event.generation for each in events} == {3}
    numbers = events[-1].event.data
    assert numbers["canary"]["error_rate"] == 1.0  # type: ignore[index]
    assert numbers["baseline"]["error_rate"] == 0.0  # type: ignore[index]


@pytest.mark.parametrize(
    ("canary", "settings", "recommended", "withheld"),
    [
        (BAD, {"dry_run": True}, EventKind.ROLLBACK_RECOMMENDED, "dry run"),
        (BAD, {"auto_rollback": False}, EventKind.ROLLBACK_RECOMMENDED, "auto_rollback is off"),
        (GOOD, {"dry_run": True}, EventKind.PROMOTION_RECOMMENDED, "dry run"),
        (GOOD, {"auto_promote": False}, EventKind.PROMOTION_RECOMMENDED, "auto_promote is off"),
        (GOOD, {"promote_from_weight": 100}, EventKind.PROMOTION_RECOMMENDED, "wait for 100 %"),
    ],
)
async def test_what_may_not_be_done_is_recommended_once_and_changes_nothing(
    system: System, canary: VersionRef, settings: dict[str, Any], recommended: EventKind, withheld: str
) -> None:
    await rollout(system, "prod", canary, **settings)
    before = await system.engine.deployment("prod")

    for _ in range(3):
        await a_round(system)
        await traffic(system, "prod")

    assert await system.engine.deployment("prod") == before
    health_event = EventKind.HEALTH_CHECK_FAILED if canary is BAD else EventKind.HEALTH_CHECK_PASSED
    assert await kinds(system, "prod") == [health_event, recommended]
    (event,) = await system.store.events("prod", kinds=[recommended])
    assert event.event.generation == before.generation
    assert withheld in str(event.event.data["withheld"])
    snapshot = await system.store.last_snapshot("prod")
    assert snapshot is not None
    assert withheld in snapshot.action


async def test_a_paused_rollout_is_promoted_only_once_it_goes_on(system: System) -> None:
    await rollout(system, "prod", GOOD)
    await system.engine.execute("prod", Pause())

    await a_round(system)
    assert (await system.engine.deployment("prod")).status == "paused"
    await system.engine.execute("prod", Resume())
    await a_round(system)

    assert (await system.engine.deployment("prod")).baseline == GOOD
    assert EventKind.PROMOTION_RECOMMENDED in await kinds(system, "prod")


async def test_a_paused_rollout_is_rolled_back_all_the_same(system: System) -> None:
    await rollout(system, "prod", BAD)
    await system.engine.execute("prod", Pause())

    await a_round(system)

    state = await system.engine.deployment("prod")
    assert state.rollout is not None
    assert state.rollout.phase is Phase.ROLLED_BACK


async def test_a_canary_that_nobody_asks_is_neither_promoted_nor_rolled_back(system: System) -> None:
    await system.engine.create(Create(name="prod", baseline=STABLE, settings=Settings(policy=POLICY)))
    await system.engine.execute("prod", StartCanary(canary=BAD, weight=50))

    for _ in range(3):
        await a_round(system)

    assert (await system.engine.deployment("prod")).status == "canary"
    assert await health_of(system, "prod") is Health.INCONCLUSIVE


async def test_callers_errors_speak_against_no_canary(system: System) -> None:
    await rollout(system, "prod", GOOD, auto_promote=False)
    assert system.gateway is not None
    for _ in range(200):
        with pytest.raises(Exception, match="features"):
            await system.gateway.predict("prod", {"age": "old"})

    await a_round(system)

    assert await health_of(system, "prod") is Health.HEALTHY


async def test_a_check_that_fails_is_an_event_holds_its_rollout_and_stops_no_other(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rollout(system, "broken", GOOD)
    await rollout(system, "well", GOOD)
    await rollout(system, "worse", BAD)
    reports = system.board.reports

    async def fail_for_one(wanted: str) -> list[EvidenceReport]:
        if wanted == "broken:1":
            raise ConnectionError("no route to the board")
        return await reports(wanted)

    monkeypatch.setattr(system.board, "reports", fail_for_one)
    for _ in range(3):
        await a_round(system)

    assert (await system.engine.deployment("well")).baseline == GOOD
    assert (await system.engine.deployment("worse")).status == "stable"
    assert (await system.engine.deployment("broken")).status == "canary"
    assert await system.store.last_snapshot("broken") is None
    assert await kinds(system, "broken") == [EventKind.HEALTH_CHECK_ERROR]
    (event,) = await system.store.events("broken", kinds=[EventKind.HEALTH_CHECK_ERROR])
    assert "no route to the board" in event.event.reason

    monkeypatch.undo()
    await a_round(system)
    assert (await system.engine.deployment("broken")).baseline == GOOD


def garble(database: Path, rollout: str, evidence: str) -> list[tuple[int, str]]:
    """Write over the evidence on record for a rollout, and give what stood there."""
    with closing(sqlite3.connect(database)) as connection, connection:
        rows = connection.execute("SELECT id, evidence FROM health_snapshots WHERE rollout = ?", [rollout]).fetchall()
        connection.execute("UPDATE health_snapshots SET evidence = ? WHERE rollout = ?", [evidence, rollout])
    return [(int(number), str(text)) for number, text in rows]


async def test_a_record_that_cannot_be_read_holds_its_rollout_and_loses_no_evidence(tmp_path: Path) -> None:
    settings = read_settings(
        home=tmp_path / "home",
        allow_pickle=True,
        check_interval=3600,
        canary_lease=86_400,
        evidence_interval=0.01,
        log_interval=0.01,
    )
    database = settings.home / "serinus.db"
    with Home(settings.home) as home:
        async with assembled(settings, home) as system:
            for model in (models.Risk(), models.Risk(), models.Raises()):
                await system.registry.register(models.pickled(model), "risk")
            await rollout(system, "broken", GOOD, auto_promote=False)
            await rollout(system, "well", GOOD, auto_promote=False)
            await a_round(system)
        kept = garble(database, "broken:1", "[[garbage")

        async with assembled(settings, home) as system:
            for name in ("broken", "well"):
                await traffic(system, name)
            for _ in range(3):
                await a_round(system)
            assert await health_of(system, "well") is Health.HEALTHY
            assert (await kinds(system, "broken"))[-1] is EventKind.HEALTH_CHECK_ERROR
            assert (await kinds(system, "broken")).count(EventKind.HEALTH_CHECK_ERROR) == 1
            with pytest.raises(PlatformError, match="health_snapshots"):
                await system.store.last_snapshot("broken")
            state = await system.engine.deployment("broken")
            assert state.status == "canary"

        with closing(sqlite3.connect(database)) as connection, connection:
            for number, evidence in kept:
                connection.execute("UPDATE health_snapshots SET evidence = ? WHERE id = ?", [evidence, number])

        async with assembled(settings, home) as system:
            for name in ("well", "broken"):
                state = await system.engine.deployment(name)
                assert state.active is not None
                totals = await system.gatherer.totals(state.active.id)
                assert sum(counts.requests for counts in totals.values()) == 200
            await a_round(system)
            assert await health_of(system, "broken") is Health.HEALTHY
