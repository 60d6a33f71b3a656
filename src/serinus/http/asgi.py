"""The little of bare ASGI that is used in front of FastAPI: types, headers, bodies, answers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from serinus.core.errors import SerinusError
from serinus.http import problems

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_TIMEOUT_S = 30.0


class Disconnected(Exception):
    """The caller went away before the request was complete."""


def header(scope: Scope, name: bytes) -> str | None:
    """Give a request header's value; ``name`` in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


async def read_body(scope: Scope, receive: Receive, max_bytes: int, remedy: str) -> bytes:
    """Read a request's body.

    Raises:
        TooLarge: it is longer than ``max_bytes``. Malformed: it did not arrive in time. Disconnected.
    """
    too_large = problems.TooLarge(f"The body is larger than {max_bytes} bytes.", field="body", remedy=remedy)
    declared = header(scope, b"content-length")
    if declared is not None and declared.isdecimal() and int(declared) > max_bytes:
        raise too_large
    parts: list[bytes] = []
    size = 0
    more = True
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                part = message.get("body", b"")
                more = message.get("more_body", False)
                size += len(part)
                if size > max_bytes:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        raise problems.Malformed(f"The body did not arrive within {BODY_TIMEOUT_S:g} s.", field="body") from None
    return b"".join(parts) if len(parts) != 1 else parts[0]


async def respond(send: Send, status: int, media_type: str, body: bytes, extra: Mapping[str, str]) -> None:
    """Send a whole response."""
    headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in extra.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse(scope: Scope, send: Send, error: SerinusError, extra: Mapping[str, str] | None = None) -> None:
    """Answer with an error's problem document."""
    content = problems.encoded(error, scope["path"])
    await respond(
        send, problems.status_of(error), problems.MEDIA_TYPE, content, problems.headers(error) | dict(extra or {})
    )
