"""The HealthChecker: gather, judge, decide, act, record; for every active rollout, again and again.

Any number may run; the one that leads checks, and what it writes carries its term.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from serinus.checker.judging import Judging
from serinus.checker.news import event, facts, news
from serinus.checker.watch import WITHHELD, Watch
from serinus.core.commands import Advance, Command, EndBake, Pause, Promote, Rollback
from serinus.core.decide import Decision, decide
from serinus.core.deployment import Deployment, Rollout
from serinus.core.errors import Conflict, Deposed, Unavailable
from serinus.core.events import Event, EventKind
from serinus.core.evidence import merged
from serinus.core.judge import Verdict
from serinus.core.looks import Tested
from serinus.core.policy import SequentialPolicy
from serinus.core.records import EvidenceReport, HealthSnapshot
from serinus.core.routing import Split
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


_ACTIONS: dict[type[Command], tuple[str, EventKind | None]] = {
    Rollback: ("rolled_back", EventKind.AUTO_ROLLBACK_TRIGGERED),
    Promote: ("promoted", EventKind.AUTO_PROMOTION_TRIGGERED),
    Advance: ("advanced", None),
    EndBake: ("bake_ended", None),
    Pause: ("paused", EventKind.PROGRESS_OVERDUE),
}
"""What the checker can command: what is said of it, and the event besides the command's own."""


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
        self._judging = Judging(store, gatherer)
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
        self.alarmed: set[str] = set()
        """The deployments whose canary does not get the share that was set."""

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
        last = watch.checked_at
        if not self._is_due(state, rollout, last, now):
            return
        watch.checked_at = now
        reports = await self._gatherer.reports(rollout.id)
        judgement = await self._judging.judged(state, rollout, watch, reports, now)
        if judgement is None:
            return
        verdict = judgement.verdict
        decision = decide(state, verdict, replace(judgement.standing, missing=self._missing()), now)
        self._alarm(state, rollout, verdict)
        changes = news(state, rollout, watch, verdict, decision, now)
        try:
            action = await self._act(state, rollout, verdict, decision, changes, now, term)
            watch.health, watch.withheld = verdict.health, decision.withheld
            if changes or decision.command is not None:
                watch.told_at = now
        except Deposed:
            raise
        except Conflict:  # nothing was recorded: the next round looks at what the deployment is then
            action, watch.checked_at = "somebody else acted first", last
        snapshot = HealthSnapshot(
            state.name, rollout.id, now, verdict, verdict.reason, action, judgement.evidence, judgement.look
        )
        await self._record(snapshot, reports, watch, judgement.tested, term)
        self._troubles.pop(rollout.id, None)

    def _missing(self) -> str:
        gone = self._board.gone()
        if not gone:
            return ""
        return f"gateway {', '.join(gone)} went without a word: what it counted last is missing"

    def _alarm(self, state: Deployment, rollout: Rollout, verdict: Verdict) -> None:
        """Tell of what is wrong with the comparison itself, once."""
        subject = f"alarm {rollout.id}"
        if verdict.alarms:
            self.alarmed.add(state.name)
            self._tell(f"{state.name}: {verdict.alarms[0]}", subject)
        else:
            self.alarmed.discard(state.name)
            self._told.discard(subject)

    def _is_due(self, state: Deployment, rollout: Rollout, last: datetime | None, now: datetime) -> bool:
        """Whether a deployment is to be looked at; when a sequential test is, what has come in decides."""
        policy = state.policy
        if isinstance(policy, SequentialPolicy):
            return True
        elapsed = now - (last or rollout.started_at)
        return not timedelta(0) <= elapsed < timedelta(seconds=policy.interval_s)  # below: the clock was put back

    async def _record(
        self,
        snapshot: HealthSnapshot,
        reports: list[EvidenceReport],
        watch: Watch,
        tested: Tested | None,
        term: int,
    ) -> None:
        """Put a check on record, with how far its test has come."""
        if watch.unsure:  # the store does not tell what it has
            return
        saving = self._store.save_snapshot(snapshot, reports=reports, term=term, tested=tested)
        try:
            await within(PATIENCE_S, saving, "The store")
        except Unavailable as trouble:
            watch.unsure = tested is not None
            self._tell(f"health checks go on, and are not on record: {trouble}", "record")
        else:
            watch.tested = tested
            self._told.discard("record")

    async def _act(
        self,
        state: Deployment,
        rollout: Rollout,
        verdict: Verdict,
        decision: Decision,
        changes: list[Event],
        now: datetime,
        term: int,
    ) -> str:
        if decision.command is None:
            if changes:
                await within(PATIENCE_S, self._store.record(changes, term=term), "The store")
            return f"{WITHHELD}{decision.withheld}" if decision.withheld else decision.waiting
        action, kind = _ACTIONS[type(decision.command)]
        triggered = [event(state, rollout, kind, decision.command.reason, now, facts(verdict))] if kind else []
        command = decision.command
        if isinstance(command, Advance | EndBake):  # it has no event of its own besides
            command = replace(command, evidence=facts(verdict))
        await self._engine.execute(
            state.name,
            command,
            Given(expected_generation=state.generation, before=changes, after=triggered, term=term),
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
        failed = event(state, rollout, EventKind.HEALTH_CHECK_ERROR, reason, self._clock.now(), {})
        try:
            await within(PATIENCE_S, self._store.record([failed], term=term), "The store")
        except Exception as trouble:  # noqa: BLE001 - the store may be the very thing that fails
            self._on_trouble(f"{state.name}: the failed check could not be recorded: {cause_of(trouble)}")

    async def _watch(self, rollout: Rollout) -> Watch:
        """Give what is remembered of a rollout, from the record after a restart."""
        watch = self._watches.get(rollout.id)
        if watch is None:
            past = await within(PATIENCE_S, self._store.snapshots(rollout.id, limit=REMEMBERED), "The store")
            tested = await within(PATIENCE_S, self._store.tested(rollout.id), "The store")
            with suppress(Unavailable):  # what is kept of it is wanted when the store does not answer any more
                await self._gatherer.reports(rollout.id)
            # Whoever comes first decides: a later look may find a snapshot of this very process.
            watch = self._watches.setdefault(rollout.id, Watch.of(past, tested))
        return watch

    def _forget(self, states: list[Deployment]) -> None:
        present = {state.rollout.id for state in states if state.rollout}
        self.alarmed &= {state.name for state in states if state.active}
        for ended in self._watches.keys() - present:
            del self._watches[ended]
        for ended in self._troubles.keys() - present:
            del self._troubles[ended]
