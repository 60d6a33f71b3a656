"""What there is of deployments in the database and on the board, looked at past all servers, and whether it agrees."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis
from tests.production.fleet import Fleet
from tests.server import PATIENCE_S

from serinus.core.deployment import Deployment, Rollout
from serinus.core.events import TRANSITIONS, Event, EventKind
from serinus.core.routing import Split, split_of
from serinus.stores.sql import SqlStore, open_store


@dataclass(frozen=True)
class Record:
    """What there is of one deployment."""

    state: Deployment | None
    events: list[Event]
    rollouts: list[Rollout]
    split: Split | None

    @property
    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.events]

    @property
    def changes(self) -> list[EventKind]:
        return [event.kind for event in self.events if event.kind in TRANSITIONS]

    @property
    def agrees(self) -> bool:
        """Whether state, events, rollouts and board say the same."""
        state = self.state
        if state is None:
            return self.split is None and self.events == []
        generations = [event.generation for event in self.events if event.kind in TRANSITIONS]
        return (
            generations == list(range(1, state.generation + 1))
            and self.rollouts[:1] == ([state.rollout] if state.rollout else [])
            and self.split == split_of(state)
        )

    @property
    def served(self) -> tuple[int, str | None]:
        """The status of a prediction and the version that answers, where a canary has all of the traffic or none."""
        if self.state is None:
            return 404, None
        active, share = self.state.active, split_of(self.state).share
        return 200, str(active.canary if active and share else self.state.baseline)


@dataclass(frozen=True)
class Records:
    """Reads a fleet's database and board."""

    store: SqlStore
    redis: Redis
    prefix: str

    async def of(self, names: Iterable[str]) -> list[Record]:
        states = {state.name: state for state in await self.store.deployments()}
        splits = await self.redis.hgetall(f"{self.prefix}splits")
        return [
            Record(
                state=states.get(name),
                events=[each.event for each in await self.store.events(name, limit=1000)],
                rollouts=await self.store.rollouts(name, limit=1),
                split=Split.decoded(json.loads(splits.get(name, "null"))),
            )
            for name in names
        ]

    async def agreeing(self, names: Iterable[str]) -> list[Record]:
        """Wait until all of it agrees."""
        deadline, names = time.monotonic() + PATIENCE_S, list(names)
        while True:
            found = await self.of(names)
            wrong = [record for record in found if not record.agrees]
            if not wrong:
                return found
            assert time.monotonic() < deadline, wrong
            await asyncio.sleep(0.1)


@asynccontextmanager
async def records_of(fleet: Fleet) -> AsyncIterator[Records]:
    """Open a fleet's database and board."""
    settings = fleet.settings
    async with AsyncExitStack() as opened:
        store = await open_store(settings["SERINUS_DATABASE_URL"])
        opened.push_async_callback(store.close)
        redis = Redis.from_url(settings["SERINUS_REDIS_URL"], decode_responses=True)
        await opened.enter_async_context(redis)
        yield Records(store, redis, settings["SERINUS_REDIS_PREFIX"])


async def record_of(fleet: Fleet, deployment: str) -> Record:
    """Give what state, events and board say of a deployment as soon as they agree."""
    async with records_of(fleet) as records:
        (record,) = await records.agreeing([deployment])
        return record
