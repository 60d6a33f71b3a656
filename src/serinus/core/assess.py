"""What a sequential test has come to: odds, health, and what to do."""

import math
from dataclasses import dataclass

from serinus.core.evidence import Counts
from serinus.core.judge import ArmReport, Health, Recommendation, percent, points
from serinus.core.policy import SequentialPolicy
from serinus.core.sequential import SequentialTest

DOUBTFUL = math.log(10.0)
"""From this evidence against a canary on it is given no more traffic."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a test has come to, with the reason as a sentence."""

    health: Health
    recommendation: Recommendation
    reason: str


def assess(policy: SequentialPolicy, test: SequentialTest, baseline: Counts, canary: Counts) -> Assessment:
    """Say what a sequential test has come to; ``baseline`` and ``canary`` are the counts of the rollout, to be shown.

    Critical: the evidence that the canary is worse than tolerated has reached 1/alpha. Degraded: it has reached 10.
    Healthy otherwise, to be promoted when the evidence that it is not worse by the margin has reached 1/beta for
    errors and for latency, and the rollout is as old as ``bake_s``. Inconclusive: no traffic on either side.
    """
    return Assessment(*_assessed(policy, test, ArmReport.of(baseline), ArmReport.of(canary)))


def _assessed(
    policy: SequentialPolicy, test: SequentialTest, b: ArmReport, c: ArmReport
) -> tuple[Health, Recommendation, str]:
    silent = " and ".join(name for name, arm in (("the canary", c), ("the baseline", b)) if not arm.requests)
    if silent:
        return Health.INCONCLUSIVE, Recommendation.HOLD, f"no traffic on {silent} yet: nothing to compare"
    against = test.against
    if against >= DOUBTFUL:
        found = _worse(policy, test, b, c)
        if against >= math.log(1.0 / policy.alpha):
            return Health.CRITICAL, Recommendation.ROLLBACK, found
        return Health.DEGRADED, Recommendation.HOLD, f"{found}; {1.0 / policy.alpha:.0f} to 1 rolls it back"
    wanted = math.log(1.0 / policy.beta)
    missing = [
        f"{name} {_odds(log)} of {1.0 / policy.beta:.0f} to 1"
        for name, log in (("errors", test.errors_for), ("latency", test.latency_for))
        if log < wanted
    ]
    if missing:
        reason = f"{_errors(b, c)}: not known yet to be within the margin ({', '.join(missing)})"
        return Health.HEALTHY, Recommendation.CONTINUE, reason
    if test.elapsed_s < policy.bake_s:
        reason = f"within the margin; promoted when it is {policy.bake_s:g} s old, not {test.elapsed_s:.0f} s"
        return Health.HEALTHY, Recommendation.CONTINUE, reason
    reason = (
        f"{_errors(b, c)}: odds {_odds(test.errors_for)} against {points(policy.error_margin)} more errors and "
        f"{_odds(test.latency_for)} against p95 {policy.p95_margin_ms:g} ms slower"
    )
    return Health.HEALTHY, Recommendation.PROMOTE, reason


def _worse(policy: SequentialPolicy, test: SequentialTest, b: ArmReport, c: ArmReport) -> str:
    if test.errors_against >= test.latency_against:
        claim = f"within {points(policy.tolerated_errors)}"
        return f"{_errors(b, c)}: odds {_odds(test.errors_against)} against '{claim}'"
    claim = f"within {policy.tolerated_p95_ms:g} ms"
    latency = f"canary p95 {c.p95_ms or 0.0:.1f} ms against {b.p95_ms or 0.0:.1f} ms"
    return f"{latency}: odds {_odds(test.latency_against)} against '{claim}'"


def _errors(b: ArmReport, c: ArmReport) -> str:
    return f"canary errors {percent(c.error_rate)} against {percent(b.error_rate)}"


def _odds(log: float) -> str:
    """Say an e-value as odds: 412 to 1."""
    if log > _MANY:
        return "more than a million to 1"
    return f"{math.exp(log):.0f} to 1" if log >= 0.0 else "less than 1 to 1"


_MANY = math.log(1e6)
