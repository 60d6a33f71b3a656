"""Two checkers that both believe that they lead and check the same deployment at once, each in a process of its own.

In each round the lease of the first one has run out, without its knowing, and the second one has taken it.
"""

import asyncio
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

from tests.production.faults import bad_evidence, put_together

from serinus.assembly import System
from serinus.core.errors import Deposed
from serinus.ports import CHECKER
from serinus.settings import read_settings

PATIENCE_S = 110.0
FIRST, SECOND = 0, 1


@dataclass
class Together:
    """Lets the two wait for each other."""

    barrier: Barrier | None = None

    async def wait(self) -> None:
        assert self.barrier is not None
        await asyncio.to_thread(self.barrier.wait, PATIENCE_S)


together = Together()


def rolled_back_by_two(settings: Mapping[str, str], deployments: Sequence[str]) -> list[list[str]]:
    """Have two checkers roll back the bad canary of each deployment; give what each met, first the deposed one."""
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    with ProcessPoolExecutor(2, mp_context=spawn, initializer=_join, initargs=(barrier, dict(settings))) as pool:
        return list(pool.map(_check_all, [deployments] * 2, (FIRST, SECOND)))


def _join(barrier: Barrier, settings: dict[str, str]) -> None:
    together.barrier = barrier
    os.environ.update(settings)


def _check_all(deployments: Sequence[str], index: int) -> list[str]:
    async def run() -> list[str]:
        home = Path(os.environ["SERINUS_HOME"]) / f"rival-{index}"
        home.mkdir(parents=True, exist_ok=True)
        async with put_together(read_settings(home=home), f"rival-{index}") as system:
            return [await _check(system, name, index) for name in deployments]

    return asyncio.run(run())


async def _check(system: System, name: str, index: int) -> str:
    assert system.checker is not None
    leadership = system.checker._leadership
    if index == FIRST:
        await bad_evidence(system, name)
        await leadership.renew()
        await system.store.release(CHECKER, leadership.holder)
    await together.wait()
    if index == SECOND:
        await leadership.renew()
    state, term = await system.engine.deployment(name), leadership.term
    assert term is not None
    await together.wait()
    try:
        await system.checker.check(state, term)
    except Deposed:
        return "deposed"
    finally:
        await together.wait()
        if index == SECOND:
            await leadership.release()
        await together.wait()
    return "checked"
