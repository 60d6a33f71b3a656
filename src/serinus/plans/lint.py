"""What a plan may do and its author hardly wants: advice, not rules."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

from serinus.core.freeze import DAYS
from serinus.core.plan import Plan, Step, StepKind, own_policy, span
from serinus.core.policy import Policy, SequentialPolicy

MUCH_AT_FIRST, LITTLE_AT_LAST = 50.0, 20.0
"""Shares in percent that a first step had better not exceed, and a last one not fall below."""
FEW, _WEEKEND = 4, "Sat"
"""So many nights in a row, that of a Saturday among them, are rather one window than a window each night."""
_WEIGHT, _APPROVAL = StepKind.SET_WEIGHT, StepKind.APPROVAL


@dataclass(frozen=True, slots=True)
class Finding:
    """A piece of advice, and the field that it is about."""

    field: str
    message: str


def lint(plan: Plan, now: datetime | None = None) -> tuple[Finding, ...]:
    """Look a plan over; with ``now``, for windows that are over as well."""
    policy = own_policy(plan) or SequentialPolicy()
    return (*_of_steps(plan, policy), *_of_ends(plan, policy), *_of_freezes(plan, now))


def _of_steps(plan: Plan, policy: Policy) -> Iterator[Finding]:
    if plan.first_weight > MUCH_AT_FIRST:
        yield Finding("spec.steps[0].setWeight", f"The canary begins with {plan.first_weight:g} % of the traffic.")
    for index, step in enumerate(plan.steps):
        if step.kind is StepKind.PAUSE and step.min_samples is None and (step.duration_s or 0.0) < policy.interval_s:
            yield Finding(
                f"spec.steps[{index}].pause.duration",
                f"A pause of {span(step.duration_s or 0.0)} is over before the policy looks: "
                f"it does every {span(policy.interval_s)}.",
            )
    for index, (step, following) in enumerate(pairwise(plan.steps)):
        if step.kind is following.kind is _APPROVAL:
            yield Finding(f"spec.steps[{index + 1}].approval", "Two approvals follow each other; one will do.")
        if step.kind is following.kind is _WEIGHT and not isinstance(policy, SequentialPolicy):
            yield Finding(
                f"spec.steps[{index + 1}].setWeight",
                f"From {step.weight:g} % to {following.weight:g} % nothing is waited for: with the policy "
                f"{policy.name!r} one healthy look is enough.",
            )


def _of_ends(plan: Plan, policy: Policy) -> Iterator[Finding]:
    last = plan.steps[-1]
    if not plan.promotes:
        place = f"spec.steps[{len(plan.steps) - 1}]"
        if last.kind is _APPROVAL:
            yield Finding(f"{place}.approval", "Nothing follows the approval, so nobody needs to give it.")
        yield Finding(
            "spec.steps", "Without promote at its end the plan stays at its last weight, for a person to promote."
        )
    else:
        reached = max(step.weight or 0.0 for step in plan.steps)
        if reached < LITTLE_AT_LAST:
            yield Finding("spec.steps", f"The canary is promoted from {reached:g} %: all other traffic comes at once.")
    if not plan.holdback_weight and plan.holdback_s is not None:
        yield Finding("spec.holdback.duration", "A holdback of 0 % has no duration.")
    if not _bakes(plan.steps, policy) and not plan.holdback_weight:
        yield Finding("spec", "Nothing bakes: no pause, no approval, no bake time of the policy and no holdback.")


def _bakes(steps: Sequence[Step], policy: Policy) -> bool:
    waits = any(step.kind in {StepKind.PAUSE, _APPROVAL} for step in steps)
    return waits or (isinstance(policy, SequentialPolicy) and policy.bake_s > 0.0)


def _of_freezes(plan: Plan, now: datetime | None) -> Iterator[Finding]:
    for index, freeze in enumerate(plan.freeze):
        place = f"spec.freeze[{index}]"
        if freeze.end < freeze.start and _WEEKEND in freeze.days and len(freeze.days) <= FEW:
            for first, after in _runs(freeze.days):
                yield Finding(
                    place,
                    f"It is open in between, from {freeze.end} to {freeze.start}. For one window without gaps write "
                    f"from: {first} {freeze.start} and to: {after} {freeze.end}, without days.",
                )
        if now is not None and not freeze.is_weekly:
            ends = datetime.fromisoformat(freeze.end).replace(tzinfo=ZoneInfo(freeze.time_zone), fold=1)
            if ends <= now:
                yield Finding(place, f"It is over since {freeze.end}; it can be removed.")


def _runs(days: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the first day of each run of days in a row, and the day after its last; days alone are no run."""
    for first in (day for day in days if _after(day, -1) not in days):
        length = next(length for length in range(1, len(DAYS)) if _after(first, length) not in days)
        if length > 1:
            yield first, _after(first, length)


def _after(day: str, number: int) -> str:
    return DAYS[(DAYS.index(day) + number) % len(DAYS)]
