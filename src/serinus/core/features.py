"""One feature of a model: its name, the kind of its values, and the check of a value against it."""

import math
from dataclasses import dataclass
from enum import StrEnum

from serinus.core.errors import InvalidFeatures

Scalar = bool | int | float | str

_INT64 = 2**63
_SHOWN = 80


class Dtype(StrEnum):
    """The kinds of feature values."""

    INT = "int"
    FLOAT = "float"
    STR = "str"
    BOOL = "bool"


NUMERIC = frozenset({Dtype.INT, Dtype.FLOAT})


@dataclass(frozen=True, slots=True)
class Feature:
    """One input, by the name it had in training."""

    name: str
    dtype: Dtype
    nullable: bool = False


def checked_value(feature: Feature, value: object) -> Scalar | None:
    """Check one value and give it the type of its feature.

    An int stands for a float, and a whole float for an int; a bool for neither. ``None`` is accepted where
    the feature is nullable. InvalidFeatures names the feature, the value and what to send.
    """
    if value is None:
        if feature.nullable:
            return None
        raise _wrong(feature, value, "may not be null: it was never missing in training")
    if isinstance(value, bool):
        if feature.dtype is Dtype.BOOL:
            return value
    elif isinstance(value, int | float):
        if feature.dtype is Dtype.FLOAT:
            return _number(feature, value)
        if feature.dtype is Dtype.INT:
            return _whole(feature, value)
    elif isinstance(value, str) and feature.dtype is Dtype.STR:
        return _text(feature, value)
    raise _wrong(feature, value, f"should be {_EXPECTED[feature.dtype]}")


def is_text(value: object) -> bool:
    """Tell whether a value is a string that can be written down: half a surrogate pair cannot."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: object) -> str:
    """Show a value of any kind in at most 80 characters."""
    if value is None:
        return "null"
    try:
        text = repr(value)
    except ValueError:
        return "a number of too many digits"
    except RecursionError:
        return "nested too deeply"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _number(feature: Feature, value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        raise _wrong(feature, value, "is too large") from None
    if not math.isfinite(number):
        raise _wrong(feature, value, "is not finite")
    return number


def _whole(feature: Feature, value: float) -> int:
    if not -_INT64 <= value < _INT64:  # NaN is in no range
        raise _wrong(feature, value, "is not a whole number of 64 bits")
    if not float(value).is_integer():
        raise _wrong(feature, value, "is not a whole number")
    return int(value)


def _text(feature: Feature, value: str) -> str:
    if not value.isascii() and not is_text(value):
        raise _wrong(feature, value, "is not Unicode text")
    return value


def _wrong(feature: Feature, value: object, what: str) -> InvalidFeatures:
    may = " or null" if feature.nullable else ""
    return InvalidFeatures(
        f"{feature.name} {what}; it is {shown(value)}.",
        field=f"features.{feature.name}",
        remedy=f"Send {_EXPECTED[feature.dtype]}{may}.",
    )


_EXPECTED = {
    Dtype.INT: "a whole number",
    Dtype.FLOAT: "a number",
    Dtype.STR: "a string",
    Dtype.BOOL: "true or false",
}
