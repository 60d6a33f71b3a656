"""Following Redis, whatever happens to it: what is up is told to the gateways here, what they say is written there.

Two channels bring all news: one is everybody's, the other this process's own, to which Redis sends how everything
stands whenever it is asked. Both arrive in the order in which things happened there, so that nothing old is ever told
after something newer, and what was missed while the connection was gone is made up for when it is back.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn
from uuid import uuid4

from serinus.boards.redis import scripts
from serinus.boards.redis.connection import Connection, NextMessage
from serinus.boards.redis.gateways import Gateways, Joined
from serinus.boards.redis.layout import KEEP_S, LIVE_S, Layout, milliseconds
from serinus.boards.redis.state import Lease, Mirror, State, decoded
from serinus.core.errors import SerinusError, Unavailable
from serinus.ports import OnSplit

BEAT_S = 0.5
"""How often Redis is told that the gateways here live, and asked how everything stands."""
SILENT_S = 1.5
"""How long nothing may be heard on the channels, where an answer to each beat should be."""
PATIENCE_S = 1.0
"""How long a gateway that joins is kept waiting for what there is."""
FIRST_RETRY_S, LAST_RETRY_S = 0.05, 0.5
AN_OUTAGE = 2
"""So many failures in a row."""
COMPLAINTS = 1000
"""How many different complaints are told, each once."""


class Following:
    """What this process knows of the board, and the gateways that joined here.

    Args:
        on_trouble: is told when Redis is lost, and of what should not be there.
        on_recovery: is told when Redis is back, if not the same.
    """

    def __init__(
        self,
        connection: Connection,
        layout: Layout,
        on_trouble: Callable[[str], None],
        monotonic: Callable[[], float],
        on_recovery: Callable[[str], None] | None = None,
    ) -> None:
        self.mirror = Mirror()
        self.lease = Lease()
        self.gateways = Gateways(monotonic)
        self._connection = connection
        self._layout = layout
        self._on_trouble = on_trouble
        self._on_recovery = on_recovery or on_trouble
        self._monotonic = monotonic
        self._beat_wanted = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._awaiting_state: dict[asyncio.Future[None], float] = {}
        self._complaints: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._failures = 0
        self._pause = FIRST_RETRY_S

    # ---------------------------------------------------------------------------------------- gateways

    async def join(self, gateway: str, on_split: OnSplit) -> None:
        """Take a gateway in, and tell it of what there is; if Redis is gone, as soon as it is back."""
        before = self.gateways.join(gateway, on_split)
        if before is not None:
            await self._take_out(before)
        if not self._lost:
            await self._state_from_now_on()

    async def leave(self, gateway: str) -> None:
        """Take a gateway out; one that Redis cannot be told of runs out there by itself."""
        joined = self.gateways.leave(gateway)
        if joined is not None:
            await self._take_out(joined)

    async def _take_out(self, joined: Joined) -> None:
        self._left(joined.token)
        keys = [self._layout.key("gateways"), self._layout.key("gateway", joined.token)]
        with suppress(Unavailable):
            await self._connection.run(scripts.LEAVE, keys, [self._layout.changes, milliseconds(LIVE_S), joined.token])

    def acknowledge(self, gateway: str, deployment: str, stamp: int) -> None:
        """Note what a gateway acknowledges; it is written soon."""
        if self.gateways.acknowledge(gateway, deployment, stamp):
            self._acknowledged.set()
            self._wake(deployment)

    @contextmanager
    def woken(self, deployment: str) -> Iterator[asyncio.Event]:
        """Give what is set whenever a gateway acknowledges a split of the deployment, or leaves."""
        event = asyncio.Event()
        self._waiting.setdefault(deployment, set()).add(event)
        try:
            yield event
        finally:
            self._waiting[deployment].discard(event)
            if not self._waiting[deployment]:
                del self._waiting[deployment]

    def _wake(self, *deployments: str) -> None:
        for deployment in deployments:
            for event in self._waiting.get(deployment, ()):
                event.set()

    def _left(self, token: str) -> None:
        self.gateways.see_left(token)
        self._wake(*self._waiting)

    # --------------------------------------------------------------------------------------- following

    def start(self) -> None:
        """Begin to follow Redis, and go on until closed."""
        self._task = asyncio.create_task(self._keep_following(), name="board")

    async def close(self) -> None:
        """Follow no more, and take out the gateways that are still there."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for joined in self.gateways.here():
            await self.leave(joined.name)

    def ask(self) -> None:
        """Have Redis say at once how everything stands."""
        self._beat_wanted.set()

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
        self.mirror.digest = ""
        self.gateways.remember()
        changes, own = self._layout.changes, f"{self._layout.changes}:{uuid4().hex}"
        async with self._connection.subscribed(changes, own) as next_message, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_beating(own))
            tasks.create_task(self._keep_acknowledging())
            await self._keep_hearing(next_message)

    async def _keep_beating(self, own: str) -> None:
        while True:
            self._beat_wanted.clear()
            asked, known = repr(self._monotonic()), self.mirror.digest
            await self._beat(own, asked, known, self.gateways.all_acknowledged())
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._beat_wanted.wait()

    async def _keep_acknowledging(self) -> None:
        while True:
            await self._acknowledged.wait()
            self._acknowledged.clear()
            await self._beat("", "", "", self.gateways.unsent())

    async def _beat(self, own: str, asked: str, known: str, acknowledged: list[str]) -> None:
        keys = [self._layout.key(name) for name in ("splits", "lease", "gateways")]
        lasting = [milliseconds(LIVE_S), milliseconds(KEEP_S)]
        arguments = [self._layout.key("gateway", ""), self._layout.changes, *lasting, own, asked, known]
        await self._connection.run(scripts.BEAT, keys, arguments + acknowledged)

    async def _keep_hearing(self, next_message: NextMessage) -> NoReturn:
        while True:
            message = await next_message(SILENT_S)
            try:
                self._hear(message)
            except (ValueError, TypeError, RecursionError) as wrong:
                self.complain(f"a message on a channel of Redis is passed over: {message[:200]!r}: {wrong}")

    def _hear(self, message: str) -> None:
        kind, *rest = json.loads(message)
        if not all(isinstance(each, str) for each in rest):
            raise TypeError(kind)
        if kind == "split":
            deployment, text = rest
            self.mirror.change(deployment, text)
            self._tell()
        elif kind == "state":
            self._settle(State.read(rest))
        elif kind == "lease":
            self.ask()
        elif kind == "acknowledged":
            self._wake(*rest)
        elif kind == "left":
            self._left(*rest)
        else:
            raise ValueError(kind)

    def _settle(self, state: State) -> None:
        self.lease.read(state.asked, state.remaining_s)
        self.gateways.see(state.live, state.remaining_s)
        self.mirror.settle(state)
        self._tell()
        for waiting, since in self._awaiting_state.items():
            if since <= state.asked and not waiting.done():
                waiting.set_result(None)
        if self._lost:
            self._say(f"Redis at {self._connection.address} answers again.", self._on_recovery)
        self._failures, self._pause = 0, FIRST_RETRY_S

    def _tell(self) -> None:
        for joined in self.gateways.here():
            for deployment, text in self.mirror.news(joined):
                try:
                    joined.on_split(deployment, decoded(text))
                except Exception as defect:  # noqa: BLE001 - of one gateway's; the board goes on for all
                    self.complain(f"{joined.name} cannot take over a split: {type(defect).__name__}: {defect}")

    async def _state_from_now_on(self) -> None:
        """Wait until what Redis says after this moment has been heard, or it is lost."""
        heard = asyncio.get_running_loop().create_future()
        self._awaiting_state[heard] = self._monotonic()
        self.ask()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await heard
        finally:
            del self._awaiting_state[heard]

    # ----------------------------------------------------------------------------------------- trouble

    @property
    def _lost(self) -> bool:
        return self._failures >= AN_OUTAGE

    def _lose(self, failure: Exception) -> None:
        """Note that following failed; what the next attempt puts right was no outage."""
        self._failures += 1
        if not self._lost:
            return
        for waiting in self._awaiting_state:
            if not waiting.done():
                waiting.set_result(None)
        if self._failures == AN_OUTAGE:
            known = isinstance(failure, SerinusError)
            what = str(failure) if known else f"the board failed: {type(failure).__name__}: {failure}"
            self._say(what, self._on_trouble)

    def complain(self, complaint: str) -> None:
        """Tell of what will not go away by itself, once."""
        if complaint not in self._complaints and len(self._complaints) < COMPLAINTS:
            self._complaints.add(complaint)
            self._say(complaint, self._on_trouble)

    def _say(self, what: str, listener: Callable[[str], None]) -> None:
        with suppress(Exception):  # a log that cannot be written must not end the board
            listener(what)
