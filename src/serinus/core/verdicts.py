"""Verdicts as plain values: the same verdict gives the same text, whoever writes it."""

from dataclasses import asdict

from serinus.core.judge import MetricVerdict, Verdict
from serinus.core.policy import policy_values

Document = dict[str, object]


def encoded_verdict(verdict: Verdict) -> Document:
    """Give a verdict as JSON values."""
    return {
        "health": verdict.health.value,
        "recommendation": verdict.recommendation.value,
        "reason": verdict.reason,
        "baseline": asdict(verdict.baseline),
        "canary": asdict(verdict.canary),
        "policy": policy_values(verdict.policy),
        "metrics": [encoded_metric(each) for each in verdict.metrics],
        "alarms": list(verdict.alarms),
    }


def encoded_metric(metric: MetricVerdict) -> Document:
    """Give what is known of a metric as JSON values."""
    return asdict(metric) | {"finding": metric.finding.value}
