"""What a check adds to the timeline."""

from datetime import datetime

from serinus.checker.watch import Watch
from serinus.core.decide import ACTOR, Decision
from serinus.core.deployment import Deployment, Rollout
from serinus.core.events import Event, EventKind
from serinus.core.judge import ArmReport, Health, MetricVerdict, Recommendation, Verdict
from serinus.core.plan import HOLD_ALERT_S
from serinus.core.policy import policy_digest, policy_values

_HEALTH_EVENTS = {
    Health.HEALTHY: EventKind.HEALTH_CHECK_PASSED,
    Health.DEGRADED: EventKind.HEALTH_CHECK_FAILED,
    Health.CRITICAL: EventKind.HEALTH_CHECK_FAILED,
    Health.INCONCLUSIVE: EventKind.HEALTH_CHECK_INCONCLUSIVE,
}


def facts(verdict: Verdict) -> dict[str, object]:
    """Give the numbers of a verdict as JSON values, for an event."""
    known: dict[str, object] = {
        "health": verdict.health.value,
        "baseline": _arm_facts(verdict.baseline),
        "canary": _arm_facts(verdict.canary),
        "policy": verdict.policy.name,
        "rule": policy_values(verdict.policy),
        "policy_digest": policy_digest(verdict.policy),
    }
    if verdict.metrics:
        known["metrics"] = [_metric_facts(each) for each in verdict.metrics]
    if verdict.alarms:
        known["alarms"] = list(verdict.alarms)
    return known


def news(
    state: Deployment, rollout: Rollout, watch: Watch, verdict: Verdict, decision: Decision, now: datetime
) -> list[Event]:
    """Give the events of what changed since the last check; the same verdict again is no news."""
    found = []
    first_silence = watch.health is None and verdict.health is Health.INCONCLUSIVE
    if verdict.health is not watch.health and not first_silence:
        kind = _HEALTH_EVENTS[verdict.health]
        found.append(event(state, rollout, kind, verdict.reason, now, facts(verdict)))
    if decision.withheld and decision.withheld != watch.withheld:
        promote = decision.recommends is Recommendation.PROMOTE
        kind = EventKind.PROMOTION_RECOMMENDED if promote else EventKind.ROLLBACK_RECOMMENDED
        data = {**facts(verdict), "withheld": decision.withheld}
        found.append(event(state, rollout, kind, verdict.reason, now, data))
    if watch.told_at is None:
        watch.told_at = now
    alert_s = rollout.plan.hold_alert_s if rollout.plan else HOLD_ALERT_S
    if not found and decision.command is None and (now - watch.told_at).total_seconds() >= alert_s:
        reason = decision.withheld or decision.waiting or verdict.reason
        found.append(event(state, rollout, EventKind.HOLDING, reason, now, facts(verdict)))
    return found


def event(
    state: Deployment, rollout: Rollout, kind: EventKind, reason: str, now: datetime, data: dict[str, object]
) -> Event:
    """Give an event of the checker's."""
    return Event(state.name, state.generation, kind, now, ACTOR, reason, rollout.id, data)


def _arm_facts(report: ArmReport) -> dict[str, object]:
    rate = report.errors / report.requests if report.requests else None
    return {"requests": report.requests, "errors": report.errors, "error_rate": rate, "p95_ms": report.p95_ms}


def _metric_facts(metric: MetricVerdict) -> dict[str, object]:
    return {
        "name": metric.name,
        "role": metric.role,
        "finding": metric.finding.value,
        "baseline": metric.baseline,
        "canary": metric.canary,
        "tolerance": metric.tolerance,
        "margin": metric.margin,
        "difference": metric.difference,
        "low": metric.low,
        "high": metric.high,
        "odds_against": metric.odds_against,
        "odds_for": metric.odds_for,
    }
