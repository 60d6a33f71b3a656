"""The TorchScript format: a module that ``torch.jit.save`` wrote, on one thread of the CPU.

TorchScript is a program in a language of its own, run by an interpreter of its own, also while it is loaded. It is no
Python, but its operators can open files: one that means harm could overwrite what the server may write. So an operator
has to allow the format.
"""

import io
import warnings
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serinus.core.answers import RawOutput
from serinus.core.errors import BadOutput, FormatRefused
from serinus.core.rows import Rows
from serinus.core.signature import Dtype, OutputKind, Signature
from serinus.formats.boosters import not_usable, of_many, of_two
from serinus.formats.threads import allowed

_LIBRARY = "TorchScript"
_REMEDY = "Write it with torch.jit.trace(model.eval(), example).save('model.pt'), or export the model as ONNX."
_ONCE_UNPACKED = 10
_SLACK = 2**24
"""A module may unpack to ten times its size and 16 MiB; tensors are not compressed, code is."""


class TorchScriptModel:
    """Runs a module that takes floats of shape (rows, features).

    For classes it gives probabilities of shape (rows, classes), or of the second of two classes, or the numbers of the
    classes; else numbers of shape (rows,) or (rows, 1).
    """

    takes_matrix = True

    def __init__(self, module: Any, signature: Signature) -> None:
        texts = [feature.name for feature in signature.features if feature.dtype is Dtype.STR]
        if texts:
            raise FormatRefused(
                f"The TorchScript model does not go with its signature: it takes numbers, and {', '.join(texts[:20])} "
                "are strings.",
                field="signature",
                remedy="Turn strings into numbers before the model.",
            )
        self._module = module
        self._dtype = _dtype_of(module)
        self._output = signature.output
        self._labels = np.empty(len(signature.output.classes), dtype=object)
        self._labels[:] = list(signature.output.classes)

    def predict(self, rows: Rows) -> RawOutput:
        """Predict for rows in training order; raises what the module raises."""
        found = _run(self._module, np.asarray(rows, dtype=self._dtype))
        flat = found[:, 0] if found.shape[1:] == (1,) else found
        if self._output.kind is OutputKind.NUMBER:
            return RawOutput(flat)
        if flat.dtype.kind != "f":
            return RawOutput(self._labels[_places(flat, len(self._labels))] if len(self._labels) else flat)
        labels = self._labels if len(self._labels) else np.arange(flat.shape[1] if flat.ndim > 1 else 2)
        if flat.ndim == 1 and len(labels) == 2:  # noqa: PLR2004 - of two classes one probability says both
            return of_two(flat, labels)
        if flat.shape[1:] != (len(labels),):
            raise BadOutput(f"The model answered with shape {found.shape} for {len(labels)} classes.")
        return of_many(flat, labels)


def load(data: bytes, signature: Signature) -> TorchScriptModel:
    """Load a module; the caller has made sure that this is allowed.

    Raises:
        FormatRefused: the bytes are no TorchScript, or the signature has strings.
    """
    return TorchScriptModel(_module(data), signature)


def classes_of(data: bytes, width: int) -> int | None:
    """Ask a module about a row of zeros: how many classes it gives probabilities of, 0 for numbers of classes.

    None: it gives one float, a number or the probability of the second of two classes.
    """
    module = _module(data)
    try:
        found = _run(module, np.zeros((1, width), dtype=_dtype_of(module)))
    except Exception as failure:
        raise FormatRefused(
            f"The TorchScript model does not take {width} numbers: {str(failure).strip().splitlines()[-1][:300]}",
            field="data",
            remedy="Give the data the model was fitted on, with --target for the column that is predicted.",
        ) from failure
    if found.dtype.kind != "f":
        return 0
    return found.shape[1] if found.ndim > 1 and found.shape[1] > 1 else None


def is_torchscript(data: bytes) -> bool:
    """Whether the bytes look like a TorchScript module: a zip file with code, constants and data."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = {name.partition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, ValueError, OSError):
        return False
    return {"constants.pkl", "data.pkl"} <= inside and any(name.startswith("code/") for name in inside)


def _module(data: bytes) -> Any:
    _check_archive(data)
    import torch

    torch.set_num_threads(allowed())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch would rather have torch.export's files
            return torch.jit.load(io.BytesIO(data), map_location="cpu").eval()
    except Exception as failure:
        raise not_usable(_LIBRARY, str(failure).strip().partition("\n")[0][:300], _REMEDY) from failure


def _check_archive(data: bytes) -> None:
    if not is_torchscript(data):
        raise not_usable(_LIBRARY, "it is no zip file with code, constants and data", _REMEDY)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > _ONCE_UNPACKED * len(data) + _SLACK:
        raise not_usable(_LIBRARY, f"{len(data)} bytes would unpack to {unpacked}", _REMEDY)


def _dtype_of(module: Any) -> type[np.floating]:
    kinds = {str(parameter.dtype) for parameter in module.parameters()}
    return np.float64 if "torch.float64" in kinds else np.float32


def _run(module: Any, X: NDArray[Any]) -> NDArray[Any]:
    import torch

    with torch.no_grad():
        found = module(torch.from_numpy(X))
    if not isinstance(found, torch.Tensor):
        raise BadOutput(f"The model answered with a {type(found).__name__}, not with one tensor.")
    array: NDArray[Any] = found.numpy()
    return array


def _places(numbers: NDArray[Any], count: int) -> NDArray[Any]:
    if numbers.ndim != 1 or not ((numbers >= 0) & (numbers < count)).all():
        raise BadOutput(f"The model answered with a class that is none of its {count}.")
    return numbers.astype(np.intp)
