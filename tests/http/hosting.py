"""A server in this process, with all that one on its own has, and callers that speak to it byte by byte."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn

from serinus.client import DocumentClient
from serinus.core.errors import SerinusError
from serinus.home import Home
from serinus.http.draining import DrainingServer
from serinus.http.hot import HotProtocol, HotRoute
from serinus.http.serving import Serving
from serinus.settings import read_settings

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Answer:
    """What came back for one request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = msgspec.json.decode(self.body)
        return document

    @property
    def steady(self) -> dict[str, Any]:
        """What is the same whenever it is asked."""
        return {name: value for name, value in self.document.items() if name not in {"prediction_id", "latency_ms"}}


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def ask(self, data: bytes) -> Answer:
        self.send(data)
        return await self.answer()

    async def answer(self) -> Answer:
        """Read one answer to its end."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(head[0].split()[1]), headers, body)

    async def is_closed(self, within_s: float = PATIENCE_S) -> bool:
        """Say whether the server closes the connection in time without a further word."""
        try:
            async with asyncio.timeout(within_s):
                return await self._reader.read(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    async def hang_up(self) -> None:
        self.writer.transport.abort()
        with suppress(OSError):
            await self.writer.wait_closed()


@dataclass
class Host:
    """A running server.

    ``short`` says of each request that was tried the short way whether it was answered there; ``parsed`` counts the
    heads that were parsed.
    """

    port: int
    home: Path
    config: uvicorn.Config
    server: DrainingServer
    ended: "asyncio.Task[None]"
    short: list[bool] = field(default_factory=list)
    parsed: int = 0
    lost: list[dict[str, Any]] = field(default_factory=list)
    """What went wrong where nobody was told."""

    @asynccontextmanager
    async def caller(self) -> AsyncIterator[Caller]:
        caller = Caller(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            yield caller
        finally:
            await caller.hang_up()

    async def ask(self, data: bytes) -> Answer:
        """Ask over a connection of its own."""
        async with self.caller() as caller:
            return await caller.ask(data)

    def connection_of(self, caller: Caller) -> HotProtocol:
        """Give the server's end of a connection."""
        name = caller.writer.get_extra_info("sockname")
        connections = self.server.server_state.connections
        known = (each for each in connections if isinstance(each, HotProtocol))
        (connection,) = (each for each in known if each.transport.get_extra_info("peername") == name)
        return connection

    def is_asked(self, caller: Caller) -> bool:
        """Say whether a request over a connection has come, and is not answered."""
        cycle = self.connection_of(caller).cycle
        return cycle is not None and not cycle.response_complete

    async def does(self, work: Callable[[DocumentClient], Any]) -> Any:
        """Let a client do something meanwhile."""

        def done() -> Any:
            with DocumentClient(f"http://127.0.0.1:{self.port}", timeout=PATIENCE_S) as client:
                return work(client)

        return await asyncio.to_thread(done)


@asynccontextmanager
async def hosting(folder: Path, **settings: Any) -> AsyncIterator[Host]:
    """Run a server on the event loop of the test, as ``canary serve`` would."""
    read = read_settings(home=folder, allow_pickle=True, log_interval=0.02, **settings)
    with (
        Home(folder, exclusive=True) as home,
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.MonkeyPatch.context() as patched,
    ):
        refusals: list[SerinusError] = []
        port: int = listener.getsockname()[1]
        serving = Serving(read, f"http://127.0.0.1:{port}", loopback_only=True)
        app = serving.application(home, refused=refusals.append)
        config = uvicorn.Config(
            app, http=HotProtocol, log_config=None, access_log=False, server_header=False, timeout_keep_alive=30
        )
        server = DrainingServer(config)
        host = Host(port, folder, config, server, asyncio.create_task(server.serve(sockets=[listener])))
        begin = HotRoute.begin

        def noted(self: HotRoute, *request: Any) -> bool:
            begun = begin(self, *request)
            host.short.append(begun)
            return begun

        patched.setattr(HotRoute, "begin", noted)
        complete = HotProtocol.on_headers_complete

        def counted(self: HotProtocol) -> None:
            host.parsed += 1
            complete(self)

        patched.setattr(HotProtocol, "on_headers_complete", counted)
        asyncio.get_running_loop().set_exception_handler(lambda _, context: host.lost.append(context))
        try:
            await _until(lambda: server.started or host.ended.done())
            assert server.started, refusals
            yield host
        finally:
            server.should_exit = True
            await host.ended


async def _until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.01)


def request(
    deployment: str, body: bytes, *headers: str, host: str = "127.0.0.1", version: str = "1.1", sized: bool = True
) -> bytes:
    """Write a request for a prediction; one without ``Origin`` may take the short way."""
    lines = [f"POST /predict/{deployment} HTTP/{version}", f"Host: {host}", *headers]
    lines += [f"Content-Length: {len(body)}"] * sized
    return "\r\n".join([*lines, "", ""]).encode() + body


LONG = "Origin: http://127.0.0.1"
"""A header with which a request takes the long way."""
