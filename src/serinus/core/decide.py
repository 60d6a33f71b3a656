"""From a verdict to a command, or to none, with the reason why."""

import math
from dataclasses import dataclass, replace
from datetime import datetime

from serinus.core.advance import Move, next_move
from serinus.core.commands import Advance, Command, EndBake, Pause, Promote, Rollback
from serinus.core.deployment import Deployment, Phase, Rollout
from serinus.core.freeze import frozen
from serinus.core.judge import Finding, Health, Recommendation, Verdict
from serinus.core.plan import StepKind
from serinus.core.policy import DRY_RUN

ACTOR = "health-checker"
LEAST_BETA = 0.01


@dataclass(frozen=True, slots=True)
class Standing:
    """What else there is to know of a rollout when a plan is followed.

    ``odds_for`` is the logarithm of the evidence that the canary is better than the margin (inf, or -inf, by a policy
    without odds), a promotion wants odds of 1/``beta``; ``why_not`` says what speaks against a greater share, and
    ``not_yet`` against a promotion; ``canary_requests`` counts those of the whole rollout. ``missing`` says whose last
    counts are not known: until they are given up nothing advances.
    """

    odds_for: float
    beta: float
    why_not: str
    not_yet: str
    canary_requests: int
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a verdict: ``command`` or None.

    ``withheld`` says why a command that is recommended is not given, ``recommends`` which; ``waiting`` what a plan or
    a bake waits for; ``overdue`` that the plan has not gone on for too long.
    """

    command: Command | None = None
    withheld: str = ""
    recommends: Recommendation | None = None
    waiting: str = ""
    overdue: bool = False


def decide(state: Deployment, verdict: Verdict, standing: Standing, now: datetime) -> Decision:
    """Turn a verdict on the active rollout into a command, as far as the deployment's switches and its plan allow."""
    rollout, settings = state.active, state.settings
    if rollout is None:
        return Decision()
    if verdict.recommendation is Recommendation.ROLLBACK:
        withheld = "dry run" if settings.dry_run else "" if settings.auto_rollback else "auto_rollback is off"
        return _given(Rollback(actor=ACTOR, reason=verdict.reason), withheld, Recommendation.ROLLBACK)
    if rollout.phase is Phase.BAKING:
        decision = _by_bake(rollout, verdict, standing, now)
    elif rollout.plan is not None:
        decision = _by_plan(state, rollout, verdict, standing, now)
    elif verdict.recommendation is Recommendation.PROMOTE and standing.missing:
        decision = Decision(waiting=standing.missing)
    elif verdict.recommendation is Recommendation.PROMOTE:
        decision = _promoted(state, rollout, verdict.reason)
    else:
        decision = Decision()
    tried = [each.name for each in verdict.metrics if each.role == DRY_RUN and each.finding is Finding.FAIL]
    if tried and decision.command is None:
        said = f"{' and '.join(tried)} would roll it back, and is tried out (dry-run)"
        withheld = f"{decision.withheld}; {said}" if decision.withheld else said
        return replace(decision, withheld=withheld, recommends=decision.recommends or Recommendation.ROLLBACK)
    return decision


def standing_of(verdict: Verdict, canary_requests: int) -> Standing:
    """Give what a policy without odds says to a plan."""
    healthy = verdict.health is Health.HEALTHY
    odds = math.inf if healthy and verdict.recommendation is Recommendation.PROMOTE else -math.inf
    return Standing(odds, LEAST_BETA, "" if healthy else verdict.reason, "", canary_requests)


def _given(command: Command, withheld: str, recommends: Recommendation) -> Decision:
    return Decision(withheld=withheld, recommends=recommends) if withheld else Decision(command)


def _promoted(state: Deployment, rollout: Rollout, reason: str) -> Decision:
    settings, withheld = state.settings, ""
    if settings.dry_run:
        withheld = "dry run"
    elif not settings.auto_promote:
        withheld = "auto_promote is off"
    elif rollout.phase is Phase.PAUSED:
        withheld = "the rollout is paused"
    elif rollout.plan is None and rollout.weight < settings.promote_from_weight:
        withheld = f"the canary has {rollout.weight:g} % and promotion is set to wait for "
        withheld += f"{settings.promote_from_weight:g} %"
    return _given(Promote(actor=ACTOR, reason=reason), withheld, Recommendation.PROMOTE)


def _by_bake(rollout: Rollout, verdict: Verdict, standing: Standing, now: datetime) -> Decision:
    if rollout.bake_until is not None and now < rollout.bake_until:
        left_s = (rollout.bake_until - now).total_seconds()
        return Decision(waiting=f"promoted; compared with the version before for {left_s:.0f} s more")
    stands = frozen(rollout.plan.freeze, now) if rollout.plan else ""
    doubts = "" if verdict.health is Health.HEALTHY else verdict.reason
    if standing.missing or stands or doubts:
        longer = standing.missing or stands or doubts
        return Decision(waiting=f"promoted; compared with the version before for longer: {longer}")
    return Decision(EndBake(actor=ACTOR, reason=verdict.reason))


def _by_plan(state: Deployment, rollout: Rollout, verdict: Verdict, standing: Standing, now: datetime) -> Decision:
    plan, progress = rollout.plan, rollout.progress
    if plan is None or progress is None:
        return Decision()
    if rollout.phase is Phase.PAUSED:
        return Decision(waiting="the rollout is paused")
    promotes = progress.step < len(plan.steps) and plan.steps[progress.step].kind is StepKind.PROMOTE
    why_not = standing.missing or standing.why_not or (standing.not_yet if promotes else "")
    move = next_move(
        plan,
        progress,
        now=now,
        weight=rollout.weight,
        canary_requests=standing.canary_requests,
        odds_for=standing.odds_for,
        beta=standing.beta,
        clear=not why_not,
        why_not=why_not,
        frozen=frozen(plan.freeze, now),
    )
    if move.kind == "promote":
        return _promoted(state, rollout, f"{move.reason}; {verdict.reason}")
    if move.kind == "wait":
        return Decision(waiting=move.reason)
    command = _moved(move, standing)
    if state.settings.dry_run:
        return Decision(waiting=f"dry run, else: {move.reason}")
    return Decision(command, waiting=move.reason, overdue=move.kind == "overdue")


def _moved(move: Move, standing: Standing) -> Command:
    if move.kind == "overdue":
        return Pause(actor=ACTOR, reason=move.reason)
    return Advance(
        actor=ACTOR, reason=move.reason, step=move.step, weight=move.weight, samples=standing.canary_requests
    )
