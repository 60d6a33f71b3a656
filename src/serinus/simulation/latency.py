"""How long answers take: a lognormal body with a heavy tail, as probabilities of log buckets."""

import math
from dataclasses import dataclass

import numpy as np

from serinus.core.evidence import GROWTH, LAST_BUCKET
from serinus.simulation.evidence import Floats, Window

_LEAST_BODY, _LEAST_TAIL = 0.3, 1e-3
"""A window reaches from where this many answers are slower, to where only so few are."""


@dataclass(frozen=True, slots=True)
class Latency:
    """A distribution of milliseconds: lognormal, and a ``heavy`` part of answers of a Pareto tail.

    ``median_ms`` and ``sigma`` are the body's; the tail begins at three medians and falls with the power ``index``.
    """

    median_ms: float = 20.0
    sigma: float = 0.6
    heavy: float = 0.02
    index: float = 1.5

    def beyond(self, ms: float) -> float:
        """Give the probability of an answer slower than that."""
        if ms <= 0.0:
            return 1.0
        body = 0.5 * math.erfc(math.log(ms / self.median_ms) / (self.sigma * math.sqrt(2.0)))
        tail = min(1.0, math.pow(3.0 * self.median_ms / ms, self.index))
        return (1.0 - self.heavy) * body + self.heavy * tail

    def quantile(self, q: float) -> float:
        """Give the milliseconds that a share ``q`` of answers does not exceed, to a millionth."""
        low, high = 1e-3, 1e7
        while high > low * (1.0 + 1e-9):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.beyond(middle) > 1.0 - q else (low, middle)
        return high

    def slowed(self, by_ms: float) -> float:
        """Give the factor by which all answers slow down when p95 rises by so much."""
        p95 = self.quantile(0.95)
        return (p95 + by_ms) / p95

    def buckets_beyond(self, factor: float = 1.0) -> Floats:
        """Give, for every log bucket, the probability of a slower one, where all answers take ``factor`` times as long.

        Shape (LAST_BUCKET + 1,); the last is 0.
        """
        return np.array([self.beyond(GROWTH**index / factor) for index in range(LAST_BUCKET)] + [0.0])


def window_of(distributions: list[Floats]) -> Window:
    """Give the buckets among which the p95 of all of these lies, as far as chance goes (1e-7 a rollout)."""
    first = min(int(np.argmax(beyond <= 1.0 - _LEAST_BODY)) for beyond in distributions)
    last = max(int(np.argmax(beyond <= _LEAST_TAIL)) for beyond in distributions)
    return Window(first, last)
