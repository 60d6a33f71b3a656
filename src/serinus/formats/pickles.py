"""The formats joblib and pickle. Loading them runs code from the file, so an operator has to allow them first."""

import io
import pickle

from serinus.core.errors import FormatRefused


def load(data: bytes, format: str) -> object:  # noqa: A002 - the port's word
    """Load an object with a ``predict`` method; the caller has made sure that this is allowed.

    Raises:
        FormatRefused: the bytes are not of the format, need a library that is not here, or hold no model.
    """
    try:
        model = _unpickled(data, format)
    except ModuleNotFoundError as failure:
        raise FormatRefused(
            f"The {format} file needs the Python module {failure.name}, which is not installed here.",
            field="format",
            remedy="Install it on the server, or save the model as skops or ONNX.",
        ) from failure
    except Exception as failure:
        raise FormatRefused(
            f"The bytes are not a usable {format} file: {type(failure).__name__}: {str(failure)[:300]}",
            field="format",
            remedy="Save it with the library versions of the server, or better, as skops or ONNX.",
        ) from failure
    if not callable(getattr(model, "predict", None)):
        raise FormatRefused(
            f"The {format} file holds a {type(model).__name__}, which cannot predict.",
            field="format",
            remedy="Save the fitted model itself: an object with a predict method.",
        )
    return model


def _unpickled(data: bytes, format: str) -> object:  # noqa: A002 - the port's word
    if format == "pickle":
        return pickle.loads(data)  # noqa: S301 - the operator allowed it
    import joblib

    model: object = joblib.load(io.BytesIO(data))
    return model
