"""Something in front of a server that lets some requests through, as an authenticating proxy does."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Refusal = Callable[[BaseHTTPRequestHandler], int | None]
"""Gives the status with which a request is refused; None lets it through."""
_KEPT = ("content-type", "x-serinus-actor", "idempotency-key")


@dataclass(frozen=True)
class Door:
    """A running door; ``passed`` holds the path and the bytes of each answer that went through it."""

    url: str
    passed: list[tuple[str, int]] = field(default_factory=list)


@contextmanager
def door(server_url: str, refused: Refusal) -> Iterator[Door]:
    """Stand in front of a server while the block runs."""
    address = urlsplit(server_url).netloc
    passed: list[tuple[str, int]] = []

    class Keeper(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = refused(self)
            if status is not None:
                self.send_error(status)
                return
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name: self.headers[name] for name in _KEPT if name in self.headers}
            connection = http.client.HTTPConnection(address, timeout=60)
            try:
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
            finally:
                connection.close()
            passed.append((self.path, len(content)))
            self.send_response(answer.status)
            self.send_header("content-type", answer.getheader("content-type") or "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names of the library

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Keeper) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield Door(f"http://127.0.0.1:{listener.server_port}", passed)
        listener.shutdown()
