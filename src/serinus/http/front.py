"""What is answered in front of FastAPI besides /predict: POSTs of rows, in the forms of other protocols."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from serinus.core.errors import InvalidInput
from serinus.gateway import Gateway
from serinus.http import problems
from serinus.http.asgi import Application, Disconnected, Receive, Scope, Send, header, read_body, refuse, respond

REMEDY = "Send fewer rows a request; SERINUS_MAX_REQUEST_BYTES sets the limit."


@dataclass(frozen=True, slots=True)
class Post:
    """A request: its path as it was matched, its body, and how to read its headers."""

    gateway: Gateway
    path: re.Match[str]
    scope: Scope
    body: bytes

    def header(self, name: str) -> str | None:
        """Give a header's value."""
        return header(self.scope, name.lower().encode())


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with status 200."""

    body: bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class Front:
    """Answers POSTs to the paths that match, and hands everything else to the application behind it."""

    def __init__(
        self,
        behind: Application,
        gateway: Callable[[], Gateway | None],
        max_bytes: int,
        paths: re.Pattern[str],
        answer: Callable[[Post], Awaitable[Reply]],
    ) -> None:
        self._behind = behind
        self._gateway = gateway
        self._max_bytes = max_bytes
        self._paths = paths
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        gateway = self._gateway()
        path = self._paths.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if path is None or gateway is None:
            await self._behind(scope, receive, send)
            return
        if scope["method"] != "POST":
            not_post = problems.OfStatus(405, "Method Not Allowed", scope["method"], scope["path"])
            await refuse(scope, send, not_post, {"allow": "POST"})
            return
        try:
            body = await read_body(scope, receive, self._max_bytes, REMEDY)
            _check_encoding(scope)
            reply = await self._answer(Post(gateway, path, scope, body))
        except Disconnected:
            return
        except Exception as caught:  # noqa: BLE001 - whatever it is, the caller gets a problem document
            await refuse(scope, send, problems.explained(caught, scope["path"]))
        else:
            await respond(send, 200, reply.media_type, reply.body, reply.headers)


def _check_encoding(scope: Scope) -> None:
    encoding = header(scope, b"content-encoding")
    if encoding is not None and encoding.lower() != "identity":
        raise problems.MediaType(
            f"The body's Content-Encoding is {encoding[:80]!r}.",
            field="Content-Encoding",
            remedy="Send the body as it is, without compression.",
        )


def the_entity(post: Post, parameters: Mapping[str, object], place: str) -> str | None:
    """Say whom a request is about: by ``entity_id`` among the parameters at ``place``, or by the header X-Entity-Id."""
    entity = parameters.get("entity_id")
    if entity is None:
        in_header = post.header("X-Entity-Id")
        return None if in_header is None else _as_text(in_header)
    if isinstance(entity, bool) or not isinstance(entity, str | int):
        raise InvalidInput(
            "entity_id is neither a string nor a whole number.",
            field=f"{place}.entity_id",
            remedy="Send the id of whom the request is about, or none.",
        )
    return str(entity)


def _as_text(header: str) -> str:
    """Read a header's bytes as UTF-8 where they are, so that an entity is the same one as in a body."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeDecodeError:
        return header
