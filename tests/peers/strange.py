"""Servers that answer with whatever bytes they are told: what no server should, and a real one cannot be made to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

Engine = Callable[[bytes], bytes]


def said(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


@asynccontextmanager
async def engine(answer: Engine, about: bytes = b"", token: str = "") -> AsyncIterator[tuple[str, list[bytes]]]:
    """Run an engine that is ready for every model and answers with the bytes it is told; gives what it was asked.

    ``about`` is what it says of each model. It refuses who brings a cookie or, where there is one, not its ``token``.
    """
    asked: list[bytes] = []
    served: set[asyncio.Task[Any] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        try:
            while request := await reader.readline():
                length, shown, cookie = 0, b"", False
                while (line := await reader.readline()) not in {b"\r\n", b""}:
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                    shown = value.strip() if name.lower() == b"authorization" else shown
                    cookie = cookie or name.lower() == b"cookie"
                body = await reader.readexactly(length)
                asked.append(request.split()[1])
                if cookie or (token and shown != f"Bearer {token}".encode()):
                    reply = said(b'{"error": "who are you?"}', "401 Unauthorized")
                else:
                    reply = said(about) if request.startswith(b"GET") else answer(body)
                if not reply:
                    break
                writer.write(reply)
        except ConnectionError:
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    await asyncio.gather(*filter(None, served))
