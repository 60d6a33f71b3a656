"""How long detection and promotion will take: told before a canary starts, on the mean path of its traffic.

The sequential test itself is fed what is expected of each look, as fractions of requests. So a forecast is of an
average rollout, to about a quarter; how long a request may be pending and how long a decision takes to be in force
come on top of it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from serinus.core.errors import InvalidInput
from serinus.core.mean_path import (
    AtWeight,
    Baseline,
    Course,
    Reached,
    at_weight,
    between,
    course_of,
    found_at,
)
from serinus.core.plan import ALL
from serinus.core.policy import GUARDRAIL, SequentialPolicy, policy_values

EFFECTS = (0.01, 0.02, 0.05, 0.19)
"""How much more a canary may fail that is to be found; the policy's margin is always among them."""
LONG_S = 600.0
"""A margin that takes longer to be found is too weak a watch: the canary's share, or the traffic, is small."""
HELD_UP = 2.0
"""From so many times what errors take on, a promotion is held up by latency."""

_TWO_MINUTES, _TWO_HOURS, _TWO_DAYS = 120.0, 7200.0, 172_800.0


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
    ramp = tuple(at_weight(policy, requests_per_s, baseline, weight, effects) for weight in weights)
    course = course_of(policy, requests_per_s, baseline, plan) if plan else None
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
        there = found_at(policy, told.requests_per_s, weight / ALL, rate, policy.error_margin)
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
    between(requests_per_s, 0.0, 1e9, "requests_per_s")
    if not weights or not all(0.0 < weight < ALL for weight in weights):
        raise InvalidInput(
            f"The weights are {list(weights)!r}.",
            field="weights",
            remedy="Give shares in percent between 0 and 100: at either there is nothing to compare.",
        )
    for weight, pause_s in plan:
        between(weight, 0.01, ALL, "plan.weight")
        between(pause_s, 0.0, 31_536_000.0, "plan.pause_s")
    if entities is not None:
        between(entities, 0.0, 1e12, "entities")
