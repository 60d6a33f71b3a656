"""What other processes do to a database in the tests; each function here is run in a process of its own."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy import event as listening
from tests.stores.samples import NOW, V2, created, draft, prediction, start

from serinus.core.commands import SetWeight
from serinus.core.errors import StaleGeneration
from serinus.core.events import Event
from serinus.core.lifecycle import apply
from serinus.stores import codec
from serinus.stores.sql import SqlStore, open_store

T = TypeVar("T")
PATIENCE_S = 110.0
KILLED = 9


@dataclass
class Together:
    """Lets the processes of one test wait for each other."""

    barrier: Barrier | None = None

    async def wait(self) -> None:
        assert self.barrier is not None
        await asyncio.to_thread(self.barrier.wait, PATIENCE_S)


together = Together()


def in_processes(count: int, function: Callable[[str, int], T], url: str) -> list[T]:
    """Run ``function(url, 0)``, ``function(url, 1)`` … at once, each in a new interpreter."""
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(count)
    with ProcessPoolExecutor(count, mp_context=spawn, initializer=_join, initargs=(barrier,)) as pool:
        return list(pool.map(function, [url] * count, range(count)))


def exit_code_of(function: Callable[[str], None], url: str) -> int | None:
    process = multiprocessing.get_context("spawn").Process(target=function, args=(url,))
    process.start()
    process.join(PATIENCE_S)
    code = process.exitcode
    process.close()
    return code


def _join(barrier: Barrier) -> None:
    together.barrier = barrier


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
        await store.append_predictions([prediction(1)])
        os._exit(KILLED)

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
