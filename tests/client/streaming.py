"""A timeline over Server-Sent Events that breaks each connection somewhere, now between events and now within one."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n"
BREAKS_AFTER = (500, 1, 900)
"""Bytes that connections give, one after the other, over and over."""


@dataclass
class Streaming:
    """What it is asked for, and where."""

    url: str
    opened: int = 0

    def serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            target = lines.readline().split()[1].decode()
            while lines.readline().strip():
                pass
        after = int(parse_qs(urlsplit(target).query)["after"][0])
        told = b": hello\n\n" + b"".join(self._event(number) for number in range(after + 1, after + 30))
        breaks_after = BREAKS_AFTER[self.opened % len(BREAKS_AFTER)]
        self.opened += 1  # before it is answered: who has the answer may look
        connection.sendall(HEAD + told[:breaks_after])

    def _event(self, number: int) -> bytes:
        document = {"id": number, "at": "2026-03-01T12:00:00+00:00", "kind": "promoted", "deployment": "prod"}
        return f"id: {number}\nevent: promoted\ndata: {json.dumps(document)}\n\n".encode()


@contextmanager
def streaming() -> Iterator[Streaming]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Streaming(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=server.serve, args=[listener], daemon=True)
        thread.start()
        yield server
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
