"""The HealthChecker: gather, judge, decide, act, record; for every active rollout, again and again.

Any number may run; the one that leads checks, and what it writes carries its term.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from serinus.core.commands import Promote, Rollback
from serinus.core.decide import ACTOR, Decision, decide
from serinus.core.deployment import Deployment, Rollout
from serinus.core.errors import Conflict, Deposed, PlatformError, Unavailable
from serinus.core.events import Event, EventKind
from serinus.core.evidence import Evidence, arm, merged, since
from serinus.core.judge import Health, Recommendation, Verdict, judge
from serinus.core.records import HealthSnapshot
from serinus.core.routing import Role, Split
from serinus.engine import DeploymentEngine, Given
from serinus.gathering import PATIENCE_S, Gatherer
from serinus.leadership import Leadership
from serinus.loaded import cause_of
from serinus.patience import within
from serinus.ports import Board, Clock, Store

CHECK_TIMEOUT_S = 10.0
"""How long the check of one deployment may take before it counts as failed."""

REMEMBERED = 50
"""How many of the newest snapshots are looked through, after a restart, for the last verdict."""

KEPT_IN_MEMORY = 256
"""How many past checks of a rollout are kept in memory, for when the store does not answer; older ones are thinned."""

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

    ``past`` is what is left of them while the store does not answer.
    """

    past: deque[tuple[datetime, Evidence]] = field(default_factory=deque)
    checked_at: datetime | None = None
    health: Health | None = None
    withheld: str = ""

    def remember(self, at: datetime, evidence: Evidence, begin: datetime) -> None:
        """Add a check; of those before ``begin`` only the last is kept, of too many every second of the older ones."""
        self.past.append((at, evidence))
        while len(self.past) > 1 and self.past[1][0] <= begin:
            self.past.popleft()
        if len(self.past) > KEPT_IN_MEMORY:
            older, newer = list(self.past)[: KEPT_IN_MEMORY // 2], list(self.past)[KEPT_IN_MEMORY // 2 :]
            self.past = deque([*older[::2], *newer])

    def evidence_at(self, instant: datetime) -> Evidence:
        """Give the evidence at the last check until an instant, or else at the oldest that is remembered."""
        oldest = self.past[0][1] if self.past else {}
        return next((evidence for at, evidence in reversed(self.past) if at <= instant), oldest)


class HealthChecker:
    """Judges every active rollout by its own policy's schedule, and acts as far as the deployment allows."""

    def __init__(  # noqa: PLR0913 - named parts, put together in one place
        self,
        *,
        store: Store,
        board: Board,
        engine: DeploymentEngine,
        gatherer: Gatherer,
        leadership: Leadership,
        clock: Clock,
        interval_s: float,
        lease_s: float,
        on_trouble: Callable[[str], None],
    ) -> None:
        self._store = store
        self._board = board
        self._engine = engine
        self._gatherer = gatherer
        self._leadership = leadership
        self._clock = clock
        self._interval_s = interval_s
        self._lease_s = lease_s
        self._on_trouble = on_trouble
        self._watches: dict[str, Watch] = {}
        self._troubles: dict[str, str] = {}
        self._told: set[str] = set()
        self._begun = 0
        self.ticked_at: datetime | None = None
        self.failures = 0

    @property
    def leads(self) -> bool:
        """Whether this is the checker that acts."""
        return self._leadership.term is not None

    async def run(self) -> None:
        """Check, or stand by, until cancelled."""
        await self._leadership.renew()
        await asyncio.gather(self._leadership.run(), self._keep_checking())

    async def stop(self) -> None:
        """Put the evidence so far on record, and let another checker lead."""
        try:
            await self.save()
        finally:
            await self._leadership.release()

    async def _keep_checking(self) -> None:
        while True:
            try:
                await self.tick()
            except Unavailable:  # who does not answer is told of by ``dependencies`` or the board
                self.failures += 1
            except Exception as trouble:  # noqa: BLE001 - the loop outlives whatever one round meets
                self.failures += 1
                self._tell(f"a round of health checks failed: {cause_of(trouble)}", "round")
            else:
                self._told.discard("round")
            await asyncio.sleep(self._interval_s)

    async def tick(self) -> None:
        """Check every rollout whose turn it is, if this checker leads; one that fails does not stop the others.

        A finished round renews the lease under which canaries have traffic. Without the store the deployments are
        checked as they were last seen: what must end now, ends on the board. If one of a rollout that is not being
        watched has traffic then, the lease is not renewed, for nobody can judge it.
        """
        term = self._leadership.term
        if term is None:
            self._watches.clear()  # whoever leads from now on writes the record that is read next time
            self.ticked_at = self._clock.now()
            return
        await self._begin(term)
        states = await self._states()
        self._forget(states)
        await asyncio.gather(*(self._guarded(state, term) for state in states if state.active))
        if self._leadership.term != term:
            return
        await self._unless_deposed(self._renew(term))
        self.ticked_at = self._clock.now()

    async def _begin(self, term: int) -> None:
        """Tell the board of a new term before anything is done in it: from then on the one before changes nothing."""
        if term != self._begun:
            with suppress(Unavailable):  # then neither can change anything there
                await self._unless_deposed(self._board.renew(term, self._lease_s))
                self._begun = term

    async def _unless_deposed(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Deposed:
            self._leadership.step_down()
            raise

    async def _renew(self, term: int) -> None:
        """Renew the lease under which canaries have traffic, unless one of them cannot be judged."""
        if "store" in self._told:
            splits = [Split.decoded(raw) for raw in (await self._board.splits()).values()]
            unwatched = sorted({split.rollout for split in splits if split and split.share} - self._watches.keys())
            if unwatched:
                self._tell(f"without the store {', '.join(unwatched)} cannot be judged: no canary has traffic", "lease")
                return
        self._told.discard("lease")
        await self._board.renew(term, self._lease_s)

    async def _states(self) -> list[Deployment]:
        try:
            states = await within(PATIENCE_S, self._store.deployments(), "The store")
        except Unavailable as trouble:
            self._tell(f"health checks go on without the store: {trouble}", "store")
            return self._engine.record.last_seen()
        self._told.discard("store")
        for state in states:
            self._engine.record.note(state)
        return states

    async def save(self) -> None:
        """Put the evidence so far on record, so that the next process goes on from it."""
        term = self._leadership.term
        if term is None:
            return
        for state in await self._store.deployments():
            if state.active is None:
                continue
            try:
                await self._save(state.active, state.name, term)
            except Exception as trouble:  # noqa: BLE001 - the others are saved all the same
                self._on_trouble(f"{state.name}: the last evidence could not be saved: {cause_of(trouble)}")

    async def _save(self, rollout: Rollout, deployment: str, term: int) -> None:
        reports = await self._gatherer.reports(rollout.id)
        totals = merged(report.evidence for report in reports)
        last = HealthSnapshot(deployment, rollout.id, self._clock.now(), None, "the checker stopped", "", totals)
        await self._store.save_snapshot(last, reports=reports, term=term)

    def _tell(self, trouble: str, subject: str) -> None:
        """Tell of a trouble once, until its subject is discarded from what was told."""
        if subject not in self._told:
            self._on_trouble(trouble)
        self._told.add(subject)

    async def _guarded(self, state: Deployment, term: int) -> None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await self.check(state, term)
        except Deposed:
            self._leadership.step_down()
        except Exception as trouble:  # noqa: BLE001 - a check that fails is neither good nor bad news: it holds
            self.failures += 1
            await self._failed(state, f"the check failed: {cause_of(trouble)}", term)

    async def check(self, state: Deployment, term: int) -> None:
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
        reports = await self._gatherer.reports(rollout.id)
        totals = merged(report.evidence for report in reports)
        begin = now - timedelta(seconds=policy.window_s)
        window = since(totals, await self._evidence_at(rollout, watch, begin))
        watch.remember(now, totals, begin)
        _check_whole(window)
        verdict = judge(policy, arm(window, Role.BASELINE), arm(window, Role.CANARY))
        decision = decide(state, verdict)
        news = _news(state, rollout, watch, verdict, decision, now)
        try:
            action = await self._act(state, rollout, verdict, decision, news, now, term)
            watch.health, watch.withheld = verdict.health, decision.withheld
        except Deposed:
            raise
        except Conflict:  # nothing was recorded: the next round looks at what the deployment is then
            action, watch.checked_at = "somebody else acted first", last
        snapshot = HealthSnapshot(state.name, rollout.id, now, verdict, verdict.reason, action, totals)
        try:
            await within(PATIENCE_S, self._store.save_snapshot(snapshot, reports=reports, term=term), "The store")
        except Unavailable as trouble:
            self._tell(f"health checks go on, and are not on record: {trouble}", "record")
        else:
            self._told.discard("record")
        self._troubles.pop(rollout.id, None)

    async def _evidence_at(self, rollout: Rollout, watch: Watch, instant: datetime) -> Evidence:
        """Give a rollout's cumulative evidence at the last check until an instant; none before its first."""
        try:
            past = self._store.snapshots(rollout.id, until=instant, limit=1)
            on_record = await within(PATIENCE_S, past, "The store")
        except Unavailable:
            return {} if rollout.started_at >= instant else watch.evidence_at(instant)
        return on_record[0].evidence if on_record else {}

    async def _act(
        self,
        state: Deployment,
        rollout: Rollout,
        verdict: Verdict,
        decision: Decision,
        news: list[Event],
        now: datetime,
        term: int,
    ) -> str:
        if decision.command is None:
            if news:
                await within(PATIENCE_S, self._store.record(news, term=term), "The store")
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
            Given(expected_generation=state.generation, before=news, after=[triggered], term=term),
        )
        return action

    async def _failed(self, state: Deployment, reason: str, term: int) -> None:
        rollout = state.active
        if rollout is None:
            return
        if self._troubles.get(rollout.id) == reason:
            return
        self._troubles[rollout.id] = reason
        self._on_trouble(f"{state.name}: {reason}")
        event = _event(state, rollout, EventKind.HEALTH_CHECK_ERROR, reason, self._clock.now(), {})
        try:
            await within(PATIENCE_S, self._store.record([event], term=term), "The store")
        except Exception as trouble:  # noqa: BLE001 - the store may be the very thing that fails
            self._on_trouble(f"{state.name}: the failed check could not be recorded: {cause_of(trouble)}")

    async def _watch(self, rollout: Rollout) -> Watch:
        """Give what is remembered of a rollout, from the record after a restart."""
        watch = self._watches.get(rollout.id)
        if watch is None:
            past = await within(PATIENCE_S, self._store.snapshots(rollout.id, limit=REMEMBERED), "The store")
            with suppress(Unavailable):  # what is kept of it is wanted when the store does not answer any more
                await self._gatherer.reports(rollout.id)
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


def _check_whole(window: Evidence) -> None:
    """Raise PlatformError where cumulative counts have become less: nothing may be concluded from what is left."""
    for key, counts in window.items():
        numbers = (counts.requests, counts.model_errors, counts.timeouts, *counts.latency.values())
        if min(numbers) < 0:
            raise PlatformError(
                f"The evidence of {key.rollout} is less than it was at an earlier check: a part of it is missing.",
                remedy="It is judged again when the missing part is back, or no more of the window.",
            )


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
        past=deque((each.at, each.evidence) for each in reversed(past)),
        checked_at=newest.at,
        health=judged.verdict.health if judged and judged.verdict else None,
        withheld=judged.action.removeprefix(_WITHHELD) if judged and judged.action.startswith(_WITHHELD) else "",
    )
