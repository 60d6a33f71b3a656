"""How soon a bad canary is rolled back over HTTP, and whether a good one ever is: a server with its defaults.

A caller sends requests at a steady rate, whatever the answers. The bad canary fails a part of the requests, by what is
asked; each rollout is timed from its first request that the canary was drawn for to the moment from which on nothing
is drawn for it any more: as the callers see it, and as it is on record.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from tests import models
from tests.server import Server, serving

from serinus.client import DocumentClient

DEPLOYMENT = "bench"
FEATURES = [{"age": age, "chol": 233.0} for age in range(100)]
CONNECTIONS = 8


@dataclass(frozen=True)
class Rolled:
    """One rollout: seconds from the first canary request to the last, canary requests, failed ones, and its end."""

    seconds: float
    requests: int
    failed: int
    phase: str
    reason: str


class Callers:
    """Requests at a steady rate over a few connections; the next is due whether or not the last was answered."""

    def __init__(self, port: int, rate: float) -> None:
        self._port = port
        self._rate = rate
        self._bodies = [json.dumps({"features": each}).encode() for each in FEATURES]
        self._random = random.Random(7)
        self._due: asyncio.Queue[None] = asyncio.Queue()
        self.seen: list[tuple[float, bool, bool]] = []
        """When each was sent, whether it was drawn for the canary, and whether that failed."""

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._pace()),
            *(asyncio.create_task(self._call()) for _ in range(CONNECTIONS)),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def check(self) -> None:
        """Raise what a caller ended with."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def _pace(self) -> None:
        due = time.monotonic()
        while True:
            due += 1.0 / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._due.put_nowait(None)

    async def _call(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while True:
            await self._due.get()
            body = self._random.choice(self._bodies)
            head = f"POST /predict/{DEPLOYMENT} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            sent = time.monotonic()
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            document = json.loads(await reader.readexactly(int(length.split(b":")[1])))
            assert answer.startswith(b"HTTP/1.1 200"), (answer, document)
            failed = document["failover"]
            self.seen.append((sent, failed or document["model_role"] == "canary", failed))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bad", type=int, default=20, help="rollouts of a canary that fails")
    parser.add_argument("--good", type=int, default=50, help="rollouts of an identical canary")
    parser.add_argument("--good-seconds", type=float, default=10.0, help="how long each of them is watched")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--share", type=float, default=20.0, help="the canary's, in percent")
    parser.add_argument("--failing", type=int, default=19, help="percent of the requests that the bad canary fails")
    asked = parser.parse_args()
    console = Console()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), SERINUS_ALLOW_PICKLE="true") as server,
        DocumentClient(server.url, timeout=60) as client,
        Progress(console=console, disable=not sys.stdout.isatty()) as bar,
    ):
        for model in (models.Risk(), models.FailsBelow(asked.failing), models.Risk()):
            models.register(client, "risk", model)
        client.deploy(DEPLOYMENT, models.STABLE, {"auto_promote": False})
        bad, good = asyncio.run(_measured(server, client, asked, bar))
    _print(console, asked, bad, good)
    return int(any(each.phase == "rolled_back" for each in good) or any(each.phase != "rolled_back" for each in bad))


async def _measured(
    server: Server, client: DocumentClient, asked: argparse.Namespace, bar: Progress
) -> tuple[list[Rolled], list[Rolled]]:
    task = bar.add_task("rollouts", total=asked.bad + asked.good)
    bad, good = [], []
    async with Callers(server.port, asked.rate) as callers:
        await asyncio.sleep(3.0)
        for number in range(asked.bad + asked.good):
            is_bad = number < asked.bad
            rolled = await _rollout(
                client, callers, 2 if is_bad else 3, asked.share, 60.0 if is_bad else asked.good_seconds
            )
            (bad if is_bad else good).append(rolled)
            bar.advance(task)
    return bad, good


async def _rollout(client: DocumentClient, callers: Callers, version: int, share: float, most_s: float) -> Rolled:
    callers.check()
    begin = len(callers.seen)
    await asyncio.to_thread(client.start, DEPLOYMENT, version, share)
    until = time.monotonic() + most_s
    while time.monotonic() < until:
        await asyncio.sleep(0.05)
        state = await asyncio.to_thread(client.deployment, DEPLOYMENT)
        if state["status"] == "stable":
            await asyncio.sleep(0.3)
            break
    state = await asyncio.to_thread(client.deployment, DEPLOYMENT)
    if state["status"] != "stable":
        await asyncio.to_thread(client.rollback, DEPLOYMENT, reason="measured")
        return Rolled(most_s, 0, 0, "running", "")
    canary = [(sent, failed) for sent, drawn, failed in callers.seen[begin:] if drawn]
    rollout = state["rollout"]
    on_record = (
        datetime.fromisoformat(rollout["ended_at"]) - datetime.fromisoformat(rollout["started_at"])
    ).total_seconds()
    seconds = canary[-1][0] - canary[0][0] if canary else on_record
    return Rolled(seconds, len(canary), sum(failed for _, failed in canary), rollout["phase"], rollout["reason"])


def _print(console: Console, asked: argparse.Namespace, bad: list[Rolled], good: list[Rolled]) -> None:
    table = Table(
        "", "median", "least", "most", title=f"{asked.failing} % fail, {asked.rate:g} requests/s, {asked.share:g} %"
    )
    for name, values in (
        ("seconds from the first canary request to the last", [each.seconds for each in bad]),
        ("canary requests", [float(each.requests) for each in bad]),
        ("of them failed (and answered by the baseline)", [float(each.failed) for each in bad]),
    ):
        if values:
            table.add_row(name, *(f"{each:.2f}" for each in (statistics.median(values), min(values), max(values))))
    console.print(table)
    ended = sum(each.phase == "rolled_back" for each in bad)
    console.print(f"{ended} of {len(bad)} canaries that fail were rolled back.")
    false = sum(each.phase == "rolled_back" for each in good)
    console.print(
        f"{false} of {len(good)} identical canaries were rolled back, each watched for {asked.good_seconds:g} s."
    )
    if bad:
        console.print(f"The last reason: {bad[-1].reason}")


if __name__ == "__main__":
    sys.exit(main())
