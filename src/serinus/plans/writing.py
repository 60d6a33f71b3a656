"""A plan as its document: what `read_plan` reads is the same plan again."""

from typing import Any

from serinus.core.freeze import END_OF_DAY, MIDNIGHT, Freeze
from serinus.core.plan import Plan, Step, StepKind, camel
from serinus.plans.durations import write_duration
from serinus.plans.shape import API_VERSION, KIND


def to_document(plan: Plan) -> dict[str, Any]:
    """Give the document of a plan, JSON values only."""
    spec: dict[str, Any] = {}
    if plan.policy:
        spec["policy"] = {camel(name): _number(value) for name, value in plan.policy.items()}
    spec["steps"] = [_step(step) for step in plan.steps]
    if plan.progress_deadline_s is not None:
        spec["progressDeadline"] = write_duration(plan.progress_deadline_s)
    spec["holdAlert"] = write_duration(plan.hold_alert_s)
    spec["holdback"] = {"weight": _number(plan.holdback_weight)}
    if plan.holdback_s is not None:
        spec["holdback"]["duration"] = write_duration(plan.holdback_s)
    if plan.freeze:
        spec["freeze"] = [_freeze(freeze) for freeze in plan.freeze]
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": plan.name}, "spec": spec}


def _step(step: Step) -> dict[str, Any]:
    if step.kind is StepKind.SET_WEIGHT:
        return {"setWeight": _number(step.weight)}
    if step.kind is not StepKind.PAUSE:
        return {step.kind.value: {}}
    pause: dict[str, Any] = {}
    if step.duration_s is not None:
        pause["duration"] = write_duration(step.duration_s)
    if step.min_samples is not None:
        pause["minSamples"] = step.min_samples
    return {"pause": pause}


def _freeze(freeze: Freeze) -> dict[str, Any]:
    if not freeze.days:
        return {"from": freeze.start, "to": freeze.end, "timeZone": freeze.time_zone}
    document: dict[str, Any] = {"days": list(freeze.days)}
    if freeze.start != MIDNIGHT:
        document["from"] = freeze.start
    if freeze.end != END_OF_DAY:
        document["to"] = freeze.end
    return document | {"timeZone": freeze.time_zone}


def _number(value: object) -> object:
    """Write 20.0 as 20."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
