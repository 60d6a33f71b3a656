"""What is expected of a baseline's next requests, by what it did before: it is known before they come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

from serinus.core.evidence import NOTHING, Counts

HALF_LIFE_S = 600.0
"""What the baseline did counts half after so long in what is expected of it next."""
AGES_S = 30.0
"""How often what is expected ages: seldom enough that counts may be rounded, and take little room on record."""
PRIOR_ERRORS, PRIOR_REQUESTS = 1.0, 50.0
LEAST_RATE = 1e-4
QUANTILE = 0.95
WARM = 100
"""Baseline requests from which on its p95 is known well enough to compare latencies with it."""
KEPT = 200.0
"""So many of the baseline's last requests count in full, however long ago they were: few requests are not forgotten."""
NEAREST = 1e-6
_NOTICED = 0.2
_DIGITS = 2


@dataclass(frozen=True, slots=True)
class Slow:
    """What of the baseline is slow: a request beyond a bucket, and one within it as a fraction, ``part``.

    The bucket holds the p95. With the fraction the share that is slow is expected to be 5 %, ``tail``, however many of
    the requests are in that one bucket: of a baseline whose answers all take the same time as well. It stands for a
    coin that is tossed for each of them, and has less evidence than that, on average, for a logarithm is concave.
    """

    bucket: int
    part: float
    tail: float


@dataclass(frozen=True, slots=True)
class Expected:
    """What the baseline's past says of its next requests: decayed counts of requests, errors and latency buckets.

    ``young_s`` are the seconds since they were last decayed.
    """

    requests: float = 0.0
    errors: float = 0.0
    latency: Mapping[int, float] = field(default_factory=dict)
    young_s: float = 0.0

    @property
    def error_rate(self) -> float:
        """The rate of errors that is expected."""
        return max((self.errors + PRIOR_ERRORS) / (self.requests + PRIOR_REQUESTS), LEAST_RATE)

    def after(self, seen: Counts, elapsed_s: float) -> "Expected":
        """Let time pass, and take in what the baseline did meanwhile."""
        past = self._aged(self.young_s + elapsed_s)
        if seen is NOTHING:
            return past
        latency = dict(past.latency)
        for index, count in seen.latency.items():
            latency[index] = latency.get(index, 0.0) + count
        requests, errors = past.requests + seen.requests, past.errors + seen.failed
        return Expected(requests, errors, dict(sorted(latency.items())), past.young_s)

    def _aged(self, seconds: float) -> "Expected":
        if seconds < AGES_S:
            return replace(self, young_s=seconds)
        few = min(1.0, KEPT / self.requests) if self.requests else 1.0
        kept = max(0.5 ** (seconds / HALF_LIFE_S), few)
        if kept == 1.0:  # so few are not forgotten
            return replace(self, young_s=0.0)
        latency = {index: round(count * kept, _DIGITS) for index, count in self.latency.items()}
        noticed = {index: count for index, count in latency.items() if count >= _NOTICED}
        return Expected(self.requests * kept, self.errors * kept, noticed)

    def slow(self) -> "Slow | None":
        """Say what is slow, by the baseline's p95; None while too few of its requests are known."""
        total = sum(self.latency.values())
        if total < WARM:
            return None
        rank, below = QUANTILE * total, 0.0
        for index, count in self.latency.items():
            below += count
            if below >= rank:
                return Slow(index, (below - rank) / count, inside((total - rank + 1.0) / (total + 20.0)))
        raise AssertionError(rank)  # the counts add up to their total


def encoded_expected(expected: Expected) -> list[object]:
    """Give what is expected of a baseline as plain values."""
    indices = list(expected.latency)
    steps = [index - before for before, index in zip([0, *indices], indices, strict=False)]
    return [expected.requests, expected.errors, expected.young_s, steps, list(expected.latency.values())]


def decoded_expected(document: Sequence[Any]) -> Expected:
    """Read what ``encoded_expected`` gave; TypeError or ValueError if it is something else."""
    requests, errors, young_s, steps, counts = document
    latency = {int(index): float(count) for index, count in zip(accumulate(steps), counts, strict=True)}
    return Expected(float(requests), float(errors), latency, float(young_s))


def inside(probability: float) -> float:
    """Keep a probability off 0 and 1."""
    return min(max(probability, NEAREST), 1.0 - NEAREST)
