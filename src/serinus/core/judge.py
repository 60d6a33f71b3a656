"""What the evidence says of a canary: a verdict with its reason. No data is never good."""

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from serinus.core.evidence import Counts, log_quantile, p95_ms
from serinus.core.policy import Policy, SequentialPolicy, ThresholdPolicy
from serinus.core.sequential import SequentialTest


class Health(StrEnum):
    """How the canary does against the baseline."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    CRITICAL = "critical"
    INCONCLUSIVE = "inconclusive"


class Recommendation(StrEnum):
    """What the verdict asks for."""

    PROMOTE = "promote"
    CONTINUE = "continue"
    HOLD = "hold"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class ArmReport:
    """One arm in the window: requests, failed requests, their rate, and p95 latency in milliseconds."""

    requests: int
    errors: int
    error_rate: float
    p95_ms: float | None

    @classmethod
    def of(cls, counts: Counts) -> "ArmReport":
        """Sum up one arm's counts."""
        return cls(counts.requests, counts.failed, counts.error_rate, p95_ms(counts))


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement, with all it rests on."""

    health: Health
    recommendation: Recommendation
    reason: str
    baseline: ArmReport
    canary: ArmReport
    policy: Policy


def judge(policy: ThresholdPolicy, baseline: Counts, canary: Counts) -> Verdict:
    """Apply the article's rule to the two arms of a window.

    Critical: the canary's error rate exceeds the baseline's by more than ``error_delta``, or its p95 by more than
    ``p95_delta_ms``. Degraded: by more than half of either. Healthy otherwise; to be promoted with at least
    ``min_requests`` requests and an error rate not above the baseline's. Rates are compared as exact fractions.
    Inconclusive, which neither promotes nor rolls back: no traffic on either side, or nothing but failures on both.

    The rule's p95 is interpolated in wide buckets, and inside one of them it sees no difference (from 200 to 500 ms,
    for one). So a promotion also wants the p95 that is measured to 2 % to be within ``p95_delta_ms``.
    """
    b, c = ArmReport.of(baseline), ArmReport.of(canary)
    health, recommendation, reason = _threshold(policy, b, c)
    if recommendation is Recommendation.PROMOTE:
        measured_b, measured_c = log_quantile(baseline.latency, 0.95), log_quantile(canary.latency, 0.95)
        if measured_b is not None and measured_c is not None and measured_c - measured_b > policy.p95_delta_ms:
            recommendation = Recommendation.CONTINUE
            reason = (
                f"measured to 2 %, canary p95 {measured_c:.0f} ms against {measured_b:.0f} ms: more than "
                f"{policy.p95_delta_ms:g} ms above the baseline, which the rule's wide buckets do not show"
            )
    return Verdict(health, recommendation, reason, b, c, policy)


def _threshold(policy: ThresholdPolicy, b: ArmReport, c: ArmReport) -> tuple[Health, Recommendation, str]:
    if not b.requests or not c.requests or b.p95_ms is None or c.p95_ms is None:
        silent = " and ".join(
            name for name, a in (("the canary", c), ("the baseline", b)) if not a.requests or a.p95_ms is None
        )
        window = f"the last {policy.window_s:g} s"
        return (
            Health.INCONCLUSIVE,
            Recommendation.HOLD,
            f"no traffic on {silent} in {window}: nothing to compare",
        )
    if b.errors == b.requests and c.errors == c.requests:
        return (
            Health.INCONCLUSIVE,
            Recommendation.HOLD,
            "every request failed on both sides: nothing to compare",
        )

    more_errors = Fraction(c.errors, c.requests) - Fraction(b.errors, b.requests)
    slower_ms = round(c.p95_ms - b.p95_ms, 6)  # to a nanosecond: what is less comes of interpolating in floats
    delta = Fraction(str(policy.error_delta))
    errors = f"canary errors {_percent(c.error_rate)} against {_percent(b.error_rate)}"
    latency = f"canary p95 {c.p95_ms:.1f} ms against {b.p95_ms:.1f} ms"

    if more_errors > delta:
        reason = f"{errors}: more than {_points(policy.error_delta)} above the baseline"
        return Health.CRITICAL, Recommendation.ROLLBACK, reason
    if slower_ms > policy.p95_delta_ms:
        reason = f"{latency}: more than {policy.p95_delta_ms:g} ms above the baseline"
        return Health.CRITICAL, Recommendation.ROLLBACK, reason
    if more_errors > delta / 2:
        reason = f"{errors}: more than {_points(policy.error_delta / 2)} above the baseline"
        return Health.DEGRADED, Recommendation.HOLD, reason
    if slower_ms > policy.p95_delta_ms / 2:
        reason = f"{latency}: more than {policy.p95_delta_ms / 2:g} ms above the baseline"
        return Health.DEGRADED, Recommendation.HOLD, reason
    if c.requests < policy.min_requests:
        reason = f"{errors}, {latency}; {c.requests} of {policy.min_requests} canary requests seen"
        return Health.HEALTHY, Recommendation.CONTINUE, reason
    if more_errors > 0:
        reason = f"{errors}: within {_points(policy.error_delta / 2)}, but more than the baseline's"
        return Health.HEALTHY, Recommendation.CONTINUE, reason
    return Health.HEALTHY, Recommendation.PROMOTE, f"{errors}, {latency}, over {c.requests} canary requests"


DOUBTFUL = math.log(10.0)
"""From this evidence against a canary on it is given no more traffic."""


def assess(policy: SequentialPolicy, test: SequentialTest, baseline: Counts, canary: Counts) -> Verdict:
    """Say what a sequential test has come to; ``baseline`` and ``canary`` are the counts of the rollout, to be shown.

    Critical: the evidence that the canary is worse than tolerated has reached 1/alpha. Degraded: it has reached 10.
    Healthy otherwise, to be promoted when the evidence that it is not worse by the margin has reached 1/beta for
    errors and for latency, and the rollout is as old as ``bake_s``. Inconclusive: no traffic on either side.
    """
    b, c = ArmReport.of(baseline), ArmReport.of(canary)
    health, recommendation, reason = _assessed(policy, test, b, c)
    return Verdict(health, recommendation, reason, b, c, policy)


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
        f"{_errors(b, c)}: odds {_odds(test.errors_for)} against {_points(policy.error_margin)} more errors and "
        f"{_odds(test.latency_for)} against p95 {policy.p95_margin_ms:g} ms slower"
    )
    return Health.HEALTHY, Recommendation.PROMOTE, reason


def _worse(policy: SequentialPolicy, test: SequentialTest, b: ArmReport, c: ArmReport) -> str:
    if test.errors_against >= test.latency_against:
        claim = f"within {_points(policy.tolerated_errors)}"
        return f"{_errors(b, c)}: odds {_odds(test.errors_against)} against '{claim}'"
    claim = f"within {policy.tolerated_p95_ms:g} ms"
    latency = f"canary p95 {c.p95_ms or 0.0:.1f} ms against {b.p95_ms or 0.0:.1f} ms"
    return f"{latency}: odds {_odds(test.latency_against)} against '{claim}'"


def _errors(b: ArmReport, c: ArmReport) -> str:
    return f"canary errors {_percent(c.error_rate)} against {_percent(b.error_rate)}"


def _odds(log: float) -> str:
    """Say an e-value as odds: 412 to 1."""
    if log > _MANY:
        return "more than a million to 1"
    return f"{math.exp(log):.0f} to 1" if log >= 0.0 else "less than 1 to 1"


_MANY = math.log(1e6)


def _percent(rate: float) -> str:
    return f"{rate * 100:.1f} %"


def _points(delta: float) -> str:
    return f"{delta * 100:g} points"
