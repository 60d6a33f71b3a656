"""How models in MLflow are named: models:/NAME@ALIAS, models:/NAME/VERSION, models:/m-ID and runs:/RUN/PATH."""

import re
from dataclasses import dataclass

from serinus.core.errors import InvalidInput
from serinus.core.names import checked_name

_FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION, models:/m-ID or runs:/RUN_ID/PATH"
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Registered:
    """A version of a registered model, by number or by alias."""

    model: str
    version: str = ""
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Logged:
    """A logged model of MLflow 3, by its id."""

    model_id: str


@dataclass(frozen=True, slots=True)
class OfRun:
    """What a run logged under a path or a name."""

    run_id: str
    path: str


Wanted = Registered | Logged | OfRun


def parsed(uri: str) -> Wanted:
    """Read a model's URI; InvalidInput says which forms there are."""
    scheme, found, rest = uri.strip().partition(":/")
    rest = rest.strip("/")
    if found and scheme == "runs":
        run_id, _, path = rest.partition("/")
        if run_id and path:
            return OfRun(run_id, path)
    elif found and scheme == "models" and rest:
        wanted = _of_models(rest)
        if wanted is not None:
            return wanted
    raise InvalidInput(f"{uri!r} names no model in MLflow.", field="URI", remedy=f"Write it as {_FORMS}.")


def _of_models(rest: str) -> Wanted | None:
    name, slash, version = rest.partition("/")
    if slash:
        return Registered(name, version) if name and version.isascii() and version.isdigit() else None
    name, at, alias = rest.rpartition("@")
    if at:
        return Registered(name, alias=alias) if name and alias else None
    return Logged(rest) if rest.startswith("m-") else None


def name_here(wanted: Wanted, given: str | None) -> str:
    """Give the name that the model gets in Serinus: the one given, or its registered name if that can be one."""
    if given:
        return checked_name(given, "--as")
    if not isinstance(wanted, Registered):
        raise InvalidInput(
            "A model that is not taken from the registry has no name of its own.",
            field="--as",
            remedy="Say how it is to be called here: --as NAME.",
        )
    try:
        return checked_name(wanted.model, "--as")
    except InvalidInput:
        suggested = _NOT_IN_NAMES.sub("-", wanted.model.lower()).strip("-._")[:63] or "model"
        raise InvalidInput(
            f"{wanted.model!r} cannot be the name of a model here.",
            field="--as",
            remedy=f"Say how it is to be called: --as {suggested}.",
        ) from None
