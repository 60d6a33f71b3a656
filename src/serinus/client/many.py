"""Many predictions: rows as calls, and what became of each. No I/O here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from serinus.client import calls
from serinus.client.calls import Call
from serinus.client.results import Prediction, Predictions
from serinus.client.values import json_values, mappings
from serinus.core.errors import InvalidInput, SerinusError

MOST_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class PredictionFailure:
    """A row without a prediction: its place among the rows, from 0, and why."""

    row: int
    error: SerinusError


def predict_rows(
    name: str,
    rows: Any,
    entity_id: str | None = None,
    *,
    retry: bool = False,
    canary: Literal["always", "never"] | None = None,
) -> Call[Predictions]:
    """Ask for the predictions of several rows in one request, which is drawn once and answered by one model.

    ``rows`` are features by name, or a pandas DataFrame. A row that does not fit, or that the model does not answer,
    fails all of them; ``predict_many`` asks for each row by itself. The others: see ``predict``.
    """
    asked = calls.predict(name, {}, entity_id, retry=retry, canary=canary)
    instances = [_instance(row, f"instances.{place}") for place, row in enumerate(mappings(rows))]
    body = {given: value for given, value in (asked.json or {}).items() if given != "features"}
    return Call(
        asked.method,
        asked.path,
        json={**body, "instances": instances},
        gives=Predictions,
        repeat=asked.repeat,
        headers=asked.headers,
    )


def _instance(row: Any, field: str) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise InvalidInput(
            f"{field} is a {type(row).__name__}, not a mapping.",
            field=field,
            remedy="Give each row's features by name: {name: value, ...}.",
        )
    return json_values(row, field, missing=True)


Asked = Call[Prediction] | PredictionFailure


def asked_of_each(
    name: str, rows: Any, entity_ids: Iterable[str | None] | None, *, at_once: Any, retry: bool
) -> list[Asked]:
    """Give the call for each row, or why there can be none.

    Raises:
        InvalidInput: the rows cannot be told apart, or ``at_once`` cannot be.
    """
    if not isinstance(at_once, int) or not 1 <= at_once <= MOST_AT_ONCE:
        raise InvalidInput(
            f"at_once is {at_once!r}.", field="at_once", remedy=f"Give a number from 1 to {MOST_AT_ONCE}."
        )
    each = mappings(rows)
    entities = [None] * len(each) if entity_ids is None else list(entity_ids)
    if len(entities) != len(each):
        raise InvalidInput(
            f"{len(entities)} entity_ids for {len(each)} rows.", field="entity_ids", remedy="Give one for each row."
        )
    calls.predict(name, {})  # a name that cannot be is no row's fault
    return [
        _asked(name, row, features, entity, retry=retry)
        for row, (features, entity) in enumerate(zip(each, entities, strict=True))
    ]


def _asked(name: str, row: int, features: Any, entity_id: str | None, *, retry: bool) -> Asked:
    try:
        return calls.predict(name, features, entity_id, retry=retry)
    except InvalidInput as wrong:
        return PredictionFailure(row, wrong)
