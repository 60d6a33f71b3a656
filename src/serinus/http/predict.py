"""POST /predict/{deployment}: the path of every user request, as a bare ASGI application."""

from collections.abc import Callable
from typing import Any

import msgspec

from serinus.core.errors import InvalidInput
from serinus.gateway import Gateway
from serinus.http import problems, rows
from serinus.http.asgi import Application, Disconnected, Receive, Scope, Send, header, read_body, refuse, respond
from serinus.http.reading import misshapen, not_json

PREFIX = "/predict/"
REMEDY = "Send fewer rows a request; SERINUS_MAX_REQUEST_BYTES sets the limit."
SHAPE = (
    'Send {"features": {name: value, ...}, "entity_id": "..."}, or "instances": [{name: value, ...}, ...] for features.'
)


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """What a caller sends: the features of one row, or several rows as ``instances``."""

    features: Any = None  # the signature checks it, so that an error names the feature
    entity_id: str | int | None = None
    instances: list[Any] | msgspec.UnsetType = msgspec.UNSET


class RowAnswer(msgspec.Struct):
    """The answer to one of several rows."""

    prediction: bool | int | float | str
    prediction_class: str | None
    confidence: float | None


class Answers(msgspec.Struct):
    """The answers to all rows of a request, in their order, and who gave them."""

    prediction_id: str
    model_role: str
    model_version: str
    failover: bool
    latency_ms: float
    predictions: list[RowAnswer]


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
            answered = await _answered(
                gateway, scope["path"][len(PREFIX) :], self._decoded(body), header(scope, b"x-canary")
            )
        except Disconnected:
            return
        except Exception as caught:  # noqa: BLE001 - whatever it is, the caller gets a problem document
            error = problems.explained(caught, scope["path"])
            await refuse(scope, send, error)
        else:
            await respond(send, 200, "application/json", self._encoder.encode(answered), {})

    def _decoded(self, body: bytes) -> Request:
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as wrong:
            raise misshapen(wrong, SHAPE) from wrong
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
            raise not_json(wrong) from wrong


async def _answered(gateway: Gateway, deployment: str, request: Request, forced: str | None) -> object:
    entity = str(request.entity_id) if isinstance(request.entity_id, int) else request.entity_id
    instances = request.instances
    if isinstance(instances, msgspec.UnsetType):
        return await gateway.predict(deployment, request.features, entity, forced)
    if request.features is not None:
        raise InvalidInput("The request has both features and instances.", field="instances", remedy=SHAPE)
    gateway.check_rows(len(instances), "instances")
    done = await gateway.predict_rows(deployment, lambda signature: rows.named(signature, instances), entity, forced)
    return Answers(
        prediction_id=done.prediction_id,
        model_role=done.answered_by.role.value,
        model_version=done.answered_by.name,
        failover=done.failover,
        latency_ms=done.latency_ms,
        predictions=[
            RowAnswer(answer.prediction, answer.prediction_class, answer.confidence) for answer in done.answers
        ],
    )


def _is_ours(path: str) -> bool:
    return path.startswith(PREFIX) and "/" not in path[len(PREFIX) :] and len(path) > len(PREFIX)
