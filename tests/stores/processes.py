"""What other processes do to a database in the tests; each function here is run in a process of its own."""

import asyncio
import multiprocessing
import os
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy import event as listening
from tests.stores.samples import NOW, V2, check_event, created, draft, prediction, start, write_log

from serinus.core.commands import SetWeight
from serinus.core.errors import Deposed, StaleGeneration, Unavailable
from serinus.core.events import Event
from serinus.core.lifecycle import apply
from serinus.core.records import Lease
from serinus.ports import CHECKER
from serinus.stores import codec
from serinus.stores.sql import SqlStore, open_store
from serinus.stores.urls import parsed

T = TypeVar("T")
PATIENCE_S = 110.0
KILLED = 9

# Each process is a copy of one that has imported this and done nothing else.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["alembic.command", "psycopg", "serinus.stores.sql"])


@dataclass
class Together:
    """Lets the processes of one test wait for each other; the file ``enough`` tells them to come to an end."""

    barrier: Barrier | None = None
    enough: Path = Path()

    async def wait(self) -> None:
        assert self.barrier is not None
        await asyncio.to_thread(self.barrier.wait, PATIENCE_S)


together = Together()


def in_processes(count: int, function: Callable[[str, int], T], url: str, enough: Path = Path()) -> list[T]:
    """Run ``function(url, 0)``, ``function(url, 1)`` … at once, each in a process of its own."""
    barrier = processes.Barrier(count)
    with ProcessPoolExecutor(count, mp_context=processes, initializer=_join, initargs=(barrier, enough)) as pool:
        return list(pool.map(function, [url] * count, range(count)))


def exit_code_of(function: Callable[[str], None], url: str, *, patience_s: float = PATIENCE_S) -> int | None:
    """Run ``function(url)`` in a process of its own; None if that does not end."""
    process = processes.Process(target=function, args=(url,))
    process.start()
    process.join(patience_s)
    code = process.exitcode
    process.kill()
    process.join()
    process.close()
    return code


def _join(barrier: Barrier, enough: Path) -> None:
    together.barrier, together.enough = barrier, enough


def register_ten(url: str, index: int) -> list[int]:
    """Open the database together with the others, then register ten versions at once."""

    async def run() -> list[int]:
        await together.wait()
        store = await open_store(url)
        versions = await asyncio.gather(*(store.register(draft(), NOW) for _ in range(10)))
        await store.close()
        return [version.ref.version for version in versions]

    return asyncio.run(run())


def race_to_set_the_weight(url: str, index: int) -> list[str]:
    """Ten times, read the deployment, wait for the others to have read it, and set another weight."""

    async def attempt(store: SqlStore) -> str:
        state = await store.deployment("fraud")
        new, events = apply(state, SetWeight(weight=state.generation + index / 10), NOW) if state else (None, ())
        await together.wait()
        assert new is not None
        try:
            await store.save(new, new.generation - 1, events)
        except StaleGeneration:
            return "stale"
        finally:
            await together.wait()
        return "won"

    async def run() -> list[str]:
        store = await open_store(url)
        outcomes = [await attempt(store) for _ in range(10)]
        await store.close()
        return outcomes

    return asyncio.run(run())


def want_the_lease(url: str, index: int) -> list[Lease]:
    """Ten times, ask for the lease together with the others; who has it gives it back for the next time."""

    async def round_of(store: SqlStore) -> Lease:
        await together.wait()
        lease = await store.hold(CHECKER, str(index), 600.0, NOW)
        await together.wait()
        await store.release(CHECKER, str(index))
        return lease

    async def run() -> list[Lease]:
        store = await open_store(url)
        leases = [await round_of(store) for _ in range(10)]
        await store.close()
        return leases

    return asyncio.run(run())


def seize_the_lease_and_write(url: str, index: int) -> list[int]:
    """Fifty times, take a lease that runs out at once, and record an event under its term unless deposed already."""

    async def run() -> list[int]:
        store = await open_store(url)
        written = []
        await together.wait()
        for _ in range(50):
            lease = await store.hold(CHECKER, str(index), 0.0, NOW)
            with suppress(Deposed):
                await store.record([replace(check_event(), data={"term": lease.term})], term=lease.term)
                written.append(lease.term)
        await store.close()
        return written

    return asyncio.run(run())


def log_until_enough(url: str, index: int) -> list[str]:
    """Log one batch after the other, each until it is acknowledged, until there has been enough."""

    async def patiently(call: Callable[[], Awaitable[T]]) -> T:
        while True:
            with suppress(Unavailable):
                return await call()
            await asyncio.sleep(0.02)

    async def run() -> list[str]:
        store = await patiently(lambda: open_store(url))
        names: list[str] = []
        while not os.access(together.enough, os.F_OK):
            numbers = range(len(names), len(names) + 20)
            batch = [replace(prediction(number), id=f"{index}-{number}") for number in numbers]
            await patiently(partial(write_log, store, batch, str(index)))
            names += [record.id for record in batch]
        await store.close()
        return names

    return asyncio.run(run())


def die_before_the_event_is_written(url: str) -> None:
    def die(_event: Event) -> codec.Columns:
        os._exit(KILLED)

    codec.event_columns = die  # type: ignore[assignment]  # only the name of its parameter differs
    asyncio.run(_start_canary(url))


def die_before_the_commit(url: str) -> None:
    asyncio.run(_start_canary(url, dying=True))


def die_after_the_answer(url: str) -> None:
    """Write one of each kind and end at once, without closing."""

    async def run() -> None:
        store = await open_store(url)
        await store.register(draft(), NOW)
        await write_log(store, [prediction(1)])
        os._exit(KILLED)

    asyncio.run(run())


def is_cancelled_twice_while_it_waits_for_a_lock(url: str) -> None:
    """Write while somebody else has the lock: a time limit ends it, and then the end of the process."""

    async def register(store: SqlStore) -> None:
        async with asyncio.timeout(0.5):
            await store.register(draft(), NOW)

    async def run() -> None:
        store = await open_store(url)
        with closing(sqlite3.connect(str(parsed(url).database), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(register(store))
            await asyncio.sleep(0.55)
            writing.cancel()
            await asyncio.wait({writing})
            await store.close()

    asyncio.run(run())


async def _start_canary(url: str, *, dying: bool = False) -> None:
    store = await open_store(url)
    if dying:

        @listening.listens_for(store._database.writers.sync_engine, "commit")
        def die(_connection: Connection) -> None:
            os._exit(KILLED)

    state, _ = created()
    new, events = apply(state, start(V2), NOW)
    await store.save(new, state.generation, events)
