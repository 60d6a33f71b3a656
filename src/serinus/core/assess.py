"""What a sequential test has come to: odds and bounds for each metric, health, and what to do."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from serinus.core.eprocess import log_mean
from serinus.core.evidence import Counts, log_quantile
from serinus.core.expected import QUANTILE
from serinus.core.intervals import Interval, difference, quantile_interval, rate_interval
from serinus.core.judge import (
    ArmReport,
    Finding,
    Health,
    MetricVerdict,
    Recommendation,
    Verdict,
    odds,
    percent,
    points,
)
from serinus.core.policy import GUARDRAIL, SequentialPolicy
from serinus.core.sequential import ERRORS_WEIGHT, LATENCY_WEIGHT, Rise, SequentialTest

DOUBTFUL = math.log(10.0)
"""From this evidence against a canary on it is given no more traffic."""
SILENT_S = 300.0
"""After so many seconds without a request of a role its canary is not promoted: what was true may not be any more."""
ERRORS, LATENCY = "errors", "p95"
_LEAST = -700.0
"""No logarithm that is shown is less; what has no evidence at all has none."""


@dataclass(frozen=True, slots=True)
class _Arms:
    baseline: Counts
    canary: Counts
    b: ArmReport
    c: ArmReport
    at: datetime | None = None


def assess(
    policy: SequentialPolicy, test: SequentialTest, baseline: Counts, canary: Counts, at: datetime | None = None
) -> Verdict:
    """Say what a sequential test has come to; ``baseline`` and ``canary`` are the counts of the rollout, to be shown.

    ``at`` is the time of the last look; with it the reason says since when the evidence against a canary has grown.

    Critical: the evidence that the canary is worse than tolerated has reached 1/alpha. Degraded: it has reached 10.
    Healthy otherwise, to be promoted when the evidence that it is not worse by the margin has reached 1/beta for every
    guardrail, of late it fails less than half of the margin more, and the rollout is as old as ``bake_s``.
    Inconclusive: no traffic on either side, or not the share of it that was set.
    """
    arms = _Arms(baseline, canary, ArmReport.of(baseline), ArmReport.of(canary), at)
    alarms = _alarms(test, arms)
    health, recommendation, reason = _assessed(policy, test, arms, alarms)
    return Verdict(
        health=health,
        recommendation=recommendation,
        reason=reason,
        baseline=arms.b,
        canary=arms.c,
        policy=policy,
        metrics=(_errors_verdict(policy, test, arms), _latency_verdict(policy, test, arms)),
        alarms=alarms,
    )


def against(policy: SequentialPolicy, test: SequentialTest) -> float:
    """Give the logarithm of the evidence, by all guardrails together, that the canary is worse than tolerated."""
    guardrails = [(weight, log) for role, weight, log in _roles(policy, test) if role == GUARDRAIL]
    if not guardrails:
        return 0.0
    total = sum(weight for weight, _ in guardrails)
    return log_mean([log for _, log in guardrails], [weight / total for weight, _ in guardrails])


def odds_for(policy: SequentialPolicy, test: SequentialTest) -> float:
    """Give the logarithm of the least evidence of a guardrail that the canary is better than the margin."""
    logs = {ERRORS: (policy.error_role, test.errors_for), LATENCY: (policy.p95_role, test.latency_for)}
    return min((log for role, log in logs.values() if role == GUARDRAIL), default=0.0)


def why_not_more(policy: SequentialPolicy, test: SequentialTest, baseline: Counts, canary: Counts) -> str:
    """Say why a canary must not get more traffic, whatever speaks for it; "" if nothing is against it."""
    arms = _Arms(baseline, canary, ArmReport.of(baseline), ArmReport.of(canary))
    if not canary.requests or not baseline.requests:
        return _silence(arms)
    alarms = _alarms(test, arms)
    if alarms:
        return alarms[0]
    if against(policy, test) >= DOUBTFUL:
        return _found(policy, test, arms)
    return _of_late(policy, test)


def too_young(policy: SequentialPolicy, test: SequentialTest) -> str:
    """Say that a rollout is not old enough to be promoted; "" if it is."""
    if test.elapsed_s >= policy.bake_s:
        return ""
    return f"within the margin; promoted when it is {policy.bake_s:g} s old, not {test.elapsed_s:.0f} s"


def _roles(policy: SequentialPolicy, test: SequentialTest) -> tuple[tuple[str, float, float], ...]:
    return (
        (policy.error_role, ERRORS_WEIGHT, test.errors_against),
        (policy.p95_role, LATENCY_WEIGHT, test.latency_against),
    )


def _assessed(
    policy: SequentialPolicy, test: SequentialTest, arms: _Arms, alarms: tuple[str, ...]
) -> tuple[Health, Recommendation, str]:
    if not arms.c.requests or not arms.b.requests:
        return Health.INCONCLUSIVE, Recommendation.HOLD, _silence(arms)
    speaks_against = against(policy, test)
    if alarms and not _is_worse_anyway(policy, arms):
        return Health.INCONCLUSIVE, Recommendation.HOLD, alarms[0]
    if speaks_against >= DOUBTFUL:
        found = _found(policy, test, arms)
        rise = test.worse_rise if _is_errors(policy, test) else test.slower_rise
        # That the canary gets less than its share may look like evidence; it is none of what the canary did.
        if speaks_against >= math.log(1.0 / policy.alpha) and rise is not None and rise.seen:
            return Health.CRITICAL, Recommendation.ROLLBACK, found
        together = f"{odds(speaks_against)} by all metrics together, {1.0 / policy.alpha:.0f} to 1 rolls it back"
        return Health.DEGRADED, Recommendation.HOLD, f"{found}; {together}"
    if test.alone and (doubt := _alone(policy, test, arms)):
        return doubt
    waits = _unguarded(policy) or _missing(policy, test, arms) or _of_late(policy, test) or too_young(policy, test)
    if waits:
        return Health.HEALTHY, Recommendation.CONTINUE, waits
    return Health.HEALTHY, Recommendation.PROMOTE, _sound(policy, test, arms)


def _silence(arms: _Arms) -> str:
    silent = [name for name, arm in (("the canary", arms.c), ("the baseline", arms.b)) if not arm.requests]
    return f"no traffic on {' and '.join(silent)} yet: nothing to compare"


def _alarms(test: SequentialTest, arms: _Arms) -> tuple[str, ...]:
    if not test.guard.alarmed:
        return ()
    requests = arms.c.requests + arms.b.requests
    got = f"the canary got {arms.c.requests} of {requests} requests"
    return (f"{got}: odds {odds(test.guard.log)} that the split does not work as set, so nothing can be compared",)


def _is_worse_anyway(policy: SequentialPolicy, arms: _Arms) -> bool:
    """Whether the canary is worse than tolerated whatever share it got: by the bounds of what each role did."""
    errors, latency = _errors_bounds(policy, arms), _latency_bounds(policy, arms)
    fails = policy.error_role == GUARDRAIL and errors is not None and errors[0] > policy.tolerated_errors
    return fails or (policy.p95_role == GUARDRAIL and latency is not None and latency[0] > policy.tolerated_p95_ms)


def _alone(policy: SequentialPolicy, test: SequentialTest, arms: _Arms) -> tuple[Health, Recommendation, str] | None:
    """Judge a canary that has all of the traffic by what the baseline did before; None if that is no worse."""
    found = f"{_errors(arms)}, {_latency(arms)}: with all of the traffic"
    if _is_worse_anyway(policy, arms):
        return Health.CRITICAL, Recommendation.ROLLBACK, f"{found} worse than tolerated, by the bounds of both"
    if policy.error_role == GUARDRAIL and test.recent_difference >= policy.error_margin / 2:
        return Health.DEGRADED, Recommendation.HOLD, f"{found} {_of_late(policy, test)}"
    return None


def _unguarded(policy: SequentialPolicy) -> str:
    guarded = GUARDRAIL in {policy.error_role, policy.p95_role}
    return "" if guarded else "no metric is a guardrail: nothing decides but a person"


def _missing(policy: SequentialPolicy, test: SequentialTest, arms: _Arms) -> str:
    wanted = math.log(1.0 / policy.beta)
    missing = [
        f"{name} {odds(log)} of {1.0 / policy.beta:.0f} to 1"
        for name, role, log in (
            ("errors", policy.error_role, test.errors_for),
            ("latency", policy.p95_role, test.latency_for),
        )
        if role == GUARDRAIL and log < wanted
    ]
    return f"{_errors(arms)}: not known yet to be within the margin ({', '.join(missing)})" if missing else ""


def _of_late(policy: SequentialPolicy, test: SequentialTest) -> str:
    for role, at_s in zip(("the canary", "the baseline"), test.seen_s, strict=True):
        if test.elapsed_s - at_s > SILENT_S:
            return f"no traffic on {role} for {test.elapsed_s - at_s:.0f} s: nothing to compare"
    more = test.recent_difference
    if policy.error_role == GUARDRAIL and more >= policy.error_margin / 2:
        return f"of late the canary fails {more * 100:.1f} points more: not under {points(policy.error_margin / 2)}"
    return ""


def _found(policy: SequentialPolicy, test: SequentialTest, arms: _Arms) -> str:
    if _is_errors(policy, test):
        claim = f"within {points(policy.tolerated_errors)}"
        return (
            f"{_errors(arms)}: odds {odds(test.errors_against)} against '{claim}'{_since(test, test.worse_rise, arms)}"
        )
    claim = f"within {policy.tolerated_p95_ms:g} ms"
    since = _since(test, test.slower_rise, arms)
    return f"{_latency(arms)}: odds {odds(test.latency_against)} against '{claim}'{since}"


def _since(test: SequentialTest, rise: Rise | None, arms: _Arms) -> str:
    if arms.at is None or rise is None:
        return ""
    began = arms.at.astimezone(UTC) - timedelta(seconds=test.elapsed_s - rise.since_s)
    return f", since {began:%H:%M:%S} UTC"


def _is_errors(policy: SequentialPolicy, test: SequentialTest) -> bool:
    """Whether, of the guardrails, it is the errors that speak loudest against a canary."""
    if policy.p95_role != GUARDRAIL:
        return True
    return policy.error_role == GUARDRAIL and test.errors_against >= test.latency_against


def _sound(policy: SequentialPolicy, test: SequentialTest, arms: _Arms) -> str:
    said = []
    if policy.error_role == GUARDRAIL:
        said.append(f"odds {odds(test.errors_for)} against {points(policy.error_margin)} more errors")
    if policy.p95_role == GUARDRAIL:
        said.append(f"{odds(test.latency_for)} against p95 {policy.p95_margin_ms:g} ms slower")
    return f"{_errors(arms)}: {' and '.join(said)}"


# ------------------------------------------------------------------------------------------- each metric


def _errors_verdict(policy: SequentialPolicy, test: SequentialTest, arms: _Arms) -> MetricVerdict:
    return _metric(
        ERRORS,
        policy,
        test,
        baseline=arms.b.error_rate if arms.b.requests else None,
        canary=arms.c.error_rate if arms.c.requests else None,
        bounds=_errors_bounds(policy, arms),
        known=arms.c.requests > 0 and arms.b.requests > 0,
    )


def _latency_verdict(policy: SequentialPolicy, test: SequentialTest, arms: _Arms) -> MetricVerdict:
    return _metric(
        LATENCY,
        policy,
        test,
        baseline=log_quantile(arms.baseline.latency, QUANTILE),
        canary=log_quantile(arms.canary.latency, QUANTILE),
        bounds=_latency_bounds(policy, arms),
        known=test.compares_latency and arms.c.requests > 0,
    )


def _errors_bounds(policy: SequentialPolicy, arms: _Arms) -> Interval | None:
    if not arms.c.requests or not arms.b.requests:
        return None
    canary = rate_interval(arms.c.errors, arms.c.requests, policy.alpha / 2)
    return difference(canary, rate_interval(arms.b.errors, arms.b.requests, policy.alpha / 2))


def _latency_bounds(policy: SequentialPolicy, arms: _Arms) -> Interval | None:
    canary = quantile_interval(arms.canary.latency, QUANTILE, policy.alpha / 2)
    baseline = quantile_interval(arms.baseline.latency, QUANTILE, policy.alpha / 2)
    return difference(canary, baseline) if canary and baseline else None


def _metric(
    name: str,
    policy: SequentialPolicy,
    test: SequentialTest,
    *,
    baseline: float | None,
    canary: float | None,
    bounds: Interval | None,
    known: bool,
) -> MetricVerdict:
    errors = name == ERRORS
    role = policy.error_role if errors else policy.p95_role
    odds_against = test.errors_against if errors else test.latency_against
    speaks_for = test.errors_for if errors else test.latency_for
    rise = test.worse_rise if errors else test.slower_rise
    return MetricVerdict(
        name=name,
        role=role,
        finding=_finding(policy, test, name, known=known),
        baseline=baseline,
        canary=canary,
        difference=None if baseline is None or canary is None else canary - baseline,
        low=bounds[0] if bounds else None,
        high=bounds[1] if bounds else None,
        tolerance=policy.tolerated_errors if errors else policy.tolerated_p95_ms,
        margin=policy.error_margin if errors else policy.p95_margin_ms,
        odds_against=max(odds_against, _LEAST),
        odds_for=max(speaks_for, _LEAST),
        worse_since_s=rise.since_s if rise else None,
        alpha_spent=policy.alpha * (1.0 - (test.worse if errors else test.slower).unspent),
    )


def _finding(policy: SequentialPolicy, test: SequentialTest, name: str, *, known: bool) -> Finding:
    errors = name == ERRORS
    limit = math.log(1.0 / policy.alpha)
    if (test.errors_against if errors else test.latency_against) >= limit:
        return Finding.FAIL
    if against(policy, test) >= limit and _is_errors(policy, test) is errors:
        return Finding.FAIL  # it speaks loudest of those that fail together
    if not known:
        return Finding.ERROR
    speaks_for = test.errors_for if errors else test.latency_for
    return Finding.PASS if speaks_for >= math.log(1.0 / policy.beta) else Finding.INCONCLUSIVE


# ------------------------------------------------------------------------------------------- in words


def _errors(arms: _Arms) -> str:
    return f"canary errors {percent(arms.c.error_rate)} against {percent(arms.b.error_rate)}"


def _latency(arms: _Arms) -> str:
    canary, baseline = (log_quantile(counts.latency, QUANTILE) or 0.0 for counts in (arms.canary, arms.baseline))
    return f"canary p95 {canary:.0f} ms against {baseline:.0f} ms"
