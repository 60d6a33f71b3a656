"""A policy in a file, as `canary replay --policy` takes it."""

import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from serinus.core.errors import InvalidInput
from serinus.core.plan import camel
from serinus.core.policy import POLICIES, Policy, policy_over

_PLACE = "settings.policy."


def read_policy(name: str, present: Policy) -> Policy:
    """Read the policy in a file (- is stdin) of YAML or JSON.

    Its fields are written as in the API or as in a plan (error_margin, errorMargin). What it leaves out is as in
    ``present``, or at the defaults of the policy that it names, if that is another one.

    Raises:
        InvalidInput: it cannot be read, or is no policy.
    """
    given = {_SNAKE.get(field, field): value for field, value in _fields_in(name).items()}
    try:
        return policy_over(present, given)
    except InvalidInput as wrong:
        raise InvalidInput(
            f"{name}: {wrong.message.replace(_PLACE, '')}", field=wrong.field.removeprefix(_PLACE), remedy=wrong.remedy
        ) from wrong
    except TypeError as wrong:
        raise _no_policy(name) from wrong


def _fields_in(name: str) -> Mapping[str, object]:
    from serinus.plans.text import parsed

    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        text = data.decode()
        document = parsed(text).document if text.strip() else None
    except (OSError, ValueError) as wrong:
        why = getattr(wrong, "strerror", None) or "it is not text in UTF-8"
        raise InvalidInput(f"{name} cannot be read: {why}.", field="--policy", remedy="Give another file.") from wrong
    except InvalidInput as wrong:
        line = wrong.details.get("line")
        place = f"{name}, line {line}" if line else name
        raise InvalidInput(f"{place}: {wrong.message}", field="--policy", remedy=wrong.remedy) from wrong
    if not isinstance(document, Mapping) or not all(isinstance(field, str) for field in document):
        raise _no_policy(name)
    return document


def _no_policy(name: str) -> InvalidInput:
    return InvalidInput(
        f"{name} holds no policy.",
        field="--policy",
        remedy="Write a line for each value that shall be another, such as alpha: 0.001.",
    )


_SNAKE = {camel(field.name): field.name for kind in POLICIES.values() for field in fields(kind)}
