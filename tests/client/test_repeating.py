"""A command is sent under a key of its own, and again where the connection breaks before the answer is there."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from email.parser import Parser

import pytest

from serinus.client import DocumentClient
from serinus.client.errors import UnreachableError

ANSWER = json.dumps({"name": "prod"}).encode()


@dataclass
class Breaking:
    """Breaks as many connections as it is told to, each when it has read the request; then it answers."""

    url: str
    breaks: int
    seen: list[tuple[str, Message]] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            request = lines.readline().decode()
            head = Parser().parsestr("".join(iter(lambda: lines.readline().decode(), "\r\n")))
            lines.read(int(head["content-length"] or 0))
        self.seen.append((request, head))
        if len(self.seen) > self.breaks:
            length = f"content-length: {len(ANSWER)}\r\nconnection: close\r\n"
            connection.sendall(f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{length}\r\n".encode() + ANSWER)

    @property
    def keys(self) -> list[str | None]:
        return [head["idempotency-key"] for _, head in self.seen]


@contextmanager
def breaking(times: int) -> Iterator[Breaking]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Breaking(f"http://127.0.0.1:{listener.getsockname()[1]}", times)
        thread = threading.Thread(target=server.serve, args=[listener], daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_a_command_whose_connection_breaks_is_sent_again_under_the_same_key() -> None:
    with breaking(1) as server, DocumentClient(server.url) as client:
        assert client.promote("prod") == {"name": "prod"}

    assert len(server.keys) == 2
    assert server.keys[0]
    assert server.keys[0] == server.keys[1]


def test_each_command_has_a_key_of_its_own() -> None:
    with breaking(0) as server, DocumentClient(server.url) as client:
        client.promote("prod")
        client.promote("prod")

    assert len(set(server.keys)) == 2


def test_a_look_is_taken_again_and_needs_no_key() -> None:
    with breaking(1) as server, DocumentClient(server.url) as client:
        assert client.deployment("prod") == {"name": "prod"}

    assert server.keys == [None, None]


def test_a_prediction_is_not_sent_again() -> None:
    with breaking(1) as server, DocumentClient(server.url) as client, pytest.raises(UnreachableError):
        client.predict("prod", {"age": 63})

    assert server.keys == [None]


def test_a_server_that_breaks_every_connection_is_given_up() -> None:
    with breaking(9) as server, DocumentClient(server.url) as client, pytest.raises(UnreachableError) as given_up:
        client.promote("prod")

    assert len(server.seen) == 2
    assert "may have been done" in given_up.value.remedy
