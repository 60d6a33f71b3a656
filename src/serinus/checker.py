"""The HealthChecker: gather, judge, decide, act, record; for every active rollout, again and again."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from serinus.core.commands import Promote, Rollback
from serinus.core.decide import ACTOR, Decision, decide
from serinus.core.deployment import Deployment, Rollout
from serinus.core.errors import Conflict
from serinus.core.events import Event, EventKind
from serinus.core.evidence import Counts, Evidence, Key, arm, merged, since
from serinus.core.judge import Health, Recommendation, Verdict, judge
from serinus.core.records import HealthSnapshot
from serinus.core.routing import Role
from serinus.engine import DeploymentEngine
from serinus.loaded import cause_of
from serinus.ports import Board, Clock, Store

CHECK_TIMEOUT_S = 10.0
"""How long the check of one deployment may take before it counts as failed."""

REMEMBERED = 50
"""How many of the newest snapshots are looked through, after a restart, for the last verdict."""

_WITHHELD = "withheld: "

_HEALTH_EVENTS = {
    Health.HEALTHY: EventKind.HEALTH_CHECK_PASSED,
    Health.DEGRADED: EventKind.HEALTH_CHECK_FAILED,
    Health.CRITICAL: EventKind.HEALTH_CHECK_FAILED,
    Health.INCONCLUSIVE: EventKind.HEALTH_CHECK_INCONCLUSIVE,
}


@dataclass(slots=True)
class Watch:
    """What the checker remembers of a rollout; its past checks are on record, and read when they are wanted.

    ``carried`` is the evidence of processes that have ended, from the newest snapshot on record.
    """

    carried: Evidence = field(default_factory=dict)
    checked_at: datetime | None = None
    health: Health | None = None
    withheld: str = ""


class HealthChecker:
    """Judges every active rollout by its own policy's schedule, and acts as far as the deployment allows."""

    def __init__(
        self,
        *,
        store: Store,
        board: Board,
        engine: DeploymentEngine,
        clock: Clock,
        interval_s: float,
        on_trouble: Callable[[str], None],
    ) -> None:
        self._store = store
        self._board = board
        self._engine = engine
        self._clock = clock
        self._interval_s = interval_s
        self._on_trouble = on_trouble
        self._watches: dict[str, Watch] = {}
        self._troubles: dict[str, str] = {}
        self.ticked_at: datetime | None = None

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            try:
                await self.tick()
            except Exception as trouble:  # noqa: BLE001 - the loop outlives whatever one round meets
                self._on_trouble(f"a round of health checks failed: {cause_of(trouble)}")
            await asyncio.sleep(self._interval_s)

    async def tick(self) -> None:
        """Repair the board, then check every rollout whose turn it is; one that fails does not stop the others."""
        await self._engine.reconcile()
        states = await self._store.deployments()
        self._forget(states)
        await asyncio.gather(*(self._guarded(state) for state in states if state.active))
        self.ticked_at = self._clock.now()

    async def save(self) -> None:
        """Put the evidence so far on record, so that the next process goes on from it."""
        for state in await self._store.deployments():
            if state.active is None:
                continue
            try:
                totals, now = await self.totals(state.active), self._clock.now()
                await self._store.save_snapshot(
                    HealthSnapshot(state.name, state.active.id, now, None, "the checker stopped", "", totals)
                )
            except Exception as trouble:  # noqa: BLE001 - the others are saved all the same
                self._on_trouble(f"{state.name}: the last evidence could not be saved: {cause_of(trouble)}")

    async def totals(self, rollout: Rollout) -> dict[Key, Counts]:
        """Give the cumulative evidence of a rollout, that of ended processes included."""
        watch = await self._watch(rollout)
        reports = await self._board.reports(rollout.id)
        return merged([watch.carried, *(report.evidence for report in reports)])

    async def _guarded(self, state: Deployment) -> None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await self.check(state)
        except Exception as trouble:  # noqa: BLE001 - a check that fails is neither good nor bad news: it holds
            await self._failed(state, f"the check failed: {cause_of(trouble)}")

    async def check(self, state: Deployment) -> None:
        """Check one deployment if its turn has come."""
        rollout, now = state.active, self._clock.now()
        if rollout is None:
            return
        watch = await self._watch(rollout)
        policy, last = state.settings.policy, watch.checked_at
        elapsed = now - (last or rollout.started_at)
        if timedelta(0) <= elapsed < timedelta(seconds=policy.interval_s):  # below zero: the clock was put back
            return
        watch.checked_at = now
        totals = await self.totals(rollout)
        window = since(totals, await self._evidence_at(rollout, now - timedelta(seconds=policy.window_s)))
        verdict = judge(policy, arm(window, Role.BASELINE), arm(window, Role.CANARY))
        decision = decide(state, verdict)
        news = _news(state, rollout, watch, verdict, decision, now)
        try:
            action = await self._act(state, rollout, verdict, decision, news, now)
            watch.health, watch.withheld = verdict.health, decision.withheld
        except Conflict:  # nothing was recorded: the next round looks at what the deployment is then
            action, watch.checked_at = "somebody else acted first", last
        await self._store.save_snapshot(
            HealthSnapshot(state.name, rollout.id, now, verdict, verdict.reason, action, totals)
        )
        self._troubles.pop(rollout.id, None)

    async def _evidence_at(self, rollout: Rollout, instant: datetime) -> Evidence:
        """Give a rollout's cumulative evidence at the last check until an instant; none before its first."""
        past = await self._store.snapshots(rollout.id, until=instant, limit=1)
        return past[0].evidence if past else {}

    async def _act(
        self,
        state: Deployment,
        rollout: Rollout,
        verdict: Verdict,
        decision: Decision,
        news: list[Event],
        now: datetime,
    ) -> str:
        if decision.command is None:
            if news:
                await self._store.record(news)
            return f"{_WITHHELD}{decision.withheld}" if decision.withheld else ""
        if isinstance(decision.command, Rollback):
            kind, action = EventKind.AUTO_ROLLBACK_TRIGGERED, "rolled_back"
        elif isinstance(decision.command, Promote):
            kind, action = EventKind.AUTO_PROMOTION_TRIGGERED, "promoted"
        else:
            raise AssertionError(decision.command)  # noqa: TRY004 - decide gives no other command
        triggered = _event(state, rollout, kind, verdict.reason, now, facts(verdict))
        await self._engine.execute(
            state.name,
            decision.command,
            expected_generation=state.generation,
            before=news,
            after=[triggered],
        )
        return action

    async def _failed(self, state: Deployment, reason: str) -> None:
        rollout = state.active
        if rollout is None:
            return
        if self._troubles.get(rollout.id) == reason:
            return
        self._troubles[rollout.id] = reason
        self._on_trouble(f"{state.name}: {reason}")
        event = _event(state, rollout, EventKind.HEALTH_CHECK_ERROR, reason, self._clock.now(), {})
        try:
            await self._store.record([event])
        except Exception as trouble:  # noqa: BLE001 - the store may be the very thing that fails
            self._on_trouble(f"{state.name}: the failed check could not be recorded: {cause_of(trouble)}")

    async def _watch(self, rollout: Rollout) -> Watch:
        """Give what is remembered of a rollout, from the record after a restart."""
        watch = self._watches.get(rollout.id)
        if watch is None:
            past = await self._store.snapshots(rollout.id, limit=REMEMBERED)
            # Whoever comes first decides: a later look may find a snapshot of this very process.
            watch = self._watches.setdefault(rollout.id, _watch_from(past))
        return watch

    def _forget(self, states: list[Deployment]) -> None:
        present = {state.rollout.id for state in states if state.rollout}
        for ended in self._watches.keys() - present:
            del self._watches[ended]
        for ended in self._troubles.keys() - present:
            del self._troubles[ended]


def facts(verdict: Verdict) -> dict[str, object]:
    """Give the numbers of a verdict as JSON values, for an event."""
    return {
        "health": verdict.health.value,
        "baseline": _arm_facts(verdict.baseline.requests, verdict.baseline.errors, verdict.baseline.p95_ms),
        "canary": _arm_facts(verdict.canary.requests, verdict.canary.errors, verdict.canary.p95_ms),
        "policy": verdict.policy.name,
    }


def _arm_facts(requests: int, errors: int, p95_ms: float | None) -> dict[str, object]:
    rate = errors / requests if requests else None
    return {"requests": requests, "errors": errors, "error_rate": rate, "p95_ms": p95_ms}


def _news(
    state: Deployment, rollout: Rollout, watch: Watch, verdict: Verdict, decision: Decision, now: datetime
) -> list[Event]:
    """Give the events of what changed since the last check; the same verdict again is no news."""
    news = []
    first_silence = watch.health is None and verdict.health is Health.INCONCLUSIVE
    if verdict.health is not watch.health and not first_silence:
        kind = _HEALTH_EVENTS[verdict.health]
        news.append(_event(state, rollout, kind, verdict.reason, now, facts(verdict)))
    if decision.withheld and decision.withheld != watch.withheld:
        promote = verdict.recommendation is Recommendation.PROMOTE
        kind = EventKind.PROMOTION_RECOMMENDED if promote else EventKind.ROLLBACK_RECOMMENDED
        data = {**facts(verdict), "withheld": decision.withheld}
        news.append(_event(state, rollout, kind, verdict.reason, now, data))
    return news


def _event(
    state: Deployment, rollout: Rollout, kind: EventKind, reason: str, now: datetime, data: dict[str, object]
) -> Event:
    return Event(state.name, state.generation, kind, now, ACTOR, reason, rollout.id, data)


def _watch_from(past: list[HealthSnapshot]) -> Watch:
    """Remember what is on record, the newest snapshot first."""
    if not past:
        return Watch()
    newest, judged = past[0], next((each for each in past if each.verdict), None)
    return Watch(
        carried=newest.evidence,
        checked_at=newest.at,
        health=judged.verdict.health if judged and judged.verdict else None,
        withheld=judged.action.removeprefix(_WITHHELD) if judged and judged.action.startswith(_WITHHELD) else "",
    )
