"""What the evidence says of a canary: a verdict with its reason. No data is never good."""

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from serinus.core.evidence import Counts, log_quantile, p95_ms
from serinus.core.policy import Policy, ThresholdPolicy


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


class Finding(StrEnum):
    """What is known of one metric: within the margin, worse than tolerated, neither yet, or nothing to go by."""

    PASS = "pass"  # noqa: S105 - a finding, no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class MetricVerdict:
    """What is known of one metric of a canary, with a guarantee whenever it is looked at.

    ``baseline``, ``canary`` and ``difference`` are rates of errors or p95 latencies in milliseconds, ``low`` and
    ``high`` bound the difference at every look at once; None where there is not enough to say it. ``odds_against`` and
    ``odds_for`` are natural logarithms of the evidence that the canary is worse than tolerated, and that it is better
    than the margin. ``worse_since_s`` is how many seconds after the first look the evidence against it began to grow;
    ``alpha_spent`` the part of the budget of false alarms that has been used.
    """

    name: str
    role: str
    finding: Finding
    baseline: float | None
    canary: float | None
    difference: float | None
    low: float | None
    high: float | None
    tolerance: float
    margin: float
    odds_against: float
    odds_for: float
    worse_since_s: float | None
    alpha_spent: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement, with all it rests on.

    ``metrics`` are those of a policy that judges each by itself; ``alarms`` say what is wrong with the comparison.
    """

    health: Health
    recommendation: Recommendation
    reason: str
    baseline: ArmReport
    canary: ArmReport
    policy: Policy
    metrics: tuple[MetricVerdict, ...] = ()
    alarms: tuple[str, ...] = ()


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
    errors = f"canary errors {percent(c.error_rate)} against {percent(b.error_rate)}"
    latency = f"canary p95 {c.p95_ms:.1f} ms against {b.p95_ms:.1f} ms"

    if more_errors > delta:
        reason = f"{errors}: more than {points(policy.error_delta)} above the baseline"
        return Health.CRITICAL, Recommendation.ROLLBACK, reason
    if slower_ms > policy.p95_delta_ms:
        reason = f"{latency}: more than {policy.p95_delta_ms:g} ms above the baseline"
        return Health.CRITICAL, Recommendation.ROLLBACK, reason
    if more_errors > delta / 2:
        reason = f"{errors}: more than {points(policy.error_delta / 2)} above the baseline"
        return Health.DEGRADED, Recommendation.HOLD, reason
    if slower_ms > policy.p95_delta_ms / 2:
        reason = f"{latency}: more than {policy.p95_delta_ms / 2:g} ms above the baseline"
        return Health.DEGRADED, Recommendation.HOLD, reason
    if c.requests < policy.min_requests:
        reason = f"{errors}, {latency}; {c.requests} of {policy.min_requests} canary requests seen"
        return Health.HEALTHY, Recommendation.CONTINUE, reason
    if more_errors > 0:
        reason = f"{errors}: within {points(policy.error_delta / 2)}, but more than the baseline's"
        return Health.HEALTHY, Recommendation.CONTINUE, reason
    return Health.HEALTHY, Recommendation.PROMOTE, f"{errors}, {latency}, over {c.requests} canary requests"


def percent(rate: float) -> str:
    """Say a rate in percent."""
    return f"{rate * 100:.1f} %"


def points(delta: float) -> str:
    """Say a difference of rates in points."""
    return f"{delta * 100:g} points"


def odds(log: float) -> str:
    """Say the logarithm of evidence as odds: 412 to 1."""
    if log > _MANY:
        return "more than a million to 1"
    return f"{math.exp(log):.0f} to 1" if log >= 0.0 else "less than 1 to 1"


_MANY = math.log(1e6)
