"""Reads what MLflow keeps beside a model: the file MLmodel with its flavors and signature, and the input example."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serinus.core.errors import FormatRefused, InvalidFeatures, InvalidInput
from serinus.core.features import checked_value
from serinus.core.signature import Dtype, Feature, Row

_COLUMNS = {
    "long": Dtype.INT,
    "integer": Dtype.INT,
    "double": Dtype.FLOAT,
    "float": Dtype.FLOAT,
    "boolean": Dtype.BOOL,
    "string": Dtype.STR,
}
_MATRIX = 2
"""Dimensions: rows and columns."""
OWN = "python_function"
"""The flavor that every model has; it says how MLflow itself would load it."""


@dataclass(frozen=True, slots=True)
class Card:
    """What MLmodel says: the flavors with their settings, the inputs ("" if none are given), the example's file."""

    flavors: Mapping[str, Mapping[str, Any]]
    inputs: str = ""
    example: str = ""
    run_id: str = ""
    model_id: str = ""

    @property
    def servable_names(self) -> list[str]:
        """The flavors besides MLflow's own."""
        return [name for name in self.flavors if name != OWN]


def read_card(text: str) -> Card:
    """Read an MLmodel file; FormatRefused where it is none."""
    import yaml

    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as wrong:
        raise _no_card(str(wrong)) from wrong
    flavors = said.get("flavors") if isinstance(said, dict) else None
    if not isinstance(flavors, dict) or not all(isinstance(each, dict) for each in flavors.values()):
        raise _no_card("it names no flavors")
    signature, example = said.get("signature"), said.get("saved_input_example_info")
    of_frame = isinstance(example, dict) and example.get("type") == "dataframe"
    return Card(
        flavors={str(name): settings for name, settings in flavors.items()},
        inputs=str(signature.get("inputs") or "") if isinstance(signature, dict) else "",
        example=str(example.get("artifact_path") or "") if of_frame else "",
        run_id=str(said.get("run_id") or ""),
        model_id=str(said.get("model_id") or ""),
    )


def _no_card(why: str) -> FormatRefused:
    return FormatRefused(
        f"Its MLmodel file cannot be read: {why}.",
        field="URI",
        remedy="Log the model with a flavor of MLflow, as mlflow.sklearn.log_model does.",
    )


# ------------------------------------------------------------------------------------------- signature


def features_of(inputs: str) -> tuple[Feature, ...]:
    """Translate the inputs of an MLflow signature, which are columns or tensors.

    A column that is not required may be null. One tensor of rows and columns becomes x0, x1, …; of several tensors
    each becomes a feature.

    Raises:
        InvalidInput: a column of a type that Serinus has not, or a shape that is no table.
    """
    try:
        columns: list[Mapping[str, Any]] = list(json.loads(inputs))
        if any(column["type"] == "tensor" for column in columns):
            return _of_tensors(columns)
        names = [str(column.get("name") or f"x{place}") for place, column in enumerate(columns)]
        return tuple(
            Feature(name, _column(name, str(column["type"])), nullable=not column.get("required", True))
            for name, column in zip(names, columns, strict=True)
        )
    except (AttributeError, KeyError, TypeError, ValueError) as wrong:
        raise _unusable("its inputs cannot be read") from wrong


def _of_tensors(columns: Sequence[Mapping[str, Any]]) -> tuple[Feature, ...]:
    if len(columns) == 1:
        spec = columns[0]["tensor-spec"]
        _, *width = spec["shape"]
        if len(width) == 1 and isinstance(width[0], int) and width[0] > 0:
            dtype = _element(str(spec["dtype"]))
            return tuple(Feature(f"x{place}", dtype) for place in range(width[0]))
    features = []
    for column in columns:
        name, spec = str(column.get("name") or ""), column["tensor-spec"]
        shape = list(spec["shape"])
        if not name or len(shape) > _MATRIX or any(size != 1 for size in shape[1:]):
            raise _unusable(f"the input {name or 'without a name'} has the shape {shape}")
        features.append(Feature(name, _element(str(spec["dtype"]))))
    return tuple(features)


def _column(name: str, kind: str) -> Dtype:
    if kind not in _COLUMNS:
        raise _unusable(f"the column {name} is of the type {kind}")
    return _COLUMNS[kind]


def _element(dtype: str) -> Dtype:
    for beginning, kind in (("float", Dtype.FLOAT), ("int", Dtype.INT), ("uint", Dtype.INT), ("bool", Dtype.BOOL)):
        if dtype.startswith(beginning):
            return kind
    if dtype in {"str", "object"}:
        return Dtype.STR
    raise _unusable(f"a tensor is of the type {dtype}")


def _unusable(why: str) -> InvalidInput:
    return InvalidInput(
        f"The signature in MLflow does not describe rows of numbers, strings and booleans: {why}.",
        field="signature",
        remedy="Give another with --signature FILE, or the training data with --data FILE.",
    )


# --------------------------------------------------------------------------------------------- examples


def examples_of(text: str, features: Sequence[Feature], limit: int) -> list[Row]:
    """Read rows from an input example (JSON of columns and data), in the order of ``features``.

    Examples warm a model and are no part of it: a row that does not go with the features is passed over.
    """
    try:
        said = json.loads(text)
        places = [said["columns"].index(feature.name) for feature in features]
        rows = [[row[place] for place in places] for row in said["data"]]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return []
    kept: list[Row] = []
    for row in rows:
        try:
            kept.append([checked_value(feature, value) for feature, value in zip(features, row, strict=True)])
        except InvalidFeatures:
            continue
        if len(kept) == limit:
            break
    return kept
