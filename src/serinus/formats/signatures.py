"""From training data and a fitted model to a signature and example rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from serinus.core.errors import InvalidInput
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Scalar, Signature, examples_as_rows
from serinus.formats.tables import fitted_names

if TYPE_CHECKING:  # pandas belongs to an extra
    import pandas as pd

_KINDS = {"i": Dtype.INT, "u": Dtype.INT, "f": Dtype.FLOAT, "b": Dtype.BOOL}
_INFERRED = {
    "string": Dtype.STR,
    "boolean": Dtype.BOOL,
    "integer": Dtype.INT,
    "floating": Dtype.FLOAT,
    "mixed-integer-float": Dtype.FLOAT,
    "empty": Dtype.FLOAT,
}
"""What `pandas.api.types.infer_dtype` says of the present values of an object column; "empty": all are missing."""


def infer_signature(
    data: object,
    model: object = None,
    *,
    output: Output | None = None,
    target: str | None = None,
    feature_names: Sequence[str] = (),
    class_names: Sequence[str] = (),
) -> Signature:
    """Read the signature from training data.

    Args:
        data: a pandas DataFrame, or an array of shape (rows, features).
        model: the fitted estimator; its own feature names choose and order the columns, its classes are the output.
        output: in place of the model's, for a model that cannot say.
        target: the column of ``data`` that is no feature.
        feature_names: for an array; x0, x1, … otherwise.
        class_names: names of the classes for people, in the order of the model's classes.

    Raises:
        InvalidInput: data of another kind, a column that is neither number, bool nor string, or no output known.
    """
    frame = features_of(data, model, target=target, feature_names=feature_names)
    features = tuple(_feature(str(name), frame.iloc[:, place]) for place, name in enumerate(frame.columns))
    if output is None:
        if model is None:
            raise InvalidInput(
                "The data alone does not say what the model predicts.",
                field="signature.output",
                remedy="Give the fitted model, or its output.",
            )
        output = output_of(model, class_names)
    return Signature(features, output)


def features_of(
    data: object, model: object = None, *, target: str | None = None, feature_names: Sequence[str] = ()
) -> "pd.DataFrame":
    """Give the columns of the training data that the model takes, in its order; InvalidInput where one lacks."""
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        if target is not None and target not in data.columns:
            raise InvalidInput(
                f"The training data has no column {target!r}.",
                field="target",
                remedy=f"Name one of its columns: {', '.join(str(name) for name in data.columns[:40])}.",
            )
        frame = data.drop(columns=[] if target is None else [target])
    elif isinstance(data, np.ndarray) and data.ndim == 2:  # noqa: PLR2004 - rows and columns
        names = list(feature_names) or [f"x{place}" for place in range(data.shape[1])]
        if len(names) != data.shape[1]:
            raise InvalidInput(
                f"{len(names)} feature names for {data.shape[1]} columns.",
                field="feature_names",
                remedy="Give one name per column, or none.",
            )
        frame = pd.DataFrame({name: data[:, place] for place, name in enumerate(names)})
    else:
        raise InvalidInput(
            f"The training data is a {type(data).__name__}, from which no signature can be read.",
            field="data",
            remedy="Give a pandas DataFrame, a numpy array of shape (rows, features), or a signature.",
        )
    if not len(frame):
        raise InvalidInput(
            "The training data has no rows.", field="data", remedy="Give the rows the model was fitted on."
        )
    fitted = fitted_names(model)
    if fitted is not None and isinstance(data, pd.DataFrame):
        missing = [name for name in fitted if name not in frame.columns]
        spelled = {str(name).replace(" ", "_"): name for name in frame.columns}
        if missing and all(name in spelled for name in fitted):  # LightGBM has no spaces in names
            return frame[[spelled[name] for name in fitted]]
        if missing:
            raise InvalidInput(
                f"The training data lacks columns that the model was fitted on: {', '.join(missing)}.",
                field="data",
                remedy="Give the data the model was fitted on.",
            )
        return frame[list(fitted)]
    width = getattr(model, "n_features_in_", None)
    if width is not None and width != frame.shape[1]:
        raise InvalidInput(
            f"The training data has {frame.shape[1]} columns, the model was fitted on {width}.",
            field="data",
            remedy="Give the features only, or name the target column.",
        )
    return frame


def output_of(model: object, class_names: Sequence[str] = ()) -> Output:
    """Read from a fitted estimator what it predicts; its class labels become plain Python values of their kind."""
    from sklearn.base import is_clusterer, is_outlier_detector

    labels = getattr(model, "classes_", None)
    if labels is not None:
        return Output(OutputKind.CLASS, classes_of(labels), tuple(class_names))
    if not hasattr(model, "__sklearn_tags__"):
        return Output(OutputKind.NUMBER)
    if is_outlier_detector(model):
        return Output(OutputKind.CLASS, (-1, 1), tuple(class_names))
    return Output(OutputKind.CLASS if is_clusterer(model) else OutputKind.NUMBER)


def classes_of(labels: object) -> tuple[Scalar, ...]:
    """Give class labels of shape (k,) as plain values; InvalidInput where they are none, as for several outputs."""
    classes = np.asarray(labels, dtype=object if isinstance(labels, list) else None)
    plain: list[object] = classes.tolist()
    if classes.ndim != 1 or not all(isinstance(label, bool | int | float | str) for label in plain):
        raise InvalidInput(
            "The model's classes are not a list of bools, numbers or strings.",
            field="signature.output.classes",
            remedy="Use a model with one output; export each output as a model of its own.",
        )
    return tuple(label for label in plain if isinstance(label, bool | int | float | str))


def example_places(frame: "pd.DataFrame", count: int) -> list[int]:
    """Choose up to ``count`` rows: for up to half, rows where a column is missing; the rest spread over the data.

    Rows with an infinite value are passed over.
    """
    usable = np.array(sendable_places(frame), dtype=np.intp)
    if not len(usable) or count < 1:
        return []
    missing = frame.isna().to_numpy()[usable]
    gaps = {int(usable[missing[:, column].argmax()]) for column in np.flatnonzero(missing.any(axis=0))}
    with_gaps = sorted(gaps)[: max(1, count // 2)]
    others = usable[~np.isin(usable, with_gaps)]
    spread = np.linspace(0, len(others) - 1, min(count - len(with_gaps), len(others))).round().astype(int)
    return sorted({*with_gaps, *others[spread].tolist()})


def sendable_places(frame: "pd.DataFrame") -> list[int]:
    """Give the places of all rows without an infinite value: no request can send one."""
    endless = np.any(frame.isin([np.inf, -np.inf]).to_numpy(), axis=1)
    places: list[int] = np.flatnonzero(~endless).tolist()
    return places


def sample_of(
    data: object, model: object, *, count: int = 8, class_names: Sequence[str] = ()
) -> "tuple[Signature, pd.DataFrame]":
    """Give what has to be kept of training data to pack a model later: its signature, and up to ``count`` rows."""
    frame = features_of(data, model)
    return infer_signature(frame, model, class_names=class_names), frame.iloc[example_places(frame, count)].copy()


def example_rows(
    frame: "pd.DataFrame", places: Sequence[int], signature: Signature
) -> tuple[tuple[Scalar | None, ...], ...]:
    """Give rows of the data as plain values, checked against the signature."""
    rows = [[_plain(value) for value in row] for row in frame.iloc[list(places)].itertuples(index=False)]
    return examples_as_rows(signature, rows)


def _feature(name: str, column: "pd.Series[Any]") -> Feature:
    import pandas as pd

    dtype: Any = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
    nullable = bool(column.isna().any())
    if dtype.kind == "O" or isinstance(dtype, pd.StringDtype):
        said = pd.api.types.infer_dtype(column.astype(object), skipna=True)
        kind = Dtype.STR if isinstance(dtype, pd.StringDtype) else _INFERRED.get(said)
    else:
        said = str(dtype)
        kind = Dtype.STR if dtype.kind == "U" else _KINDS.get(dtype.kind)
    if kind is None:
        raise InvalidInput(
            f"The column {name} holds {said}: neither numbers, bools nor strings.",
            field="data",
            remedy="Turn it into numbers or strings before the model, or leave it out.",
        )
    return Feature(name, kind, nullable)


def _plain(value: Any) -> Scalar | None:
    import pandas as pd

    if pd.isna(value):
        return None
    plain: Scalar = value.item() if isinstance(value, np.generic) else value
    return plain
