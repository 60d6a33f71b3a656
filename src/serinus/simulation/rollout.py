"""Many rollouts under one policy: looks, decisions, and what they cost."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from serinus.core.policy import SequentialPolicy
from serinus.simulation.evidence import Floats, Ints, Mask, Seen, Slow, Tests
from serinus.simulation.traffic import Source, Tick, Traffic

UNDECIDED, ROLLED_BACK, PROMOTED = 0, 1, 2
_DOUBTFUL = math.log(10.0)


class Rule(Protocol):
    """Decides about rollouts, a row each, by what it is shown of them tick by tick."""

    def look(self, tick: Tick) -> Ints:
        """Take in a tick, and give for each row UNDECIDED, ROLLED_BACK or PROMOTED."""
        ...

    def keep(self, rows: Mask) -> None:
        """Go on with some rows alone."""
        ...


@dataclass(frozen=True, slots=True)
class Results:
    """How rollouts ended: arrays of one number a rollout.

    ``decision`` is UNDECIDED, ROLLED_BACK or PROMOTED; ``seconds``, ``canary_requests`` and ``canary_failed`` are
    counted until then, or until the simulation ended.
    """

    decision: Ints
    seconds: Floats
    canary_requests: Ints
    canary_failed: Ints

    def share(self, decision: int) -> float:
        """Give the share of rollouts that ended so."""
        return float(np.mean(self.decision == decision))

    def count(self, decision: int) -> int:
        """Give how many ended so."""
        return int(np.sum(self.decision == decision))

    def of(self, decision: int) -> "Results":
        """Give the rollouts that ended so."""
        rows = self.decision == decision
        return Results(self.decision[rows], self.seconds[rows], self.canary_requests[rows], self.canary_failed[rows])


class Sequential:
    """The sequential policy as the checker applies it: weigh, then decide.

    ``known_s``: seconds of the baseline's traffic before the rollout that are known when it begins.
    """

    def __init__(
        self, policy: SequentialPolicy, source: Source, *, promotes: bool = True, known_s: float = 0.0
    ) -> None:
        self.tests = Tests(policy, source.rollouts, source.window)
        self._policy, self._promotes = policy, promotes
        self._share = math.nan
        if known_s:
            past = source.past(known_s)
            self.tests.know(past.baseline, past.baseline_failed, past.baseline_latencies(source.window))

    def look(self, tick: Tick) -> Ints:
        """Take in a tick, and decide."""
        tests, changed = self.tests, tick.share != self._share and not math.isnan(self._share)
        self._share = tick.share
        slow = tests.slow()
        tests.after(slow, [seen_of(tick, tests, slow)], tick.lasts_s, changed=changed)
        return self.decisions()

    def decisions(self) -> Ints:
        """Give what the evidence says now."""
        policy, tests = self._policy, self.tests
        against = tests.against()
        decision = np.zeros(len(against), np.int64)
        if self._promotes and tests.elapsed_s >= policy.bake_s:
            wanted = math.log(1.0 / policy.beta)
            sound = (tests.sound.log() >= wanted) & (tests.fast.log() >= wanted)
            calm = tests.recent_difference < policy.error_margin / 2
            decision[sound & calm & (against < _DOUBTFUL)] = PROMOTED
        decision[against >= math.log(1.0 / policy.alpha)] = ROLLED_BACK
        return decision

    def keep(self, rows: Mask) -> None:
        """Go on with some rows alone."""
        self.tests.keep(rows)


def seen_of(tick: Tick, tests: Tests, slow: Slow) -> Seen:
    """Draw of a tick what the tests need."""
    tolerated, critical = tick.canary_beyond(tests.tolerated(slow), tests.critical(slow))
    latencies = tick.baseline_latencies(tests.window)
    edge, part = slow.bucket[latencies.row], slow.part[latencies.row]
    weight = np.where(latencies.bucket > edge, 1.0, np.where(latencies.bucket == edge, part, 0.0))
    slowly = np.asarray(np.bincount(latencies.row, latencies.count * weight, len(tick.baseline)), np.float64)
    return Seen(
        tick.share,
        tick.canary,
        tick.canary_failed,
        tick.baseline,
        tick.baseline_failed,
        tolerated,
        critical,
        slowly,
        latencies,
    )


Pace = Sequence[tuple[float, float]]
"""Seconds between looks, from a second on."""


def run(
    make: Callable[[Source], Rule],
    traffic: Traffic,
    *,
    rollouts: int,
    seconds: float,
    seed: int,
    pace: Pace = ((0.0, 1.0),),
    watch: Callable[[float, int], None] | None = None,
) -> Results:
    """Let rollouts run until they are decided or the time is over.

    Args:
        make: makes the rule for all of them. traffic: what each meets.
        rollouts, seconds, seed: how many, how long at most, and what all chance comes from.
        pace: how often it is looked; a tick is what happens between two looks.
        watch: is told the second and how many are undecided, after each look.
    """
    source = Source(traffic, rollouts, seed)
    rule = make(source)
    alive = np.arange(rollouts)
    decision, ended = np.zeros(rollouts, np.int64), np.full(rollouts, seconds)
    requests, failed = np.zeros(rollouts, np.int64), np.zeros(rollouts, np.int64)
    second = 0.0
    while second < seconds - 1e-9 and len(alive):
        lasts_s = next(every for begins, every in reversed(pace) if begins <= second + 1e-9)
        tick = source.tick(second, lasts_s)
        second += lasts_s
        requests[alive] += tick.canary
        failed[alive] += tick.canary_failed
        decided = rule.look(tick)
        if decided.any():
            rows = decided != UNDECIDED
            decision[alive[rows]], ended[alive[rows]] = decided[rows], second
            alive = alive[~rows]
            rule.keep(~rows)
            source.keep(~rows)
        if watch:
            watch(second, len(alive))
    return Results(decision, ended, requests, failed)
