"""Documents to plans; whatever is wrong with one is said at once, with its line where it has one."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cache

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from serinus.core.errors import InvalidInput
from serinus.core.freeze import Freeze, is_known
from serinus.core.plan import HOLDBACK, Plan, Step, StepKind
from serinus.core.policy import POLICIES
from serinus.plans.schema import shipped_schema
from serinus.plans.shape import DailyFreeze, OneFreeze, PlanShape, StepShape, WeeklyFreeze
from serinus.plans.text import Path, Text, parsed

_SHOWN = 60

_WANTED = {
    "missing": "Add it; `canary plan show standard -o yaml` has them all.",
    "empty": "Give it a value, {{}} for approval and promote, or leave it out.",
    "duration": "Give a duration in quotes or plainly, with its unit: 30s, 5m, 1h30m.",
    "endless": "Give it a duration, minSamples or both; to wait for a person, make it approval: {{}}.",
    "one_step": "Give one of setWeight, pause, approval and promote; each step is an entry of its own.",
    "repeated": "Name each day once.",
    "string_type": "Give text, in quotes where it looks like a number.",
    "float_type": "Give a number, without quotes.",
    "int_type": "Give a whole number, without quotes.",
    "finite_number": "Give a number.",
    "list_type": "Give a list, each entry on a line with a dash.",
    "model_type": "Give a mapping: names with values.",
    "model_attributes_type": "Give a mapping: names with values.",
    "dict_type": "Give a mapping: names with values.",
    "literal_error": "Give {expected}.",
    "greater_than_equal": "Give {ge:g} at least.",
    "less_than_equal": "Give {le:g} at most.",
    "too_long": "Give {max_length} entries at most.",
    "too_short": "Give one entry at least.",
}
"""What is wanted, by the type of pydantic's error."""
_PATTERNS = {
    "name": "Use 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or a digit.",
    "timeZone": "Give a name of the IANA database, like Europe/Berlin or UTC.",
    "from": 'Give a time ("16:00") with days; else a day and time (Fri 16:00), or a date and time (2026-12-20T00:00).',
    "to": 'Give what from has: a time ("08:00"), a day and time (Mon 08:00), or a date and time (2027-01-02T00:00).',
}
_PART = re.compile(r"\[(?P<index>[0-9]+)\]|(?P<name>[^.\[\]]+)")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a document, where, and what to do; ``line`` is None where there is no text."""

    field: str
    message: str
    remedy: str
    line: int | None


def read_plan(text: str) -> Plan:
    """Read a plan from YAML or JSON.

    Raises:
        InvalidInput: it names all that is wrong with the shape, or else the first thing that makes no sense, with
            lines; ``details["problems"]`` has them one by one.
    """
    try:
        return _read(parsed(text))
    except InvalidInput as wrong:
        if "problems" not in wrong.details:
            line = wrong.details.get("line")
            problem = Problem("", wrong.message, wrong.remedy, line if isinstance(line, int) else None)
            raise _refused([problem]) from wrong
        raise


def plan_of(document: object) -> Plan:
    """Make a plan of a document of JSON values, as `read_plan` does of text."""
    return _read(Text(document, {}))


def line_of(text: str, field: str) -> int | None:
    """Find the line of a field, ``spec.steps[2].pause``, in text that can be read; None if it has none."""
    return parsed(text).line_of(_read_path(field))


def _read(text: Text) -> Plan:
    try:
        shape = PlanShape.model_validate(text.document)
    except ValidationError as wrong:
        raise _refused(list(_problems(wrong, text))) from wrong
    try:
        return _plan(shape)
    except InvalidInput as wrong:
        line = text.line_of(_read_path(wrong.field))
        raise _refused([Problem(wrong.field, wrong.message, wrong.remedy, line)]) from wrong


def _plan(shape: PlanShape) -> Plan:
    spec = shape.spec
    return Plan(
        name=shape.metadata.name,
        steps=tuple(_step(step) for step in spec.steps),
        policy={} if spec.policy is None else spec.policy.model_dump(exclude_unset=True),
        progress_deadline_s=spec.progress_deadline,
        hold_alert_s=spec.hold_alert,
        holdback_weight=HOLDBACK if spec.holdback is None else spec.holdback.weight,
        holdback_s=None if spec.holdback is None else spec.holdback.duration,
        freeze=tuple(_freeze(freeze, f"spec.freeze[{index}]") for index, freeze in enumerate(spec.freeze)),
    )


def _step(shape: StepShape) -> Step:
    if shape.set_weight is not None:
        return Step(StepKind.SET_WEIGHT, weight=shape.set_weight)
    if shape.pause is not None:
        return Step(StepKind.PAUSE, duration_s=shape.pause.duration, min_samples=shape.pause.min_samples)
    return Step(StepKind.PROMOTE if shape.approval is None else StepKind.APPROVAL)


def _freeze(shape: DailyFreeze | WeeklyFreeze | OneFreeze, path: str) -> Freeze:
    days = tuple(shape.days) if isinstance(shape, DailyFreeze) else ()
    try:
        freeze = Freeze(shape.time_zone, shape.start, shape.end, days)
    except InvalidInput as wrong:
        there = f"{path}.{wrong.field.partition('.')[2]}"
        raise InvalidInput(wrong.message.replace(wrong.field, there, 1), field=there, remedy=wrong.remedy) from wrong
    if not is_known(freeze.time_zone):
        raise InvalidInput(
            f"{path}.timeZone is {freeze.time_zone!r}, which is not known here.",
            field=f"{path}.timeZone",
            remedy="Give a name of the IANA database, like Europe/Berlin or UTC.",
        )
    return freeze


def _problems(wrong: ValidationError, text: Text) -> Iterator[Problem]:
    for error in wrong.errors(include_url=False):
        path = _path(error["loc"])
        field = _written(path)
        yield Problem(field, _message(error, field), _remedy(error, path), text.line_of(path))


def _refused(problems: Sequence[Problem]) -> InvalidInput:
    listed = [asdict(problem) for problem in problems]
    first = problems[0]
    if len(problems) == 1:
        return InvalidInput(_located(first), field=first.field, remedy=first.remedy, problems=listed)
    sentences = "".join(f"\n  {_located(problem)} {problem.remedy}" for problem in problems)
    return InvalidInput(f"The plan has {len(problems)} mistakes.{sentences}", field=first.field, problems=listed)


def _located(problem: Problem) -> str:
    return problem.message if problem.line is None else f"Line {problem.line}: {problem.message}"


def _path(loc: Iterable[str | int]) -> Path:
    """Leave out of pydantic's place of an error the tags of its unions, which are in brackets."""
    return tuple(part for part in loc if isinstance(part, int) or not part.startswith("<"))


def _read_path(field: str) -> Path:
    """Read what ``_written`` writes."""
    return tuple(int(part["index"]) if part["index"] else part["name"] for part in _PART.finditer(field))


def _written(path: Path) -> str:
    text = ""
    for part in path:
        name = part if isinstance(part, int) or len(part) <= _SHOWN else f"{part[:_SHOWN]}…"
        text += f"[{name}]" if isinstance(part, int) else f".{name}" if text else str(name)
    return text


def _message(error: ErrorDetails, field: str) -> str:
    if error["type"] == "missing":
        return f"{field} is missing."
    if error["type"] == "extra_forbidden":
        return f"There is no field {field}."
    if error["type"] == "too_long":
        return f"{field} has {error['ctx']['actual_length']} entries."
    shown = repr(error["input"])
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    return f"{field or 'The plan'} is {shown}." if error["type"] != "empty" else f"{field} is empty."


def _remedy(error: ErrorDetails, path: Path) -> str:
    last = str(path[-1]) if path else ""
    if error["type"] == "extra_forbidden":
        if last in _names():
            return "It stands elsewhere in a plan, or belongs to another policy (name): see `canary plan schema`."
        like = get_close_matches(last, _names(), n=1)
        return f"Did you mean {like[0]}?" if like else "Leave it out; `canary plan schema` says which there are."
    if error["type"] == "string_pattern_mismatch":
        return _PATTERNS.get(last, "See `canary plan schema`.")
    if error["type"] == "literal_error" and path[-2:] == ("policy", "name"):
        return f"Give {' or '.join(POLICIES)}."
    wanted = _WANTED.get(error["type"])
    return f"{error['msg']}." if wanted is None else wanted.format(**error.get("ctx", {}))


@cache
def _names() -> list[str]:
    schema = shipped_schema()
    places = [schema, *schema["$defs"].values()]
    return [name for place in places for name in place.get("properties", ())]
