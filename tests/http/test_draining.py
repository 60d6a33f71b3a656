"""A server that ends answers whoever had connected before, and waits for nobody for ever."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import uvicorn
import uvloop
from tests.e2e.load import Connection, Lost

from serinus.http.asgi import Receive, Scope, Send
from serinus.http.draining import NEWCOMERS_S, DrainingServer


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"{}"})


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Ending:
    """A server with one caller that has connected and asked for nothing, when it is told to end."""

    caller: Connection
    ended: "asyncio.Task[None]"


@asynccontextmanager
async def ending() -> AsyncIterator[Ending]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        server = DrainingServer(uvicorn.Config(answer, lifespan="off", log_level="warning"))
        ended = asyncio.create_task(server.serve(sockets=[listener]))
        caller = Connection(port)
        await caller.open()
        await until(lambda: server.server_state.connections)
        server.should_exit = True
        await until(lambda: not any(each.is_serving() for each in server.servers))
        yield Ending(caller, ended)
        await caller.close()
        await ended


async def test_whoever_had_connected_is_answered() -> None:
    async with ending() as end:
        await asyncio.sleep(0.05)
        assert (await end.caller.predict("prod", {})).status == 200


async def test_whoever_never_asks_is_not_waited_for() -> None:
    async with ending() as end:
        await asyncio.sleep(NEWCOMERS_S)
        await end.ended
        with pytest.raises(Lost):
            await end.caller.predict("prod", {})


@pytest.mark.parametrize(("at_once", "least", "most"), [(1, 1, 12), (16, 64, 64)])
async def test_so_many_connections_are_taken_in_a_turn(at_once: int, least: int, most: int) -> None:
    loop, connections, turns = uvloop.new_event_loop(), 64, 8

    async def taken() -> int:
        with socket.create_server(("127.0.0.1", 0), backlog=connections) as listener:
            server = DrainingServer(uvicorn.Config(answer, lifespan="off", log_level="warning"), at_once=at_once)
            ended = asyncio.create_task(server.serve(sockets=[listener]))
            await until(lambda: server.started)
            callers = [socket.create_connection(listener.getsockname()) for _ in range(connections)]
            for _ in range(turns):
                await asyncio.sleep(0)
            found = len(server.server_state.connections)
            for caller in callers:
                caller.close()
            server.should_exit = True
            await ended
            return found

    found = await asyncio.to_thread(loop.run_until_complete, taken())

    assert least <= found <= most
