"""Makes a fitted model ready for registration, and proves that what was packed still answers as the model did."""

import io
import math
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from serinus.core.answers import Answer, read_answers
from serinus.core.errors import ContractBroken, FormatRefused, InvalidInput
from serinus.core.records import Package
from serinus.core.signature import Output, Scalar, Signature
from serinus.formats import Formats, onnx
from serinus.formats.signatures import classes_of, example_places, example_rows, features_of, infer_signature
from serinus.formats.tables import fitted_names

if TYPE_CHECKING:  # pandas belongs to an extra
    import pandas as pd

EXTENSIONS = {
    ".skops": "skops",
    ".onnx": "onnx",
    ".joblib": "joblib",
    ".pkl": "pickle",
    ".pickle": "pickle",
}
"""The format of a model file by its extension."""

_TOLERANCE = 1e-6
"""How far, relatively, a packed model's number may be from the model's own."""


@dataclass(frozen=True, slots=True)
class _Packed:
    """Bytes of a format; ``estimator`` is what they hold, None for ONNX."""

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
) -> Package:
    """Pack a model.

    Args:
        model: a fitted scikit-learn estimator, an ONNX ``ModelProto``, or the path or the bytes of a model file.
        data: training data, a DataFrame or an array of shape (rows, features): the signature and the example rows
            are read from it.
        target: the column of ``data`` that is no feature.
        signature: in place of the one that is read from ``data``.
        examples: how many rows to keep. They warm the model before it serves, and are stored with the version.
        format: of an estimator ``skops`` (the default), or ``joblib`` or ``pickle`` if ``allow_pickle``; of bytes
            what they are; of a path what its extension does not say.
        class_names: names of the classes for people, in the order of the classes.
        allow_pickle: see ``Formats``; the server has to allow it too.
        trusted_types: see ``Formats``; the server has to trust them too.

    Raises:
        InvalidInput: neither data nor signature, or they do not go with the model.
        FormatRefused: the model cannot be saved in this format, or would not be loaded from it.
        ContractBroken: what was packed does not answer its example rows, or not as the model does.
    """
    if data is None and signature is None:
        raise InvalidInput(
            "There is nothing to read the model's inputs from.",
            field="signature",
            remedy="Give training data (a DataFrame or an array), or a signature.",
        )
    formats = Formats(allow_pickle=allow_pickle, trusted_types=trusted_types)
    packed = _packed(model, format, formats)
    frame = None if data is None else features_of(data, packed.estimator, target=target)
    if signature is None:
        output = _onnx_output(packed.data, data, target, class_names) if packed.estimator is None else None
        signature = infer_signature(frame, packed.estimator, output=output, class_names=class_names)
    elif frame is not None:
        frame = _chosen(frame, signature)
    places = [] if frame is None else example_places(frame, examples)
    rows = () if frame is None else example_rows(frame, places, signature)
    answers = _answers(formats, packed, signature, rows)
    if frame is not None and packed.estimator is not None:
        _compare(answers, packed.estimator, frame.iloc[places])
    return Package(packed.data, packed.format, signature, rows)


def pack_file(path: str | Path, data: object = None, **options: Any) -> Package:
    """Pack a model file, its format read from its extension; the options are those of ``pack``."""
    return pack(Path(path), data, **options)


# --------------------------------------------------------------------------------------------- to bytes


def _packed(model: object, format: str | None, formats: Formats) -> _Packed:  # noqa: A002 - the port's word
    if isinstance(model, str | Path):
        path = Path(model)
        return _packed(_read(path), format or _format_of(path), formats)
    if isinstance(model, bytes):
        if format is None:
            raise InvalidInput(
                "Bytes do not say of which model format they are.",
                field="format",
                remedy=f"Give the format: {', '.join(Formats.names)}.",
            )
        return _Packed(model, format, None if format == "onnx" else formats.restored(model, format))
    if hasattr(model, "SerializeToString"):
        return _Packed(model.SerializeToString(), "onnx", None)
    format = format or "skops"  # noqa: A001 - the port's word
    formats.check(format)
    if format == "onnx":
        raise FormatRefused(
            f"A {type(model).__name__} does not become ONNX by itself.",
            field="format",
            remedy="Convert it first, for instance with skl2onnx.to_onnx, and pack the result.",
        )
    return _Packed(_dumped(model, format), format, model)


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


def _format_of(path: Path) -> str:
    format = EXTENSIONS.get(path.suffix.lower())  # noqa: A001 - the port's word
    if format is None:
        raise FormatRefused(
            f"{path.name} does not say of which model format it is.",
            field="format",
            remedy=f"Name the file with one of {', '.join(EXTENSIONS)}, or give the format.",
        )
    return format


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


def _onnx_output(graph: bytes, data: object, target: str | None, class_names: Sequence[str]) -> Output:
    import pandas as pd

    labelled = isinstance(data, pd.DataFrame) and target in data.columns
    output = onnx.output_of(graph)
    if output.classes or not labelled or not isinstance(data, pd.DataFrame):
        return output
    return onnx.output_of(graph, classes_of(np.unique(data[target].dropna())), class_names)


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
                remedy="Give the data the model was fitted on, and a model that answers it with finite values.",
            ) from failure
    return answers


def _compare(answers: Sequence[Answer], estimator: Any, frame: "pd.DataFrame") -> None:
    if not len(frame):
        return
    own = np.asarray(estimator.predict(frame if fitted_names(estimator) else frame.to_numpy())).ravel().tolist()
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
