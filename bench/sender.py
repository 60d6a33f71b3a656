"""Sends predictions at their time, whatever becomes of those before: a program of its own, and who runs it.

It takes an order of JSON, and writes what it has seen to a file when its schedule or its standard input has ended. A
request that finds no connection free opens another one, up to a limit, and waits from then on: that wait is part of its
latency, while a late start of this program is not.
"""

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import uvloop

CONNECTIONS = 256
PATIENCE_S = 60.0
ENDLESS = 1e9
_AGAIN_S = 0.02
"""After how long a connection that was refused is tried again."""
_LAST_S = 3.0
"""How long the last answers are waited for."""
_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class Seen(msgspec.Struct, array_like=True, gc=False):
    """One request; ``sent`` and ``done`` are instants of the machine's monotonic clock.

    ``status`` is 0 where no whole answer came. ``drawn``: the canary was drawn for it. ``part``: of the schedule.
    """

    sent: float
    done: float
    status: int
    connection: int
    part: int
    id: str = ""
    version: str = ""
    drawn: bool = False
    failover: bool = False
    retry_after: bool = False

    @property
    def ms(self) -> float:
        """How long the caller waited, milliseconds."""
        return (self.done - self.sent) * 1000.0


class Order(msgspec.Struct):
    """What to send.

    ``schedule`` has parts of (requests a second, seconds); a rate of 0 is a closed loop over all ``connections``. What
    a connection was at when it ended is lost; one that is not accepted is tried again.
    """

    port: int
    path: str
    bodies: list[str]
    schedule: list[tuple[float, float]]
    connections: int = CONNECTIONS


class _Answer(msgspec.Struct):
    prediction_id: str = ""
    model_version: str = ""
    model_role: str = ""
    failover: bool = False


_answer = msgspec.json.Decoder(_Answer).decode


class _Connection(asyncio.Protocol):
    def __init__(self, crowd: "_Crowd", number: int) -> None:
        self.crowd = crowd
        self.number = number
        self.transport: Any = None
        self.waits: tuple[float, int] | None = None
        self.held = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self, at: float, part: int) -> None:
        self.waits = at, part
        self.transport.write(random.choice(self.crowd.requests))

    def data_received(self, data: bytes) -> None:
        data = self.held + data if self.held else data
        end = data.find(_END)
        begin = data.find(_LENGTH, 0, end) + len(_LENGTH) if end >= 0 else 0
        if end < 0 or len(data) < end + len(_END) + int(data[begin : data.index(b"\r\n", begin)]):
            self.held = data
            return
        self.held = b""
        if self.waits is not None:
            (at, part), self.waits = self.waits, None
            self.crowd.answers.append((at, time.monotonic(), self.number, part, data))
            self.crowd.free(self)

    def connection_lost(self, trouble: Exception | None) -> None:
        if self.waits is not None:
            at, part = self.waits
            self.crowd.lose(at, part, self.number)
        self.waits = None
        self.crowd.ended(self)


class _Crowd:
    """All callers together."""

    def __init__(self, order: Order) -> None:
        head = f"POST {order.path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: "
        self.requests = [f"{head}{len(body.encode())}\r\n\r\n{body}".encode() for body in order.bodies]
        self.answers: list[tuple[float, float, int, int, bytes]] = []
        self.lost: list[Seen] = []
        self.unsent = 0
        self._order = order
        self._idle: list[_Connection] = []
        self._backlog: deque[tuple[float, int]] = deque()
        self._open = 0
        self._numbers = 0
        self._closed_loop = False
        self._part = 0
        self._opening: set[asyncio.Task[None]] = set()
        self.ending = False

    async def run(self) -> None:
        for part, (rate, seconds) in enumerate(self._order.schedule):
            self._part = part
            if rate:
                await self._at_a_rate(rate, seconds, part)
            else:
                await self._in_a_loop(seconds, part)
        self.ending = True
        until = time.monotonic() + _LAST_S
        while len(self._idle) < self._open and time.monotonic() < until:  # noqa: ASYNC110 - as good, and plainer
            await asyncio.sleep(0.01)

    async def _at_a_rate(self, rate: float, seconds: float, part: int) -> None:
        began, number = time.monotonic(), 0
        while not self.ending and (now := time.monotonic()) < began + seconds:
            while began + number / rate <= now:
                self.ask(time.monotonic(), part)
                number += 1
            await asyncio.sleep(max(0.0005, began + number / rate - now))

    async def _in_a_loop(self, seconds: float, part: int) -> None:
        self._closed_loop = True
        for _ in range(self._order.connections):
            self.ask(time.monotonic(), part)
        until = time.monotonic() + seconds
        while not self.ending and time.monotonic() < until:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.05)
        self._closed_loop = False
        self._backlog.clear()

    def ask(self, at: float, part: int) -> None:
        if self._idle:
            self._idle.pop().send(at, part)
            return
        self._backlog.append((at, part))
        if self._open < self._order.connections:
            self._begin()

    def _begin(self) -> None:
        self._open += 1
        self._numbers += 1
        task = asyncio.get_running_loop().create_task(self._connect(self._numbers))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        while not self.ending:
            with suppress(OSError):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self, number), "127.0.0.1", self._order.port
                )
                if self._backlog:
                    connection.send(*self._backlog.popleft())
                else:
                    self._idle.append(connection)
                return
            await asyncio.sleep(_AGAIN_S)

    def free(self, connection: _Connection) -> None:
        if self._closed_loop:
            connection.send(time.monotonic(), self._part)
        elif self._backlog:
            connection.send(*self._backlog.popleft())
        else:
            self._idle.append(connection)

    def lose(self, at: float, part: int, number: int) -> None:
        self.lost.append(Seen(at, time.monotonic(), 0, number, part))

    def ended(self, connection: _Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        self._open -= 1
        if not self.ending and (self._closed_loop or self._backlog):
            if self._closed_loop:
                self._backlog.append((time.monotonic(), self._part))
            self._begin()

    def seen(self) -> list[Seen]:
        """Give all requests by the time they were sent; what was never answered is among them."""
        found = [self._read(*each) for each in self.answers]
        now = time.monotonic()
        waited = [Seen(at, now, 0, 0, part) for at, part in self._backlog]
        return sorted(found + self.lost + waited, key=lambda each: each.sent)

    def _read(self, at: float, done: float, number: int, part: int, data: bytes) -> Seen:
        head, _, body = data.partition(_END)
        status = int(data[9:12])
        is_answer = status == 200  # noqa: PLR2004 - HTTP's
        said = _answer(body) if is_answer else _Answer()
        return Seen(
            at,
            done,
            status,
            number,
            part,
            said.prediction_id,
            said.model_version,
            said.failover or said.model_role == "canary",
            said.failover,
            b"retry-after: 1" in head,
        )


class Sender:
    """A sender at work; ``seen`` is what it has sent, once its block has ended."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.seen: list[Seen] = []

    def wait(self, seconds: float) -> None:
        """Wait for the end of its schedule."""
        self.process.wait(seconds + PATIENCE_S)


@contextmanager
def sending(order: Order) -> Iterator[Sender]:
    """Send in a process of its own until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "seen"
        command = [sys.executable, "-m", "bench.sender", str(file)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        sender = Sender(process)
        assert process.stdin is not None
        try:
            process.stdin.write(msgspec.json.encode(order) + b"\n")
            process.stdin.flush()
            yield sender
            process.stdin.close()
            assert process.wait(PATIENCE_S) == 0, "the sender failed"
            sender.seen = msgspec.msgpack.decode(file.read_bytes(), type=list[Seen])
        finally:
            process.kill()
            process.wait()


async def _sent() -> list[Seen]:
    loop = asyncio.get_running_loop()
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    crowd = _Crowd(order)

    def end() -> None:
        loop.remove_reader(sys.stdin.fileno())
        crowd.ending = True

    loop.add_reader(sys.stdin.fileno(), end)
    await crowd.run()
    return crowd.seen()


def bodies(features: list[dict[str, Any]]) -> list[str]:
    """Give requests for predictions, each for some features."""
    return [json.dumps({"features": each}) for each in features]


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(msgspec.msgpack.encode(uvloop.run(_sent())))
