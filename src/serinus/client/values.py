"""Python values as JSON values: what numpy and pandas give becomes what the API takes."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from serinus.core.errors import InvalidInput

_MISSING = {"NAType", "NaTType"}
"""The types of what pandas writes for a missing value besides NaN; pandas itself is not imported for it."""


def json_values(values: Mapping[str, object], field: str, *, missing: bool = False) -> dict[str, Any]:
    """Give a mapping as JSON values.

    Args:
        values: by name; numpy scalars and arrays are taken for the numbers they hold.
        field: what the mapping is called, for errors.
        missing: NaN is how pandas writes a missing value, and becomes null. Elsewhere it is an error.

    Raises:
        InvalidInput: NaN, infinity or a type that JSON does not have.
    """
    return {str(name): _json_value(value, f"{field}.{name}", missing=missing) for name, value in values.items()}


def mappings(rows: Any) -> list[Any]:
    """Give the rows of a table one by one; InvalidInput if it is none. What is a row is not looked at."""
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


def _json_value(value: Any, field: str, *, missing: bool) -> Any:
    if missing and type(value).__name__ in _MISSING:
        return None
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return json_values(value, field, missing=missing)
    if isinstance(value, list | tuple):
        return [_json_value(each, f"{field}.{index}", missing=missing) for index, each in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        if missing and math.isnan(value):
            return None
        raise InvalidInput(f"{field} is {value}.", field=field, remedy="Give a finite number.")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise InvalidInput(
        f"{field} is a {type(value).__name__}, which JSON does not have.",
        field=field,
        remedy="Give a number, a string, true, false or None, or lists and mappings of them.",
    )
