"""Keeps a keyless server to this machine: a web page in its user's browser may not speak to it."""

from urllib.parse import urlsplit

from serinus.http import problems
from serinus.http.asgi import Application, Receive, Scope, Send, header, refuse

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class LoopbackGuard:
    """Refuses requests that name another host (DNS rebinding) or come from another site's page (forged requests)."""

    def __init__(self, inside: Application) -> None:
        self._inside = inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer 403."""
        if scope["type"] == "http":
            wrong = _foreign(scope)
            if wrong:
                error = problems.Forbidden(
                    f"This server answers this machine alone; the request's {wrong}.",
                    remedy="Call it as http://127.0.0.1 or http://localhost, and not from another site's page.",
                )
                await refuse(scope, send, error, {"connection": "close"})
                return
        await self._inside(scope, receive, send)


def _foreign(scope: Scope) -> str:
    host = header(scope, b"host")
    if host is None or not is_local(host):
        return f"Host is {(host or 'missing')[:80]!r}"
    origin = header(scope, b"origin")
    if origin is not None and _name(origin) not in LOOPBACK:
        return f"Origin is {origin[:80]!r}"
    return ""


def is_local(host: str) -> bool:
    """Say whether a Host header names this machine."""
    return _name(f"//{host}") in LOOPBACK


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
