"""Errors of a model's load, as they come out of the process that loaded it."""

from collections.abc import Iterator

from serinus.core.errors import PlatformError, SerinusError
from serinus.predictors.frames import Refused


def error_of(refused: Refused) -> SerinusError:
    """Give the error that was raised there."""
    kind = next((each for each in _kinds(SerinusError) if each.code == refused.code), PlatformError)
    error = kind.__new__(kind)
    SerinusError.__init__(error, refused.message, field=refused.field, remedy=refused.remedy)
    return error


def _kinds(kind: type[SerinusError]) -> Iterator[type[SerinusError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _kinds(each)
