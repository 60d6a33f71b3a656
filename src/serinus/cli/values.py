"""Values as they are written on a command line: weights, spans of time, versions, NAME=VALUE pairs."""

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from serinus.core.errors import InvalidInput
from serinus.core.names import VersionRef, checked_name

_NUMBER = r"(?P<number>[+-]?(\d+\.?\d*|\.\d+))"
_PERCENT = re.compile(_NUMBER + r"\s*%?\Z")
_SPAN = re.compile(_NUMBER + r"\s*(?P<unit>s|min|m|h|d)?\Z")
_SECONDS = {None: 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_VERSION = re.compile(r"[@v]?(?P<number>\d+)\Z")


def percent(text: str) -> float:
    """Read ``20`` or ``20%``."""
    match = _PERCENT.match(text.strip())
    if not match:
        raise InvalidInput(f"{text!r} is not a share of traffic.", field="weight", remedy="Give a percentage, like 20.")
    return float(match["number"])


def rate(text: str) -> float:
    """Read a rate: ``0.05`` or ``5%``; a plain number above 1 is none, and hardly meant as one."""
    match = _PERCENT.match(text.strip())
    if not match:
        raise InvalidInput(f"{text!r} is not a rate.", remedy="Give it like 0.05 or 5%.")
    number, in_percent = float(match["number"]), text.strip().endswith("%")
    if number > 1.0 and not in_percent:
        raise InvalidInput(
            f"{text!r} is not a rate: a rate is at most 1.", remedy=f"Give {number:g}% if that is what you mean."
        )
    return number / (100.0 if in_percent else 1.0)


def span(text: str) -> float:
    """Read a span of time in seconds: ``300``, ``300s``, ``5m``, ``1h`` or ``30d``."""
    match = _SPAN.match(text.strip())
    if not match:
        raise InvalidInput(f"{text!r} is not a span of time.", remedy="Give seconds, or 30s, 5m, 1h, 30d.")
    return float(match["number"]) * _SECONDS[match["unit"]]


def age(text: str, option: str) -> float:
    """Read an age in seconds: a span of time whose unit is named, ``30d`` or ``12h``."""
    match = _SPAN.match(text.strip())
    if match and not match["unit"]:
        number = match["number"]
        raise InvalidInput(
            f"{option} {text.strip()} could be days or seconds.",
            field=option,
            remedy=f"Name the unit: {number}d, {number}h, {number}m or {number}s.",
        )
    return span(text)


def canary_version(text: str) -> tuple[str, int]:
    """Read ``2``, ``v2`` or ``model@2`` as model ("" for the baseline's) and number."""
    match = _VERSION.match(text)
    if match:
        return "", int(match["number"])
    ref = VersionRef.parse(text)
    return ref.model, ref.version


def rollout_id(text: str) -> tuple[str, int]:
    """Read ``heart-prod:3`` as deployment and number."""
    name, _, number = text.strip().rpartition(":")
    if not name or not number.isascii() or not number.isdigit() or not int(number):
        raise InvalidInput(
            f"{text!r} is not a rollout.", field="rollout", remedy="Write it as NAME:NUMBER, like heart-prod:3."
        )
    return checked_name(name, "rollout"), int(number)


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """Read ``NAME=VALUE`` pairs."""
    read = {}
    for text in texts:
        name, sep, value = text.partition("=")
        if not sep or not name.strip():
            raise InvalidInput(f"{text!r} is not a pair.", field=option, remedy="Write it as NAME=VALUE.")
        read[name.strip()] = value.strip()
    return read


def numbers(texts: Iterable[str], option: str) -> dict[str, float]:
    """Read ``NAME=NUMBER`` pairs."""
    read = {}
    for name, value in pairs(texts, option).items():
        try:
            read[name] = float(value)
        except ValueError:
            read[name] = math.nan
        if not math.isfinite(read[name]):
            raise InvalidInput(f"{name}={value} is no number.", field=option, remedy="Write it as NAME=NUMBER.")
    return read


def json_values(texts: Iterable[str], option: str) -> dict[str, Any]:
    """Read ``NAME=VALUE`` pairs whose values are JSON, or else text."""
    read: dict[str, Any] = {}
    for name, value in pairs(texts, option).items():
        try:
            read[name] = read_json(value)
        except ValueError:
            read[name] = value
    return read


def read_json(text: str) -> Any:
    """Read JSON; ValueError for anything else, NaN and infinity among it."""
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> None:
    message = f"{name} is not JSON"
    raise ValueError(message)
