"""From a verdict to a command, or to none, with the reason why."""

from dataclasses import dataclass

from serinus.core.commands import Command, Promote, Rollback
from serinus.core.deployment import Deployment, Phase
from serinus.core.judge import Recommendation, Verdict

ACTOR = "health-checker"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a verdict: ``command`` or None; ``withheld`` says why a recommended command is not given."""

    command: Command | None = None
    withheld: str = ""


def decide(state: Deployment, verdict: Verdict) -> Decision:
    """Turn a verdict on the active rollout into a command, as far as the deployment's switches allow."""
    rollout, settings = state.active, state.settings
    if rollout is None:
        return Decision()
    if verdict.recommendation is Recommendation.ROLLBACK:
        if settings.dry_run:
            return Decision(withheld="dry run")
        if not settings.auto_rollback:
            return Decision(withheld="auto_rollback is off")
        return Decision(Rollback(actor=ACTOR, reason=verdict.reason))
    if verdict.recommendation is Recommendation.PROMOTE:
        if settings.dry_run:
            return Decision(withheld="dry run")
        if not settings.auto_promote:
            return Decision(withheld="auto_promote is off")
        if rollout.phase is Phase.PAUSED:
            return Decision(withheld="the rollout is paused")
        if rollout.weight < settings.promote_from_weight:
            return Decision(
                withheld=f"the canary has {rollout.weight:g} % and promotion is set to wait for "
                f"{settings.promote_from_weight:g} %"
            )
        return Decision(Promote(actor=ACTOR, reason=verdict.reason))
    return Decision()
