"""The leanest HTTP server that Python has: httptools on uvloop, one callback a request, and nothing of a framework.

It is the limit that Serinus is held against. Whoever answers is handed in, so that it may as well sit elsewhere.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
import msgspec
import uvloop
from bench.serving.data import FEATURES

Row = tuple[float, ...]
Ask = Callable[[Row, Callable[[int], None]], None]
"""Takes a patient's features in the order of the model's, and whom to tell the class, now or later."""

Patient = msgspec.defstruct("Patient", [(name, float) for name in FEATURES])
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


class Request(msgspec.Struct):
    """What a caller sends."""

    features: Patient  # type: ignore[valid-type]  # made from the names


class Prediction(msgspec.Struct):
    """What it gets."""

    prediction: int


decode = msgspec.json.Decoder(Request).decode
encode = msgspec.json.Encoder().encode


class Connection(asyncio.Protocol):
    """Answers every request on a connection as a prediction, one after the other."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        body, self._body = self._body, b""
        self._ask(msgspec.structs.astuple(decode(body).features), self._told)

    def _told(self, prediction: int) -> None:
        body = encode(Prediction(prediction))
        self._transport.write(HEAD % (len(body), body))


def serve(port: int, ask: Ask) -> None:
    """Answer at a port until the process is ended."""

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Connection(ask), "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(forever())
