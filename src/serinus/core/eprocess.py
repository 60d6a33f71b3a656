"""Evidence against a claim about two streams of yes and no: an exact e-process, and mixtures of it.

Each request was drawn to the canary with the known probability ``share`` and has one outcome, 0 or 1. The claim (the
null) bounds the difference of the two probabilities of a 1 by ``gap``, whatever these are and however they move. The
product of the factors below is a test martingale on the whole of it: its mean, given the past, is at most 1. By Ville's
inequality it ever reaches 1/a with probability at most a, however often it is looked at.

Sources: Turner, Ly and Grünwald, Generic e-variables for exact sequential k-sample tests (arXiv 2106.02693); Grünwald,
de Heide and Koolen, Safe testing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

FLOOR = 1e-9
"""Nearer to 0 or 1 no alternative is taken to be."""
_STEPS = 100


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What a tick saw: requests with outcome 1 and with outcome 0, of each role. Weights may be fractions."""

    canary_ones: float = 0.0
    canary_zeros: float = 0.0
    baseline_ones: float = 0.0
    baseline_zeros: float = 0.0

    def weighing(self, each: float) -> "Outcomes":
        """Let every request count for so much."""
        if each == 1.0:
            return self
        return Outcomes(
            each * self.canary_ones, each * self.canary_zeros, each * self.baseline_ones, each * self.baseline_zeros
        )


@dataclass(frozen=True, slots=True)
class Alternative:
    """Probabilities of a 1 that the test is made to find: of the canary and of the baseline, both in (0, 1)."""

    canary: float
    baseline: float


@dataclass(frozen=True, slots=True)
class Factors:
    """Natural logarithms of what one request is worth, by role and outcome; ``projection`` is the null's baseline."""

    projection: float
    canary_one: float
    canary_zero: float
    baseline_one: float
    baseline_zero: float

    def of(self, seen: Outcomes) -> float:
        """Give the logarithm of what a tick is worth."""
        return (
            seen.canary_ones * self.canary_one
            + seen.canary_zeros * self.canary_zero
            + seen.baseline_ones * self.baseline_one
            + seen.baseline_zeros * self.baseline_zero
        )


def factors(alternative: Alternative, share: float, gap: float) -> Factors:
    """Give what requests are worth against the null, for an alternative outside of it.

    Args:
        alternative: the two probabilities to find. share: the canary's, in (0, 1).
        gap: d, in (-1, 1). The null is "canary <= baseline + d" if the alternative lies above it, else ">=".
    """
    p = projected(alternative, share, gap)
    q = p + gap
    return Factors(
        projection=p,
        canary_one=math.log(alternative.canary / q),
        canary_zero=math.log((1.0 - alternative.canary) / (1.0 - q)),
        baseline_one=math.log(alternative.baseline / p),
        baseline_zero=math.log((1.0 - alternative.baseline) / (1.0 - p)),
    )


def projected(alternative: Alternative, share: float, gap: float) -> float:
    """Give the baseline's probability p of the null's nearest point (p + gap, p): the reverse information projection.

    It minimises share kl(canary, p + gap) + (1 - share) kl(baseline, p), which is convex: the root of its derivative,
    by Newton's method kept inside the bracket by bisection.
    """
    pc, pb = alternative.canary, alternative.baseline
    pooled = share * pc + (1.0 - share) * pb
    if gap == 0.0:
        return pooled
    low, high = max(0.0, -gap), min(1.0, 1.0 - gap)
    p = min(max(pooled - share * gap, low + FLOOR), high - FLOOR)
    for _ in range(_STEPS):
        q = p + gap
        slope = share * (q - pc) / (q * (1.0 - q)) + (1.0 - share) * (p - pb) / (p * (1.0 - p))
        if slope > 0.0:
            high = p
        else:
            low = p
        curve = share * (pc / q**2 + (1.0 - pc) / (1.0 - q) ** 2)
        curve += (1.0 - share) * (pb / p**2 + (1.0 - pb) / (1.0 - p) ** 2)
        step = p - slope / curve
        if not low < step < high:
            step = 0.5 * (low + high)
        if abs(step - p) <= 1e-15 * p:
            return step
        p = step
    return p


def divergence(p: float, q: float) -> float:
    """Give kl(p, q) of two Bernoulli distributions, in nats."""
    left = p * math.log(p / q) if p > 0.0 else 0.0
    right = (1.0 - p) * math.log((1.0 - p) / (1.0 - q)) if p < 1.0 else 0.0
    return left + right


def growth(alternative: Alternative, share: float, gap: float) -> float:
    """Give the nats that a request adds on average under the alternative: no valid test gets more."""
    p = projected(alternative, share, gap)
    canary = share * divergence(alternative.canary, p + gap)
    return canary + (1.0 - share) * divergence(alternative.baseline, p)


def information_limit(alternative: Alternative, share: float, gap: float, alpha: float) -> float:
    """Give the canary requests that any valid test at level alpha needs on average to find the alternative."""
    return share * math.log(1.0 / alpha) / growth(alternative, share, gap)


@dataclass(frozen=True, slots=True)
class Mixture:
    """Evidence over several alternatives and over when things went wrong.

    ``logs`` holds the logarithm of each alternative's Shiryaev-Roberts sum, ``unspent`` the prior mass of breaks that
    are still to come. Before any evidence it is all unspent, and the mixture is 1.
    """

    logs: tuple[float, ...]
    unspent: float = 1.0

    @classmethod
    def of(cls, alternatives: int) -> "Mixture":
        """Begin."""
        return cls((-math.inf,) * alternatives)

    def begun(self, prior: float) -> "Mixture":
        """Let breaks begin now with a prior mass (gamma); what is unspent bounds it."""
        spent = min(prior, self.unspent)
        if spent <= 0.0:
            return self
        return Mixture(tuple(_log_sum(log, math.log(spent)) for log in self.logs), self.unspent - spent)

    def after(self, worth: Sequence[float]) -> "Mixture":
        """Take in what was seen, worth so much (as a logarithm) under each alternative: M <- E M."""
        return replace(self, logs=tuple(log + each for log, each in zip(self.logs, worth, strict=True)))

    def log(self, weights: Sequence[float]) -> float:
        """Give the logarithm of the mixture, for weights that add up to 1."""
        logs = [*self.logs, 0.0] if self.unspent > 0.0 else self.logs
        return log_mean(logs, [*weights, self.unspent] if self.unspent > 0.0 else weights)


def log_mean(logs: Sequence[float], weights: Sequence[float]) -> float:
    """Give log(sum of weight * exp(log)); -inf where there is nothing."""
    most = max(logs)
    if most == -math.inf:
        return most
    return most + math.log(sum(weight * math.exp(log - most) for log, weight in zip(logs, weights, strict=True)))


def _log_sum(one: float, other: float) -> float:
    """Give log(exp(one) + exp(other))."""
    low, high = sorted((one, other))
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
