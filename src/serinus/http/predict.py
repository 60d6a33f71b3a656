"""POST /predict/{deployment}: the path of every user request, as a bare ASGI application."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from serinus.core.errors import InvalidInput, SerinusError
from serinus.gateway import Gateway
from serinus.http import problems

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

PREFIX = "/predict/"
BODY_TIMEOUT_S = 30.0


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """What a caller sends."""

    features: Any  # the signature checks it, so that an error names the feature
    entity_id: str | int | None = None


class Disconnected(Exception):
    """The caller went away before the request was complete."""


class PredictRoute:
    """Answers predictions itself and hands everything else to the application behind it."""

    def __init__(self, behind: Application, gateway: Callable[[], Gateway | None], max_bytes: int) -> None:
        self._behind = behind
        self._gateway = gateway
        self._max_bytes = max_bytes
        self._decoder = msgspec.json.Decoder(Request)
        self._encoder = msgspec.json.Encoder()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        gateway = self._gateway()
        if scope["type"] != "http" or scope["method"] != "POST" or gateway is None or not _is_ours(scope["path"]):
            await self._behind(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
            request = self._decoded(body)
            entity = request.entity_id
            prediction = await gateway.predict(
                scope["path"][len(PREFIX) :],
                request.features,
                str(entity) if isinstance(entity, int) else entity,
                header(scope, b"x-canary"),
            )
        except Disconnected:
            return
        except SerinusError as error:
            extra = problems.headers(error)
            content = problems.encoded(error, scope["path"])
            await respond(send, problems.status_of(error), problems.MEDIA_TYPE, content, extra)
        else:
            await respond(send, 200, "application/json", self._encoder.encode(prediction), {})

    def _decoded(self, body: bytes) -> Request:
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as wrong:
            what, _, place = str(wrong).partition(" - at `$")
            field = place.rstrip("`").lstrip(".") or "body"
            raise InvalidInput(
                f"{field}: {what}.", field=field, remedy='Send {"features": {name: value, ...}, "entity_id": "..."}.'
            ) from wrong
        except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
            raise problems.Malformed(f"The body is not JSON: {wrong}.", field="body") from wrong

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        declared = header(scope, b"content-length")
        if declared is not None and declared.isdecimal() and int(declared) > self._max_bytes:
            raise self._too_large()
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
                    if size > self._max_bytes:
                        raise self._too_large()
                    parts.append(part)
        except TimeoutError:
            raise problems.Malformed(f"The body did not arrive within {BODY_TIMEOUT_S:g} s.", field="body") from None
        return b"".join(parts) if len(parts) != 1 else parts[0]

    def _too_large(self) -> problems.TooLarge:
        return problems.TooLarge(
            f"The body is larger than {self._max_bytes} bytes.",
            field="body",
            remedy="Send one row a request; SERINUS_MAX_REQUEST_BYTES sets the limit.",
        )


def _is_ours(path: str) -> bool:
    return path.startswith(PREFIX) and "/" not in path[len(PREFIX) :] and len(path) > len(PREFIX)


def header(scope: Scope, name: bytes) -> str | None:
    """Give a request header's value; ``name`` in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


async def respond(send: Send, status: int, media_type: str, body: bytes, extra: dict[str, str]) -> None:
    """Send a whole response."""
    headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in extra.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
