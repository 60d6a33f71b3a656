"""What is kept on record of a request: a record for each of its rows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from serinus.core.errors import ModelError, SerinusError
from serinus.core.log_rows import encoded
from serinus.core.records import PredictionRecord
from serinus.core.signature import Row, Signature
from serinus.gateway.arms import Arm, Served
from serinus.gateway.asking import Outcome
from serinus.hashing import HashKey, InputHasher


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes what is kept of a request as rows of the log, its inputs and its entity hashed."""

    key: HashKey

    def rows(
        self,
        first: PredictionRecord,
        outcome: Outcome,
        rows: Sequence[Row],
        signature: Signature,
        entity_id: str | None,
    ) -> list[bytes]:
        """Encode the records of all rows of a request, of which ``first`` is the first one's, still without hashes."""
        hashed, entity_hmac = InputHasher(self.key, signature.names), self.key.of_entity(entity_id)
        records = [first, *(further(first, outcome, index) for index in range(1, len(rows)))]
        return [
            encoded(replace(record, inputs_hmac=hashed(row), entity_hmac=entity_hmac, key_id=self.key.id))
            for record, row in zip(records, rows, strict=True)
        ]


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
