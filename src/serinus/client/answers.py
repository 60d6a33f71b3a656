"""From the bytes of an answer to a document, or to the error that it tells of. No I/O here."""

import json
from http import HTTPStatus

from serinus.client.calls import Call, Document
from serinus.client.errors import (
    ApiError,
    ConflictError,
    InvalidError,
    NotFoundError,
    UnexpectedAnswerError,
    UnreachableError,
)

_BY_STATUS: dict[int, type[ApiError]] = {
    HTTPStatus.BAD_REQUEST: InvalidError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: InvalidError,
    HTTPStatus.UNPROCESSABLE_ENTITY: InvalidError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
}
_PROXY_STATUSES = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}


def read_answer(call: Call, base_url: str, status: int, content_type: str, body: bytes) -> Document:
    """Give the document of a success.

    Raises:
        ApiError: the server says why not.
        UnreachableError: something on the way says that there is no server behind it.
        UnexpectedAnswerError: whatever answered is no Serinus server.
    """
    document = _document(body) if "json" in content_type else None
    if document is not None and status < HTTPStatus.MULTIPLE_CHOICES:
        return document
    if document is not None and str(document.get("code", "")).startswith("SERINUS-"):
        raise _BY_STATUS.get(status, ApiError)(status, document)
    if status in _PROXY_STATUSES:
        raise UnreachableError(
            f"There is no Serinus server behind {base_url}: it answered {_named(status)}.",
            remedy="A proxy or a load balancer stands in between: look whether the server behind it runs.",
        )
    gave = f"{_named(status)}, {content_type.partition(';')[0] or 'no content type'}"
    raise UnexpectedAnswerError(
        f"{base_url} does not answer as a Serinus server: {call.method} {call.path} gave {gave}.",
        remedy="Look whether the URL is right, and whether server and client are of the same version.",
    )


def _document(body: bytes) -> Document | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
