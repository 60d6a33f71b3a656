"""A program that carries out commands in processes that are killed right before their k-th step, for each k.

    python -m tests.production.faults    # what to do on standard input, what came of it on standard output, as JSON

It is set by `SERINUS_*` like a server. Its parts are put together as those of `canary serve`: the HTTP application,
engine, checker, models and their threads, the store on PostgreSQL, the board on Redis, the artifacts in S3. There is
no socket, no gateway and no background work, so that the steps are those of the command alone, and nobody but the next
server makes good what a killed process has left. It loads all modules once and forks for each process.

A step is a statement or the end of a transaction in the database, a command to Redis, and the answer at the end.
"""

import asyncio
import gc
import json
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from sqlalchemy import Connection as SqlConnection
from sqlalchemy import Engine
from sqlalchemy import event as listening
from tests import models
from tests.models import STABLE

from serinus.adapters import artifacts_for, board_for, journals_for
from serinus.assembly import System, SystemClock, _Outside, _put_together
from serinus.boards.redis.connection import Connection
from serinus.boards.redis.scripts import Script
from serinus.core.commands import Command, Create, Promote, StartCanary
from serinus.core.deployment import Deployment
from serinus.core.evidence import Counts, Key, bucket_of
from serinus.core.lifecycle import apply
from serinus.core.names import VersionRef
from serinus.core.policy import Settings, ThresholdPolicy
from serinus.core.records import EvidenceReport
from serinus.core.routing import Role, split_of
from serinus.formats import Formats
from serinus.home import Home
from serinus.http.app import control_plane
from serinus.settings import ServerSettings, read_settings
from serinus.stores.postgresql import Postgresql
from serinus.stores.sql import SqlStore, open_store
from serinus.stores.urls import postgresql_url

NAME = "<name>"
"""Stands in an order for the name of the deployment, which is another one for each process."""
AT_ONCE = 2
"""How many processes work at the same time."""
SPARE = 2
"""For how many more steps there are deployments than the command had when it was not disturbed."""
PATIENCE_S = 60
"""How long one process may take."""
BAD_REQUESTS = 100
_is_counted: ContextVar[bool] = ContextVar("_is_counted", default=False)
"""Whether what runs belongs to the command; the tasks that it starts take this over."""


@dataclass(frozen=True)
class Call:
    """A request to the HTTP application."""

    method: str
    path: str
    body: Mapping[str, Any] = field(default_factory=dict)

    def of(self, name: str) -> "Call":
        """Give the request for a deployment."""
        return Call(self.method, self.path.replace(NAME, name), json.loads(json.dumps(self.body).replace(NAME, name)))


@dataclass(frozen=True)
class Order:
    """What is done to each deployment: it is brought through ``before``, then, step by step, there is ``call``.

    ``before`` names transitions of ``BEFORE``. Without a call it is a check of the deployment, whose canary has nothing
    but errors. ``again``: another process repeats the call at once.
    """

    before: tuple[str, ...]
    call: Call | None
    again: bool = False

    @classmethod
    def decoded(cls, raw: Any) -> "Order":
        return cls(tuple(raw["before"]), Call(**raw["call"]) if raw["call"] else None, raw["again"])


@dataclass(frozen=True)
class Report:
    """What a process did: its steps, how it ended (negative for a signal), the status of its answer if it gave one.

    ``repeated`` is the status that another process had for the same.
    """

    steps: tuple[str, ...]
    exit_code: int
    status: int = 0
    repeated: int = 0

    @property
    def was_killed(self) -> bool:
        return self.exit_code == -signal.SIGKILL

    @classmethod
    def decoded(cls, raw: Any) -> "Report":
        return cls(**raw | {"steps": tuple(raw["steps"])})


NEVER, SOON = ThresholdPolicy(interval_s=86_400), ThresholdPolicy(interval_s=0.1)
CANARY = VersionRef(STABLE.model, STABLE.version + 1)
BEFORE: dict[str, Callable[[str], Command]] = {
    "create": lambda name: Create(name=name, baseline=STABLE, settings=Settings(policy=NEVER)),
    "create, judged soon": lambda name: Create(name=name, baseline=STABLE, settings=Settings(policy=SOON)),
    "start": lambda _: StartCanary(canary=CANARY, weight=100.0),
    "start at zero": lambda _: StartCanary(canary=CANARY, weight=0.0),
    "promote": lambda _: Promote(),
}
"""Transitions by which deployments come to where a command finds them. A canary has all of the traffic, or nothing."""


def key_of(name: str) -> str:
    """Give the idempotency key of the call on a deployment."""
    return f"of-{name}"


@dataclass
class Steps:
    """Counts the steps of a command, and ends the process before the one that it is told to."""

    tell: Callable[[object], None]
    die_before: int
    number: int = 0

    def __call__(self, what: str) -> None:
        if not _is_counted.get():
            return
        self.number += 1
        if self.number == self.die_before:
            os.kill(os.getpid(), signal.SIGKILL)
        self.tell(what)


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
async def put_together(settings: ServerSettings, name: str = "faults") -> AsyncIterator[System]:
    """Put a server's parts together as they are, without running them; ``name`` is that of its gateway and checker."""
    store = SqlStore(Postgresql(postgresql_url(settings.database)))
    board = board_for(settings, on_trouble=print, on_recovery=print)
    home = Home(settings.home, exclusive=False)
    artifacts = artifacts_for(settings, on_trouble=print)
    journals = journals_for(settings, "store", name, on_trouble=print)
    outside = _Outside(settings, home, store, board, artifacts, SystemClock(), name, name, None, (), None, journals)
    system, loaded, nursery = _put_together(outside, serves=False, checks=True)
    yield system
    await loaded.close()
    nursery.close()
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


@dataclass(frozen=True)
class Program:
    """What all processes share: the settings, and the HTTP application, to which each gives a system of its own."""

    settings: ServerSettings
    plane: FastAPI

    @asynccontextmanager
    async def speaking(self) -> AsyncIterator[tuple[System, httpx2.AsyncClient]]:
        """Put a system behind the application, and speak to it without a socket."""
        transport = httpx2.ASGITransport(app=self.plane)
        async with (
            put_together(self.settings) as system,
            httpx2.AsyncClient(transport=transport, base_url="http://faults", trust_env=False) as client,
        ):
            self.plane.state.system = system
            yield system, client

    async def register(self, versions: int) -> None:
        await (await open_store(self.settings.database)).close()  # now it has its schema
        async with put_together(self.settings) as system:
            for _ in range(versions):
                await system.registry.register(models.pickled(models.Risk()), STABLE.model)

    async def warm_up(self) -> None:
        """Do once what each process would do first, and leave nothing open."""
        package = models.pickled(models.Risk())
        Formats(allow_pickle=True).load(package.data, package.format, package.signature)
        async with self.speaking() as (_, client):
            assert await send(client, Call("GET", "/deployments/nowhere")) == HTTPStatus.NOT_FOUND
            assert await send(client, Call("GET", "/nowhere")) == HTTPStatus.NOT_FOUND

    async def prepare(self, before: Sequence[str], names: Sequence[str]) -> None:
        """Bring deployments to where the command finds them."""
        async with put_together(self.settings) as system:
            for name in names:
                state: Deployment | None = None
                for transition in before:
                    new, events = apply(state, BEFORE[transition](name), system.now())
                    await system.store.save(new, state.generation if state else 0, events)
                    await system.board.publish(split_of(new))
                    state = new

    async def carry_out(self, order: Order, name: str, step: Callable[[str], None]) -> int:
        """Carry out the command, and give the status of its answer."""
        async with self.speaking() as (system, client):
            status = 0
            if order.call is None:
                await bad_evidence(system, name)
                await check(system, name)
            else:
                _is_counted.set(True)
                status = await send(client, order.call.of(name), key_of(name))
            step("the answer")
            _is_counted.set(False)
            return status


async def send(client: httpx2.AsyncClient, call: Call, key: str = "") -> int:
    answer = await client.request(
        call.method, call.path, json=dict(call.body), headers={"Idempotency-Key": key} if key else {}
    )
    return answer.status_code


# ------------------------------------------------------------------------------------------ processes


@dataclass(frozen=True)
class Forked:
    """A process that was forked, and the lines that it writes."""

    pid: int
    out: int

    @classmethod
    def doing(cls, work: Callable[[Callable[[object], None]], None]) -> "Forked":
        """Do something in a process of its own; what it tells comes as lines of JSON."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writing)
            return cls(pid, reading)
        os.close(reading)
        code = 1
        try:
            with os.fdopen(writing, "w") as out:

                def tell(what: object) -> None:
                    out.write(f"{json.dumps(what)}\n")
                    out.flush()

                work(tell)
            code = 0
        except BaseException:  # noqa: BLE001 - nothing may come out of here: it would go on as the first process
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def ended(self) -> tuple[list[Any], int]:
        """Wait for its end, and give what it told and its exit code."""
        with os.fdopen(self.out) as lines:
            told = [json.loads(line) for line in lines]
        _, status = os.waitpid(self.pid, 0)
        return told, os.waitstatus_to_exitcode(status)


def _report(program: Program, order: Order, name: str, die_before: int = 0) -> Report:
    """Carry out the command in a process that is killed before a step."""

    def work(tell: Callable[[object], None]) -> None:
        signal.alarm(PATIENCE_S)
        step = Steps(tell, die_before)
        count(step)
        tell({"status": asyncio.run(program.carry_out(order, name, step))})

    told, exit_code = Forked.doing(work).ended()
    steps = tuple(each for each in told if isinstance(each, str))
    return Report(steps, exit_code, next((each["status"] for each in told if isinstance(each, dict)), 0))


def _reports(program: Program, kind: str, order: Order) -> Iterator[Report]:
    """Carry out the command undisturbed on KIND-0; then be killed before step k of it on KIND-k, for every k."""

    def prepare(numbers: Iterable[int]) -> None:
        names = [f"{kind}-{number}" for number in numbers]
        _in_a_process(program.prepare(order.before, names))

    prepare([0])
    whole = _report(program, order, f"{kind}-0")
    yield whole
    numbers = range(1, len(whole.steps) + SPARE + 1)
    prepare(numbers)
    for number in numbers:
        name = f"{kind}-{number}"
        report = _report(program, order, name, number)
        yield replace(report, repeated=_report(program, order, name).status) if order.again else report
        if not report.was_killed:
            return


def _in_a_process(work: Coroutine[Any, Any, None]) -> None:
    """Do something of which no thread and no connection is to be left for the processes that are forked after it."""
    _, code = Forked.doing(lambda _: asyncio.run(work)).ended()
    work.close()
    assert code == 0, work


def main() -> None:
    """Carry out every order."""
    wanted = json.load(sys.stdin)
    program = Program(read_settings(), control_plane(lambda: put_together(program.settings)))
    _in_a_process(program.register(wanted["versions"]))
    asyncio.run(program.warm_up())
    gc.freeze()  # what all share is not looked through, and thereby copied, in each
    gc.disable()
    left = [(kind, Order.decoded(raw)) for kind, raw in wanted["orders"].items()]
    at_work: list[tuple[str, Forked]] = []
    found: dict[str, Any] = {}
    while left or at_work:
        while left and len(at_work) < AT_ONCE:
            kind, order = left.pop()

            def work(tell: Callable[[object], None], kind: str = kind, order: Order = order) -> None:
                for report in _reports(program, kind, order):
                    tell(asdict(report))

            at_work.append((kind, Forked.doing(work)))
        kind, first = at_work.pop(0)
        found[kind], code = first.ended()
        assert code == 0, kind
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    Path(os.environ["SERINUS_HOME"]).mkdir(parents=True, exist_ok=True)
    main()
