"""A small closed-loop load generator: each connection sends its next request when it has the last answer."""

import asyncio
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Load:
    """What came of a run: answers a second, milliseconds at the 50th and 99th percentile, answers that were no 200."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int


async def run(port: int, path: str, body: bytes, connections: int, seconds: float) -> Load:
    """Send ``body`` to ``path`` on this machine for some seconds."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    took: list[float] = []
    failed = 0
    until = time.perf_counter() + seconds

    async def connection() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < until:
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            took.append(time.perf_counter() - started)
            failed += not head.startswith(b"HTTP/1.1 200")
        writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    cuts = statistics.quantiles(took, n=100)
    return Load(len(took) / seconds, cuts[49] * 1000, cuts[98] * 1000, failed)


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    outcome = asyncio.run(
        run(order["port"], order["path"], order["body"].encode(), order["connections"], order["seconds"])
    )
    print(json.dumps(asdict(outcome)))
