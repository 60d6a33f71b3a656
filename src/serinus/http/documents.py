"""What the control plane gives: values of the core as JSON documents."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta

from serinus.core.deployment import ALL, Deployment, Rollout
from serinus.core.evidence import GROWTH, LAST_BUCKET, Counts, Evidence, arm, log_quantile
from serinus.core.judge import ArmReport, MetricVerdict
from serinus.core.lifecycle import possible
from serinus.core.policy import GUARDRAIL, Policy, SequentialPolicy, Settings, ThresholdPolicy, policy_values
from serinus.core.production import Production
from serinus.core.records import HealthSnapshot, ModelSummary, ModelVersion, RecordedEvent
from serinus.core.routing import Role, split_of
from serinus.core.verdicts import encoded_metric, encoded_verdict
from serinus.engine import Done, Rehearsed
from serinus.plans import to_document

Document = dict[str, object]


def of_summary(model: ModelSummary) -> Document:
    """Describe a model."""
    return {
        "name": model.name,
        "versions": model.versions,
        "latest": str(model.latest),
        "updated_at": model.updated_at.isoformat(),
    }


def of_version(version: ModelVersion) -> Document:
    """Describe a model version; its example rows are only counted."""
    draft = version.draft
    return {
        "model": version.ref.model,
        "version": version.ref.version,
        "ref": str(version.ref),
        "digest": draft.digest,
        "size": draft.size,
        "format": draft.format,
        "signature": draft.signature.encoded(),
        "examples": len(draft.examples),
        "metrics": dict(draft.metrics),
        "parameters": dict(draft.parameters),
        "tags": dict(draft.tags),
        "description": draft.description,
        "lineage": asdict(draft.lineage),
        "created_at": version.created_at.isoformat(),
        "created_by": draft.created_by,
    }


def of_rollout(rollout: Rollout) -> Document:
    """Describe a rollout."""
    return {
        "id": rollout.id,
        "canary": str(rollout.canary),
        "baseline": str(rollout.baseline),
        "weight": rollout.weight,
        "phase": rollout.phase.value,
        "split_version": rollout.split_version,
        "started_at": rollout.started_at.isoformat(),
        "ended_at": _time(rollout.ended_at),
        "reason": rollout.reason,
        "plan": _of_plan(rollout),
        "bake_until": _time(rollout.bake_until),
    }


def _of_plan(rollout: Rollout) -> Document | None:
    """Describe the plan of a rollout, and the step that is not done yet."""
    plan, progress = rollout.plan, rollout.progress
    if plan is None or progress is None:
        return None
    return {
        "name": plan.name,
        "steps": [str(step) for step in plan.steps],
        "step": progress.step,
        "step_at": progress.entered_at.isoformat(),
        "waiting_for_approval": rollout.waits_for_approval,
        "document": to_document(plan),
    }


def of_done(done: Done) -> Document:
    """Describe a deployment after a command, with what the caller should know of it."""
    return of_deployment(done.state) | {
        "warnings": list(done.warnings),
        "unacknowledged": list(done.unacknowledged),
        "recorded": not done.unrecorded,
    }


def of_rehearsed(rehearsed: Rehearsed) -> Document:
    """Describe what the start of a canary would come to."""
    state = rehearsed.state
    split = split_of(state)
    would = {
        "generation": state.generation,
        "status": state.status,
        "replaces": rehearsed.replaces or None,
        "rollout": of_rollout(state.rollout) if state.rollout else None,
        "split": {"baseline": round(ALL - split.weight, 2), "canary": split.weight},
    }
    return {"deployment": state.name, "dry_run": True, "would": would}


def of_deployment(state: Deployment) -> Document:
    """Describe a deployment; ``rollout`` is the active one or the last that ended."""
    return {
        "name": state.name,
        "status": state.status,
        "generation": state.generation,
        "baseline": str(state.baseline),
        "previous": [str(ref) for ref in state.previous],
        "created_at": state.created_at.isoformat(),
        "settings": _of_settings(state.settings),
        "policy": policy_values(state.policy),
        "rollout": of_rollout(state.rollout) if state.rollout else None,
        "possible": list(possible(state)),
    }


def of_event(recorded: RecordedEvent) -> Document:
    """Describe an event."""
    event = recorded.event
    return {
        "id": recorded.id,
        "deployment": event.deployment,
        "at": event.at.isoformat(),
        "kind": str(event.kind),
        "actor": event.actor,
        "reason": event.reason,
        "rollout": event.rollout or None,
        "generation": event.generation,
        "data": dict(event.data),
    }


def of_production(was: Production) -> Document:
    """Describe what was in production; ``canary`` is null where the baseline was alone."""
    return {
        "baseline": was.baseline,
        "canary": was.canary or None,
        "weight": was.weight if was.canary else None,
        "status": was.status,
        "rollout": was.rollout or None,
        "generation": was.generation,
        "since": was.since.isoformat(),
        "event": of_event(was.event),
    }


def of_health(state: Deployment, snapshot: HealthSnapshot | None) -> Document:
    """Describe the newest verdict on the deployment's active or last rollout."""
    rollout = state.rollout
    last = snapshot if snapshot and rollout and snapshot.rollout == rollout.id else None
    verdict = last.verdict if last else None
    return {
        "deployment": state.name,
        "status": state.status,
        "rollout": rollout.id if rollout else None,
        "health": verdict.health.value if verdict else None,
        "recommendation": verdict.recommendation.value if verdict else None,
        "reason": last.reason if last else ("no check yet" if state.active else "no canary is running"),
        "action": last.action if last else "",
        "checked_at": _time(last.at if last else None),
        "baseline": _of_report(verdict.baseline) if verdict else None,
        "canary": _of_report(verdict.canary) if verdict else None,
        "policy": policy_values(verdict.policy if verdict else state.policy),
        "metrics": [_of_metric(each, rollout) for each in verdict.metrics] if verdict else [],
        "alarms": list(verdict.alarms) if verdict else [],
        "waiting": _waiting(rollout, last),
    }


def of_metrics(state: Deployment, rollout: Rollout | None, evidence: Evidence) -> Document:
    """Describe what both arms did in a rollout, or since the start outside of any."""
    baseline = rollout.baseline if rollout else state.baseline
    return {
        "deployment": state.name,
        "rollout": rollout.id if rollout else None,
        "since": _time(rollout.started_at if rollout else None),
        "baseline": _of_counts(str(baseline), arm(evidence, Role.BASELINE)),
        "canary": _of_counts(str(rollout.canary), arm(evidence, Role.CANARY)) if rollout else None,
    }


def of_history(
    rollout: Rollout,
    checks: Sequence[HealthSnapshot],
    weights: Sequence[tuple[datetime, float]],
    policy: Policy | None,
) -> Document:
    """Describe checks of a rollout, oldest first; ``weights`` are its shares, each with the time from which on."""
    since = [at for at, _ in weights]
    shares = [0.0, *(share for _, share in weights)]
    return {
        "rollout": of_rollout(rollout),
        "policy": policy_values(policy) if policy else None,
        "thresholds": _of_thresholds(policy),
        "points": [_of_point(each, shares[bisect_right(since, each.at)]) for each in checks],
        "last": encoded_verdict(checks[-1].verdict) if checks and checks[-1].verdict else None,
    }


def _of_point(check: HealthSnapshot, weight: float) -> Document:
    verdict = check.verdict
    return {
        "at": check.at.isoformat(),
        "weight": weight,
        "health": verdict.health.value if verdict else None,
        "reason": check.reason,
        "action": check.action,
        "baseline": _of_report(verdict.baseline) if verdict else None,
        "canary": _of_report(verdict.canary) if verdict else None,
        "metrics": [
            {
                "name": each.name,
                "finding": each.finding.value,
                "odds_against": each.odds_against,
                "odds_for": each.odds_for,
                "difference": each.difference,
                "low": each.low,
                "high": each.high,
            }
            for each in (verdict.metrics if verdict else ())
        ],
    }


def _of_thresholds(policy: Policy | None) -> Document | None:
    """Describe what the evidence has to come to; where differences decide, those that hold and that roll back."""
    if isinstance(policy, SequentialPolicy):
        return {
            "rollback_odds": round(1.0 / policy.alpha, 9),
            "promotion_odds": round(1.0 / policy.beta, 9),
            "metrics": [
                {
                    "name": "errors",
                    "role": policy.error_role,
                    "tolerance": policy.tolerated_errors,
                    "margin": policy.error_margin,
                },
                {
                    "name": "p95",
                    "role": policy.p95_role,
                    "tolerance": policy.tolerated_p95_ms,
                    "margin": policy.p95_margin_ms,
                },
            ],
        }
    if isinstance(policy, ThresholdPolicy):
        deltas = {"errors": policy.error_delta, "p95": policy.p95_delta_ms}
        return {
            "rollback_odds": None,
            "promotion_odds": None,
            "min_requests": policy.min_requests,
            "metrics": [
                {"name": name, "role": GUARDRAIL, "hold": delta / 2, "rollback": delta}
                for name, delta in deltas.items()
            ],
        }
    return None


def _waiting(rollout: Rollout | None, last: HealthSnapshot | None) -> str:
    """Say what a plan or a bake waits for."""
    if rollout is None or last is None or not (rollout.plan or rollout.bake_until):
        return ""
    return last.action if " " in last.action and not last.action.startswith("withheld: ") else ""


def _of_settings(settings: Settings) -> Document:
    return {
        field.name: policy_values(settings.policy) if field.name == "policy" else getattr(settings, field.name)
        for field in fields(settings)
    }


def _of_metric(metric: MetricVerdict, rollout: Rollout | None) -> Document:
    """Describe a metric; ``since`` is when the evidence against the canary began to grow."""
    document = encoded_metric(metric) | {"since": None}
    since_s = document.pop("worse_since_s")
    if rollout is not None and isinstance(since_s, float):
        document["since"] = _time(rollout.started_at + timedelta(seconds=since_s))
    return document


def _of_report(report: ArmReport) -> Document:
    return asdict(report) | {"error_rate": report.error_rate if report.requests else None}


def _of_counts(version: str, counts: Counts) -> Document:
    asked = counts.requests
    return {
        "version": version,
        "requests": asked,
        "model_errors": counts.model_errors,
        "timeouts": counts.timeouts,
        "client_errors": counts.client_errors,
        "platform_errors": counts.platform_errors,
        "error_rate": counts.error_rate if asked else None,
        "p50_ms": log_quantile(counts.latency, 0.50),
        "p95_ms": log_quantile(counts.latency, 0.95),
        "p99_ms": log_quantile(counts.latency, 0.99),
        "mean_ms": round(counts.latency_sum_ms / asked, 3) if asked else None,
        "latency": [_of_bucket(index, count) for index, count in sorted(counts.latency.items())],
    }


def _of_bucket(index: int, count: int) -> Document:
    """Describe a log bucket of latency; the last has no upper edge."""
    return {
        "low_ms": round(GROWTH ** (index - 1), 3) if index else 0.0,
        "high_ms": round(GROWTH**index, 3) if index < LAST_BUCKET else None,
        "count": count,
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
