"""POST /predict/{deployment}: the path of every user request, as a bare ASGI application."""

from collections.abc import Callable
from typing import Any

import msgspec

from serinus.gateway import Gateway
from serinus.http import problems
from serinus.http.asgi import Application, Disconnected, Receive, Scope, Send, header, read_body, refuse, respond
from serinus.http.reading import misshapen, not_json

PREFIX = "/predict/"
REMEDY = "Send one row a request; SERINUS_MAX_REQUEST_BYTES sets the limit."


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """What a caller sends."""

    features: Any = None  # the signature checks it, so that an error names the feature
    entity_id: str | int | None = None


class PredictRoute:
    """Answers predictions itself and hands everything else to the application behind it."""

    def __init__(self, behind: Application, gateway: Callable[[], Gateway | None], max_bytes: int) -> None:
        self._behind = behind
        self._gateway = gateway
        self._max_bytes = max_bytes
        # A number beyond all floats becomes an infinity here, so that the signature can name the feature.
        self._decoder = msgspec.json.Decoder(Request, float_hook=float)
        self._encoder = msgspec.json.Encoder()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        gateway = self._gateway()
        if scope["type"] != "http" or gateway is None or not _is_ours(scope["path"]):
            await self._behind(scope, receive, send)
            return
        if scope["method"] != "POST":
            not_post = problems.OfStatus(405, "Method Not Allowed", scope["method"], scope["path"])
            await refuse(scope, send, not_post, {"allow": "POST"})
            return
        try:
            body = await read_body(scope, receive, self._max_bytes, REMEDY)
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
        except Exception as caught:  # noqa: BLE001 - whatever it is, the caller gets a problem document
            error = problems.explained(caught, scope["path"])
            await refuse(scope, send, error)
        else:
            await respond(send, 200, "application/json", self._encoder.encode(prediction), {})

    def _decoded(self, body: bytes) -> Request:
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as wrong:
            raise misshapen(wrong, 'Send {"features": {name: value, ...}, "entity_id": "..."}.') from wrong
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
            raise not_json(wrong) from wrong


def _is_ours(path: str) -> bool:
    return path.startswith(PREFIX) and "/" not in path[len(PREFIX) :] and len(path) > len(PREFIX)
