"""How a rollout follows its plan: from where it stands, by the clock and the evidence, to the next place."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from serinus.core.freeze import thawed
from serinus.core.plan import ALL, Plan, Step, StepKind, span

_MANY = math.log(1e6)
_FEW = math.log(10.0)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a rollout stands: the index of the step that it has not done yet, and since when.

    It is the number of steps where all are done. ``approved``: a person has approved this very step;
    ``samples_at_entry``: the requests to the canary that had been counted when it came to this step; ``paused_at``:
    when the rollout was paused, which is no time of a step; ``resumed_at``: when a person last let it go on.
    """

    step: int
    entered_at: datetime
    approved: bool = False
    samples_at_entry: int = 0
    resumed_at: datetime | None = None
    paused_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """What is to be done, and why, as a sentence for people.

    ``advance``: give the canary ``weight`` percent (None: it keeps what it has), and stand at ``step`` from now on.
    ``promote``: make it the baseline. ``wait``: nothing. ``overdue``: no progress for too long, a person has to look.
    """

    kind: Literal["advance", "promote", "wait", "overdue"]
    reason: str
    weight: float | None
    step: int


@dataclass(frozen=True, slots=True)
class _Known:
    weight: float
    canary_requests: int
    odds_for: float
    beta: float
    why_not: str  # "" where nothing speaks against a greater share


def next_move(  # noqa: PLR0913  # all that is known of a rollout, by name
    plan: Plan,
    progress: Progress,
    *,
    now: datetime,
    weight: float,
    canary_requests: int,
    odds_for: float,
    beta: float,
    clear: bool,
    why_not: str,
    frozen: str,
) -> Move:
    """Say what a rollout does next.

    Several steps may be passed at once, but no two that change the traffic: each share of it is looked at before the
    next. A greater share of w percent wants odds of (1/beta)^(w/100), a promotion all of 1/beta; in a freeze nothing
    moves. It is overdue after ``progress_deadline_s`` at one step; time in which it waited for a person does not
    count, nor what was before the end of the last freeze.

    Args:
        plan: what is followed; ``progress``: where the rollout stands; ``now``: the time, with a time zone.
        weight: the canary's share in percent; ``canary_requests``: its requests, counted over the rollout.
        odds_for: logarithm of the evidence that the canary is not worse by the margin, the smaller one of errors and
            latency; of a policy without odds inf where it finds the canary healthy, -inf otherwise.
        beta: a promotion wants odds of 1/beta.
        clear: whether nothing speaks against a greater share; ``why_not`` says what does.
        frozen: why nothing goes on now, "" if it may (`serinus.core.freeze.frozen`).
    """
    if frozen:
        return _wait(plan, progress.step, frozen)
    known = _Known(weight, canary_requests, odds_for, beta, "" if clear else why_not or "the canary is in doubt")
    at, raised, missing = progress.step, None, ""
    while at < len(plan.steps):
        step = plan.steps[at]
        here = progress if at == progress.step else Progress(at, now, samples_at_entry=canary_requests)
        missing = _missing(step, here, known, raised, now)
        if missing:
            break
        if step.kind is StepKind.PROMOTE:
            return Move("promote", f"{_place(plan, at)}: {_promoted(known)}", None, at)
        if step.kind is StepKind.SET_WEIGHT and (step.weight or 0.0) > weight:
            raised = step.weight
        at += 1
    else:
        missing = f"the canary stays at {raised or weight:g} % until a person promotes it or rolls it back"
    if at > progress.step:
        given = "" if raised is None else f"{raised:g} % of the traffic{_convincing(raised, known)}; "
        return Move("advance", f"{given}{_place(plan, at)}: {missing}", raised, at)
    overdue = _overdue(plan, progress, now)
    if overdue:
        return Move("overdue", f"{overdue}; {_place(plan, at)}: {missing}", None, at)
    return _wait(plan, at, missing)


def odds_wanted(weight: float, beta: float) -> float:
    """Give the logarithm of the odds that a share of ``weight`` percent wants."""
    return math.log(1.0 / beta) * weight / ALL


def _missing(step: Step, here: Progress, known: _Known, given: float | None, now: datetime) -> str:
    """Say what the step still wants, "" if it is done; ``given`` is the weight that was raised to in this very move."""
    if step.kind is StepKind.SET_WEIGHT:
        wanted = step.weight or 0.0
        if wanted <= known.weight:
            return ""
        return f"{wanted:g} % comes next" if given else _not_convincing(f"{wanted:g} %", wanted, known)
    if step.kind is StepKind.PROMOTE:
        return "the promotion comes next" if given else _not_convincing("the promotion", ALL, known)
    if step.kind is StepKind.APPROVAL:
        return "" if here.approved else "waits for a person's approval"
    return _pausing(step, here, known, now)


def _not_convincing(what: str, weight: float, known: _Known) -> str:
    if known.why_not:
        return f"{what} waits: {known.why_not}"
    wanted = odds_wanted(weight, known.beta)
    if known.odds_for >= wanted:
        return ""
    if known.odds_for == -math.inf:
        return f"{what} wants a canary that the policy has found healthy"
    return f"{what} wants odds of {_odds(wanted, up=True)} for the canary, and they are {_odds(known.odds_for)}"


def _pausing(step: Step, here: Progress, known: _Known, now: datetime) -> str:
    left = (step.duration_s or 0.0) - (now - here.entered_at).total_seconds()
    seen = max(known.canary_requests - here.samples_at_entry, 0)
    missing = [] if left <= 0.0 else [f"{_about(left)} of {span(step.duration_s or 0.0)} to go"]
    if step.min_samples is not None and seen < step.min_samples:
        missing.append(f"{seen} of {step.min_samples} canary requests seen")
    return f"pauses: {', '.join(missing)}" if missing else ""


def _overdue(plan: Plan, progress: Progress, now: datetime) -> str:
    deadline = plan.progress_deadline_s
    if deadline is None or progress.step >= len(plan.steps) or plan.steps[progress.step].kind is StepKind.APPROVAL:
        return ""
    last = thawed(plan.freeze, now)
    since = max(each for each in (progress.entered_at, progress.resumed_at, last) if each is not None)
    still = (now - since).total_seconds()
    return f"no progress for {_about(still)}, more than {span(deadline)}" if still > deadline else ""


def _convincing(weight: float, known: _Known) -> str:
    """Say on what odds a share was given, by a policy that has odds."""
    if math.isinf(known.odds_for):
        return ""
    wanted = odds_wanted(weight, known.beta)
    return f" at odds of {_odds(known.odds_for)} for the canary, {_odds(wanted, up=True)} wanted"


def _promoted(known: _Known) -> str:
    if math.isinf(known.odds_for):
        return "promoted, the policy has found it healthy"
    return f"promoted at odds of {_odds(known.odds_for)} for the canary"


def _wait(plan: Plan, at: int, missing: str) -> Move:
    return Move("wait", f"{_place(plan, at)}: {missing}", None, at)


def _place(plan: Plan, at: int) -> str:
    number = len(plan.steps)
    return f"step {at + 1} of {number}" if at < number else f"all {number} steps are done"


def _odds(log: float, *, up: bool = False) -> str:
    """Say odds; rounded so that what suffices never looks like too little, nor the other way round."""
    if log > _MANY:
        return "more than a million to 1"
    odds, digits = math.exp(log), 0 if log >= _FEW else 1
    scaled = odds * 10**digits
    shown = (math.ceil(scaled - _ROUNDING) if up else math.floor(scaled + _ROUNDING)) / 10**digits
    return f"{shown:g} to 1" if shown else "less than 0.1 to 1"


_ROUNDING = 1e-6


def _about(seconds: float) -> str:
    """Say how long, in whole units."""
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{math.ceil(seconds)} s"
