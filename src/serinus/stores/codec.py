"""Values to rows and back; no statement is made here.

What is read must be a whole value: a row that is not one raises PlatformError with its table and key.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import TypeVar

import msgspec
from sqlalchemy import Row, Table

from serinus.core.deployment import Deployment, Rollout
from serinus.core.errors import InvalidInput, PlatformError, SerinusError
from serinus.core.events import Event
from serinus.core.judge import Verdict
from serinus.core.looks import Tested, decoded_look, encoded_look
from serinus.core.names import VersionRef
from serinus.core.policy import POLICIES, Policy, SequentialPolicy
from serinus.core.records import (
    EvidenceReport,
    HealthSnapshot,
    ModelSummary,
    ModelVersion,
    Outcome,
    PredictionRecord,
    RecordedEvent,
    VersionDraft,
    decoded_evidence,
    encoded_evidence,
)
from serinus.core.sequential import decoded, encoded
from serinus.core.texts import escaped
from serinus.stores import tables

Columns = dict[str, object]
AnyRow = Row[*tuple[object, ...]]
T = TypeVar("T")


def encoded_draft(draft: VersionDraft) -> str:
    """Give a draft as JSON text; InvalidInput where it could not be read back (a metric that is NaN, say)."""
    try:
        text = _exact_json(draft)
        msgspec.json.decode(text, type=VersionDraft)
    except (TypeError, ValueError, OverflowError) as wrong:
        raise InvalidInput(
            f"A version of {draft.model!r} cannot be stored: {wrong}.",
            remedy="Metrics must be finite numbers, tags strings, and parameters JSON values.",
        ) from wrong
    return text


def deployment_columns(state: Deployment, updated_at: datetime) -> Columns:
    """Give the row of a deployment."""
    return {
        "name": state.name,
        "generation": state.generation,
        "status": state.status,
        "baseline": str(state.baseline),
        "state": _json(state),
        "created_at": state.created_at,
        "updated_at": updated_at,
    }


def rollout_columns(deployment: str, number: int, rollout: Rollout) -> Columns:
    """Give the row of a deployment's n-th rollout."""
    return {
        "id": rollout.id,
        "deployment": deployment,
        "number": number,
        "canary": str(rollout.canary),
        "baseline": str(rollout.baseline),
        "weight": rollout.weight,
        "phase": rollout.phase.value,
        "split_version": rollout.split_version,
        "started_at": rollout.started_at,
        "ended_at": rollout.ended_at,
        "reason": rollout.reason,
    }


def event_columns(event: Event) -> Columns:
    """Give the row of an event; its id is the database's to give."""
    return {
        "deployment": event.deployment,
        "generation": event.generation,
        "kind": event.kind.value,
        "at": event.at,
        "actor": event.actor,
        "reason": event.reason,
        "rollout": event.rollout,
        "data": _json(event.data),
    }


def snapshot_columns(snapshot: HealthSnapshot) -> Columns:
    """Give the row of a health check."""
    return {
        "deployment": snapshot.deployment,
        "rollout": snapshot.rollout,
        "at": snapshot.at,
        "verdict": None if snapshot.verdict is None else _json(snapshot.verdict),
        "reason": snapshot.reason,
        "action": snapshot.action,
        "evidence": _json(encoded_evidence(snapshot.evidence)),
        "look": None if snapshot.look is None else _json(encoded_look(snapshot.look)),
    }


def tested_columns(tested: Tested) -> Columns:
    """Give the row of how far a rollout's test has come."""
    return {
        "rollout": tested.rollout,
        "policy": _json(tested.policy),
        "state": _json(encoded(tested.test)),
        "seen": _json(encoded_evidence(tested.seen)),
        "begun": _json(encoded_evidence(tested.begun)),
        "split_version": tested.split_version,
        "at": tested.at,
    }


def report_columns(rollout: str, report: EvidenceReport, updated_at: datetime) -> Columns:
    """Give the row of one gateway process's evidence of a rollout."""
    return {
        "rollout": rollout,
        "boot": report.boot,
        "gateway": report.gateway,
        "evidence": _json(encoded_evidence(report.evidence)),
        "updated_at": updated_at,
    }


def encoded_outcome(outcome: Outcome) -> str:
    """Give what a command came to as JSON text, without the fingerprint."""
    return _json({"state": outcome.state, "events": outcome.events, "version": outcome.version})


def prediction_columns(record: PredictionRecord) -> Columns:
    """Give the row of a logged prediction: its fields, by their names."""
    return {name: getattr(record, name) for name in _PREDICTION_FIELDS} | {"role": record.role.value}


def _json(value: object) -> str:
    """Give JSON text in which all strings can be shown: what a plain column would hold escaped is so here, too."""
    try:
        text = _exact_json(value)
    except UnicodeEncodeError:
        text = ""
    if text and "\\u0000" not in text:
        return text
    return _exact_json(_all_escaped(msgspec.to_builtins(value, enc_hook=_plain)))


def _exact_json(value: object) -> str:
    return msgspec.json.encode(value, enc_hook=_plain).decode()


def _all_escaped(value: object) -> object:
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, list | tuple):
        return [_all_escaped(each) for each in value]
    if isinstance(value, dict):
        return {_all_escaped(key): _all_escaped(each) for key, each in value.items()}
    return value


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    message = f"a {type(value).__name__} is no JSON value"
    raise TypeError(message)


def _read_row(table: Table, read: Callable[[Columns], T], row: AnyRow) -> T:
    # SQLAlchemy's keys are a kind of str that msgspec does not take for one.
    columns: Columns = {str(name): value for name, value in row._mapping.items()}  # noqa: SLF001 - it is public
    try:
        return read(columns)
    except (SerinusError, KeyError, TypeError, ValueError, OverflowError) as wrong:
        key = "@".join(str(columns.get(column.name)) for column in table.primary_key)
        raise PlatformError(
            f"The row {key!r} of table {table.name!r} cannot be read: {wrong}",
            remedy="Something other than this version of Serinus wrote it. Restore the database from a backup, or run "
            "the newest Serinus that has used it.",
            table=table.name,
            key=key,
        ) from wrong


def _model(columns: Columns) -> ModelSummary:
    name, versions = _as(str, columns["name"]), _as(int, columns["versions"])
    return ModelSummary(name, versions, VersionRef(name, versions), _as(datetime, columns["updated_at"]))


def _version(columns: Columns) -> ModelVersion:
    ref = VersionRef(_as(str, columns["model"]), _as(int, columns["number"]))
    return ModelVersion(ref, _decoded(VersionDraft, columns["draft"]), _as(datetime, columns["created_at"]))


def _deployment(columns: Columns) -> Deployment:
    state = _decoded(Deployment, columns["state"])
    if (state.name, state.generation) != (columns["name"], columns["generation"]):
        # The guard of ``save`` is the column: a state that differs could never be changed again.
        message = f"its state is {state.name!r} of generation {state.generation}"
        raise ValueError(message)
    return state


def _rollout(columns: Columns) -> Rollout:
    refs = {name: VersionRef.parse(_as(str, columns[name])) for name in ("canary", "baseline")}
    return _as(Rollout, {**columns, **{name: msgspec.to_builtins(ref) for name, ref in refs.items()}})


def _event(columns: Columns) -> RecordedEvent:
    data = _decoded(dict[str, object], columns["data"])
    return RecordedEvent(_as(int, columns["id"]), _as(Event, {**columns, "data": data}))


def _snapshot(columns: Columns) -> HealthSnapshot:
    verdict = columns["verdict"]
    return HealthSnapshot(
        deployment=_as(str, columns["deployment"]),
        rollout=_as(str, columns["rollout"]),
        at=_as(datetime, columns["at"]),
        verdict=None if verdict is None else _decoded(Verdict, verdict),
        reason=_as(str, columns["reason"]),
        action=_as(str, columns["action"]),
        evidence=decoded_evidence(_decoded(list[list[object]], columns["evidence"])),
        look=None if columns["look"] is None else decoded_look(_decoded(list[object], columns["look"])),
    )


def _tested(columns: Columns) -> Tested:
    seen, begun = (decoded_evidence(_decoded(list[list[object]], columns[name])) for name in ("seen", "begun"))
    return Tested(
        rollout=_as(str, columns["rollout"]),
        policy=_decoded(SequentialPolicy, columns["policy"]),
        test=decoded(_decoded(dict[str, object], columns["state"])),
        seen=seen,
        begun=begun,
        at=_as(datetime, columns["at"]),
        split_version=_as(int, columns["split_version"]),
    )


def _report(columns: Columns) -> EvidenceReport:
    evidence = decoded_evidence(_decoded(list[list[object]], columns["evidence"]))
    return EvidenceReport(_as(str, columns["gateway"]), _as(str, columns["boot"]), evidence)


def _outcome(columns: Columns) -> Outcome:
    result = _decoded(dict[str, object], columns["result"])
    return _as(Outcome, {**result, "fingerprint": columns["fingerprint"]})


def _prediction(columns: Columns) -> PredictionRecord:
    return _as(PredictionRecord, columns)


def _as(kind: type[T], value: object) -> T:
    return msgspec.convert(value, kind, dec_hook=_chosen)


def _decoded(kind: type[T], text: object) -> T:
    return msgspec.json.decode(_as(str, text), type=kind, dec_hook=_chosen)


def _chosen(kind: type, value: object) -> object:
    """Read a policy: which one it is, its name tells."""
    if kind is object:  # anything goes
        return value
    if kind is not Policy or not isinstance(value, Mapping) or value.get("name") not in POLICIES:
        message = f"{value!r} is no {kind.__name__}"
        raise ValueError(message)
    return msgspec.convert(value, POLICIES[value["name"]])


_PREDICTION_FIELDS = tuple(tables.predictions.c.keys())

read_model = partial(_read_row, tables.models, _model)
read_version = partial(_read_row, tables.model_versions, _version)
read_deployment = partial(_read_row, tables.deployments, _deployment)
read_rollout = partial(_read_row, tables.rollouts, _rollout)
read_event = partial(_read_row, tables.events, _event)
read_snapshot = partial(_read_row, tables.health_snapshots, _snapshot)
read_tested = partial(_read_row, tables.sequential_tests, _tested)
read_prediction = partial(_read_row, tables.predictions, _prediction)
read_report = partial(_read_row, tables.boot_evidence, _report)
read_outcome = partial(_read_row, tables.outcomes, _outcome)
