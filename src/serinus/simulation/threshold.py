"""The article's rule for many rollouts at once: what `serinus.core.judge` says of each, in arrays."""

from collections import deque
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from serinus.core.evidence import ARTICLE_EDGES_MS, GROWTH, LAST_BUCKET
from serinus.core.policy import ThresholdPolicy
from serinus.simulation.evidence import Floats, Ints, Latencies, Mask, Window
from serinus.simulation.rollout import PROMOTED, ROLLED_BACK
from serinus.simulation.traffic import Tick

FULL = Window()
QUANTILE = 0.95
_EDGES = np.array([GROWTH**index for index in range(LAST_BUCKET + 1)])
_CELLS = np.searchsorted(ARTICLE_EDGES_MS, _EDGES, side="left")
_IN_CELL = (_CELLS[:, None] == np.arange(len(ARTICLE_EDGES_MS) + 1)).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Arm:
    """What a role did in the window: arrays of a number each, and histograms of shape (rollouts, buckets)."""

    requests: Ints
    failed: Ints
    latency: Ints

    def __add__(self, other: "Arm") -> "Arm":
        """Merge."""
        return Arm(self.requests + other.requests, self.failed + other.failed, self.latency + other.latency)

    def of(self, rows: Mask) -> "Arm":
        """Give some rows."""
        return Arm(self.requests[rows], self.failed[rows], self.latency[rows])


class Threshold:
    """The threshold policy: a sliding window of as many looks as fit in it."""

    def __init__(self, policy: ThresholdPolicy, *, promotes: bool = True) -> None:
        self._policy, self._promotes = policy, promotes
        self._looks: deque[tuple[Arm, Arm]] = deque(maxlen=max(1, round(policy.window_s / policy.interval_s)))

    def look(self, tick: Tick) -> Ints:
        """Take in a tick, and decide."""
        baseline = Arm(tick.baseline, tick.baseline_failed, histogram(tick.baseline_latencies(FULL), len(tick.canary)))
        canary = Arm(tick.canary, tick.canary_failed, histogram(tick.canary_latencies(FULL), len(tick.canary)))
        self._looks.append((baseline, canary))
        b, c = self._looks[0]
        for other_b, other_c in list(self._looks)[1:]:
            b, c = b + other_b, c + other_c
        decision = judged(self._policy, b, c)
        if not self._promotes:
            decision[decision == PROMOTED] = 0
        return decision

    def keep(self, rows: Mask) -> None:
        """Go on with some rows alone."""
        for place, (baseline, canary) in enumerate(self._looks):
            self._looks[place] = baseline.of(rows), canary.of(rows)


def histogram(latencies: Latencies, rollouts: int) -> Ints:
    """Give counts of shape (rollouts, all buckets)."""
    place = latencies.row * FULL.cells + latencies.bucket
    counts = np.bincount(place, latencies.count, rollouts * FULL.cells)
    return counts.astype(np.int64).reshape(rollouts, FULL.cells)


def judged(policy: ThresholdPolicy, b: Arm, c: Arm) -> Ints:
    """Apply the rule to the two arms of windows."""
    asked = (b.requests > 0) & (c.requests > 0) & (b.latency.sum(axis=1) > 0) & (c.latency.sum(axis=1) > 0)
    asked &= ~((b.failed == b.requests) & (c.failed == c.requests))
    delta = Fraction(str(policy.error_delta))
    more = c.failed * b.requests - b.failed * c.requests
    scale = b.requests * c.requests
    slower = np.round(interpolated(c.latency) - interpolated(b.latency), 6)
    critical = (more * delta.denominator > delta.numerator * scale) | (slower > policy.p95_delta_ms)
    sound = (c.requests >= policy.min_requests) & (more <= 0) & ~(slower > policy.p95_delta_ms / 2)
    sound &= ~(measured(c.latency) - measured(b.latency) > policy.p95_delta_ms)
    decision = np.zeros(len(more), np.int64)
    decision[asked & sound] = PROMOTED
    decision[asked & critical] = ROLLED_BACK
    return decision


def interpolated(latency: Ints) -> Floats:
    """Give the article's p95 of each row in milliseconds; 0 where a row is empty."""
    cumulative = np.cumsum(latency @ _IN_CELL, axis=1)
    rank = QUANTILE * cumulative[:, -1]
    index = np.argmax(cumulative >= rank[:, None], axis=1)
    last = index >= len(ARTICLE_EDGES_MS)
    inside, rows = np.where(last, 0, index), np.arange(len(latency))
    edges = np.array([0.0, *ARTICLE_EDGES_MS])
    lower, upper = edges[inside], edges[inside + 1]
    below = np.where(inside > 0, cumulative[rows, inside - 1], 0.0)
    count = np.maximum(cumulative[rows, inside] - below, 1.0)
    between = lower + (upper - lower) * (rank - below) / count
    return np.asarray(np.where(last, ARTICLE_EDGES_MS[-1], between), np.float64)


def measured(latency: Ints) -> Floats:
    """Give the p95 of each row in milliseconds, at the upper edge of its log bucket."""
    below = np.cumsum(latency, axis=1)
    index = np.argmax(below >= (QUANTILE * below[:, -1])[:, None], axis=1)
    return np.asarray(np.round(_EDGES[index], 3), np.float64)
