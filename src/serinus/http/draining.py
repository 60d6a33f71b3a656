"""The end of a server: first it says that it is not ready, and goes on serving until nobody sends it anything more."""

import asyncio
import gc
import signal
import socket
from collections.abc import MutableMapping
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from serinus.http.asgi import Application, Receive, Scope, Send

NEWCOMERS_S = 0.5
"""How long a server that ends waits for the first request of a caller that has just connected."""

_TURN_S = 0.01


class DrainingServer(uvicorn.Server):
    """uvicorn, not hanging up on those who have connected and not asked yet.

    A caller whose connection was taken cannot know that the server was told to end a moment before; with several
    processes on one port another one would have answered it.

    ``at_once``: how many connections are taken in one turn of the event loop, at most. libuv takes one, so that of
    hundreds of callers who come together the last would wait for a second while the first are served. Processes that
    share a port take one each, lest the first of them takes all.
    """

    def __init__(self, config: uvicorn.Config, *, at_once: int = 1) -> None:
        super().__init__(config)
        self._at_once = at_once

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # A socket that is listened to under several descriptors is heard of as often.
        await super().startup(sockets and [*sockets, *(each.dup() for each in sockets * (self._at_once - 1))])
        if self.started:
            _rarely_collect()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await asyncio.sleep(_TURN_S)  # what was taken from the queue becomes a connection
        for _ in range(round(NEWCOMERS_S / _TURN_S)):
            if self.force_exit or not self._has_newcomers:
                break
            await asyncio.sleep(_TURN_S)
        await super().shutdown(sockets)

    @property
    def _has_newcomers(self) -> bool:
        return any(getattr(connection, "cycle", connection) is None for connection in self.server_state.connections)


def _rarely_collect() -> None:
    """Look for cycles of garbage seldom, and never among what is there from the start: each look is a pause.

    On the way of a prediction there are none.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


class Draining:
    """Puts SIGTERM off by ``delay_s`` seconds.

    Meanwhile ``/health/ready`` answers 503, so that load balancers turn away, and every answer asks its caller to close
    the connection, so that none is in use when the server closes it.
    """

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._begun = False

    def listen(self, plane: FastAPI) -> None:
        """Hear of the end from now on, and tell it to what would last for ever: streams of events.

        What was to happen on SIGTERM happens after the delay, what was to happen on Ctrl-C at once.
        """
        ends = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        loop = asyncio.get_running_loop()

        def begin(number: int, frame: FrameType | None) -> None:
            plane.state.draining = True
            end = ends[signal.Signals(number)]
            if not callable(end):
                return
            if self._begun or not self._delay_s or number == signal.SIGINT:  # told twice: at once
                end(number, frame)
                return
            self._begun = True
            loop.call_soon_threadsafe(loop.call_later, self._delay_s, end, number, frame)

        for number, end in ends.items():
            if callable(end):
                signal.signal(number, begin)

    @property
    def has_begun(self) -> bool:
        """Whether the server is about to end."""
        return self._begun

    def around(self, inside: Application) -> Application:
        """Ask callers to close their connections once the end has begun."""

        async def draining(scope: Scope, receive: Receive, send: Send) -> None:
            await inside(scope, receive, _closing(send) if self._begun else send)

        return draining if self._delay_s else inside


def _closing(send: Send) -> Send:
    async def closing(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        await send(message)

    return closing
