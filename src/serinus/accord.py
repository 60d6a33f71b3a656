"""What all servers of one store have in common: each of these is a lease that whoever has the same may share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from serinus.core.errors import SerinusError, Unavailable
from serinus.ports import Clock, Store

LEASE_S = 10.0
"""How long what servers had in common is held against others after the last of them was killed."""
RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class Common:
    """One thing that all servers of a store have in common.

    ``lease`` is its name in the store; ``ours`` is what this server has, and ``others`` what to say of servers that
    have another (``{}`` stands for theirs), with the setting at fault and what to do. ``alone``: it ends with this
    server, for no other can have the same.
    """

    lease: str
    ours: str
    others: str
    field: str
    remedy: str
    alone: bool = False


@asynccontextmanager
async def kept(common: Common, store: Store, clock: Clock, tell: Callable[[str], None]) -> AsyncIterator[None]:
    """Hold it in common with the others, as long as this server runs.

    Raises:
        Unavailable: other servers have something else, and go on having it.
    """
    deadline = clock.monotonic() + LEASE_S + 1.0  # one that was killed holds it for so long
    waits_for = ""
    while (theirs := await _holder(common, store, clock)) != common.ours:
        if theirs != waits_for:
            tell(f"{common.others.format(theirs)} This one waits {LEASE_S:g} s for them to go.")
            waits_for = theirs
        if clock.monotonic() > deadline:
            raise Unavailable(
                f"{common.others.format(theirs)} Here it is {common.ours}.", field=common.field, remedy=common.remedy
            )
        await asyncio.sleep(RETRY_S)
    keeping = asyncio.create_task(_keep(common, store, clock, tell), name=common.lease)
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})
        if common.alone:
            with suppress(SerinusError):  # it runs out by itself
                await store.release(common.lease, common.ours)


async def _keep(common: Common, store: Store, clock: Clock, tell: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(LEASE_S / 5)
        with suppress(SerinusError):  # nobody else can take it then, either
            theirs = await _holder(common, store, clock)
            if theirs != common.ours:
                tell(f"{common.others.format(theirs)} Here it is {common.ours}.")


async def _holder(common: Common, store: Store, clock: Clock) -> str:
    return (await store.hold(common.lease, common.ours, LEASE_S, clock.now())).holder
