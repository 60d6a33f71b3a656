"""The sequential test of many rollouts at once: the numbers of `serinus.core.sequential`, in arrays.

A row is a rollout. All rows look at the same times; each has its own counts. Constants are read from the core when they
are used, so that there is one place to change them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serinus.core import expected as past
from serinus.core import sequential as core
from serinus.core.eprocess import FLOOR
from serinus.core.evidence import LAST_BUCKET
from serinus.core.policy import SequentialPolicy

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

_CLOSE = 1e-8
"""A Newton step this small, relative to where it is, leaves an error of its square."""
_STEPS = 100


@dataclass(frozen=True, slots=True)
class Window:
    """Latency buckets that are told apart: from ``first`` to ``last``; what is faster or slower is in these two."""

    first: int = 0
    last: int = LAST_BUCKET

    @property
    def cells(self) -> int:
        """How many there are."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Slow:
    """What of the baselines is slow, by their past, and whether it is known.

    A request beyond the bucket is, and one within it as a fraction, ``part``; ``tail`` is the share expected of both.
    """

    bucket: Ints
    part: Floats
    tail: Floats
    known: Mask


@dataclass(frozen=True, slots=True)
class Latencies:
    """Answers by rollout and bucket, ``count`` of each pair; a pair may occur more than once."""

    row: Ints
    bucket: Ints
    count: Ints


@dataclass(frozen=True, slots=True)
class Seen:
    """What rollouts saw under one split since the last look; ``share`` is the canary's.

    ``beyond_tolerated`` and ``beyond_critical`` count the canary's answers beyond the two buckets that belong to the
    baseline's p95, ``slow`` the baseline's answers that are slow; ``latencies`` are all of the baseline's.
    """

    share: float
    canary: Ints
    canary_failed: Ints
    baseline: Ints
    baseline_failed: Ints
    beyond_tolerated: Ints
    beyond_critical: Ints
    slow: Floats
    latencies: Latencies


class Mixtures:
    """Mixtures of evidence over alternatives and over the time of the break; a row each."""

    def __init__(self, rollouts: int, weights: Sequence[float]) -> None:
        self.logs: Floats = np.full((rollouts, len(weights)), -np.inf)
        self.unspent: Floats = np.ones(rollouts)
        self._weights = np.log(np.asarray(weights))
        self.projections: Floats | None = None

    def begin(self, prior: Floats) -> None:
        """Let breaks begin now with a prior mass, a number for each row."""
        spent = np.minimum(prior, self.unspent)
        rows = spent > 0.0
        if rows.any():
            with np.errstate(divide="ignore"):
                self.logs = np.logaddexp(self.logs, np.log(spent)[:, None])
            self.unspent = self.unspent - spent

    def log(self) -> Floats:
        """Give the logarithms of the mixtures."""
        with np.errstate(divide="ignore"):
            rest = np.log(self.unspent)
        terms = self.logs + self._weights
        most = np.maximum(terms.max(axis=1), rest)
        total = np.exp(terms - most[:, None]).sum(axis=1) + np.exp(rest - most)
        return np.asarray(most + np.log(total), np.float64)

    def keep(self, rows: Mask) -> None:
        """Go on with some rows alone."""
        self.logs, self.unspent = self.logs[rows], self.unspent[rows]
        if self.projections is not None:
            self.projections = self.projections[rows]


class Tests:
    """The sequential tests of many rollouts."""

    __test__ = False

    def __init__(self, policy: SequentialPolicy, rollouts: int, window: Window | None = None) -> None:
        self.policy = policy
        self.window = window or Window()
        self.worse = Mixtures(rollouts, _even(len(core.EFFECTS)))
        self.sound = Mixtures(rollouts, [weight for *_, weight in core.HARMLESS])
        self.slower = Mixtures(rollouts, _even(len(core.SLOWER)))
        self.fast = Mixtures(rollouts, _even(len(core.FASTER)))
        self.requests, self.errors = np.zeros(rollouts), np.zeros(rollouts)
        self.canary_requests, self.canary_errors = np.zeros(rollouts), np.zeros(rollouts)
        self.latency: Floats = np.zeros((rollouts, self.window.cells))
        self.looks, self.changes, self.elapsed_s, self.young_s = 0, 0, 0.0, 0.0
        edges = range(self.window.first, self.window.last + 1)
        self._tolerated = np.array([core._tolerated(policy, bucket) for bucket in edges])  # noqa: SLF001
        self._critical = np.array([core._critical(policy, bucket) for bucket in edges])  # noqa: SLF001

    @property
    def error_rate(self) -> Floats:
        """What is expected of the baselines."""
        rate = (self.errors + past.PRIOR_ERRORS) / (self.requests + past.PRIOR_REQUESTS)
        return np.maximum(rate, past.LEAST_RATE)

    @property
    def recent_difference(self) -> Floats:
        """How much more the canaries fail than the baselines of late; a role without traffic fails never."""
        canary = self.canary_errors / np.maximum(self.canary_requests, past.NEAREST)
        return np.asarray(canary - self.errors / np.maximum(self.requests, past.NEAREST), np.float64)

    def slow(self) -> Slow:
        """Give where the baselines' p95 lie."""
        below = np.cumsum(self.latency, axis=1)
        total = below[:, -1]
        rank = past.QUANTILE * total
        rows, cell = np.arange(len(total)), np.argmax(below >= rank[:, None], axis=1)
        count = np.maximum(self.latency[rows, cell], past.NEAREST)
        tail = np.clip((total - rank + 1.0) / (total + 20.0), past.NEAREST, 1.0 - past.NEAREST)
        return Slow(cell + self.window.first, (below[rows, cell] - rank) / count, tail, total >= past.WARM)

    def tolerated(self, slow: Slow) -> Ints:
        """Give the buckets beyond which an answer of the canary is slower than tolerated."""
        return np.asarray(self._tolerated[slow.bucket - self.window.first], np.int64)

    def critical(self, slow: Slow) -> Ints:
        """Give the buckets beyond which an answer of the canary may be slower by the margin."""
        return np.asarray(self._critical[slow.bucket - self.window.first], np.int64)

    def after(self, slow: Slow, slices: Sequence[Seen], elapsed_s: float, *, changed: bool) -> None:
        """Take in a look; ``slow`` is what `slow()` gave before it."""
        rows = len(self.requests)
        prior = np.full(rows, self._prior(elapsed_s, changed=changed))
        compares = self.slower.unspent < 1.0
        first = np.where(compares, prior, np.maximum(prior, core.AT_THE_START)) * slow.known
        for mixtures, begins in ((self.worse, prior), (self.sound, prior), (self.slower, first), (self.fast, first)):
            mixtures.begin(begins)
        rate = self.error_rate
        self._age(elapsed_s)
        for seen in slices:
            self._weigh_errors(rate, seen)
            self._weigh_latency(slow, seen)
            self._expect(seen)
        self.looks += 1
        self.changes += changed
        self.elapsed_s += elapsed_s

    def know(self, requests: Ints, errors: Ints, latencies: Latencies) -> None:
        """Take in what the baselines did before the rollouts: no evidence, but what is expected of them."""
        self.requests += requests
        self.errors += errors
        self._know_latencies(latencies)

    def against(self) -> Floats:
        """Give the logarithms of the evidence that canaries are worse than tolerated."""
        errors, latency = np.log(core.ERRORS_WEIGHT), np.log(core.LATENCY_WEIGHT)
        return np.asarray(np.logaddexp(self.worse.log() + errors, self.slower.log() + latency), np.float64)

    def keep(self, rows: Mask) -> None:
        """Go on with some rows alone."""
        for mixtures in (self.worse, self.sound, self.slower, self.fast):
            mixtures.keep(rows)
        for name in ("requests", "errors", "canary_requests", "canary_errors", "latency"):
            setattr(self, name, getattr(self, name)[rows])

    def _prior(self, elapsed_s: float, *, changed: bool) -> float:
        if not self.looks:
            return core.AT_THE_START
        at_change = core.AT_CHANGES / core.CHANGES if changed and self.changes < core.CHANGES else 0.0
        horizon_s = self.policy.horizon_s
        left_s = max(horizon_s - self.elapsed_s, 0.0)
        return at_change + core.LATER * min(elapsed_s, left_s) / horizon_s

    def _age(self, elapsed_s: float) -> None:
        for counts in (self.canary_requests, self.canary_errors):
            np.multiply(counts, 0.5 ** (elapsed_s / past.HALF_LIFE_S), out=counts)
        self.young_s += elapsed_s
        if self.young_s < past.AGES_S:
            return
        with np.errstate(divide="ignore"):
            few = np.minimum(1.0, past.KEPT / self.requests)
        kept = np.maximum(0.5 ** (self.young_s / past.HALF_LIFE_S), few)
        for counts in (self.requests, self.errors):
            np.multiply(counts, kept, out=counts)
        self.latency = np.round(self.latency * kept[:, None], past._DIGITS)  # noqa: SLF001
        self.latency *= (self.latency >= past._NOTICED) | (kept[:, None] == 1.0)  # noqa: SLF001
        self.young_s = 0.0

    def _expect(self, seen: Seen) -> None:
        self.requests += seen.baseline
        self.errors += seen.baseline_failed
        self.canary_requests += seen.canary
        self.canary_errors += seen.canary_failed
        self._know_latencies(seen.latencies)

    def _know_latencies(self, latencies: Latencies) -> None:
        cells = np.clip(latencies.bucket, self.window.first, self.window.last) - self.window.first
        np.add.at(self.latency.reshape(-1), latencies.row * self.window.cells + cells, latencies.count)

    def _weigh_errors(self, rate: Floats, seen: Seen) -> None:
        tolerated, margin = self.policy.tolerated_errors, self.policy.error_margin
        inside = _inside(rate)[:, None]
        worse = _inside(rate[:, None] + tolerated + np.asarray(core.EFFECTS))
        times, parts = (np.array([each[i] for each in core.HARMLESS]) for i in (0, 1))
        sound = _inside(rate[:, None] * times + margin * parts)
        counts = (
            seen.canary_failed,
            seen.canary - seen.canary_failed,
            seen.baseline_failed,
            seen.baseline - seen.baseline_failed,
        )
        _weigh(self.worse, worse, inside, seen.share, tolerated, worse > inside + tolerated, counts)
        below = (sound < inside + margin) & (inside + margin < 1.0)
        _weigh(self.sound, sound, inside, seen.share, margin, below, counts)

    def _weigh_latency(self, slow: Slow, seen: Seen) -> None:
        if not slow.known.any():
            return
        odds, tail = (slow.tail / (1.0 - slow.tail))[:, None], slow.tail[:, None]
        known = slow.known[:, None]
        for mixtures, multiples, canarys in (
            (self.slower, core.SLOWER, seen.beyond_tolerated),
            (self.fast, core.FASTER, seen.beyond_critical),
        ):
            multiplied = odds * np.asarray(multiples)
            canary = _inside(multiplied / (1.0 + multiplied))
            outside = known & (canary > tail if mixtures is self.slower else canary < tail)
            counts = (canarys, seen.canary - canarys, seen.slow, seen.baseline - seen.slow)
            _weigh(mixtures, canary, tail, seen.share, 0.0, outside, counts)


def _weigh(
    mixtures: Mixtures,
    canary: Floats,
    baseline: Floats,
    share: float,
    gap: float,
    outside: Mask,
    counts: tuple[Floats | Ints, ...],
) -> None:
    """Multiply each alternative's evidence by what was seen: canary's ones and zeros, the baseline's ones and zeros."""
    p = projected(canary, baseline, share, gap, mixtures.projections)
    mixtures.projections = p
    q = p + gap
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = (
            counts[0][:, None] * np.log(canary / q)
            + counts[1][:, None] * np.log((1.0 - canary) / (1.0 - q))
            + counts[2][:, None] * np.log(baseline / p)
            + counts[3][:, None] * np.log((1.0 - baseline) / (1.0 - p))
        )
    mixtures.logs = mixtures.logs + (worth if outside.all() else np.where(outside, worth, 0.0))


def projected(canary: Floats, baseline: Floats, share: float, gap: float, start: Floats | None = None) -> Floats:
    """Give the projections of `serinus.core.eprocess.projected`, for arrays; ``start`` may be near them."""
    pooled = share * canary + (1.0 - share) * baseline
    if gap == 0.0:
        return pooled
    low = np.full(pooled.shape, max(0.0, -gap))
    high = np.full(pooled.shape, min(1.0, 1.0 - gap))
    p = np.clip(pooled - share * gap if start is None else start, low + FLOOR, high - FLOOR)
    baseline = np.broadcast_to(baseline, pooled.shape)
    for _ in range(_STEPS):
        q = p + gap
        p_left, q_left = 1.0 - p, 1.0 - q
        slope = share * (q - canary) / (q * q_left) + (1.0 - share) * (p - baseline) / (p * p_left)
        np.copyto(high, p, where=slope > 0.0)
        np.copyto(low, p, where=slope <= 0.0)
        curve = share * (canary / q**2 + (1.0 - canary) / q_left**2)
        curve += (1.0 - share) * (baseline / p**2 + (1.0 - baseline) / p_left**2)
        step = p - slope / curve
        close = np.abs(step - p) <= _CLOSE * p
        if close.all():
            return step
        p = np.where(close | (low < step) & (step < high), step, 0.5 * (low + high))
    return p


def _even(alternatives: int) -> list[float]:
    return [1.0 / alternatives] * alternatives


def _inside(probability: Floats) -> Floats:
    return np.clip(probability, past.NEAREST, 1.0 - past.NEAREST)
