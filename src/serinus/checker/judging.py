"""From the evidence of a rollout to a verdict, by its deployment's policy."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from serinus.checker.watch import Watch
from serinus.core.assess import odds_for, too_young, why_not_more
from serinus.core.decide import Standing, standing_of
from serinus.core.deployment import Deployment, Rollout
from serinus.core.errors import PlatformError, Unavailable
from serinus.core.evidence import NOTHING, Counts, Evidence, arm, merged, since
from serinus.core.judge import Verdict, judge
from serinus.core.ledger import outside
from serinus.core.looks import Look, Tested, begun_anew, first, taken_in
from serinus.core.policy import SequentialPolicy, ThresholdPolicy
from serinus.core.records import EvidenceReport
from serinus.core.routing import Role
from serinus.gathering import PATIENCE_S, Gatherer
from serinus.patience import within
from serinus.ports import Store

HEARTBEAT_S = 10.0
"""How often a sequential test is looked at while nothing comes in."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and what is put on record with it."""

    verdict: Verdict
    standing: Standing
    evidence: Evidence
    look: Look | None = None
    tested: Tested | None = None


class Judging:
    """Judges rollouts."""

    def __init__(self, store: Store, gatherer: Gatherer) -> None:
        self._store = store
        self._gatherer = gatherer

    async def judged(
        self, state: Deployment, rollout: Rollout, watch: Watch, reports: Sequence[EvidenceReport], now: datetime
    ) -> Judgement | None:
        """Judge a rollout whose turn has come; None if it has not.

        PlatformError where a part of the evidence is missing that was there before; Unavailable where the store is
        needed and does not answer.
        """
        totals = merged(report.evidence for report in reports)
        policy = state.policy
        if isinstance(policy, SequentialPolicy):
            each_counts = 1.0 / max(len(reports), 1) if state.settings.sticky else 1.0
            return await self._by_test(policy, rollout, watch, totals, now, each_counts)
        if isinstance(policy, ThresholdPolicy):
            return await self._by_thresholds(policy, rollout, watch, totals, now)
        raise AssertionError(policy)

    async def _by_thresholds(
        self, policy: ThresholdPolicy, rollout: Rollout, watch: Watch, totals: Evidence, now: datetime
    ) -> Judgement:
        begin = now - timedelta(seconds=policy.window_s)
        window = since(totals, await self._evidence_at(rollout, watch, begin))
        watch.remember(now, totals, begin)
        _check_whole(window)
        verdict = judge(policy, arm(window, Role.BASELINE), arm(window, Role.CANARY))
        return Judgement(verdict, standing_of(verdict, arm(totals, Role.CANARY).requests), totals)

    async def _evidence_at(self, rollout: Rollout, watch: Watch, instant: datetime) -> Evidence:
        """Give a rollout's cumulative evidence at the last check until an instant; none before its first."""
        try:
            past = self._store.snapshots(rollout.id, until=instant, limit=1)
            on_record = await within(PATIENCE_S, past, "The store")
        except Unavailable:
            return {} if rollout.started_at >= instant else watch.evidence_at(instant)
        return on_record[0].evidence if on_record else {}

    async def _by_test(
        self,
        policy: SequentialPolicy,
        rollout: Rollout,
        watch: Watch,
        totals: Evidence,
        now: datetime,
        each_counts: float,
    ) -> Judgement | None:
        await self._settle(rollout, watch)
        before = watch.tested
        if before is None:
            before = watch.tested = first(rollout, policy, await self._history(rollout))
        if before.policy != policy:
            before = begun_anew(before, policy)
        _check_whole(since(totals, before.seen))
        tested, look = taken_in(before, rollout, totals, now, each_counts=each_counts)
        waited_s = policy.interval_s if not look.empty else max(HEARTBEAT_S, policy.interval_s)
        # What fails is looked at as soon as it is seen: the test holds at whatever moment one looks.
        put_back = now < before.at
        if look.elapsed_s < waited_s and not put_back and not any(each.canary.failed for each in look.slices):
            return None
        standing = Standing(
            odds_for(policy, tested.test),
            policy.beta,
            why_not_more(policy, tested.test, tested.baseline, tested.canary),
            too_young(policy, tested.test),
            arm(totals, Role.CANARY).requests,
        )
        return Judgement(tested.verdict, standing, {}, look, tested)

    async def _settle(self, rollout: Rollout, watch: Watch) -> None:
        """Find out whether the last look is on record, where its saving was not answered; until then none is saved."""
        if watch.unsure:
            try:
                kept = await within(PATIENCE_S, self._store.tested(rollout.id), "The store")
            except Unavailable:
                return
            watch.tested, watch.unsure = kept or watch.tested, False

    async def _history(self, rollout: Rollout) -> Counts:
        """Give what the baseline did before any canary, as far as gateways know: what is expected of it."""
        try:
            before = await self._gatherer.totals(outside(rollout.id.rpartition(":")[0]))
        except Unavailable:
            return NOTHING
        ours = {key: each for key, each in before.items() if key.version == str(rollout.baseline)}
        with suppress(PlatformError):
            _check_whole(ours)
            return arm(ours, Role.BASELINE)
        return NOTHING


def _check_whole(window: Evidence) -> None:
    """Raise PlatformError where cumulative counts have become less: nothing may be concluded from what is left."""
    for key, counts in window.items():
        numbers = (counts.requests, counts.model_errors, counts.timeouts, *counts.latency.values())
        if min(numbers) < 0:
            raise PlatformError(
                f"The evidence of {key.rollout} is less than it was at an earlier check: a part of it is missing.",
                remedy="It is judged again when the missing part is back, or no more of the window.",
            )
