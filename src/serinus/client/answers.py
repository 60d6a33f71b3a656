"""From the bytes of an answer to a document or a result, or to the error that it tells of. No I/O here."""

import json
import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar, cast

from serinus.client.calls import Call, Document
from serinus.client.errors import ApiError, UnexpectedAnswerError, UnreachableError, api_error

T = TypeVar("T")

_PROXY_STATUSES = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
_REFUSALS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_SAME_VERSION = "Look whether the URL is right, and whether server and client are of the same version."


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, as far as it is looked at; ``retry_after`` is the header as it was sent."""

    status: int
    content_type: str = ""
    body: bytes = b""
    retry_after: str = ""

    @property
    def retry_after_s(self) -> float | None:
        """The seconds after which to try again; a date in their place is not read."""
        try:
            seconds = float(self.retry_after)
        except ValueError:
            return None
        return seconds if 0.0 <= seconds < math.inf else None


def read_answer(call: Call[Any], base_url: str, reply: Reply) -> Document:
    """Give the document of a success.

    Raises:
        ApiError: the server says why not, or something in front of it wants to know who asks.
        UnreachableError: something on the way says that there is no server behind it.
        UnexpectedAnswerError: whatever answered is no Serinus server.
    """
    status = reply.status
    document = _document(reply.body) if "json" in reply.content_type else None
    if document is not None and status < HTTPStatus.MULTIPLE_CHOICES:
        return document
    if document is not None and str(document.get("code", "")).startswith("SERINUS-"):
        raise api_error(status, document, reply.retry_after_s)
    if status in _PROXY_STATUSES:
        raise UnreachableError(
            f"There is no Serinus server behind {base_url}: it answered {_named(status)}.",
            remedy="A proxy or a load balancer stands in between: look whether the server behind it runs.",
        )
    if status in _REFUSALS:
        raise _refused(base_url, status)
    gave = f"{_named(status)}, {reply.content_type.partition(';')[0] or 'no content type'}"
    raise UnexpectedAnswerError(
        f"{base_url} does not answer as a Serinus server: {call.method} {call.path} gave {gave}.", remedy=_SAME_VERSION
    )


def read_result(call: Call[T], document: Document) -> T:
    """Give the result of a call from its document.

    Raises:
        UnexpectedAnswerError: the document is not what this call gives.
    """
    if call.gives is None:
        return cast("T", document)
    return typed(document.get(call.member) if call.member else document, call.gives, f"{call.method} {call.path}")


def typed(values: object, kind: type[T], source: str) -> T:
    """Read JSON values as a type; UnexpectedAnswerError names the ``source`` that they came from."""
    import msgspec

    try:
        # Strictly, for otherwise a class "1" that was predicted would become the number 1.
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as wrong:
        raise UnexpectedAnswerError(
            f"{source} gave something that this client cannot read: {wrong}.", remedy=_SAME_VERSION
        ) from wrong


def _refused(base_url: str, status: int) -> ApiError:
    """Tell of a proxy that asks who it is, or that lets nobody pass."""
    return api_error(
        status,
        {
            "code": f"SERINUS-HTTP-{status}",
            "detail": f"{base_url} answered {_named(status)}, by something in front of the server.",
            "remedy": "Give a token that it knows: token=..., or SERINUS_TOKEN.",
            "status": status,
        },
    )


def _document(body: bytes) -> Document | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # nested deeper than Python follows
        return None
    return document if isinstance(document, dict) else None


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
