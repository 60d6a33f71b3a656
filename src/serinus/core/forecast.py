"""How long detection and promotion will take: told before a canary starts, on the mean path of its traffic.

The sequential test itself is fed what is expected of each look, as fractions of requests. So a forecast is of an
average rollout, to about a quarter; how long a request may be pending and how long a decision takes to be in force
come on top of it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from serinus.core.assess import against, odds_for
from serinus.core.eprocess import Alternative, information_limit
from serinus.core.errors import InvalidInput
from serinus.core.evidence import Counts, bucket_of, log_quantile
from serinus.core.expected import HALF_LIFE_S, WARM, Expected
from serinus.core.policy import GUARDRAIL, SIGNAL, SequentialPolicy, policy_values
from serinus.core.sequential import SequentialTest, Slice

EFFECTS = (0.01, 0.02, 0.05, 0.19)
"""How much more a canary may fail that is to be found; the policy's margin is always among them."""
LONG_S = 600.0
"""A margin that takes longer to be found is too weak a watch: the canary's share, or the traffic, is small."""
HELD_UP = 2.0
"""From so many times what errors take on, a promotion is held up by latency."""
SPREAD = 0.6
"""Standard deviation of the logarithm of latencies of which the p95 alone is known."""
ALL = 100.0

_TWO_MINUTES, _TWO_HOURS, _TWO_DAYS = 120.0, 7200.0, 172_800.0
_GROWTH = 0.2
_NEAREST = 1e-6
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
        _between(self.error_rate, 0.0, 1.0, "error_rate")
        _between(self.p95_ms or 0.0, 0.0, 1e9, "p95_ms")

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
class Forecast:
    """What is to be expected of canaries of this baseline, with warnings as sentences."""

    policy: SequentialPolicy
    requests_per_s: float
    baseline: Baseline
    weights: tuple[AtWeight, ...]
    course: Course | None
    warnings: tuple[str, ...]


def forecast(
    policy: SequentialPolicy,
    requests_per_s: float,
    baseline: Baseline,
    weights: Sequence[float],
    *,
    plan: Sequence[tuple[float, float]] = (),
    entities: float | None = None,
) -> Forecast:
    """Say when canaries would be found and promoted.

    Args:
        policy: the rule. requests_per_s: of both roles together.
        baseline: what is known of it; without latencies a promotion is forecast by errors alone.
        weights: shares in percent, each in (0, 100): at 100 there is no baseline to compare with.
        plan: pairs of a weight and the seconds that are spent at it at least; the last may be 100.
        entities: how many there are, where traffic is sticky: they are then the unit of evidence.

    Raises:
        InvalidInput: a rate, weight, pause or number of entities that cannot be.
    """
    _check(requests_per_s, weights, plan, entities)
    effects = sorted({*EFFECTS, policy.error_margin})
    ramp = tuple(_at_weight(policy, requests_per_s, baseline, weight, effects) for weight in weights)
    course = _course(policy, requests_per_s, baseline, plan) if plan else None
    told = Forecast(policy, requests_per_s, baseline, ramp, course, ())
    return replace(told, warnings=tuple(_warnings(told, entities)))


def of_forecast(told: Forecast) -> dict[str, object]:
    """Give a forecast as JSON values; what is not reached within the horizon has null seconds and requests."""
    document: dict[str, object] = {
        "rate": told.requests_per_s,
        "baseline_error_rate": told.baseline.error_rate,
        "p95_ms": told.baseline.p95_ms,
        "policy": policy_values(told.policy),
        "weights": [
            {
                "weight": at.weight,
                "found": {f"{each.more * 100:g}": _reached(each.reached, each.limit) for each in at.found},
                "promoted": _reached(at.promoted, at.promotion_limit),
            }
            for at in told.weights
        ],
        "warnings": list(told.warnings),
    }
    if told.course is not None:
        steps = [{"weight": weight, "pause_s": pause_s} for weight, pause_s in told.course.steps]
        document["plan"] = {"steps": steps, "finished_s": told.course.finished_s, "weight": told.course.weight}
    return document


def _reached(reached: Reached | None, limit: float | None) -> dict[str, object]:
    return {
        "seconds": reached.seconds if reached else None,
        "canary_requests": reached.canary_requests if reached else None,
        "limit": None if limit is None else round(limit),
    }


# ------------------------------------------------------------------------------------------ the mean path


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


def _at_weight(
    policy: SequentialPolicy, requests_per_s: float, baseline: Baseline, weight: float, effects: Sequence[float]
) -> AtWeight:
    share, rate = weight / ALL, baseline.error_rate
    good = _Traffic(policy, requests_per_s, share, rate, rate, baseline.shape())
    of_errors = replace(policy, p95_role=SIGNAL)
    by_errors = good.until(SequentialTest(), _lacks(of_errors, policy.beta))
    promoted = good.until(by_errors or SequentialTest(), _lacks(_rule(policy, baseline), policy.beta))
    return AtWeight(
        weight,
        tuple(_found(policy, requests_per_s, share, rate, more) for more in effects),
        good.reached(promoted, at_least_s=policy.bake_s),
        _limit(rate, rate, share, policy.error_margin, policy.beta) if rate + policy.error_margin < 1.0 else None,
        good.reached(by_errors, at_least_s=policy.bake_s),
    )


def _found(policy: SequentialPolicy, requests_per_s: float, share: float, rate: float, more: float) -> Found:
    if policy.error_role != GUARDRAIL or more <= policy.tolerated_errors or rate + more > 1.0:
        return Found(more, None, None)
    # Latencies are left out: those of both roles are alike, and speak neither for nor against.
    bad = _Traffic(policy, requests_per_s, share, rate, rate + more)
    found = bad.until(SequentialTest(), lambda test: math.log(1.0 / policy.alpha) - against(policy, test))
    return Found(more, bad.reached(found), _limit(rate + more, rate, share, policy.tolerated_errors, policy.alpha))


def _course(
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
    return information_limit(Alternative(_inside(canary), _inside(baseline)), share, gap, error)


def _inside(rate: float) -> float:
    return min(max(rate, _NEAREST), 1.0 - _NEAREST)


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


# ------------------------------------------------------------------------------------------------ in words


def duration(seconds: float) -> str:
    """Say a span of time as people do: 45 s, 27 min, 2 h 13 min, 3 d."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < _TWO_MINUTES:
        return f"{seconds:.3g} s"
    if seconds < _TWO_HOURS:
        return f"{minutes} min"
    if seconds < _TWO_DAYS:
        return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
    return f"{hours / 24:.3g} d"


def _warnings(told: Forecast, entities: float | None) -> Iterator[str]:
    policy = told.policy
    if not told.requests_per_s:
        yield "There is no traffic: no canary would be found, and none promoted."
        return
    if policy.error_role != GUARDRAIL:
        yield "Errors are no guardrail of the policy: no canary would be rolled back because it fails more."
    else:
        yield from _too_weak(told)
        yield from _too_few(told, math.inf if entities is None else entities)
    late = [f"{at.weight:g} %" for at in told.weights if at.promoted is None]
    if late:
        yield f"At {', '.join(late)} a good canary would not have the evidence to be promoted {_within(policy)}."
    if policy.p95_role == GUARDRAIL:
        yield from _held_up(told)
    if told.course is not None:
        yield from _of_course(told, told.course)


def _too_weak(told: Forecast) -> Iterator[str]:
    """Warn of shares at which what is worse by the margin is found late; the best share is told with them."""
    found = [(at.weight, at.of(told.policy.error_margin).reached) for at in told.weights]
    weak = [each for each in found if _seconds(each[1]) > LONG_S]
    if not weak:
        return
    best = min(found, key=lambda each: _seconds(each[1]))
    (weight, first), *others = weak if best in weak else [*weak, best]
    when = f"be found after {_when(first)} canary requests" if first else f"not be found {_within(told.policy)}"
    rate = f"{told.requests_per_s:.3g} request{'' if told.requests_per_s == 1 else 's'} per second"
    more = [f"; at {other:g} % {f'after {_when(at)}' if at else 'neither'}" for other, at in others]
    yield f"{rate} at {weight:g} %: a canary failing {_more(told.policy)} would {when}{''.join(more)}."


def _too_few(told: Forecast, entities: float) -> Iterator[str]:
    """Warn of shares whose entities are fewer than the evidence that is wanted."""
    few = []
    for at in told.weights:
        margin, has = at.of(told.policy.error_margin), entities * at.weight / ALL
        wanted = margin.reached.canary_requests if margin.reached else margin.limit
        if wanted is not None and has < wanted:
            few.append(f"{has:.0f} instead of {wanted:.0f} at {at.weight:g} %")
    if few:
        yield (
            f"Traffic is sticky, and {entities:.0f} entities are too few to find a canary failing "
            f"{_more(told.policy)}: it gets {', '.join(few)}, however long it runs."
        )


def _held_up(told: Forecast) -> Iterator[str]:
    remembered_s = HALF_LIFE_S / math.log(2.0)
    seldom = [at for at in told.weights if told.requests_per_s * (1.0 - at.weight / ALL) * remembered_s <= WARM]
    if seldom:
        never = f"At {', '.join(f'{at.weight:g} %' for at in seldom)} latencies would never be compared"
        yield f"{never}, and no canary promoted: it takes {WARM} baseline requests in {duration(remembered_s)}."
        return
    if not told.baseline.shape():
        yield "The baseline's latency is not known: promotions are forecast by errors alone, and may take longer."
    elif any(_seconds(at.promoted) > max(HELD_UP * _seconds(at.by_errors), LONG_S) for at in told.weights):
        margin = f"{told.policy.p95_margin_ms:g} ms, where p95 is {told.baseline.p95_ms or 0.0:.0f} ms,"
        yield f"Latency holds promotions up: a margin of {margin} takes longer to be sure of than that of errors."


def _of_course(told: Forecast, course: Course) -> Iterator[str]:
    policy, rate, short = told.policy, told.baseline.error_rate, []
    for weight, pause_s in course.steps:
        if weight == ALL:
            continue
        there = _found(policy, told.requests_per_s, weight / ALL, rate, policy.error_margin)
        if there.limit is not None and pause_s < _seconds(there.reached):
            takes = duration(there.reached.seconds) if there.reached else f"over {duration(policy.horizon_s)}"
            short.append(f"{duration(pause_s)} at {weight:g} %, where it takes {takes}")
    if short:
        yield f"The plan's pauses are shorter than it takes to find {_more(policy)}: {'; '.join(short)}."
    if course.finished_s is None:
        yield f"The plan would not be finished {_within(policy)}: a good canary would still be at {course.weight:g} %."


def _seconds(reached: Reached | None) -> float:
    return reached.seconds if reached else math.inf


def _when(reached: Reached) -> str:
    return f"{duration(reached.seconds)} and {reached.canary_requests}"


def _within(policy: SequentialPolicy) -> str:
    return f"within {duration(policy.horizon_s)}"


def _more(policy: SequentialPolicy) -> str:
    margin = f"{policy.error_margin * 100:g}"
    return f"{margin} point{'' if margin == '1' else 's'} more"


def _check(
    requests_per_s: float, weights: Sequence[float], plan: Sequence[tuple[float, float]], entities: float | None
) -> None:
    _between(requests_per_s, 0.0, 1e9, "requests_per_s")
    if not weights or not all(0.0 < weight < ALL for weight in weights):
        raise InvalidInput(
            f"The weights are {list(weights)!r}.",
            field="weights",
            remedy="Give shares in percent between 0 and 100: at either there is nothing to compare.",
        )
    for weight, pause_s in plan:
        _between(weight, 0.01, ALL, "plan.weight")
        _between(pause_s, 0.0, 31_536_000.0, "plan.pause_s")
    if entities is not None:
        _between(entities, 0.0, 1e12, "entities")


def _between(value: float, low: float, high: float, name: str) -> None:
    if not low <= value <= high:  # NaN is not, either
        raise InvalidInput(f"{name} is {value!r}.", field=name, remedy=f"Give a number from {low:g} to {high:g}.")
