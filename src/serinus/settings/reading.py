"""Reads the settings from the environment: whatever is wrong is said at once, and each one's source is known."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from serinus.core.errors import InvalidInput
from serinus.settings.addresses import MASK, Wrong, masked
from serinus.settings.fields import Clashing, ServerSettings
from serinus.settings.files import PREFIX, SECRET_BEARING, SUFFIX, file_of, variable

OF_CLIENTS = frozenset({"SERINUS_URL", "SERINUS_TOKEN"})
"""Variables that the command line and the Python client read."""

_OF_SERVE = {"SERINUS_HOST": "--host", "SERINUS_PORT": "--port"}

# Kubernetes and Docker tell every container of the services beside it: of one that is called "serinus", in these.
_OF_NEIGHBOURS = re.compile(
    r"SERINUS_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)\Z"
)
_NEIGHBOURS_PORT = re.compile(r"(tcp|udp|sctp)://")

_REASONS = {
    "float_parsing": "a number is wanted",
    "finite_number": "a number is wanted",
    "int_parsing": "a whole number is wanted",
    "int_parsing_size": "that is far too large",
    "int_from_float": "a whole number is wanted",
    "bool_parsing": "true or false is wanted",
    "literal_error": "{expected} is wanted",
    "greater_than_equal": "{ge} at least is wanted",
    "less_than_equal": "{le} at most is wanted",
}
"""What is wanted, by the type of pydantic's error."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a setting; ``field`` is the variable to correct."""

    field: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting in force.

    ``value`` is a JSON value, None where nothing is set and ``about`` says what that means; a secret is masked.
    ``source`` is ``default``, ``environment``, ``file`` or ``option``; ``place`` the variable, file or option.
    """

    name: str
    value: str | float | bool | list[str] | None
    source: str
    place: str
    about: str


def read_settings(**chosen: object) -> ServerSettings:
    """Read the settings; what is ``chosen`` and not None goes before the environment.

    Raises:
        InvalidInput: it names every variable that is wrong, its value and what it should be; ``details["problems"]``
            has them one by one.
    """
    given = _given(chosen)
    problems = list(_strangers(os.environ))
    settings, wrong = _attempt(given)
    if wrong is not None:
        problems += [problem for _, problem in _problems(wrong)]
        fields = {str(error["loc"][0]) for error in wrong.errors(include_url=False) if error["loc"]}
        if fields:  # what clashes is looked for once all fields can be read
            _, further = _attempt(given | {name: ServerSettings.model_fields[name].default for name in fields})
            problems += [problem for involved, problem in _problems(further) if not involved & fields]
    if problems or settings is None:
        raise _refusal(problems)
    return settings


def settings_in_force(settings: ServerSettings, **chosen: object) -> list[Setting]:
    """List all settings with their sources; ``chosen`` as ``read_settings`` was given it."""
    return [_described(name, settings, _given(chosen)) for name in ServerSettings.model_fields]


def _given(chosen: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in chosen.items() if value is not None}


def _attempt(given: Mapping[str, object]) -> tuple[ServerSettings | None, ValidationError | None]:
    try:
        return ServerSettings(**given), None  # type: ignore[arg-type]
    except ValidationError as wrong:
        return None, wrong


# ------------------------------------------------------------------------------------------ what is wrong


def _refusal(problems: list[Problem]) -> InvalidInput:
    each = [asdict(problem) for problem in problems]
    if len(problems) == 1:
        (problem,) = problems
        return InvalidInput(problem.message, field=problem.field, remedy=problem.remedy, problems=each)
    listed = "\n".join(f"- {problem.message} {problem.remedy}" for problem in problems)
    return InvalidInput(f"{len(problems)} settings are wrong.\n{listed}", problems=each)


def _problems(wrong: ValidationError | None) -> Iterator[tuple[set[str], Problem]]:
    """Give each problem with the fields that it is about."""
    for error in wrong.errors(include_url=False) if wrong else ():
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, Clashing):
            for clash in cause.clashes:
                yield set(clash.fields), Problem(variable(clash.field), clash.message, clash.remedy)
        else:
            name = str(error["loc"][0])
            yield {name}, _problem(name, error, cause)


def _problem(name: str, error: ErrorDetails, cause: object) -> Problem:
    what = str(cause) if isinstance(cause, Wrong) else _reason(error)
    value = _value_in_message(name, error["input"])
    return Problem(
        variable(name),
        f"{variable(name)}{value}: {what}.",
        (cause.remedy if isinstance(cause, Wrong) else "") or _default_remedy(name),
    )


def _reason(error: ErrorDetails) -> str:
    """Say in our words why a value cannot be; in the library's where we have none."""
    if error["type"] in _REASONS:
        return _REASONS[error["type"]].format(**error.get("ctx", {}))
    return error["msg"].replace("Input should", "it should", 1)


def _value_in_message(name: str, value: object) -> str:
    if isinstance(value, Wrong | SecretStr) or isinstance(ServerSettings.model_fields[name].default, SecretStr):
        return ""
    text = str(value)
    if name in SECRET_BEARING or "@" in text or "?" in text:
        text = masked(text)
    return "" if text == MASK else f" is {text!r}"


def _default_remedy(name: str) -> str:
    default = ServerSettings.model_fields[name].default
    shown = str(default).lower() if isinstance(default, bool) else str(default)
    return f"Correct it, or leave it unset for the default{f', {shown}' if shown else ''}."


def _strangers(environment: Mapping[str, str]) -> Iterator[Problem]:
    """Find variables that look like settings and are none: a misspelt one would be without effect, unnoticed."""
    fields = [variable(name) for name in ServerSettings.model_fields]
    known = {*fields, *OF_CLIENTS, *(variable(name) + SUFFIX for name in SECRET_BEARING)}
    for name, value in sorted(environment.items()):
        if not value or not name.upper().startswith(PREFIX) or name in known or _is_of_neighbours(name, value):
            continue
        bare = name.upper().removeprefix(PREFIX)
        nearest = get_close_matches(bare, sorted(right.removeprefix(PREFIX) for right in known), n=1)
        if name in _OF_SERVE:
            remedy = f"Unset it; `canary serve {_OF_SERVE[name]}` takes that."
        elif nearest:
            remedy = f"Did you mean {PREFIX}{nearest[0]}? Else unset it."
        else:
            remedy = "Unset it; `canary config` lists all settings."
        yield Problem(name, f"{name} is set, and there is no such setting.", remedy)


def _is_of_neighbours(name: str, value: str) -> bool:
    return bool(_OF_NEIGHBOURS.match(name) or (name.endswith("_PORT") and _NEIGHBOURS_PORT.match(value)))


# ------------------------------------------------------------------------------------------ what is in force


def _described(name: str, settings: ServerSettings, given: Mapping[str, object]) -> Setting:
    source, place = "default", ""
    if name in given:
        source, place = "option", f"--{name.replace('_', '-')}"
    elif file_of(name, os.environ):
        source, place = "file", file_of(name, os.environ)
    elif os.environ.get(variable(name)):
        source, place = "environment", variable(name)
    about = ServerSettings.model_fields[name].description or ""
    return Setting(variable(name), _value_in_force(name, settings), source, place, about)


def _value_in_force(name: str, settings: ServerSettings) -> str | float | bool | list[str] | None:
    value = getattr(settings, name)
    if name == "database_url":
        value = masked(settings.database)
    elif name == "artifacts_url":
        value = settings.artifacts
    elif name == "redis_url":
        value = masked(value)
    elif isinstance(value, SecretStr):
        value = MASK if value.get_secret_value() else None
    elif isinstance(value, Path):
        value = str(value.absolute())
    elif isinstance(value, frozenset):
        value = sorted(value)
    return None if value in ("", []) else value
