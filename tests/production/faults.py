"""A program that carries out commands in processes that are killed right before their k-th step: for crash tests.

    python -m tests.production.faults    # orders on standard input, reports on standard output, one JSON text a line

It is set by `SERINUS_*` like a server. Its parts are put together as those of `canary serve`: the HTTP application,
engine, checker, models and their threads, the stores on PostgreSQL, the board on Redis, the artifacts in S3. There is
no socket, no gateway and no background work, so that the steps are those of the command alone, and nobody but the next
server makes good what a killed one has left. It loads all modules once and forks for each order.

A step is a statement or the end of a transaction in the database, a command to Redis, and the answer at the end.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx2
from sqlalchemy import Connection as SqlConnection
from sqlalchemy import Engine
from sqlalchemy import event as listening
from tests import models

from serinus.assembly import System, SystemClock, _artifacts, _board, _Outside, _put_together
from serinus.boards.redis.connection import Connection
from serinus.boards.redis.scripts import Script
from serinus.core.evidence import Counts, Key, bucket_of
from serinus.core.records import EvidenceReport
from serinus.core.routing import Role
from serinus.home import Home
from serinus.http.app import control_plane
from serinus.settings import read_settings
from serinus.stores.sql import open_store

PATIENCE_S = 60
"""How long one order may take."""
BAD_REQUESTS = 100
_is_counted: ContextVar[bool] = ContextVar("_is_counted", default=False)
"""Whether what runs belongs to the command; the tasks that it starts take this over."""


@dataclass(frozen=True)
class Call:
    """A request to the HTTP application."""

    method: str
    path: str
    body: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Idempotency-Key": self.key} if self.key else {}


@dataclass(frozen=True)
class Order:
    """What a process does: ``before`` as it is, then ``call``, or the check of a deployment whose canary is bad.

    It is killed right before step ``die_before``, counted from 1; never if that is 0.
    """

    before: tuple[Call, ...] = ()
    call: Call | None = None
    check: str = ""
    register: int = 0
    die_before: int = 0

    def encoded(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def decoded(cls, text: str) -> "Order":
        raw = json.loads(text)
        call = Call(**raw["call"]) if raw["call"] else None
        return cls(**raw | {"before": tuple(Call(**each) for each in raw["before"]), "call": call})


@dataclass(frozen=True)
class Report:
    """What came of an order: the steps that were taken, how the process ended, the status of its answer if it gave one.

    ``exit_code`` is negative for a signal.
    """

    steps: tuple[str, ...]
    exit_code: int
    status: int = 0

    @property
    def was_killed(self) -> bool:
        return self.exit_code == -signal.SIGKILL

    @classmethod
    def decoded(cls, text: str) -> "Report":
        raw = json.loads(text)
        return cls(tuple(raw["steps"]), raw["exit_code"], raw["status"])


@dataclass
class Steps:
    """Counts the steps of a command, and ends the process before the one that it is told to."""

    tell: Callable[[Mapping[str, object]], None]
    die_before: int
    number: int = 0

    def __call__(self, what: str) -> None:
        if not _is_counted.get():
            return
        self.number += 1
        if self.number == self.die_before:
            os.kill(os.getpid(), signal.SIGKILL)
        self.tell({"step": what})


def count(step: Callable[[str], None]) -> None:
    """Have every step of the database and of the board announced before it is taken, in this process."""

    @listening.listens_for(Engine, "before_cursor_execute")
    def _(_connection: SqlConnection, _cursor: object, statement: str, *_: object) -> None:
        step(f"SQL: {' '.join(statement.split()[:3])}")

    for name in ("commit", "rollback"):
        listening.listen(Engine, name, lambda _, name=name: step(f"SQL: {name}"))

    command, run = Connection.command, Connection.run

    async def counted_command(self: Connection, *words: str) -> Any:
        step(f"Redis: {words[0]}")
        return await command(self, *words)

    async def counted_run(self: Connection, script: Script, keys: list[str], arguments: list[str]) -> Any:
        step(f"Redis: a script on {keys[0]}")
        return await run(self, script, keys, arguments)

    Connection.command = counted_command  # type: ignore[method-assign]
    Connection.run = counted_run  # type: ignore[assignment, method-assign]


@asynccontextmanager
async def put_together(name: str) -> AsyncIterator[System]:
    """Put a server's parts together as they are, without running them; ``name`` is that of the gateway and checker."""
    settings = read_settings()
    store = await open_store(settings.database)
    board = _board(settings)
    home = Home(settings.home, exclusive=False)
    outside = _Outside(settings, home, store, board, _artifacts(settings), SystemClock(), name, name, None)
    system, loaded = _put_together(outside, serves=False, checks=True)
    yield system
    await loaded.close()
    await board.close()
    await store.close()


async def bad_evidence(system: System, deployment: str) -> None:
    """Put up evidence by which the deployment's canary has to be rolled back."""
    state = await system.engine.deployment(deployment)
    assert state.active is not None
    latency = {bucket_of(1.0): BAD_REQUESTS}
    evidence = {
        Key(state.active.id, str(state.baseline), 1, Role.BASELINE): Counts(BAD_REQUESTS, latency=latency),
        Key(state.active.id, str(state.active.canary), 1, Role.CANARY): Counts(
            BAD_REQUESTS, model_errors=BAD_REQUESTS, latency=latency
        ),
    }
    await system.board.report(EvidenceReport("gateway", f"boot of {deployment}", evidence))
    at = state.active.started_at.timestamp() + state.settings.policy.interval_s
    await asyncio.sleep(max(0.0, at - system.now().timestamp()))


async def check(system: System, deployment: str) -> None:
    """Check one deployment as the leading checker does."""
    assert system.checker is not None
    await system.checker._leadership.renew()
    state, term = await system.engine.deployment(deployment), system.checker._leadership.term
    assert term is not None
    _is_counted.set(True)
    await system.checker.check(state, term)


async def _obey(order: Order, step: Callable[[str], None]) -> int:
    plane = control_plane(lambda: put_together("faults"))
    transport = httpx2.ASGITransport(app=plane)
    async with (
        put_together("faults") as system,
        httpx2.AsyncClient(transport=transport, base_url="http://faults", trust_env=False) as client,
    ):
        plane.state.system = system

        async def send(call: Call) -> int:
            answer = await client.request(call.method, call.path, json=dict(call.body), headers=call.headers)
            return answer.status_code

        for _ in range(order.register):
            await system.registry.register(models.pickled(models.Risk()), "risk")
        for each in order.before:
            assert await send(each) in {200, 201}, each
        status = 0
        if order.check:
            await bad_evidence(system, order.check)
            await check(system, order.check)
        elif order.call is not None:
            _is_counted.set(True)
            status = await send(order.call)
        step("the answer")
        _is_counted.set(False)
        return status


def _victim(order: Order, out: IO[str]) -> None:
    def tell(what: Mapping[str, object]) -> None:
        out.write(f"{json.dumps(what)}\n")
        out.flush()

    signal.alarm(PATIENCE_S)
    steps = Steps(tell, order.die_before)
    count(steps)
    tell({"status": asyncio.run(_obey(order, steps))})


def _report(order: Order) -> Report:
    """Carry out an order in a process of its own."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        code = 1
        try:
            os.close(reading)
            _victim(order, os.fdopen(writing, "w"))
            code = 0
        finally:
            sys.excepthook(*sys.exc_info()) if code else None  # type: ignore[arg-type]
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as lines:
        told = [json.loads(line) for line in lines]
    _, ending = os.waitpid(process, 0)
    steps = tuple(each["step"] for each in told if "step" in each)
    return Report(steps, os.waitstatus_to_exitcode(ending), next((e["status"] for e in told if "status" in e), 0))


def main() -> None:
    """Carry out orders until there are no more."""
    for line in sys.stdin:
        sys.stdout.write(f"{json.dumps(asdict(_report(Order.decoded(line))))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    Path(os.environ["SERINUS_HOME"]).mkdir(parents=True, exist_ok=True)
    main()
