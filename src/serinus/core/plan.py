"""What a rollout's plan is: the shares of traffic that a canary is to have one after another, and what comes between.

A plan is a value. Its errors name a field as it is written in a plan's document: ``spec.steps[2].setWeight``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from serinus.core.errors import InvalidInput
from serinus.core.freeze import Freeze, never_ends
from serinus.core.names import checked_name
from serinus.core.policy import Policy, SequentialPolicy, policy_over

LEAST_WEIGHT, ALL = 0.01, 100.0
"""Shares in percent; the least is also the finest step."""
MOST_STEPS = 50
MOST_FREEZES = 20
LEAST_SPAN_S, MOST_SPAN_S = 0.1, 2_592_000.0
MOST_SAMPLES = 1_000_000_000
MOST_HOLDBACK = 50.0
HOLD_ALERT_S = 3600.0
HOLDBACK = 5.0
_ROUNDING = 1e-9

PolicyDocument = Mapping[str, str | int | float | None]


class StepKind(StrEnum):
    """What a step does."""

    SET_WEIGHT = "set_weight"
    PAUSE = "pause"
    APPROVAL = "approval"
    PROMOTE = "promote"


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    ``weight`` (percent) is that of a set_weight. A pause is over after ``duration_s`` seconds and ``min_samples``
    requests to the canary; it has one of them or both. An approval waits for a person.
    """

    kind: StepKind
    weight: float | None = None
    duration_s: float | None = None
    min_samples: int | None = None

    def __str__(self) -> str:
        """Say what it does."""
        if self.kind is StepKind.SET_WEIGHT:
            return f"{self.weight:g} % of the traffic"
        if self.kind is StepKind.PAUSE:
            wants = [] if self.duration_s is None else [span(self.duration_s)]
            wants += [] if self.min_samples is None else [f"{self.min_samples} canary requests"]
            return f"pause for {' and '.join(wants)}"
        return "wait for a person's approval" if self.kind is StepKind.APPROVAL else "promote"


@dataclass(frozen=True, slots=True)
class Plan:
    """A rollout from its first share of traffic to its promotion.

    ``policy`` holds fields of a policy by their names, those that differ from that policy's defaults; empty, the
    deployment's own judges. A rollout that stands still for ``progress_deadline_s`` is paused; a hold is told of
    again after ``hold_alert_s``. After a promotion the old version keeps ``holdback_weight`` percent of the traffic for
    ``holdback_s`` seconds (None: the policy's bake time). Without a promote at its end a plan stays at its last weight.
    """

    name: str
    steps: tuple[Step, ...]
    policy: PolicyDocument = field(default_factory=dict)
    progress_deadline_s: float | None = None
    hold_alert_s: float = HOLD_ALERT_S
    holdback_weight: float = HOLDBACK
    holdback_s: float | None = None
    freeze: tuple[Freeze, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be followed, naming it as it is written in a document."""
        checked_name(self.name, "metadata.name")
        _check_steps(self.steps, self.progress_deadline_s)
        own_policy(self)
        for name, seconds in (
            ("spec.progressDeadline", self.progress_deadline_s),
            ("spec.holdAlert", self.hold_alert_s),
            ("spec.holdback.duration", self.holdback_s),
        ):
            _check_span(seconds, name)
        if not 0.0 <= self.holdback_weight <= MOST_HOLDBACK or not _is_fine(self.holdback_weight):
            remedy = f"Give a percentage from 0 to {MOST_HOLDBACK:g} in steps of {LEAST_WEIGHT}."
            raise _wrong("spec.holdback.weight", self.holdback_weight, remedy)
        if len(self.freeze) > MOST_FREEZES:
            raise _too_many("spec.freeze", len(self.freeze), MOST_FREEZES)
        if never_ends(self.freeze):
            raise InvalidInput(
                "spec.freeze covers the whole week: the plan would never go on.",
                field="spec.freeze",
                remedy="Leave some hours of the week open.",
            )

    @property
    def first_weight(self) -> float:
        """The share in percent that a rollout starts with."""
        return self.steps[0].weight or LEAST_WEIGHT  # there is one: the first step sets it

    @property
    def paced(self) -> tuple[tuple[float, float], ...]:
        """Its weights, each with the seconds that it pauses there at least."""
        course: list[tuple[float, float]] = []
        for step in self.steps:
            if step.kind is StepKind.SET_WEIGHT:
                course.append((step.weight or LEAST_WEIGHT, 0.0))
            elif step.duration_s is not None:
                course[-1] = (course[-1][0], course[-1][1] + step.duration_s)
        return tuple(course)

    @property
    def promotes(self) -> bool:
        """Whether it ends with a promotion."""
        return self.steps[-1].kind is StepKind.PROMOTE


def own_policy(plan: Plan) -> Policy | None:
    """Make the policy that a plan asks for, None where it asks for none; InvalidInput if it cannot be."""
    if not plan.policy:
        return None
    try:
        return policy_over(SequentialPolicy(), plan.policy)
    except InvalidInput as wrong:
        there, here = wrong.field, f"spec.policy.{camel(wrong.field.rpartition('.')[2])}"
        raise InvalidInput(wrong.message.replace(there, here), field=here, remedy=wrong.remedy) from wrong


def camel(name: str) -> str:
    """Write the name of a field as documents do: error_margin is errorMargin."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def span(seconds: float) -> str:
    """Say a span of time in the largest unit that is whole: 90 s, 5 min, 1 h, 2 d."""
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


def _check_steps(steps: Sequence[Step], deadline_s: float | None) -> None:
    if not steps or steps[0].kind is not StepKind.SET_WEIGHT:
        raise InvalidInput(
            "spec.steps does not begin with a weight.",
            field="spec.steps",
            remedy="Begin with a step like setWeight: 5.",
        )
    if len(steps) > MOST_STEPS:
        raise _too_many("spec.steps", len(steps), MOST_STEPS)
    reached = 0.0
    for index, step in enumerate(steps):
        path = f"spec.steps[{index}]"
        if step.kind is StepKind.SET_WEIGHT:
            reached = _checked_weight(step.weight, reached, f"{path}.setWeight")
        elif step.kind is StepKind.PAUSE:
            _check_pause(step, deadline_s, f"{path}.pause")
        elif step.kind is StepKind.PROMOTE and index < len(steps) - 1:
            raise InvalidInput(
                f"{path}.promote is not the last step.",
                field=f"{path}.promote",
                remedy="Let it be the last: after it the canary is the baseline.",
            )


def _checked_weight(weight: float | None, reached: float, path: str) -> float:
    if weight is None or not LEAST_WEIGHT <= weight <= ALL or not _is_fine(weight):
        remedy = f"Give a percentage from {LEAST_WEIGHT} to {ALL:g} in steps of {LEAST_WEIGHT}."
        raise _wrong(path, weight, remedy)
    if weight <= reached:
        raise _wrong(path, weight, f"Weights rise: give more than {reached:g}, the one before.")
    return weight


def _check_pause(step: Step, deadline_s: float | None, path: str) -> None:
    if step.duration_s is None and step.min_samples is None:
        raise InvalidInput(
            f"{path} has no end.",
            field=path,
            remedy="Give it a duration, minSamples or both; to wait for a person, make it approval: {}.",
        )
    _check_span(step.duration_s, f"{path}.duration")
    if step.min_samples is not None and not 1 <= step.min_samples <= MOST_SAMPLES:
        raise _wrong(f"{path}.minSamples", step.min_samples, f"Give a number from 1 to {MOST_SAMPLES:g}.")
    if deadline_s is not None and (step.duration_s or 0.0) >= deadline_s:
        raise InvalidInput(
            f"{path}.duration is {span(step.duration_s or 0.0)}, and spec.progressDeadline {span(deadline_s)}.",
            field=f"{path}.duration",
            remedy="Make the pause shorter than the deadline; it would always be missed.",
        )


def _check_span(seconds: float | None, path: str) -> None:
    if seconds is not None and not LEAST_SPAN_S <= seconds <= MOST_SPAN_S:
        raise _wrong(path, seconds, f"Give a duration from {span(LEAST_SPAN_S)} to {span(MOST_SPAN_S)}, like 5m or 1h.")


def _is_fine(weight: float) -> bool:
    return abs(round(weight, 2) - weight) <= _ROUNDING


def _wrong(path: str, value: object, remedy: str) -> InvalidInput:
    shown = f"{value:g}" if isinstance(value, float) else repr(value)
    return InvalidInput(f"{path} is {shown}.", field=path, remedy=remedy)


def _too_many(path: str, number: int, most: int) -> InvalidInput:
    return InvalidInput(f"{path} has {number} entries.", field=path, remedy=f"Give {most} at most.")
