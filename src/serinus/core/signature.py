"""What a model takes and gives: its features in training order, and the kind of its output."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from serinus.core.errors import InvalidFeatures, InvalidInput
from serinus.core.features import NUMERIC, Dtype, Feature, Scalar, checked_value, is_text, shown

__all__ = [
    "NUMERIC",
    "Dtype",
    "Feature",
    "Output",
    "OutputKind",
    "Row",
    "Scalar",
    "Signature",
    "examples_as_rows",
]

Row = list[Scalar | None]
"""One value per feature, in the order of a signature; None where a nullable feature is missing."""
_SHOWN = 20
"""Unknown names that an error tells of, at most."""


class OutputKind(StrEnum):
    """The kinds of predictions."""

    CLASS = "class"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Output:
    """What a model predicts: one of ``classes`` (``class_names`` are their names for people), or a number."""

    kind: OutputKind
    classes: tuple[Scalar, ...] = ()
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse classes that cannot be told apart, and names that do not go with them."""
        if not all(map(_is_class, self.classes)) or len(set(self.classes)) < len(self.classes):
            raise InvalidInput(
                f"The classes {shown(list(self.classes))} are not distinct strings, numbers or booleans.",
                field="signature.output.classes",
                remedy="Give each class once: a string, a finite number, true or false (true counts as 1).",
            )
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

        Raises:
            InvalidFeatures: missing, unknown, of a wrong type or not finite; ``field`` names the feature.
        """
        if not isinstance(features, Mapping):
            raise InvalidFeatures(
                f"features is {shown(features)}, not an object.",
                field="features",
                remedy="Send features: an object of their names and values.",
            )
        if len(features) != len(self.features) or any(feature.name not in features for feature in self.features):
            self._refuse_names(features)
        return [checked_value(feature, features[feature.name]) for feature in self.features]

    def check_names(self, names: Collection[object]) -> None:
        """Raise InvalidFeatures, naming them, unless these are the names of all features, in any order."""
        if set(names) != set(self.names):
            self._refuse_names(names)

    def _refuse_names(self, features: Collection[object]) -> None:
        known, given = dict.fromkeys(self.names), set(features)
        missing = [name for name in known if name not in given]
        unknown = [_printable(name) for name in islice((each for each in features if each not in known), _SHOWN)]
        wrong = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"unknown: {', '.join(unknown)}"] * bool(unknown)
        raise InvalidFeatures(
            f"The features do not match the model's signature ({'; '.join(wrong)}).",
            field=f"features.{(missing or unknown)[0]}",
            remedy=f"Send exactly: {', '.join(known)}.",
            missing=missing,
            unknown=unknown,
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
        except (KeyError, TypeError, ValueError) as wrong:
            what = f"{wrong} is missing" if isinstance(wrong, KeyError) else str(wrong)
            raise InvalidInput(
                f"The signature cannot be read: {what}.",
                field="signature",
                remedy="Give features as [{name, dtype: int|float|str|bool, nullable}] and output as "
                "{kind: class|number, classes, class_names}.",
            ) from wrong


def _decoded(raw: object) -> Signature:
    signature = _object(raw, "it")
    output = _object(signature["output"], "output")
    return Signature(
        tuple(_feature(_object(f, "a feature")) for f in _list(signature["features"], "features")),
        Output(
            OutputKind(_string(output["kind"], "kind")),
            tuple(_list(output.get("classes"), "classes")),
            tuple(_string(name, "a class name") for name in _list(output.get("class_names"), "class_names")),
        ),
    )


def _feature(raw: Mapping[str, Any]) -> Feature:
    nullable = raw.get("nullable", False)
    if not isinstance(nullable, bool):
        message = f"nullable is {shown(nullable)}, not true or false"
        raise TypeError(message)
    return Feature(_string(raw["name"], "a name"), Dtype(_string(raw["dtype"], "dtype")), nullable)


def _object(raw: object, what: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        message = f"{what} is {shown(raw)}, not an object"
        raise TypeError(message)
    return raw


def _list(raw: object, what: str) -> Sequence[Any]:
    if raw is None:
        return ()
    if not isinstance(raw, list | tuple):
        message = f"{what} is {shown(raw)}, not a list"
        raise TypeError(message)
    return raw


def _string(raw: object, what: str) -> str:
    if not isinstance(raw, str) or not is_text(raw):
        message = f"{what} is {shown(raw)}, not a string"
        raise TypeError(message)
    return raw


def _is_class(value: object) -> bool:
    return math.isfinite(value) if isinstance(value, float) else isinstance(value, bool | int) or is_text(value)


def _printable(name: object) -> str:
    return str(name)[:80].encode("utf-8", "backslashreplace").decode()


def examples_as_rows(signature: Signature, examples: Sequence[object]) -> tuple[tuple[Scalar | None, ...], ...]:
    """Check example rows (values in training order) against a signature; InvalidInput names the row."""
    rows = []
    for index, example in enumerate(examples):
        if isinstance(example, str) or not isinstance(example, Sequence) or len(example) != len(signature.features):
            raise InvalidInput(
                f"Example {index} does not have {len(signature.features)} values.",
                field=f"examples.{index}",
                remedy=f"Give values in this order: {', '.join(signature.names)}.",
            )
        try:
            rows.append(tuple(map(checked_value, signature.features, example)))
        except InvalidFeatures as wrong:
            raise InvalidInput(
                f"Example {index}: {wrong.message}", field=f"examples.{index}", remedy=wrong.remedy
            ) from wrong
    return tuple(rows)
