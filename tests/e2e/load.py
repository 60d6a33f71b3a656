"""Sends many requests over many connections: a client that costs little, so that two cores are the server's."""

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from serinus.client.calls import Document


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one request, and how long the caller waited for it."""

    status: int
    document: Document
    seconds: float
    sent_at: float
    retry_after: str = ""


class Lost(Exception):
    """The connection ended before a whole answer had come; ``begun`` if a part of it had."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__("begun" if begun else "not begun")
        self.begun = begun


class Connection:
    """One kept-alive HTTP/1.1 connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None

    async def predict(self, deployment: str, body: Mapping[str, object]) -> Reply:
        """Ask for one prediction."""
        if self._writer is None:
            await self.open()
        assert self._reader is not None
        assert self._writer is not None
        content = json.dumps(body).encode()
        head = f"POST /predict/{deployment} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(content)}\r\n\r\n"
        started = time.monotonic()
        try:
            self._writer.write(head.encode() + content)
            status, retry_after, answer = await self._answer(self._reader)
        except OSError as broken:
            raise Lost(begun=False) from broken
        return Reply(status, json.loads(answer), time.monotonic() - started, started, retry_after)

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            body = await reader.readexactly(int(headers["content-length"]))
            return int(lines[0].split()[1]), headers.get("retry-after", ""), body
        except asyncio.IncompleteReadError as broken:
            raise Lost(begun=bool(broken.partial)) from broken


async def ask_at_once(port: int, deployment: str, count: int, body: Mapping[str, Any], connections: int) -> list[Reply]:
    """Ask ``count`` times, each connection one after the other."""
    left = iter(range(count))
    replies: list[Reply] = []

    async def work() -> None:
        connection = Connection(port)
        replies.extend([await connection.predict(deployment, body) for _ in left])
        await connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(work())
    return replies


async def ask_steadily(port: int, deployment: str, count: int, body: Mapping[str, Any], each_s: float) -> list[Reply]:
    """Ask every ``each_s`` seconds, however long the answers take."""
    free: list[Connection] = []
    replies: list[Reply] = []

    async def ask() -> None:
        connection = free.pop() if free else Connection(port)
        replies.append(await connection.predict(deployment, body))
        free.append(connection)

    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await asyncio.sleep(max(0.0, started + number * each_s - time.monotonic()))
            group.create_task(ask())
    for connection in free:
        await connection.close()
    return replies
