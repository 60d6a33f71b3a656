"""POST /invocations/{deployment}: predictions as a scoring server of MLflow gives them."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from serinus.core.errors import InvalidFeatures, InvalidInput
from serinus.core.features import Dtype, Feature, shown
from serinus.core.signature import Row, Signature
from serinus.gateway import Rows
from serinus.http import problems, rows
from serinus.http.front import Post, Reply, the_entity
from serinus.http.reading import JsonBody

PATHS = re.compile(r"/invocations/(?P<deployment>[^/]+)")
REMEDY = 'Send one of {"dataframe_split": ...}, {"dataframe_records": ...}, {"instances": ...}, {"inputs": ...}.'

_read = JsonBody(dict[str, Any], REMEDY)
_encode = msgspec.json.Encoder().encode


async def invoke(post: Post) -> Reply:
    """Answer one request."""
    read, parameters = _understood(post)
    done = await post.gateway.predict_rows(
        post.path["deployment"], read, the_entity(post, parameters, "params"), post.header("X-Canary")
    )
    headers = {
        "x-serinus-prediction-id": done.prediction_id,
        "x-serinus-role": done.answered_by.role.value,
        "x-serinus-version": done.answered_by.name,
        "x-serinus-failover": "true" if done.failover else "false",
    }
    return Reply(_encode({"predictions": [answer.prediction for answer in done.answers]}), headers=headers)


def _understood(post: Post) -> tuple[Rows, Mapping[str, object]]:
    """Give what reads the rows of a body, by its Content-Type, and the further parameters in it."""
    declared = post.header("Content-Type") or "application/json"
    kind, *more = [part.strip().lower() for part in declared.split(";")]
    if any(part not in {"charset=utf-8", 'charset="utf-8"', ""} for part in more):
        raise _unsupported(declared)
    if kind == "text/csv":
        return partial(_of_csv, post.body), {}
    if kind != "application/json":
        raise _unsupported(declared)
    document = _read(post.body)
    parameters = document.pop("params", None) or {}
    _check_parameters(parameters)
    if len(document) != 1 or next(iter(document)) not in _FORMS:
        given = ", ".join(sorted(shown(name) for name in document)[:20]) or "nothing"
        raise InvalidInput(f"The body has {given} instead of one form of input.", field="body", remedy=REMEDY)
    ((form, data),) = document.items()
    return partial(_FORMS[form], data), parameters


def _check_parameters(parameters: object) -> None:
    unknown = set(parameters) - {"entity_id"} if isinstance(parameters, dict) else {"params"}
    if unknown:
        raise InvalidInput(
            f"The models here take no params; these came: {shown(parameters)}.",
            field="params",
            remedy="Leave them out; entity_id alone is understood: whom the request is about.",
        )


def _unsupported(declared: str) -> problems.MediaType:
    return problems.MediaType(
        f"The body's Content-Type is {declared[:80]!r}.",
        field="Content-Type",
        remedy="Send application/json or text/csv, in UTF-8.",
    )


# -------------------------------------------------------------------------------------------------- forms


def _of_split(data: object, signature: Signature) -> Iterator[Row]:
    """Read what pandas' ``to_dict(orient="split")`` gives; its index says nothing to a model."""
    columns, table = (data.get("columns"), data.get("data")) if isinstance(data, dict) else (None, None)
    if not isinstance(columns, list) or not isinstance(table, list):
        raise _misfit("dataframe_split", data, 'Send {"columns": [names], "data": [[values], ...]}.')
    yield from _arranged("dataframe_split.columns", columns, table, signature)


def _of_records(data: object, signature: Signature) -> Iterator[Row]:
    if not isinstance(data, list):
        raise _misfit("dataframe_records", data, "Send a list of objects of feature names and values.")
    yield from rows.named(signature, data)


def _of_instances(data: object, signature: Signature) -> Iterator[Row]:
    if not isinstance(data, list):
        raise _misfit("instances", data, "Send a list of rows: objects, or lists of values in training order.")
    yield from _of_list(data, signature)


def _of_inputs(data: object, signature: Signature) -> Iterator[Row]:
    """Read a list of rows, or an object of columns; one of single values is one row."""
    if isinstance(data, list):
        yield from _of_list(data, signature)
    elif not isinstance(data, dict):
        raise _misfit("inputs", data, "Send an object of columns, or a list of rows.")
    elif data and not any(isinstance(column, list) for column in data.values()):
        yield from rows.named(signature, [data])
    else:
        signature.check_names(data)
        single = next((name for name, column in data.items() if not isinstance(column, list)), None)
        if single is not None:
            raise _misfit(f"inputs.{single}", data[single], "Send a list of values for each feature.")
        yield from rows.in_columns(signature, data)


def _of_list(data: list[object], signature: Signature) -> Iterator[Row]:
    """Read rows that are all objects, or all lists in training order; a model of one feature takes bare values too."""
    if data and isinstance(data[0], dict):
        yield from rows.named(signature, data)
    elif len(signature.features) == 1 and not any(isinstance(each, list) for each in data):
        yield from rows.ordered(signature, ([each] for each in data))
    else:
        yield from rows.ordered(signature, data)


_FORMS: dict[str, Callable[[object, Signature], Iterator[Row]]] = {
    "dataframe_split": _of_split,
    "dataframe_records": _of_records,
    "instances": _of_instances,
    "inputs": _of_inputs,
}


def _misfit(field: str, data: object, remedy: str) -> InvalidFeatures:
    return InvalidFeatures(f"{field} is {shown(data)}.", field=field, remedy=remedy)


# ---------------------------------------------------------------------------------------------------- CSV


def _of_csv(body: bytes, signature: Signature) -> Iterator[Row]:
    """Read CSV with a header; an empty cell is a value that is missing."""
    lines = _lines(body)
    header = next(lines, [])
    signature.check_names(header)
    kinds = {feature.name: feature for feature in signature.features}
    features = [kinds[name] for name in header]
    width = len(header)
    table: Iterator[list[Any]] = (
        list(map(_value, features, line)) if len(line) == width else line
        for line in lines  # a line of another length is refused with its number
    )
    yield from _arranged("body", header, table, signature)


def _lines(body: bytes) -> Iterator[list[str]]:
    try:
        yield from filter(None, csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as wrong:
        raise InvalidFeatures(
            f"The body is not CSV: {wrong}.", field="body", remedy="Send what DataFrame.to_csv(index=False) gives."
        ) from wrong


def _value(feature: Feature, cell: str) -> object:
    """Give a cell's value; what is no value of the feature stays text, for the signature to refuse."""
    if cell == "" or feature.dtype is Dtype.STR:
        return cell or None
    if feature.dtype is Dtype.BOOL:
        return {"true": True, "false": False}.get(cell.strip().lower(), cell)
    for number in (int, float):
        try:
            value = number(cell)
        except ValueError:
            continue
        return None if value != value else value  # noqa: PLR0124 - NaN, as pandas may be told to write what is missing
    return cell


def _arranged(field: str, columns: list[Any], table: Iterable[object], signature: Signature) -> Iterator[Row]:
    """Put rows with named columns into training order."""
    if not all(isinstance(column, str) for column in columns) or len(set(columns)) < len(columns):
        raise _misfit(field, columns, "Name each column once.")
    signature.check_names(columns)
    places = [columns.index(name) for name in signature.names]
    width = len(columns)
    yield from rows.ordered(
        signature,
        ([row[place] for place in places] if isinstance(row, list) and len(row) == width else row for row in table),
    )
