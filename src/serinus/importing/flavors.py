"""From the files of an MLflow model to what Serinus can serve, by the flavor that it was logged with."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serinus.core.errors import FormatRefused, InvalidInput
from serinus.core.signature import Output, OutputKind, Scalar
from serinus.formats import Formats
from serinus.importing.mlmodel import Card

BESIDE = frozenset({"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "registered_model_meta"})
"""Files that say something of a model and are no part of it."""
_INSTEAD = "Log it as ONNX besides (mlflow.onnx.log_model), and import that."
_BARE = "Booster"
_OF_LIGHTGBM = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
)
"""What a skops file of a LightGBM estimator holds: the library's own types around a booster's text."""
_REMEDIES = {
    "pytorch": "Export it with torch.onnx.export, log that with mlflow.onnx.log_model, and import it.",
    "spark": "Export it as ONNX, or serve it with an engine of its own.",
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model as it was fetched: an estimator or bytes of a format, and what it predicts.

    ``format`` is the one to send it in, None: the one that its library has.
    ``fallback`` are bytes and format to send where the estimator cannot be saved as skops.
    """

    model: object
    format: str | None
    output: Output
    fallback: tuple[bytes, str] | None = None
    trusted_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Consent:
    """What the user allows on this machine: pickles, and types beyond scikit-learn's own in skops files."""

    allow_pickle: bool = False
    trusted_types: tuple[str, ...] = ()

    def require(self, what: str) -> None:
        """Raise FormatRefused unless pickles are allowed."""
        if not self.allow_pickle:
            raise FormatRefused(
                f"The model was logged as {what}: loading it runs whatever code is in the file, on this machine.",
                field="--allow-pickle",
                remedy="If you trust who logged it, add --allow-pickle: it is packed anew as skops, which runs none. "
                'Or log it with serialization_format="skops".',
            )


def chosen(card: Card, flavor: str | None) -> str:
    """Choose the flavor to import: the one asked for, else the first of ours that the model has.

    Raises:
        FormatRefused: Serinus serves none of them, or not the one asked for; it says what can be done.
    """
    had = card.servable_names
    wanted = [flavor] if flavor else list(_FLAVORS)
    found = next((name for name in wanted if name in had and name in _FLAVORS), None)
    if found is not None:
        return found
    if flavor and flavor in _FLAVORS:
        raise FormatRefused(
            f"The model has no flavor {flavor}.", field="--flavor", remedy=f"It has: {', '.join(had) or 'none'}."
        )
    named = flavor or ", ".join(had) or "python_function alone"
    remedy = next((_REMEDIES[name] for name in ([flavor] if flavor else had) if name in _REMEDIES), _INSTEAD)
    raise FormatRefused(
        f"Serinus does not serve the flavor {named}; it serves {', '.join(_FLAVORS)}.", field="--flavor", remedy=remedy
    )


def files_of(card: Card, flavor: str, paths: Sequence[str]) -> list[str]:
    """Say which files of a model are needed for a flavor, of those that there are.

    Raises:
        FormatRefused: the model's own file is not among them.
    """
    settings = card.flavors[flavor]
    main = _main_file(settings)
    if main not in paths:
        raise FormatRefused(
            f"The model's file {main or '(MLmodel names none)'} is not in MLflow.",
            field="URI",
            remedy=f"There are: {', '.join(paths)}.",
        )
    beside = [path for path in paths if path not in BESIDE and "input_example" not in path]
    return beside if flavor == "onnx" else [main]  # what is large in a graph may be in files beside it


def loaded(card: Card, flavor: str, folder: Path, consent: Consent) -> Loaded:
    """Load what was fetched into ``folder``.

    Raises:
        FormatRefused: it is not what it says, holds types that are not trusted, or is a pickle, which is not allowed.
    """
    settings = card.flavors[flavor]
    return _FLAVORS[flavor](settings, folder / _main_file(settings), consent)


def _main_file(settings: Mapping[str, Any]) -> str:
    return str(settings.get("data") or settings.get("pickled_model") or "")


# ------------------------------------------------------------------------------------------------- onnx


def _onnx(_settings: Mapping[str, Any], path: Path, _consent: Consent) -> Loaded:
    from serinus.formats.onnx import output_of

    data = _in_one_file(path) if any(each != path for each in path.parent.rglob("*")) else path.read_bytes()
    return Loaded(data, "onnx", output_of(data, _labels(data)))


def _in_one_file(path: Path) -> bytes:
    """Take large tensors that lie in files of their own into the graph."""
    try:
        import onnx
    except ImportError as missing:
        raise InvalidInput(
            f"The graph is spread over several files; taking it together needs {missing.name}, not installed here.",
            field="URI",
            remedy="Install it with pip install onnx, or log it with save_as_external_data=False.",
        ) from missing
    try:
        whole: bytes = onnx.load(str(path)).SerializeToString()
    except Exception as failure:
        raise FormatRefused(
            f"The graph cannot be put together: {type(failure).__name__}: {str(failure)[:300]}",
            field="URI",
            remedy="Log it with save_as_external_data=False.",
        ) from failure
    return whole


def _labels(data: bytes) -> tuple[Scalar, ...]:
    """Read the class labels from the classifier in a graph; none where it has none, or the library is not here."""
    try:
        import onnx
    except ImportError:
        return ()
    found = {
        tuple(attribute.ints) or tuple(text.decode() for text in attribute.strings)
        for node in onnx.load_from_string(data).graph.node
        for attribute in node.attribute
        if attribute.name in {"classlabels_ints", "classlabels_int64s", "classlabels_strings"}
    } - {()}
    return found.pop() if len(found) == 1 else ()


# --------------------------------------------------------------------------------------------- estimators


def _sklearn(settings: Mapping[str, Any], path: Path, consent: Consent) -> Loaded:
    from serinus.formats.signatures import output_of

    estimator, fallback = _estimator(settings, path, consent, consent.trusted_types)
    model = path.read_bytes() if fallback is None else estimator
    return Loaded(model, "skops", output_of(estimator), fallback, consent.trusted_types)


def _estimator(
    settings: Mapping[str, Any], path: Path, consent: Consent, trusted: Collection[str]
) -> tuple[Any, tuple[bytes, str] | None]:
    """Load an estimator; of one that was pickled the pickle comes along.

    The list of trusted types that MLmodel may hold is not believed: it comes from where the file comes from.
    """
    data = path.read_bytes()
    kind = str(settings.get("serialization_format") or "pickle")
    if kind == "skops":
        return Formats(trusted_types=trusted).restored(data, "skops"), None
    consent.require(kind)
    return Formats(allow_pickle=True).restored(data, "pickle"), (data, "pickle")


# ----------------------------------------------------------------------------------------------- boosters


def _xgboost(_settings: Mapping[str, Any], path: Path, _consent: Consent) -> Loaded:
    from serinus.formats.xgboost import described

    data = path.read_bytes()
    return Loaded(data, "xgboost", _numbered(described(data).classes))


def _lightgbm(settings: Mapping[str, Any], path: Path, consent: Consent) -> Loaded:
    """Load a booster, or the estimator around one, which is taken for its booster and the names of its classes."""
    from serinus.formats.lightgbm import described

    if str(settings.get("model_class") or _BARE).endswith(_BARE):
        data = path.read_bytes()
        return Loaded(data, "lightgbm", _numbered(described(data).classes))
    from serinus.formats.signatures import output_of

    estimator, _ = _estimator(settings, path, consent, {*_OF_LIGHTGBM, *consent.trusted_types})
    return Loaded(estimator, None, output_of(estimator))


def _numbered(classes: int) -> Output:
    return Output(OutputKind.CLASS, tuple(range(classes))) if classes else Output(OutputKind.NUMBER)


_FLAVORS: dict[str, Callable[[Mapping[str, Any], Path, Consent], Loaded]] = {
    "onnx": _onnx,
    "sklearn": _sklearn,
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
}
"""What Serinus serves, the best first: a graph runs no code at all."""
