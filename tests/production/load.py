"""Requests to several gateways that go on in the background, so that a test can break things meanwhile."""

import asyncio
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event

from tests.e2e.load import Connection, Lost
from tests.models import KNOWN

from serinus.client.calls import Document
from serinus.core.routing import Role


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request; times are those of ``time.monotonic``."""

    deployment: str
    port: int
    sent_at: float
    seconds: float
    status: int
    document: Document

    @property
    def is_canary(self) -> bool:
        return self.document.get("model_role") == Role.CANARY

    @property
    def id(self) -> str:
        return str(self.document["prediction_id"])


@dataclass
class Load:
    """All that was answered so far; ``lost`` are the ports of connections that broke or gave what is no answer."""

    answers: list[Answer] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)

    def of(self, deployment: str, *, after: float = -math.inf, before: float = math.inf) -> list[Answer]:
        """Give the answers to what was asked of a deployment in a time, in the order in which it was asked."""
        asked = [each for each in self.answers if each.deployment == deployment and after < each.sent_at < before]
        return sorted(asked, key=lambda each: each.sent_at)

    def last_canary(self, deployment: str) -> float:
        """Give when the last request was sent that a canary answered."""
        return max(each.sent_at for each in self.answers if each.deployment == deployment and each.is_canary)


@contextmanager
def load(ports: Sequence[int], every_s: Mapping[str, float], *, anew: bool = False) -> Iterator[Load]:
    """Ask each of the gateways for a prediction of each deployment every so many seconds, until the block ends.

    ``anew``: by a new connection each time, instead of one that is kept.
    """
    load, ended = Load(), Event()
    with ThreadPoolExecutor(1) as thread:
        work = thread.submit(asyncio.run, _keep_asking(ports, every_s, load, ended, anew=anew))
        try:
            yield load
        finally:
            ended.set()
            work.result()


async def _keep_asking(
    ports: Sequence[int], every_s: Mapping[str, float], load: Load, ended: Event, *, anew: bool
) -> None:
    async def ask(port: int, deployment: str, each_s: float) -> None:
        connection, due = Connection(port), time.monotonic()
        while not ended.is_set():
            due = max(due + each_s, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            try:
                reply = await connection.predict(deployment, {"features": KNOWN})
            except (Lost, OSError, ValueError):
                load.lost.append(port)
                await connection.close()
                continue
            load.answers.append(Answer(deployment, port, reply.sent_at, reply.seconds, reply.status, reply.document))
            if anew:
                await connection.close()
        await connection.close()

    async with asyncio.TaskGroup() as group:
        for port in ports:
            for deployment, each_s in every_s.items():
                group.create_task(ask(port, deployment, each_s))


WINDOW = 80
CHANCE = 5.5


def most(requests: int, weight: float) -> float:
    """Give how many canary answers a share can give by chance: five and a half standard errors above it."""
    share = weight / 100
    return requests * share + CHANCE * math.sqrt(requests * share * (1 - share))


def highest_share(answers: Sequence[Answer], window: int = WINDOW) -> float:
    """Give the greatest share of canary answers, in percent, of so many requests in a row."""
    counts = [sum(each.is_canary for each in answers[at : at + window]) for at in range(len(answers) - window + 1)]
    return 100.0 * max(counts) / window
