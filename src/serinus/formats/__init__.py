"""Model formats: from an artifact's bytes to a model in memory. A format's library is imported when it is used."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import ClassVar

from serinus.core.errors import FormatRefused
from serinus.core.signature import Signature
from serinus.formats import onnx, pickles, skops
from serinus.formats.estimators import EstimatorModel
from serinus.ports import Model


@dataclass(frozen=True, slots=True)
class _Need:
    """What a format needs: libraries, the extra that brings them, and whether an operator has to allow it."""

    libraries: tuple[str, ...]
    extra: str
    runs_code: bool = False


class Formats:
    """Loads models of the known formats.

    Args:
        allow_pickle: whether ``joblib`` and ``pickle`` are loaded; both run whatever code is in the file.
        trusted_types: full names of types that skops may load besides scikit-learn's own
            (``mypackage.encoders.MyEncoder``). Their code runs.
    """

    names: ClassVar[tuple[str, ...]] = ("skops", "onnx", "joblib", "pickle")

    _NEEDS: ClassVar[Mapping[str, _Need]] = MappingProxyType(
        {
            "skops": _Need(("skops", "sklearn", "pandas"), "sklearn"),
            "onnx": _Need(("onnxruntime",), "onnx"),
            "joblib": _Need(("joblib", "sklearn", "pandas"), "sklearn", runs_code=True),
            "pickle": _Need(("sklearn", "pandas"), "sklearn", runs_code=True),
        }
    )

    def __init__(self, *, allow_pickle: bool = False, trusted_types: Iterable[str] = frozenset()) -> None:
        self._allow_pickle = allow_pickle
        self._trusted_types = frozenset(trusted_types)

    def check(self, format: str) -> None:  # noqa: A002 - the port's word
        """Raise FormatRefused where the format is unknown, not allowed, or lacks its library here."""
        need = self._NEEDS.get(format)
        if need is None:
            raise FormatRefused(
                f"{format!r} is no model format that Serinus knows.",
                field="format",
                remedy=f"Use one of: {', '.join(self.names)}.",
            )
        if need.runs_code and not self._allow_pickle:
            raise FormatRefused(
                f"The format {format} is not allowed here: loading it runs whatever code is in the file.",
                field="format",
                remedy="Save a scikit-learn model with skops or any model as ONNX; or, where everybody who may "
                "register a model may also run code on this server, set SERINUS_ALLOW_PICKLE=true.",
            )
        lacking = [library for library in need.libraries if find_spec(library) is None]
        if lacking:
            raise FormatRefused(
                f"The format {format} needs {', '.join(lacking)}, not installed here.",
                field="format",
                remedy=f"Install it: pip install 'serinus[{need.extra}]'.",
            )

    def load(self, data: bytes, format: str, signature: Signature) -> Model:  # noqa: A002 - the port's word
        """Load a model.

        Raises:
            FormatRefused: the format is unknown, not allowed, not what the bytes are, or lacks its library; the
            file holds types that are not trusted; or the model's inputs are not those of the signature.
        """
        if format == "onnx":
            self.check(format)
            return onnx.load(data, signature)
        return EstimatorModel(self.restored(data, format), signature)

    def restored(self, data: bytes, format: str) -> object:  # noqa: A002 - the port's word
        """Give back the estimator itself that was saved as skops, joblib or pickle; FormatRefused as in ``load``."""
        self.check(format)
        return skops.load(data, self._trusted_types) if format == "skops" else pickles.load(data, format)
