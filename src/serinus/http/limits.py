"""Bounds on what the control plane reads into memory."""

from serinus.core.errors import SerinusError
from serinus.http.asgi import Application, Disconnected, Message, Receive, Scope, Send, read_body, refuse

UPLOADS = "/artifacts/"


class BodyLimit:
    """Reads the body of a command before it is looked at, and refuses one over the limit.

    Uploads pass: they are read part by part, with a limit of their own.
    """

    def __init__(self, inside: Application, max_bytes: int) -> None:
        self._inside = inside
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on a request whose body has come."""
        if scope["type"] != "http" or scope["path"].startswith(UPLOADS):
            await self._inside(scope, receive, send)
            return
        remedy = "Say it in less; SERINUS_MAX_REQUEST_BYTES sets the limit."
        try:
            body = await read_body(scope, receive, self._max_bytes, remedy)
        except Disconnected:
            return
        except SerinusError as error:
            await refuse(scope, send, error)
            return
        left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return left.pop() if left else await receive()

        await self._inside(scope, again, send)
