"""Makes a fitted model ready for registration, and proves that what was packed still answers as the model did."""

import io
import math
import pickle
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from serinus.core.answers import Answer, read_answers
from serinus.core.errors import ContractBroken, FormatRefused, InvalidInput
from serinus.core.records import Package
from serinus.core.signature import Output, OutputKind, Scalar, Signature
from serinus.formats import Formats, lightgbm, onnx, torchscript, xgboost
from serinus.formats.boosters import Described
from serinus.formats.conversion import TOLERANCE, convert
from serinus.formats.detection import format_of
from serinus.formats.signatures import classes_of, example_places, example_rows, features_of, infer_signature
from serinus.formats.tables import fitted_names

if TYPE_CHECKING:  # pandas belongs to an extra
    import pandas as pd

_TOLERANCE = 1e-6
"""How far, relatively, a packed model's number may be from the model's own."""


@dataclass(frozen=True, slots=True)
class _Packed:
    """Bytes of a format; ``estimator`` is what they hold, None where only the bytes are known."""

    data: bytes
    format: str
    estimator: Any


def pack(  # noqa: PLR0913 - one model; all else by keyword
    model: object,
    data: object = None,
    *,
    target: str | None = None,
    signature: Signature | None = None,
    examples: int = 8,
    format: str | None = None,  # noqa: A002 - the port's word
    class_names: Sequence[str] = (),
    allow_pickle: bool = False,
    trusted_types: Iterable[str] = (),
    allow_torchscript: bool = False,
    onnx: bool = False,
    onnx_tolerance: float = TOLERANCE,
) -> Package:
    """Pack a model.

    Args:
        model: a fitted scikit-learn, XGBoost or LightGBM estimator, a booster of these, a TorchScript module, an ONNX
            ``ModelProto``, or the path or the bytes of a model file.
        data: training data, a DataFrame or an array of shape (rows, features): the signature and the example rows
            are read from it.
        target: the column of ``data`` that is no feature.
        signature: in place of the one that is read from ``data``.
        examples: how many rows to keep. They warm the model before it serves, and are stored with the version.
        format: of an estimator ``skops`` (the default), or ``joblib`` or ``pickle`` if ``allow_pickle``; of bytes
            what they are; of a path what its content does not say.
        class_names: names of the classes for people, in the order of the classes.
        allow_pickle: see ``Formats``; the server has to allow it too.
        trusted_types: see ``Formats``; the server has to trust them too.
        allow_torchscript: see ``Formats``; the server has to allow it too.
        onnx: convert a scikit-learn estimator, or one in a file, to ONNX; ``data`` has to prove that it answers as
            before. What was proved goes on record with the version. The server needs to allow nothing.
        onnx_tolerance: how far a probability may be from the estimator's own, and a number relative to its size.

    Raises:
        InvalidInput: neither data nor signature, or they do not go with the model.
        FormatRefused: the model cannot be saved in this format, or would not be loaded from it.
        NotConverted: it cannot be converted to ONNX, or would answer otherwise there.
        ContractBroken: what was packed does not answer its example rows, or not as the model does.
    """
    if data is None and signature is None:
        raise InvalidInput(
            "There is nothing to read the model's inputs from.",
            field="signature",
            remedy="Give training data (a DataFrame or an array), or a signature.",
        )
    formats = Formats(allow_pickle=allow_pickle, trusted_types=trusted_types, allow_torchscript=allow_torchscript)
    packed = _unconverted(model, format, formats) if onnx else _packed(model, format, formats)
    told = _described(packed, formats) if packed.estimator is None else packed.estimator
    frame = None if data is None else features_of(data, told, target=target)
    if signature is None:
        width = 0 if frame is None else frame.shape[1]
        output = _output(packed, told, width, _labels(data, target), class_names) if packed.estimator is None else None
        signature = infer_signature(frame, told, output=output, class_names=class_names)
    elif frame is not None:
        frame = _chosen(frame, signature)
    places = [] if frame is None else example_places(frame, examples)
    rows = () if frame is None else example_rows(frame, places, signature)
    if onnx:
        converted = convert(packed.estimator, frame, signature, source=packed.format, tolerance=onnx_tolerance)
        _answers(formats, _Packed(converted.data, "onnx", None), signature, rows)
        return Package(converted.data, "onnx", signature, rows, {"onnx": converted.facts})
    answers = _answers(formats, packed, signature, rows)
    if frame is not None and packed.estimator is not None:
        _compare(answers, packed.estimator, frame.iloc[places])
    return Package(packed.data, packed.format, signature, rows)


def pack_file(path: str | Path, data: object = None, **options: Any) -> Package:
    """Pack a model file, its format read from its content; the options are those of ``pack``."""
    return pack(Path(path), data, **options)


# --------------------------------------------------------------------------------------------- to bytes


def _packed(model: object, format: str | None, formats: Formats) -> _Packed:  # noqa: A002 - the port's word
    if isinstance(model, str | Path):
        data = _read(Path(model))
        return _packed(data, format or format_of(Path(model), data), formats)
    if isinstance(model, bytes):
        if format is None:
            raise InvalidInput(
                "Bytes do not say of which model format they are.",
                field="format",
                remedy=f"Give the format: {', '.join(Formats.names)}.",
            )
        return _Packed(model, format, None if formats.describes_itself(format) else formats.restored(model, format))
    native = None if format in {"skops", "joblib", "pickle"} else _native(model)
    if native is not None:
        return native
    format = format or "skops"  # noqa: A001 - the port's word
    formats.check(format)
    if format == "onnx":
        raise FormatRefused(
            f"A {type(model).__name__} does not become ONNX by itself.",
            field="format",
            remedy="Give onnx=True, and it is converted and compared with the model itself.",
        )
    return _Packed(_dumped(model, format), format, model)


def _unconverted(model: object, format: str | None, formats: Formats) -> _Packed:  # noqa: A002 - the port's word
    """Give the estimator that is to be converted; unless it is a file, its own bytes are of no interest."""
    is_file = isinstance(model, str | Path | bytes)
    packed = _packed(model, format, formats) if is_file else _native(model) or _Packed(b"", "scikit-learn", model)
    if packed.estimator is None or formats.describes_itself(packed.format):
        raise FormatRefused(
            f"A model of the format {packed.format} is no scikit-learn estimator that could be converted.",
            field="onnx",
            remedy="Register it without onnx: it is served from its own format.",
        )
    return packed


def _dumped(model: object, format: str) -> bytes:  # noqa: A002 - the port's word
    import joblib
    import skops.io

    try:
        if format == "skops":
            dumped: bytes = skops.io.dumps(model)
            return dumped
        if format == "pickle":
            return pickle.dumps(model)
        file = io.BytesIO()
        joblib.dump(model, file)
        return file.getvalue()
    except Exception as failure:
        raise FormatRefused(
            f"A {type(model).__name__} cannot be saved as {format}: {type(failure).__name__}: {failure}",
            field="format",
            remedy="Build it from parts that can be saved, or export it as ONNX.",
        ) from failure


def _native(model: Any) -> _Packed | None:
    """Save a model of a library with a format of its own; None for any other."""
    library = type(model).__module__.partition(".")[0]
    fits = callable(getattr(model, "predict", None)) and hasattr(model, "n_features_in_")
    if hasattr(model, "SerializeToString"):
        return _Packed(model.SerializeToString(), "onnx", None)
    if library == "xgboost":
        _check_missing(model)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.ubj")
            model.save_model(path)
            return _Packed(path.read_bytes(), "xgboost", model if fits else None)
    if library == "lightgbm":
        text: str = getattr(model, "booster_", model).model_to_string()
        return _Packed(text.encode(), "lightgbm", model if fits else None)
    if hasattr(model, "save_to_buffer"):
        return _Packed(model.save_to_buffer(), "torchscript", None)
    if hasattr(model, "state_dict") and hasattr(model, "forward"):
        raise FormatRefused(
            f"A {type(model).__name__} of PyTorch is not served as it is.",
            field="format",
            remedy="Export it with torch.onnx.export and register the file, or give torch.jit.trace(model, example).",
        )
    return None


def _check_missing(model: object) -> None:
    missing = getattr(model, "missing", math.nan)
    if isinstance(missing, int | float) and not math.isnan(missing):
        raise FormatRefused(
            f"The model takes {missing:g} for a missing value, which XGBoost's file does not say.",
            field="format",
            remedy="Train it with missing=nan, the default: Serinus gives it NaN.",
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as failure:
        raise InvalidInput(
            f"The model file {path} cannot be read: {failure.strerror}.",
            field="path",
            remedy="Give the path of a model file.",
        ) from failure


# ------------------------------------------------------------------------------------------ description


def _described(packed: _Packed, formats: Formats) -> Described | None:
    """Read what a file says of its model's inputs; None where it says nothing of them."""
    formats.check(packed.format)
    if packed.format == "xgboost":
        return xgboost.described(packed.data)
    return lightgbm.described(packed.data) if packed.format == "lightgbm" else None


def _labels(data: object, target: str | None) -> tuple[Scalar, ...]:
    """Give the values of the target column, sorted: the order in which libraries number them."""
    import pandas as pd

    if not isinstance(data, pd.DataFrame) or target not in data.columns:
        return ()
    return classes_of(np.unique(data[target].dropna()))


def _output(
    packed: _Packed,
    told: Described | None,
    width: int,
    labels: tuple[Scalar, ...],
    class_names: Sequence[str],
) -> Output:
    """Say what a file predicts; the target's values are the classes where it tells only their number."""
    if packed.format == "onnx":
        return onnx.output_of(packed.data, labels, class_names if labels else ())
    if told is not None:
        classes: int | None = told.classes
    elif (asked := torchscript.classes_of(packed.data, width)) is not None:
        classes = asked or len(labels)
    else:
        classes = 2 if len(labels) == 2 else 0  # noqa: PLR2004 - one probability says both
    if not classes:
        return Output(OutputKind.NUMBER)
    if labels and len(labels) != classes:
        raise InvalidInput(
            f"The model tells {classes} classes apart, and the target has {len(labels)} different values.",
            field="target",
            remedy="Give the data the model was fitted on, or a signature with its classes in the model's order.",
        )
    return Output(OutputKind.CLASS, labels or tuple(range(classes)), tuple(class_names))


def _chosen(frame: "pd.DataFrame", signature: Signature) -> "pd.DataFrame":
    missing = [name for name in signature.names if name not in frame.columns]
    if missing:
        raise InvalidInput(
            f"The training data lacks columns of the signature: {', '.join(missing)}.",
            field="data",
            remedy="Give the data the model was fitted on, or a signature of its columns.",
        )
    return frame[list(signature.names)]


# ------------------------------------------------------------------------------------------------ proof


def _answers(
    formats: Formats, packed: _Packed, signature: Signature, rows: Sequence[Sequence[Scalar | None]]
) -> list[Answer]:
    model = formats.load(packed.data, packed.format, signature)
    answers = []
    for index, row in enumerate(rows):
        try:
            answers += read_answers(model.predict([list(row)]), signature.output, 1)
        except Exception as failure:
            raise ContractBroken(
                f"The packed model does not answer its example row {index}: {type(failure).__name__}: {failure}",
                field=f"examples.{index}",
                remedy="Give the data it was fitted on, its target as the model answers it; answers have to be finite.",
            ) from failure
    return answers


def _compare(answers: Sequence[Answer], estimator: Any, frame: "pd.DataFrame") -> None:
    if not len(frame):
        return
    names = fitted_names(estimator)
    table = frame.to_numpy() if names is None else frame.set_axis(list(names), axis=1)
    own = np.asarray(estimator.predict(table)).ravel().tolist()
    for index, (answer, expected) in enumerate(zip(answers, own, strict=True)):
        if not _same(answer.prediction, expected):
            raise ContractBroken(
                f"On its example row {index} the packed model answers {answer.prediction!r}, "
                f"the model itself {expected!r}.",
                field=f"examples.{index}",
                remedy="See that the data has the dtypes the model was fitted on, or export the model as ONNX.",
            )


def _same(answer: Scalar, expected: object) -> bool:
    if isinstance(answer, float) and isinstance(expected, int | float):
        return math.isclose(answer, expected, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return answer == expected
