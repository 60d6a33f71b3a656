"""What each arm did, as mergeable counts: the only input of a judgement."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from serinus.core.routing import Role

GROWTH = 1.02
"""Ratio of neighbouring latency bucket edges."""
SLOWEST_MS = 600_000.0
_LOG_GROWTH = math.log(GROWTH)
LAST_BUCKET = math.ceil(math.log(SLOWEST_MS) / _LOG_GROWTH)

ARTICLE_EDGES_MS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2500.0, 5000.0)
"""Upper edges of the article's latency buckets; one more, +Inf, holds the rest."""


class Key(NamedTuple):
    """Whose counts: one role under one split of one rollout ("" outside of any)."""

    rollout: str
    version: str
    split_version: int
    role: Role


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of one arm; adding is merging, subtracting two cumulative snapshots is a window.

    ``requests`` are those a model was asked for (answered, failed or timed out); ``model_errors`` and ``timeouts`` are
    among them, client and platform errors are not. ``latency`` maps a log bucket's index to its count: index
    ``ceil(ln(ms) / ln 1.02)``, from 0 (up to 1 ms) to 672 (10 minutes and more); failures are in it at their duration.
    """

    requests: int = 0
    model_errors: int = 0
    timeouts: int = 0
    client_errors: int = 0
    platform_errors: int = 0
    latency: Mapping[int, int] = field(default_factory=dict)
    latency_sum_ms: float = 0.0

    @property
    def failed(self) -> int:
        """Requests that speak against the model."""
        return self.model_errors + self.timeouts

    @property
    def error_rate(self) -> float:
        """Failed requests over requests; 0.0 where there were none."""
        return self.failed / self.requests if self.requests else 0.0

    def __add__(self, other: "Counts") -> "Counts":
        """Merge two counts."""
        return self._combined(other, 1)

    def __sub__(self, other: "Counts") -> "Counts":
        """Give what came since the snapshot ``other``."""
        return self._combined(other, -1)

    def _combined(self, other: "Counts", sign: int) -> "Counts":
        latency = dict(self.latency)
        for index, count in other.latency.items():
            latency[index] = latency.get(index, 0) + sign * count
        return Counts(
            requests=self.requests + sign * other.requests,
            model_errors=self.model_errors + sign * other.model_errors,
            timeouts=self.timeouts + sign * other.timeouts,
            client_errors=self.client_errors + sign * other.client_errors,
            platform_errors=self.platform_errors + sign * other.platform_errors,
            latency={index: count for index, count in sorted(latency.items()) if count},
            latency_sum_ms=self.latency_sum_ms + sign * other.latency_sum_ms,
        )


NOTHING = Counts()
Evidence = Mapping[Key, Counts]


def bucket_of(latency_ms: float) -> int:
    """Give the log bucket of a latency in milliseconds: the smallest i with latency <= 1.02**i, from 0 to 672."""
    if not latency_ms > 1.0:
        return 0
    if latency_ms >= SLOWEST_MS:  # infinity has no logarithm to round up
        return LAST_BUCKET
    return math.ceil(math.log(latency_ms) / _LOG_GROWTH)


def merged(parts: Iterable[Evidence]) -> dict[Key, Counts]:
    """Merge the evidence of several gateways; the order does not matter."""
    total: dict[Key, Counts] = {}
    for part in parts:
        for key, counts in part.items():
            total[key] = total.get(key, NOTHING) + counts
    return total


def since(now: Evidence, then: Evidence) -> dict[Key, Counts]:
    """Give the window between two cumulative snapshots; what is gone since has counts below zero."""
    return {key: now.get(key, NOTHING) - then.get(key, NOTHING) for key in dict.fromkeys((*now, *then))}


def arm(evidence: Evidence, role: Role) -> Counts:
    """Add up one role over all splits."""
    total = NOTHING
    for key, counts in evidence.items():
        if key.role is role:
            total += counts
    return total


def article_buckets(latency: Mapping[int, int]) -> tuple[int, ...]:
    """Derive the article's cumulative buckets: counts at or below each of ``ARTICLE_EDGES_MS``, then of all.

    A log bucket is counted at its upper edge, so that a latency is never taken for faster than it was (and for
    slower by 2 % at most).
    """
    counts = [0] * (len(ARTICLE_EDGES_MS) + 1)
    for index, count in latency.items():
        counts[bisect_left(ARTICLE_EDGES_MS, GROWTH**index)] += count
    total = 0
    cumulative = []
    for count in counts:
        total += count
        cumulative.append(total)
    return tuple(cumulative)


def interpolated_quantile(cumulative: tuple[int, ...], q: float) -> float | None:
    """Interpolate a quantile in milliseconds from the article's cumulative buckets.

    Linear within the bucket that holds rank ``q * total``, as Prometheus' ``histogram_quantile`` does; a rank in the
    last bucket (+Inf) gives its lower edge, 5000 ms. None where there are no counts; ``q`` is in (0, 1].
    """
    total = cumulative[-1]
    if total == 0:
        return None
    rank = q * total
    index = bisect_left(cumulative, rank)
    if index >= len(ARTICLE_EDGES_MS):
        return ARTICLE_EDGES_MS[-1]
    below = cumulative[index - 1] if index else 0
    lower = ARTICLE_EDGES_MS[index - 1] if index else 0.0
    inside = cumulative[index] - below
    return lower + (ARTICLE_EDGES_MS[index] - lower) * (rank - below) / inside


def p95_ms(counts: Counts) -> float | None:
    """Give the article's p95 of an arm in milliseconds; None without traffic."""
    return interpolated_quantile(article_buckets(counts.latency), 0.95)


def log_quantile(latency: Mapping[int, int], q: float) -> float | None:
    """Give a quantile in milliseconds, at the upper edge of its log bucket (2 % at most above it); None if empty."""
    rank = q * sum(latency.values())
    seen = 0
    for index, count in sorted(latency.items()):
        seen += count
        if seen >= rank:
            return round(GROWTH**index, 3)
    return None
