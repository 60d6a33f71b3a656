"""What a model takes and gives: its features in training order, and the kind of its output."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from serinus.core.errors import InvalidFeatures, InvalidInput

Scalar = bool | int | float | str
Row = list[Scalar | None]
"""One value per feature, in the order of a signature; None where a nullable feature is missing."""

_INT64 = 2**63


class Dtype(StrEnum):
    """The kinds of feature values."""

    INT = "int"
    FLOAT = "float"
    STR = "str"
    BOOL = "bool"


NUMERIC = frozenset({Dtype.INT, Dtype.FLOAT})


class OutputKind(StrEnum):
    """The kinds of predictions."""

    CLASS = "class"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Feature:
    """One input, by the name it had in training."""

    name: str
    dtype: Dtype
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """What a model predicts: one of ``classes`` (``class_names`` are their names for people), or a number."""

    kind: OutputKind
    classes: tuple[Scalar, ...] = ()
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names that do not go with the classes."""
        if self.class_names and len(self.class_names) != len(self.classes):
            raise InvalidInput(
                f"{len(self.class_names)} class_names for {len(self.classes)} classes.",
                field="signature.output.class_names",
                remedy="Give one name per class, or none.",
            )


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs of a model, in training order, and its output."""

    features: tuple[Feature, ...]
    output: Output

    def __post_init__(self) -> None:
        """Refuse a signature that cannot check anything."""
        names = self.names
        if not names:
            raise InvalidInput(
                "The signature has no features.",
                field="signature.features",
                remedy="Name each input of the model.",
            )
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise InvalidInput(
                f"The signature names {twice} twice.",
                field="signature.features",
                remedy="Name each feature once.",
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in training order."""
        return tuple(feature.name for feature in self.features)

    def row(self, features: object) -> Row:
        """Check the features of one request and put them into training order.

        An int stands for a float, and a whole float for an int; a bool for neither. ``None`` is accepted where the
        feature is nullable.

        Raises:
            InvalidFeatures: missing, unknown, of a wrong type or not finite; ``field`` names the feature.
        """
        if not isinstance(features, Mapping):
            raise InvalidFeatures(
                f"features is {_shown(features)}, not an object.",
                field="features",
                remedy="Send an object of feature names and values.",
            )
        if len(features) != len(self.features) or any(
            feature.name not in features for feature in self.features
        ):
            self._refuse_names(features)
        return [_checked(feature, features[feature.name]) for feature in self.features]

    def _refuse_names(self, features: Mapping[object, object]) -> None:
        names = self.names
        missing = [name for name in names if name not in features]
        unknown = [str(name)[:80] for name in features if name not in set(names)]
        wrong = [f"missing: {', '.join(missing)}"] * bool(missing) + [
            f"unknown: {', '.join(unknown[:20])}"
        ] * bool(unknown)
        raise InvalidFeatures(
            f"The features do not match the model's signature ({'; '.join(wrong)}).",
            field=f"features.{(missing or unknown)[0]}",
            remedy=f"Send exactly: {', '.join(names)}.",
            missing=missing,
            unknown=unknown[:20],
        )

    def reordering(self, other: "Signature") -> tuple[int, ...] | None:
        """Give the positions in this signature of ``other``'s features; None where the order is the same."""
        if other.names == self.names:
            return None
        place = {name: index for index, name in enumerate(self.names)}
        return tuple(place[name] for name in other.names)

    def encoded(self) -> dict[str, object]:
        """Give the signature as JSON values."""
        return asdict(self)

    @classmethod
    def decoded(cls, raw: object) -> "Signature":
        """Read a signature from JSON values; InvalidInput says what is wrong with them."""
        try:
            return _decoded(raw)
        except (KeyError, TypeError, ValueError, AttributeError) as wrong:
            what = f"{wrong} is missing" if isinstance(wrong, KeyError) else str(wrong)
            raise InvalidInput(
                f"The signature cannot be read: {what}.",
                field="signature",
                remedy="Give features as [{name, dtype: int|float|str|bool, nullable}] and output as "
                "{kind: class|number, classes, class_names}.",
            ) from wrong


def _decoded(raw: object) -> Signature:
    if not isinstance(raw, Mapping):
        message = f"it is {_shown(raw)}, not an object"
        raise TypeError(message)
    output = raw["output"]
    return Signature(
        tuple(
            Feature(str(f["name"]), Dtype(f["dtype"]), bool(f.get("nullable", False)))
            for f in raw["features"]
        ),
        Output(
            OutputKind(output["kind"]),
            tuple(output.get("classes") or ()),
            tuple(output.get("class_names") or ()),
        ),
    )


def _checked(feature: Feature, value: object) -> Scalar | None:
    if value is None:
        if feature.nullable:
            return None
        raise _wrong(feature, value, "may not be null: it was never missing in training")
    kind = type(value)
    if feature.dtype is Dtype.FLOAT and isinstance(value, int | float) and kind is not bool:
        try:
            number = float(value)
        except OverflowError:
            raise _wrong(feature, value, "is too large") from None
        if math.isfinite(number):
            return number
        raise _wrong(feature, value, "is not finite")
    if feature.dtype is Dtype.INT and isinstance(value, int | float) and kind is not bool:
        if isinstance(value, float) and not value.is_integer():
            raise _wrong(feature, value, "is not a whole number" if math.isfinite(value) else "is not finite")
        if not -_INT64 <= value < _INT64:
            raise _wrong(feature, value, "is too large")
        return int(value)
    if feature.dtype is Dtype.STR and isinstance(value, str):
        return value
    if feature.dtype is Dtype.BOOL and isinstance(value, bool):
        return value
    raise _wrong(feature, value, f"should be {_EXPECTED[feature.dtype]}")


_EXPECTED = {
    Dtype.INT: "a whole number",
    Dtype.FLOAT: "a number",
    Dtype.STR: "a string",
    Dtype.BOOL: "true or false",
}


def _wrong(feature: Feature, value: object, what: str) -> InvalidFeatures:
    may = " or null" if feature.nullable else ""
    return InvalidFeatures(
        f"{feature.name} {what}; it is {_shown(value)}.",
        field=f"features.{feature.name}",
        remedy=f"Send {_EXPECTED[feature.dtype]}{may}.",
    )


def _shown(value: object) -> str:
    if value is None:
        return "null"
    try:
        text = repr(value)
    except ValueError:
        return "a number of too many digits"
    return text if len(text) <= 80 else text[:77] + "..."


def examples_as_rows(
    signature: Signature, examples: Sequence[object]
) -> tuple[tuple[Scalar | None, ...], ...]:
    """Check example rows (values in training order) against a signature; InvalidInput names the row."""
    rows = []
    for index, example in enumerate(examples):
        if (
            isinstance(example, str)
            or not isinstance(example, Sequence)
            or len(example) != len(signature.features)
        ):
            raise InvalidInput(
                f"Example {index} does not have {len(signature.features)} values.",
                field=f"examples.{index}",
                remedy=f"Give values in this order: {', '.join(signature.names)}.",
            )
        rows.append(tuple(_checked(f, value) for f, value in zip(signature.features, example, strict=True)))
    return tuple(rows)
