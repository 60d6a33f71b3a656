"""Errors as RFC 9457 problem documents, in one place."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog

from serinus.core import errors

logger = structlog.get_logger("serinus")

MEDIA_TYPE = "application/problem+json"

_STATUS: tuple[tuple[type[errors.SerinusError], int], ...] = (
    (errors.InvalidInput, 422),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.PlatformError, 503),
    (errors.ModelTimeout, 504),
    (errors.ModelError, 500),
)
RETRY_AFTER_S = 1
LONGEST_SHOWN = 80


class Malformed(errors.SerinusError):
    """A request that is not what HTTP and JSON ask for."""

    code = "SERINUS-MALFORMED"
    title = "Malformed request"


class TooLarge(errors.SerinusError):
    """A request body over the limit."""

    code = "SERINUS-TOO-LARGE"
    title = "Request too large"


class MediaType(errors.SerinusError):
    """A request body in a form that is not read here."""

    code = "SERINUS-MEDIA-TYPE"
    title = "Unsupported media type"


class Forbidden(errors.SerinusError):
    """A request from a place that may not make it."""

    code = "SERINUS-FORBIDDEN"
    title = "Forbidden"


class OnlyChecks(errors.SerinusError):
    """A request for a gateway that came to a checker."""

    code = "SERINUS-CHECKER"
    title = "This is a checker"

    def __init__(self, method: str, path: str) -> None:
        super().__init__(
            f"This is a checker: it judges canaries, and cannot answer {method} {path[:200]}.",
            remedy="Ask a gateway, which `canary serve` runs.",
        )


class OfStatus(errors.SerinusError):
    """What the web framework refuses: no such route, no such method."""

    def __init__(self, status: int, phrase: str, method: str, path: str) -> None:
        super().__init__(f"{phrase}: {method} {path[:200]}.", remedy="GET /openapi.json lists what there is.")
        self.status = status
        self.title = phrase
        self.code = f"SERINUS-HTTP-{status}"


_EDGE_STATUS: dict[type[errors.SerinusError], int] = {
    Malformed: 400,
    TooLarge: 413,
    MediaType: 415,
    Forbidden: 403,
    OnlyChecks: 404,
}
_MLFLOW_CODES = {404: "RESOURCE_DOES_NOT_EXIST", 503: "TEMPORARILY_UNAVAILABLE"}


def status_of(error: errors.SerinusError) -> int:
    """Give the HTTP status of an error."""
    if isinstance(error, OfStatus):
        return error.status
    edge = _EDGE_STATUS.get(type(error))
    if edge is not None:
        return edge
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem(error: errors.SerinusError, instance: str) -> dict[str, object]:
    """Give an error as a problem document; ``instance`` is the path that was asked for."""
    document: dict[str, object] = {
        "type": f"urn:serinus:error:{error.code.removeprefix('SERINUS-').lower()}",
        "title": error.title,
        "status": status_of(error),
        "detail": error.message,
        "code": error.code,
        "instance": instance,
    }
    if error.field:
        document["field"] = error.field
    if error.remedy:
        document["remedy"] = error.remedy
    return {**error.details, **_in_dialect(error, instance), **document}


def _in_dialect(error: errors.SerinusError, instance: str) -> dict[str, object]:
    """Say the same once more as the clients of another protocol look for it, where one is spoken."""
    kind = instance.split("/")[1:2]
    if kind == ["v2"]:  # Open Inference Protocol
        return {"error": str(error)}
    if kind == ["invocations"]:  # MLflow
        status = status_of(error)
        default = "BAD_REQUEST" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "INTERNAL_ERROR"
        return {"error_code": _MLFLOW_CODES.get(status, default), "message": str(error)}
    return {}


def headers(error: errors.SerinusError) -> dict[str, str]:
    """Give the headers that go with an error."""
    return {"retry-after": str(RETRY_AFTER_S)} if status_of(error) == HTTPStatus.SERVICE_UNAVAILABLE else {}


def encoded(error: errors.SerinusError, instance: str) -> bytes:
    """Give the problem document as bytes."""
    return json.dumps(problem(error, instance), default=str).encode()


def of_validation(details: Sequence[Mapping[str, Any]]) -> errors.SerinusError:
    """Turn a validation failure of the control plane into one error that names the first field."""
    first = details[0]
    place = [str(part) for part in first["loc"]]
    field = ".".join(place[1:]) or place[0]
    if first["type"] in {"json_invalid", "json_type"}:
        return Malformed(f"The body is not JSON: {first.get('ctx', {}).get('error', first['msg'])}.", field="body")
    shown = "" if first["type"] == "missing" else f" It is {_shown(first.get('input'))}."
    return errors.InvalidInput(
        f"{field}: {first['msg']}.{shown}",
        field=field,
        remedy="See /docs for what this route takes.",
        errors=[{"field": ".".join(str(part) for part in each["loc"][1:]), "message": each["msg"]} for each in details],
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


def explained(error: Exception, path: str) -> errors.SerinusError:
    """Give an error that can be shown: itself, or for what should not have happened one that says where to look."""
    if isinstance(error, errors.SerinusError):
        return error
    logger.error("unexpected error", path=path, exc_info=error)
    return errors.SerinusError("Something went wrong that should not; the server's log has the details.")
