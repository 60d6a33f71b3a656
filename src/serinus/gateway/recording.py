"""What is kept on record of a request: a record for each of its rows."""

import json
from datetime import datetime

from serinus.core.errors import ModelError, SerinusError
from serinus.core.records import PredictionRecord
from serinus.gateway.arms import Arm, Served
from serinus.gateway.asking import Outcome


def recorded(
    identity: str, served: Served, arm: Arm, outcome: Outcome, at: datetime, *, forced: bool
) -> PredictionRecord:
    """Give the record of the first row, still without hashes."""
    split, answer, failure = served.split, outcome.answers[0] if outcome.answered_by else None, outcome.failure
    return PredictionRecord(
        id=identity,
        at=at,
        deployment=served.state.name,
        rollout=split.rollout if split else "",
        split_version=split.split_version if split else 0,
        role=arm.role,
        version=arm.name,
        answered_by=outcome.answered_by.name if outcome.answered_by else "",
        inputs_hmac="",
        key_id="",
        prediction=json.dumps(answer.prediction) if answer else "null",
        prediction_class=answer.prediction_class if answer else None,
        confidence=answer.confidence if answer else None,
        latency_ms=round(outcome.latency_ms, 3),
        error_kind=error_kind(failure),
        forced=forced,
    )


def further(first: PredictionRecord, outcome: Outcome, index: int) -> PredictionRecord:
    """Give the record of the row ``index`` of the same request."""
    answer = outcome.answers[index] if outcome.answered_by else None
    return PredictionRecord(  # each of its fields by hand: there may be a thousand rows, and ``replace`` is slow
        id=f"{first.id}-{index}",
        at=first.at,
        deployment=first.deployment,
        rollout=first.rollout,
        split_version=first.split_version,
        role=first.role,
        version=first.version,
        answered_by=first.answered_by,
        inputs_hmac="",
        key_id="",
        prediction=json.dumps(answer.prediction) if answer else "null",
        prediction_class=answer.prediction_class if answer else None,
        confidence=answer.confidence if answer else None,
        latency_ms=first.latency_ms,
        error_kind=first.error_kind,
        forced=first.forced,
    )


def error_kind(failure: SerinusError | None) -> str:
    """Name how a request failed: "", a model error's kind, or ``platform``."""
    if failure is None:
        return ""
    return failure.kind if isinstance(failure, ModelError) else "platform"
