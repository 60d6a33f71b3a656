"""Rows of a request in the forms that callers send them, checked one by one against a signature."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from serinus.core.errors import InvalidFeatures
from serinus.core.features import checked_value, shown
from serinus.core.signature import Row, Signature


def named(signature: Signature, rows: Iterable[object]) -> Iterator[Row]:
    """Check rows that are objects of feature names and values."""
    for index, row in enumerate(rows):
        try:
            yield signature.row(row)
        except InvalidFeatures as wrong:
            raise _at(index, wrong) from wrong


def ordered(signature: Signature, rows: Iterable[object]) -> Iterator[Row]:
    """Check rows that are lists of values in training order."""
    features = signature.features
    for index, row in enumerate(rows):
        if not isinstance(row, Sequence) or isinstance(row, str) or len(row) != len(features):
            what = f"{len(row)} values" if isinstance(row, list | tuple) else shown(row)
            raise InvalidFeatures(
                f"Row {index} is {what} where {len(features)} values are expected.",
                field="features",
                remedy=f"Send values in this order: {', '.join(signature.names)}.",
                row=index,
            )
        try:
            yield [checked_value(feature, value) for feature, value in zip(features, row, strict=True)]
        except InvalidFeatures as wrong:
            raise _at(index, wrong) from wrong


def in_columns(signature: Signature, columns: Mapping[str, Sequence[object]]) -> Iterator[Row]:
    """Check rows that are given by their columns, all of them of the same length."""
    signature.check_names(columns)
    lengths = {name: len(column) for name, column in columns.items()}
    first, expected = next(iter(lengths.items()))
    for name, length in lengths.items():
        if length != expected:
            raise InvalidFeatures(
                f"{name} has {length} values, and {first} has {expected}.",
                field=f"features.{name}",
                remedy="Send as many values for each feature.",
            )
    yield from ordered(signature, zip(*(columns[name] for name in signature.names), strict=True))


def _at(index: int, wrong: InvalidFeatures) -> InvalidFeatures:
    details = {**wrong.details, "row": index}
    return InvalidFeatures(f"Row {index}: {wrong.message}", field=wrong.field, remedy=wrong.remedy, **details)
