"""The board of any number of processes, on Redis 7.0 or newer, or Valkey.

Redis keeps nothing that cannot be put up anew from the store and by the gateways, and keeps nothing for ever. All keys
begin with one prefix:

| key | holds |
|---|---|
| `splits` | a hash: deployment to its split, as JSON |
| `gateways`, `gateway:TOKEN` | a set of tokens; for each a hash, gone when it has not been heard of for `LIVE_S` |
| `lease` | is there while canaries may have traffic |
| `term` | the newest term of a checker that was seen |
| `evidence:ROLLOUT` | a hash: gateway process to its evidence, as JSON |

Two channels bring all news to a board: one is everybody's, the other its own, to which it has Redis send how everything
stands. Both arrive in the order in which things happened, so that an old state is never told after a newer one.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn
from uuid import uuid4

from serinus.boards.changes import cut_off, deposed, published
from serinus.boards.redis import evidence, scripts
from serinus.boards.redis.connection import Connection, NextMessage
from serinus.boards.redis.gateways import Gateways, Joined
from serinus.boards.redis.state import Lease, Mirror, State, decoded, encoded
from serinus.core.errors import SerinusError, Unavailable
from serinus.core.records import EvidenceReport
from serinus.core.routing import Cut, Split
from serinus.ports import OnSplit

TIMEOUT_S = 1.0
"""How long Redis may take to answer before it counts as gone."""
BEAT_S = 0.5
"""How often a board says that its gateways live, and asks how everything stands."""
LIVE_S = 3.0
"""How long a gateway counts as live that says so no more."""
SILENT_S = 1.5
"""How long nothing may be heard on the channels, where an answer to each beat should be."""
RECHECK_S = 0.25
"""How often whoever waits for acknowledgements looks by themselves, should no news come."""
FIRST_RETRY_S, LAST_RETRY_S = 0.05, 0.5
KEEP_S = 86_400
"""How long what nobody renews is kept."""
KEEP_TERM_S = 3600
"""How long the newest term is remembered: if the store was put back in time, its terms count again after that."""
COMPLAINTS = 1000


def open_board(url: str, *, prefix: str = "serinus:", on_trouble: Callable[[str], None]) -> "RedisBoard":
    """Open the board on a Redis; ``close`` it. Redis may be down now and come later.

    Args:
        url: ``redis://USER:PASSWORD@HOST:PORT/NUMBER``, ``rediss://…`` for TLS, or ``unix://PATH?db=NUMBER``.
        prefix: what all keys begin with; boards of one prefix in one database are one board.
        on_trouble: is told when Redis is lost, when it is back, and of what should not be there.

    Raises:
        InvalidInput: the URL is none of these.
    """
    board = RedisBoard(Connection(url, TIMEOUT_S), prefix, on_trouble)
    board.start()
    return board


class RedisBoard:
    """What all processes on one Redis see; ``start`` it in an event loop, and ``close`` it there."""

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        on_trouble: Callable[[str], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._prefix = prefix
        # Channels are the same for all databases of a Redis, keys are not.
        self._channel = f"{prefix}{connection.database}:changes"
        self._on_trouble = on_trouble
        self._monotonic = monotonic
        self._gateways = Gateways(monotonic)
        self._mirror = Mirror()
        self._lease = Lease()
        self._reported = evidence.Reported()
        self._reporting = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._awaiting_state: dict[asyncio.Future[None], float] = {}
        self._complaints: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._lost = False
        self._pause = FIRST_RETRY_S

    # ------------------------------------------------------------------------------------------ splits

    async def publish(self, split: Split) -> bool:
        return await self._change(split.deployment, lambda present: published(present, split)) is not None

    async def cut(
        self, deployment: str, cut: Cut, *, expected_generation: int | None = None, term: int | None = None
    ) -> Split | None:
        return await self._change(deployment, lambda present: cut_off(present, cut, expected_generation), term)

    async def _change(
        self, deployment: str, change: Callable[[object], Split | None], term: int | None = None
    ) -> Split | None:
        """Put up what a change makes of the split that is up, if it makes anything of it.

        Redis compares and sets texts and understands none of them: what a split is, is decided in one place, here.
        """
        present = self._mirror.texts.get(deployment, "")
        fence = "" if term is None else str(term)
        while True:
            wanted = change(decoded(present))
            text = present if wanted is None else encoded(wanted)
            result, *found = await self._connection.run(
                scripts.REPLACE,
                [self._key("splits"), self._key("term")],
                [self._channel, _ms(KEEP_S), deployment, present, text, fence, _ms(KEEP_TERM_S)],
            )
            if result == "deposed":
                raise deposed(int(fence), int(found[0]))
            if result == "done":
                return wanted
            present = found[0]

    async def split(self, deployment: str) -> object:
        return decoded(await self._connection.command("HGET", self._key("splits"), deployment) or "")

    async def splits(self) -> dict[str, object]:
        kept = await self._connection.command("HGETALL", self._key("splits"))
        return {deployment: decoded(text) for deployment, text in kept.items()}

    # ---------------------------------------------------------------------------------------- gateways

    async def join(self, gateway: str, on_split: OnSplit) -> None:
        before = self._gateways.join(gateway, on_split)
        if before is not None:
            await self._take_out(before)
        if not self._lost:
            await self._state_from_now_on()

    async def leave(self, gateway: str) -> None:
        """Take a gateway out; one that Redis cannot be told of runs out there by itself."""
        joined = self._gateways.leave(gateway)
        if joined is not None:
            await self._take_out(joined)

    async def _take_out(self, joined: Joined) -> None:
        self._gateways.see_left(joined.token)
        self._wake(*self._waiting)
        keys = [self._key("gateways"), self._key("gateway", joined.token)]
        with suppress(Unavailable):
            await self._connection.run(scripts.LEAVE, keys, [self._channel, _ms(LIVE_S), joined.token])

    def acknowledge(self, gateway: str, deployment: str, stamp: int) -> None:
        if self._gateways.acknowledge(gateway, deployment, stamp):
            self._acknowledged.set()
            self._wake(deployment)

    async def unacknowledged(self, deployment: str, stamp: int, timeout_s: float) -> list[str]:
        deadline = self._monotonic() + timeout_s
        woken = asyncio.Event()
        self._waiting.setdefault(deployment, set()).add(woken)
        try:
            while True:
                woken.clear()
                behind = await self._behind(deployment, stamp)
                remaining_s = deadline - self._monotonic()
                if not behind or remaining_s <= 0:
                    return behind
                await _waited(woken, min(remaining_s, RECHECK_S))
        finally:
            self._waiting[deployment].discard(woken)
            if not self._waiting[deployment]:
                del self._waiting[deployment]

    async def _behind(self, deployment: str, stamp: int) -> list[str]:
        found = await self._connection.run(
            scripts.BEHIND, [self._key("gateways")], [self._key("gateway", ""), deployment]
        )
        rows = zip(found[::3], found[1::3], found[2::3], strict=True)
        return self._gateways.behind({token: (name, int(has or 0)) for token, name, has in rows}, deployment, stamp)

    # ------------------------------------------------------------------------------- lease and evidence

    async def renew(self, term: int, ttl_s: float) -> None:
        asked, ttl_ms = self._monotonic(), _ms(ttl_s)
        keys = [self._key("lease"), self._key("term")]
        newest = await self._connection.run(scripts.RENEW, keys, [self._channel, str(term), ttl_ms, _ms(KEEP_TERM_S)])
        if newest is not None:
            raise deposed(term, int(newest))
        self._lease.renew(asked, int(ttl_ms) / 1000.0, self._monotonic())
        self._wanted.set()

    def leased(self) -> bool:
        return self._monotonic() < self._lease.until

    async def report(self, report: EvidenceReport) -> None:
        async with self._reporting:
            now = self._monotonic()
            writing = self._reported.writing(report, now)
            if writing.changed:
                keys = [self._key("evidence", rollout) for rollout in writing.changed]
                arguments = [writing.field, str(KEEP_S), *writing.arguments()]
                await self._connection.run(scripts.REPORT, keys, arguments)
            self._reported.done(writing, now)

    async def reports(self, rollout: str) -> list[EvidenceReport]:
        key = self._key("evidence", rollout)
        found = []
        for name, value in (await self._connection.command("HGETALL", key)).items():
            try:
                found.append(evidence.read(rollout, name, value))
            except (ValueError, TypeError) as wrong:
                self._complain(f"what stands in Redis under {key}, {name[:200]!r}, is passed over: {str(wrong)[:200]}")
        return found

    async def ping(self) -> None:
        await self._connection.command("PING")

    # --------------------------------------------------------------------------------- following Redis

    def start(self) -> None:
        """Begin to follow Redis."""
        self._task = asyncio.create_task(self._keep_following(), name="board")

    async def close(self) -> None:
        """Take out the gateways that are still there, and end all connections."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for joined in self._gateways.here():
            await self.leave(joined.name)
        await self._connection.close()

    async def _keep_following(self) -> None:
        while True:
            failure = await self._follow_until_failure()
            if self._closing:  # in Python 3.11 a task group that fails while it is cancelled forgets the latter
                return
            self._lose(failure)
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, LAST_RETRY_S)

    async def _follow_until_failure(self) -> Exception:
        try:
            await self._follow()
        except ExceptionGroup as failures:
            return failures.exceptions[0]
        except Exception as failure:  # noqa: BLE001 - whatever it is, Redis is followed again
            return failure

    async def _follow(self) -> NoReturn:
        """Hear of everything there is, then of every change, until the connection fails."""
        self._mirror.digest = ""
        self._gateways.remember()
        own = f"{self._channel}:{uuid4().hex}"
        async with self._connection.subscribed(self._channel, own) as next_message, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_beating(own))
            tasks.create_task(self._keep_acknowledging())
            await self._keep_hearing(next_message)

    async def _keep_beating(self, own: str) -> None:
        while True:
            self._wanted.clear()
            asked, known = repr(self._monotonic()), self._mirror.digest
            await self._beat(own, asked, known, self._gateways.all_acknowledged())
            await _waited(self._wanted, BEAT_S)

    async def _keep_acknowledging(self) -> None:
        while True:
            await self._acknowledged.wait()
            self._acknowledged.clear()
            await self._beat("", "", "", self._gateways.unsent())

    async def _beat(self, own: str, asked: str, known: str, acknowledged: list[str]) -> None:
        keys = [self._key(name) for name in ("splits", "lease", "gateways")]
        arguments = [self._key("gateway", ""), self._channel, _ms(LIVE_S), _ms(KEEP_S), own, asked, known]
        await self._connection.run(scripts.BEAT, keys, arguments + acknowledged)

    async def _keep_hearing(self, next_message: NextMessage) -> NoReturn:
        while True:
            message = await next_message(SILENT_S)
            try:
                self._hear(message)
            except (ValueError, TypeError, RecursionError) as wrong:
                self._complain(f"a message on a channel of Redis is passed over: {message[:200]!r}: {wrong}")

    def _hear(self, message: str) -> None:
        kind, *rest = json.loads(message)
        if not all(isinstance(each, str) for each in rest):
            raise TypeError(kind)
        if kind == "split":
            deployment, text = rest
            self._mirror.change(deployment, text)
            self._tell()
        elif kind == "state":
            self._settle(State.read(rest))
        elif kind == "lease":
            self._wanted.set()
        elif kind == "acknowledged":
            self._wake(*rest)
        elif kind == "left":
            self._gateways.see_left(*rest)
            self._wake(*self._waiting)
        else:
            raise ValueError(kind)

    def _settle(self, state: State) -> None:
        self._lease.read(state.asked, state.remaining_s)
        self._gateways.see(state.live)
        self._mirror.settle(state)
        self._tell()
        for waiting, since in self._awaiting_state.items():
            if since <= state.asked and not waiting.done():
                waiting.set_result(None)
        self._pause = FIRST_RETRY_S
        if self._lost:
            self._lost = False
            self._say(f"Redis at {self._connection.address} answers again.")

    def _tell(self) -> None:
        for joined in self._gateways.here():
            for deployment, text in self._mirror.news(joined):
                try:
                    joined.on_split(deployment, decoded(text))
                except Exception as defect:  # noqa: BLE001 - of one gateway's; the board goes on for all
                    self._complain(f"{joined.name} cannot take over a split: {type(defect).__name__}: {defect}")

    async def _state_from_now_on(self) -> None:
        """Wait until what Redis says after this moment has been heard, or it is lost."""
        heard = asyncio.get_running_loop().create_future()
        self._awaiting_state[heard] = self._monotonic()
        self._wanted.set()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(TIMEOUT_S):
                    await heard
        finally:
            del self._awaiting_state[heard]

    def _lose(self, failure: Exception) -> None:
        for waiting in self._awaiting_state:
            if not waiting.done():
                waiting.set_result(None)
        if not self._lost:
            self._lost = True
            known = isinstance(failure, SerinusError)
            self._say(str(failure) if known else f"the board failed: {type(failure).__name__}: {failure}")

    # -------------------------------------------------------------------------------------- small steps

    def _key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)

    def _wake(self, *deployments: str) -> None:
        for deployment in deployments:
            for woken in self._waiting.get(deployment, ()):
                woken.set()

    def _say(self, what: str) -> None:
        with suppress(Exception):  # a log that cannot be written must not end the board
            self._on_trouble(what)

    def _complain(self, complaint: str) -> None:
        """Tell of what will not go away, once."""
        if complaint not in self._complaints and len(self._complaints) < COMPLAINTS:
            self._complaints.add(complaint)
            self._say(complaint)


async def _waited(event: asyncio.Event, timeout_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


def _ms(seconds: float) -> str:
    """Write a duration as Redis takes it: whole milliseconds, one at least."""
    return str(max(int(seconds * 1000), 1))
