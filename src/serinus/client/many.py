"""Many predictions: rows as calls, and what became of each. No I/O here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from serinus.client import calls
from serinus.client.calls import Call
from serinus.client.results import Prediction
from serinus.core.errors import InvalidInput, SerinusError

MOST_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class PredictionFailure:
    """A row without a prediction: its place among the rows, from 0, and why."""

    row: int
    error: SerinusError


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
    each = _mappings(rows)
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


def _mappings(rows: Any) -> list[Any]:
    if hasattr(rows, "itertuples") and hasattr(rows, "columns"):  # a DataFrame, without importing pandas
        names = [str(name) for name in rows.columns]
        return [dict(zip(names, values, strict=True)) for values in rows.itertuples(index=False, name=None)]
    if isinstance(rows, Mapping | str) or not isinstance(rows, Iterable):
        raise InvalidInput(
            f"rows is a {type(rows).__name__}, not a table.",
            field="rows",
            remedy="Give a list of mappings ({name: value, ...}), or a pandas DataFrame.",
        )
    return list(rows)
