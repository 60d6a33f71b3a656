"""Model formats: from an artifact's bytes to a model in memory. A format's library is imported when it is used."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import MappingProxyType
from typing import ClassVar

from serinus.core.errors import FormatRefused
from serinus.core.signature import Signature
from serinus.formats import lightgbm, onnx, pickles, skops, torchscript, xgboost
from serinus.formats.estimators import EstimatorModel
from serinus.ports import Model

_LOADERS: Mapping[str, Callable[[bytes, Signature], Model]] = {
    "onnx": onnx.load,
    "xgboost": xgboost.load,
    "lightgbm": lightgbm.load,
    "torchscript": torchscript.load,
}
"""Formats that are no estimators; all others are scikit-learn's, or have its interface."""


@dataclass(frozen=True, slots=True)
class _Need:
    """What a format needs: libraries, the extra that brings them, and the setting by which an operator allows it."""

    libraries: tuple[str, ...]
    extra: str
    setting: str = ""


class Formats:
    """Loads models of the known formats.

    Args:
        allow_pickle: whether ``joblib`` and ``pickle`` are loaded; both run whatever code is in the file.
        trusted_types: full names of types that skops may load besides scikit-learn's own
            (``mypackage.encoders.MyEncoder``). Their code runs.
        allow_torchscript: whether ``torchscript`` is loaded: programs for an interpreter that can open files.
    """

    names: ClassVar[tuple[str, ...]] = ("skops", "onnx", "xgboost", "lightgbm", "torchscript", "joblib", "pickle")

    _NEEDS: ClassVar[Mapping[str, _Need]] = MappingProxyType(
        {
            "skops": _Need(("skops", "sklearn", "pandas"), "sklearn"),
            "onnx": _Need(("onnxruntime",), "onnx"),
            "xgboost": _Need(("xgboost",), "xgboost"),
            "lightgbm": _Need(("lightgbm",), "lightgbm"),
            "torchscript": _Need(("torch",), "torch", setting="SERINUS_ALLOW_TORCHSCRIPT"),
            "joblib": _Need(("joblib", "sklearn", "pandas"), "sklearn", setting="SERINUS_ALLOW_PICKLE"),
            "pickle": _Need(("sklearn", "pandas"), "sklearn", setting="SERINUS_ALLOW_PICKLE"),
        }
    )

    def __init__(
        self,
        *,
        allow_pickle: bool = False,
        trusted_types: Iterable[str] = frozenset(),
        allow_torchscript: bool = False,
    ) -> None:
        self._allowed = {"", "SERINUS_ALLOW_PICKLE"} if allow_pickle else {""}
        if allow_torchscript:
            self._allowed.add("SERINUS_ALLOW_TORCHSCRIPT")
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
        if need.setting not in self._allowed:
            option = need.setting.removeprefix("SERINUS_").lower().replace("_", "-")
            raise FormatRefused(
                f"The format {format} is not allowed here: loading it runs whatever code is in the file.",
                field="format",
                remedy="Save a scikit-learn model with skops or any model as ONNX; or, where everybody who may "
                f"register a model may also run code on the server, set {need.setting}=true there and register it with "
                f"--{option} (in Python {option.replace('-', '_')}=True).",
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
        self.check(format)
        load = _LOADERS.get(format)
        return EstimatorModel(self.restored(data, format), signature) if load is None else load(data, signature)

    def describes_itself(self, format: str) -> bool:  # noqa: A002 - the port's word
        """Whether files of the format hold no estimator, so that what they say of themselves has to do."""
        return format in _LOADERS

    def restored(self, data: bytes, format: str) -> object:  # noqa: A002 - the port's word
        """Give back the estimator itself that was saved as skops, joblib or pickle; FormatRefused as in ``load``."""
        self.check(format)
        return skops.load(data, self._trusted_types) if format == "skops" else pickles.load(data, format)
