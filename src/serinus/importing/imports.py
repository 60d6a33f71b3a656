"""Imports a model version from MLflow: finds it, fetches it, packs it, and registers it with what is known of it."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serinus.client import DocumentClient, NotFoundError
from serinus.client.calls import About, Document
from serinus.core.errors import FormatRefused, InvalidInput
from serinus.core.origin import Origin
from serinus.core.records import Package
from serinus.core.signature import Dtype, Feature, Output, Signature
from serinus.formats.packing import pack
from serinus.importing import flavors, mlmodel
from serinus.importing.addresses import name_here, parsed
from serinus.importing.flavors import Consent, Loaded
from serinus.importing.found import Found
from serinus.importing.mlflow_registry import File, Registry, Told
from serinus.importing.mlmodel import Card

if TYPE_CHECKING:  # pandas belongs to an extra
    import pandas as pd

MOST_BYTES = 1_073_741_824
"""As many as a server takes by itself."""
EXAMPLES = 8
_CARD = "MLmodel"
_FLAVOR = "mlflow.flavor"


@dataclass(frozen=True, slots=True)
class Given:
    """What the user says of the import.

    ``data`` (with its ``target`` column) or ``signature`` say what the model takes, in place of MLflow's signature.
    ``again``: import it although it is here already.
    """

    name: str | None = None
    flavor: str | None = None
    consent: Consent = field(default_factory=Consent)
    data: "pd.DataFrame | None" = None
    target: str | None = None
    signature: Signature | None = None
    class_names: Sequence[str] = ()
    again: bool = False
    most_bytes: int = MOST_BYTES


@dataclass(frozen=True, slots=True)
class Imported:
    """The version in Serinus; whether it was there ``before``; and what the user should know."""

    document: Document
    before: bool = False
    warnings: tuple[str, ...] = ()


def import_version(
    client: DocumentClient,
    registry: Registry,
    uri: str,
    given: Given,
    told: Told = lambda _done, _total: None,
) -> Imported:
    """Import a model version, once: one that is here already is given back as it is.

    Raises:
        InvalidInput: the URI, the name or the signature cannot be, or the model is too large. FormatRefused: it is in
        no form that Serinus serves. NotFound: it is not in MLflow. And what registry and client raise.
    """
    wanted = parsed(uri)
    name = name_here(wanted, given.name)
    found = registry.find(wanted)
    here = _imported_before(client, name)
    if not given.again:
        for version, origin in here:
            if origin.is_same_model(found.origin):
                return Imported(version, before=True)
    package, flavor, warnings = _fetched(registry, found, given, told)
    siblings = [version for version, origin in here if _of_one_model(origin, found.origin)]
    about = About(
        metrics=found.kept_metrics,
        parameters=found.kept_parameters,
        tags=found.kept_tags | {_FLAVOR: flavor},
        description=found.kept_description,
        lineage=found.lineage(parent=str(siblings[-1]["ref"]) if siblings else ""),
    )
    return Imported(client.register_package(name, package, **about), warnings=warnings)


def _imported_before(client: DocumentClient, name: str) -> list[tuple[Document, Origin]]:
    """List the versions of a model that were imported, oldest first."""
    try:
        versions = client.versions(name)["versions"]
    except NotFoundError:
        return []
    origins = [(version, Origin.of(version.get("tags") or {})) for version in versions]
    return [(version, origin) for version, origin in origins if origin is not None]


def _of_one_model(one: Origin, other: Origin) -> bool:
    return (one.server, one.model) == (other.server, other.model) and bool(one.model)


def _fetched(registry: Registry, found: Found, given: Given, told: Told) -> tuple[Package, str, tuple[str, ...]]:
    """Fetch a model and pack it; gives its flavor, too, and what to warn of."""
    files = {file.path: file for file in registry.files(found.location)}
    if _CARD not in files:
        raise FormatRefused(
            f"{found.uri} is no model: it has no file {_CARD}.",
            field="URI",
            remedy=f"There are: {', '.join(files) or 'no files'}.",
        )
    with tempfile.TemporaryDirectory(prefix="serinus-import-") as place:
        beside, model = Path(place, "beside"), Path(place, "model")
        beside.mkdir()
        model.mkdir()
        card = _card(registry, found, files, beside)
        flavor = flavors.chosen(card, given.flavor)
        needed = [files[path] for path in flavors.files_of(card, flavor, list(files))]
        _check_size(needed, given.most_bytes)
        _check_described(card, given)
        registry.fetch(found.location, needed, model, told)
        loaded = flavors.loaded(card, flavor, model, given.consent)
        example = beside / card.example if card.example in files else None
        package, warnings = _packed(loaded, card, example, given)
    return package, flavor, warnings


def _card(registry: Registry, found: Found, files: dict[str, File], folder: Path) -> Card:
    registry.fetch(found.location, [files[_CARD]], folder, _silently)
    card = mlmodel.read_card((folder / _CARD).read_text(encoding="utf-8"))
    if card.example in files:
        registry.fetch(found.location, [files[card.example]], folder, _silently)
    return card


def _silently(_done: int, _total: int) -> None:
    """Tell nobody."""


def _check_size(files: Sequence[File], most_bytes: int) -> None:
    total = sum(file.size for file in files)
    if total > most_bytes:
        raise InvalidInput(
            f"The model has {total} bytes, more than {most_bytes}.",
            field="--max-bytes",
            remedy="Raise --max-bytes, and SERINUS_MAX_ARTIFACT_BYTES of the server, if that is as it should be.",
        )


def _check_described(card: Card, given: Given) -> None:
    if not card.inputs and given.signature is None and given.data is None:
        raise InvalidInput(
            "The model has no signature in MLflow.",
            field="signature",
            remedy="Give its training data (--data TRAIN.csv --target COLUMN) or --signature FILE; or log it with "
            "signature=infer_signature(data, predictions) or an input_example.",
        )


# ------------------------------------------------------------------------------------------------ packing


def _packed(loaded: Loaded, card: Card, example: Path | None, given: Given) -> tuple[Package, tuple[str, ...]]:
    signature = given.signature
    if signature is None and given.data is None:
        signature = Signature(mlmodel.features_of(card.inputs), _named(loaded.output, given.class_names))
    data = given.data
    if data is None and signature is not None and example is not None:
        data = _frame(example, signature.features)
    described: dict[str, Any] = {"signature": signature, "target": given.target}
    described |= {"examples": EXAMPLES, "class_names": given.class_names, "trusted_types": loaded.trusted_types}
    if loaded.fallback is None:
        return pack(loaded.model, data, format=loaded.format, **described), ()
    try:
        return pack(loaded.model, data, format=loaded.format, **described), ()
    except FormatRefused as refused:
        raw, kind = loaded.fallback
        package = pack(raw, data, format=kind, allow_pickle=True, **described)
        warning = f"It was sent as {kind}, which the server has to allow. As skops: {refused.message}"
        return package, (warning,)


def _named(output: Output, class_names: Sequence[str]) -> Output:
    return replace(output, class_names=tuple(class_names)) if class_names else output


def _frame(example: Path, features: Sequence[Feature]) -> "pd.DataFrame | None":
    """Make a table of the input example, with the dtypes that its columns had in training; None where it has no row."""
    try:
        import pandas as pd
    except ImportError:
        return None
    rows = mlmodel.examples_of(example.read_text(encoding="utf-8"), features, EXAMPLES)
    columns = {
        feature.name: pd.Series([row[place] for row in rows], dtype=_dtype(feature))
        for place, feature in enumerate(features)
    }
    return pd.DataFrame(columns) if rows else None


def _dtype(feature: Feature) -> Any:
    if feature.dtype is Dtype.STR:
        return object
    if feature.dtype is Dtype.FLOAT or feature.nullable:
        return "float64"
    return "int64" if feature.dtype is Dtype.INT else "bool"
