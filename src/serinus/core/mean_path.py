"""What a rollout comes to on the mean path of its traffic: when there is enough evidence, look by look.

The sequential test itself is fed what is expected of each look, as fractions of requests.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from serinus.core.assess import against, odds_for
from serinus.core.eprocess import Alternative, information_limit
from serinus.core.errors import InvalidInput
from serinus.core.evidence import Counts, bucket_of, log_quantile
from serinus.core.expected import HALF_LIFE_S, Expected, inside
from serinus.core.plan import ALL
from serinus.core.policy import GUARDRAIL, SIGNAL, SequentialPolicy
from serinus.core.sequential import SequentialTest, Slice

SPREAD = 0.6
"""Standard deviation of the logarithm of latencies of which the p95 alone is known."""

_GROWTH = 0.2
_DEVIATIONS = 4.0
_PARTS = 80
_OF_P95 = 1.6449  # standard deviations


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is known of a baseline: its error rate, its p95, and its latencies as counts by log bucket, if measured."""

    error_rate: float
    p95_ms: float | None = None
    latency: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no baseline can be."""
        between(self.error_rate, 0.0, 1.0, "error_rate")
        between(self.p95_ms or 0.0, 0.0, 1e9, "p95_ms")

    @classmethod
    def of(cls, counts: Counts) -> "Baseline":
        """Take what was measured."""
        return cls(counts.error_rate, log_quantile(counts.latency, 0.95), counts.latency)

    def shape(self) -> dict[int, float]:
        """Give the share of requests in each log bucket; lognormal where only the p95 is known, empty without it."""
        counts = dict(self.latency) or ({} if self.p95_ms is None else _lognormal(self.p95_ms))
        total = sum(counts.values())
        return {index: count / total for index, count in sorted(counts.items()) if count}


@dataclass(frozen=True, slots=True)
class Reached:
    """When the evidence is enough: so long after the start, and so many canary requests."""

    seconds: float
    canary_requests: int


@dataclass(frozen=True, slots=True)
class Found:
    """A canary that fails ``more``: when it is rolled back, None beyond the horizon.

    ``limit`` is the information limit: canary requests that any valid test needs; None where nothing is to be found,
    because so much is tolerated, or because no rate can be so high.
    """

    more: float
    reached: Reached | None
    limit: float | None


@dataclass(frozen=True, slots=True)
class AtWeight:
    """What a share in percent gives, kept from the start; ``promoted`` is a good canary, with its limit by errors."""

    weight: float
    found: tuple[Found, ...]
    promoted: Reached | None
    promotion_limit: float | None
    by_errors: Reached | None
    """When a good canary's errors alone would allow it."""

    def of(self, more: float) -> Found:
        """Give what was forecast of a canary that fails so much more."""
        return next(each for each in self.found if each.more == more)


@dataclass(frozen=True, slots=True)
class Course:
    """How a good canary takes a plan: seconds until it is promoted, or None and the weight that it is still at."""

    steps: tuple[tuple[float, float], ...]
    finished_s: float | None
    weight: float


@dataclass(frozen=True, slots=True)
class _Traffic:
    """What is expected of each second: requests by role, their error rates, and the shape of their latencies."""

    policy: SequentialPolicy
    requests_per_s: float
    share: float
    baseline_fails: float
    canary_fails: float
    shape: Mapping[int, float] = field(default_factory=dict)

    def looked(self, test: SequentialTest, elapsed_s: float, *, changed: bool = False) -> SequentialTest:
        """Let time pass, and look once at what is expected of it."""
        canary, baseline = (per_second * elapsed_s for per_second in self._per_second())
        seen = Slice(
            self.share,
            _counts(canary, self.canary_fails, self.shape),
            _counts(baseline, self.baseline_fails, self.shape),
        )
        after = test.after(self.policy, [seen], elapsed_s, changed=changed)
        return replace(after, expected=self._expected(test.expected, elapsed_s))

    def until(self, test: SequentialTest, lacks: Callable[[SequentialTest], float]) -> SequentialTest | None:
        """Look, less and less often, until nothing lacks any more; None if that is beyond the horizon."""
        while (lack := lacks(test)) > 0.0:
            if test.elapsed_s >= self.policy.horizon_s or not self.requests_per_s:
                return None
            step_s = max(self.policy.interval_s, test.elapsed_s * _GROWTH)
            after = self.looked(test, step_s)
            left = lacks(after)
            if left <= 0.0:
                return self.looked(test, step_s * lack / (lack - left))
            test = after
        return test

    def reached(self, test: SequentialTest | None, *, at_least_s: float = 0.0) -> Reached | None:
        """Say when the checker sees it, which is at a look; None if that is beyond the horizon."""
        if test is None:
            return None
        interval_s = self.policy.interval_s
        looks = max(math.ceil(round(max(test.elapsed_s, at_least_s) / interval_s, 6)), 1)
        seconds = looks * interval_s
        if seconds > self.policy.horizon_s:
            return None
        return Reached(seconds, math.ceil(self._per_second()[0] * seconds))

    def _per_second(self) -> tuple[float, float]:
        return self.requests_per_s * self.share, self.requests_per_s * (1.0 - self.share)

    def _expected(self, before: Expected, elapsed_s: float) -> Expected:
        """Give what a checker remembers that looked all the while: a long look does not decay within itself."""
        kept = 0.5 ** (elapsed_s / HALF_LIFE_S)
        fresh = self._per_second()[1] * (1.0 - kept) * HALF_LIFE_S / math.log(2.0)
        return replace(
            before,
            requests=before.requests * kept + fresh,
            errors=before.errors * kept + fresh * self.baseline_fails,
            latency={i: before.latency.get(i, 0.0) * kept + fresh * part for i, part in self.shape.items()},
        )


def _counts(requests: float, rate: float, shape: Mapping[int, float]) -> Counts:
    """Give expected counts, which are no whole numbers: the test is linear in them and takes them as they are."""
    latency = {index: requests * part for index, part in shape.items()}
    return Counts(
        requests=cast("int", requests),
        model_errors=cast("int", requests * rate),
        latency=cast("Mapping[int, int]", latency),
    )


def at_weight(
    policy: SequentialPolicy, requests_per_s: float, baseline: Baseline, weight: float, effects: Sequence[float]
) -> AtWeight:
    """Say what a share in percent gives, kept from the start."""
    share, rate = weight / ALL, baseline.error_rate
    good = _Traffic(policy, requests_per_s, share, rate, rate, baseline.shape())
    of_errors = replace(policy, p95_role=SIGNAL)
    by_errors = good.until(SequentialTest(), _lacks(of_errors, policy.beta))
    promoted = good.until(by_errors or SequentialTest(), _lacks(_rule(policy, baseline), policy.beta))
    return AtWeight(
        weight,
        tuple(found_at(policy, requests_per_s, share, rate, more) for more in effects),
        good.reached(promoted, at_least_s=policy.bake_s),
        _limit(rate, rate, share, policy.error_margin, policy.beta) if rate + policy.error_margin < 1.0 else None,
        good.reached(by_errors, at_least_s=policy.bake_s),
    )


def found_at(policy: SequentialPolicy, requests_per_s: float, share: float, rate: float, more: float) -> Found:
    """Say when a canary that fails so much more is rolled back at a share, in (0, 1)."""
    if policy.error_role != GUARDRAIL or more <= policy.tolerated_errors or rate + more > 1.0:
        return Found(more, None, None)
    # Latencies are left out: those of both roles are alike, and speak neither for nor against.
    bad = _Traffic(policy, requests_per_s, share, rate, rate + more)
    found = bad.until(SequentialTest(), lambda test: math.log(1.0 / policy.alpha) - against(policy, test))
    return Found(more, bad.reached(found), _limit(rate + more, rate, share, policy.tolerated_errors, policy.alpha))


def course_of(
    policy: SequentialPolicy, requests_per_s: float, baseline: Baseline, plan: Sequence[tuple[float, float]]
) -> Course:
    """Take a good canary through a plan: to go to w percent wants odds of (1/beta) ** (w/100) for it."""
    rate, shape, rule = baseline.error_rate, baseline.shape(), _rule(policy, baseline)
    wanted = [policy.beta ** (weight / ALL) for weight, _ in plan[1:]] + [policy.beta]
    test = SequentialTest()
    for index, ((weight, pause_s), beta) in enumerate(zip(plan, wanted, strict=True)):
        if weight == ALL:  # nothing is compared any more: all evidence was wanted before
            test = replace(test, elapsed_s=test.elapsed_s + pause_s)
            continue
        on = _Traffic(policy, requests_per_s, weight / ALL, rate, rate, shape)
        first = on.looked(test, min(policy.interval_s, pause_s or policy.interval_s), changed=index > 0)
        paused = on.until(first, _is_younger(test.elapsed_s + pause_s))
        moved = paused and on.until(paused, _lacks(rule, beta))
        if moved is None:
            return Course(tuple(plan), None, weight)
        test = moved
    finished_s = max(test.elapsed_s, policy.bake_s)
    return Course(tuple(plan), finished_s if finished_s <= policy.horizon_s else None, plan[-1][0])


def _rule(policy: SequentialPolicy, baseline: Baseline) -> SequentialPolicy:
    """Give the policy as far as it can be forecast: without latencies it is that of errors alone."""
    return policy if baseline.shape() else replace(policy, p95_role=SIGNAL)


def _lacks(policy: SequentialPolicy, beta: float) -> Callable[[SequentialTest], float]:
    return lambda test: math.log(1.0 / beta) - odds_for(policy, test)


def _is_younger(than_s: float) -> Callable[[SequentialTest], float]:
    return lambda test: than_s - test.elapsed_s


def _limit(canary: float, baseline: float, share: float, gap: float, error: float) -> float:
    return information_limit(Alternative(inside(canary), inside(baseline)), share, gap, error)


def _lognormal(p95_ms: float) -> dict[int, float]:
    """Spread latencies around the median that goes with a p95, in equal steps of the normal deviate."""
    middle = math.log(max(p95_ms, 1.0)) - _OF_P95 * SPREAD
    edges = [(2.0 * part / _PARTS - 1.0) * _DEVIATIONS for part in range(_PARTS + 1)]
    below = [0.5 * (1.0 + math.erf(edge / math.sqrt(2.0))) for edge in edges]
    counts: dict[int, float] = {}
    for high, mass, less in zip(edges[1:], below[1:], below, strict=False):
        bucket = bucket_of(math.exp(middle + SPREAD * high))
        counts[bucket] = counts.get(bucket, 0.0) + mass - less
    return counts


def between(value: float, low: float, high: float, name: str) -> None:
    """Raise InvalidInput for a number that is not from ``low`` to ``high``."""
    if not low <= value <= high:  # NaN is not, either
        raise InvalidInput(f"{name} is {value!r}.", field=name, remedy=f"Give a number from {low:g} to {high:g}.")
