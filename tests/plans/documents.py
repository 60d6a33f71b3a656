"""Plans and documents that tests draw."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from serinus.core.errors import InvalidInput
from serinus.core.freeze import DAYS, Freeze
from serinus.core.plan import Plan, PolicyDocument, Step, StepKind

SPANS = st.integers(1, 2_592_000).map(float) | st.floats(0.1, 2_592_000.0)
TIMES = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"])

_PAUSES = st.builds(
    Step,
    st.just(StepKind.PAUSE),
    duration_s=st.none() | SPANS,
    min_samples=st.none() | st.integers(1, 10**9),
).filter(lambda step: step.duration_s is not None or step.min_samples is not None)
_BETWEEN = st.lists(_PAUSES | st.just(Step(StepKind.APPROVAL)), max_size=2)
_POLICIES: st.SearchStrategy[PolicyDocument] = st.sampled_from(
    [
        {},
        {"name": "threshold"},
        {"name": "threshold", "min_requests": 50, "window_s": 60.5},
        {"error_margin": 0.02, "p95_role": "signal"},
        {"name": "sequential", "error_tolerance": None, "bake_s": 600},
    ]
)
_FREEZES = st.builds(Freeze, ZONES, TIMES, TIMES | st.just("24:00"), st.just(("Fri", "Sat"))) | st.sampled_from(
    [
        Freeze("Europe/Berlin", "Fri 16:00", "Mon 08:00"),
        Freeze("UTC", days=DAYS[5:]),
        Freeze("UTC", "2026-12-20T00:00", "2027-01-02T00:00:30"),
    ]
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    weights = sorted(draw(st.sets(st.integers(1, 10_000), min_size=1, max_size=6)))
    steps: list[Step] = []
    for hundredths in weights:
        steps += [Step(StepKind.SET_WEIGHT, weight=hundredths / 100), *draw(_BETWEEN)]
    steps += [Step(StepKind.PROMOTE)] * draw(st.integers(0, 1))
    return Plan(
        draw(st.text("abz09._-", max_size=20).map("p{}".format)),
        tuple(steps),
        policy=draw(_POLICIES),
        hold_alert_s=draw(SPANS),
        holdback_weight=draw(st.integers(0, 5000)) / 100,
        holdback_s=draw(st.none() | SPANS),
        freeze=tuple(draw(st.lists(_FREEZES, max_size=2))),
    )


WRONG: tuple[Any, ...] = (
    None, True, 0, -1, 5, 1e9, 200.0, 2.5, "", "5", "5m", "16:00", "Fri 16:00", "UTC", "mine\n", [], [{}], {},
    {"a": 1}, {"pause": {}}, {"duration": "5m"}, {"weight": 5}, ["Fri"], {"name": "threshold"}, {"name": "bayes"},
)  # fmt: skip
_NAMES = (
    "setWeight",
    "pause",
    "approval",
    "promote",
    "duration",
    "minSamples",
    "weight",
    "from",
    "to",
    "days",
    "nome",
    "timeZone",
    "policy",
    "name",
    "errorMargin",
    "errorDelta",
    "minRequests",
    "freeze",
    "kind",
    "holdAlert",
)


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """Change a document in one place, or in none: a value replaced, a field removed, added or renamed."""
    if isinstance(document, Mapping) and document and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(list(document)))
        what = draw(st.integers(0, 9))
        if what == 0:
            return {name: value for name, value in document.items() if name != key}
        if what == 1:
            return {**document, draw(st.sampled_from(_NAMES)): draw(st.sampled_from(WRONG))}
        return {**document, key: draw(changed(document[key]))}
    if isinstance(document, list) and document and draw(st.integers(0, 5)):
        place = draw(st.integers(0, len(document) - 1))
        what = draw(st.integers(0, 9))
        if what == 0:
            return document[:place] + document[place + 1 :]
        if what == 1:
            return document * draw(st.sampled_from([2, 30]))
        return [*document[:place], draw(changed(document[place])), *document[place + 1 :]]
    return draw(st.sampled_from([document, *WRONG]))


def problems(wrong: InvalidInput) -> list[tuple[str, int | None]]:
    """Give the field and the line of each problem."""
    listed: Any = wrong.details["problems"]
    return [(problem["field"], problem["line"]) for problem in listed]
