"""The board of any number of processes, on Redis 7.0 or newer, or Valkey.

Redis keeps nothing that cannot be put up anew from the store and by the gateways, and keeps nothing for ever; see
``layout`` for what it keeps, ``following`` for how news arrive. Nobody's clock has to agree with anybody's.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from serinus.boards.changes import cut_off, deposed, promised, published
from serinus.boards.redis import evidence, scripts
from serinus.boards.redis.connection import Connection
from serinus.boards.redis.following import Following
from serinus.boards.redis.layout import KEEP_S, KEEP_TERM_S, Layout, milliseconds
from serinus.boards.redis.state import decoded, encoded
from serinus.core.records import EvidenceReport
from serinus.core.routing import Cut, Split
from serinus.ports import OnSplit

TIMEOUT_S = 1.0
"""How long Redis may take to answer before it counts as gone."""
RECHECK_S = 0.25
"""How often whoever waits for acknowledgements looks by themselves, should no news come."""


def open_board(
    url: str,
    *,
    prefix: str = "serinus:",
    on_trouble: Callable[[str], None],
    on_recovery: Callable[[str], None] | None = None,
) -> "RedisBoard":
    """Open the board on a Redis, in an event loop; ``close`` it there. Redis may be down now and come later.

    Args:
        url: ``redis://USER:PASSWORD@HOST:PORT/NUMBER``, ``rediss://…`` for TLS, or ``unix://PATH?db=NUMBER``.
        prefix: what all keys begin with; boards of one prefix in one database are one board.
        on_trouble: is told when Redis is lost, and of what should not be there.
        on_recovery: is told when Redis is back, if not the same.

    Raises:
        InvalidInput: the URL is none of these.
    """
    return RedisBoard(Connection(url, TIMEOUT_S), prefix, on_trouble, on_recovery=on_recovery)


class RedisBoard:
    """What all processes on one Redis see. Made by ``open_board``."""

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        on_trouble: Callable[[str], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        on_recovery: Callable[[str], None] | None = None,
    ) -> None:
        self._connection = connection
        self._layout = Layout(prefix, connection.database)
        self._monotonic = monotonic
        self._reported = evidence.Reported()
        self._reporting = asyncio.Lock()
        self._following = Following(connection, self._layout, on_trouble, monotonic, on_recovery)
        self._following.start()

    # ------------------------------------------------------------------------------------------ splits

    async def publish(self, split: Split, *, promoted: str = "") -> bool:
        return await self._change(split.deployment, lambda present: published(present, split, promoted)) is not None

    async def cut(
        self, deployment: str, cut: Cut, *, expected_generation: int | None = None, term: int | None = None
    ) -> Split | None:
        return await self._change(deployment, lambda present: cut_off(present, cut, expected_generation), term)

    async def promise(self, deployment: str, cut: Cut) -> Split | None:
        return await self._change(deployment, lambda present: promised(present, cut))

    async def _change(
        self, deployment: str, change: Callable[[object], Split | None], term: int | None = None
    ) -> Split | None:
        """Put up what a change makes of the split that is up, if it makes anything of it.

        Redis compares and sets texts and understands none of them: what a split is, is decided in one place, here.
        What is up is known from following, so that one question does unless somebody else was faster.
        """
        present = self._following.mirror.texts.get(deployment, "")
        keys = [self._layout.key("splits"), self._layout.key("term")]
        fence = "" if term is None else str(term)
        while True:
            wanted = change(decoded(present))
            texts = [present, present if wanted is None else encoded(wanted)]
            arguments = [self._layout.changes, milliseconds(KEEP_S), deployment, *texts, fence]
            result, *found = await self._connection.run(scripts.REPLACE, keys, [*arguments, milliseconds(KEEP_TERM_S)])
            if result == "deposed":
                raise deposed(int(fence), int(found[0]))
            if result == "done":
                return wanted
            present = found[0]

    async def split(self, deployment: str) -> object:
        return decoded(await self._connection.command("HGET", self._layout.key("splits"), deployment) or "")

    async def splits(self) -> dict[str, object]:
        kept = await self._connection.command("HGETALL", self._layout.key("splits"))
        return {deployment: decoded(text) for deployment, text in kept.items()}

    # ---------------------------------------------------------------------------------------- gateways

    async def join(self, gateway: str, on_split: OnSplit) -> None:
        await self._following.join(gateway, on_split)

    async def leave(self, gateway: str) -> None:
        """Take a gateway out; one that Redis cannot be told of runs out there by itself."""
        await self._following.leave(gateway)

    def acknowledge(self, gateway: str, deployment: str, stamp: int) -> None:
        self._following.acknowledge(gateway, deployment, stamp)

    async def unacknowledged(self, deployment: str, stamp: int, timeout_s: float) -> list[str]:
        deadline = self._monotonic() + timeout_s
        with self._following.woken(deployment) as woken:
            while True:
                woken.clear()
                behind = await self._behind(deployment, stamp)
                remaining_s = deadline - self._monotonic()
                if not behind or remaining_s <= 0:
                    return behind
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(remaining_s, RECHECK_S)):
                        await woken.wait()

    async def _behind(self, deployment: str, stamp: int) -> list[str]:
        keys = [self._layout.key("gateways")]
        found = await self._connection.run(scripts.BEHIND, keys, [self._layout.key("gateway", ""), deployment])
        rows = zip(found[::3], found[1::3], found[2::3], strict=True)
        known = {token: (name, int(has or 0)) for token, name, has in rows}
        return self._following.gateways.behind(known, deployment, stamp)

    def gone(self) -> list[str]:
        return self._following.gateways.gone()

    # ------------------------------------------------------------------------------- lease and evidence

    async def renew(self, term: int, ttl_s: float) -> None:
        asked, ttl_ms = self._monotonic(), milliseconds(ttl_s)
        keys = [self._layout.key("lease"), self._layout.key("term")]
        arguments = [self._layout.changes, str(term), ttl_ms, milliseconds(KEEP_TERM_S)]
        newest = await self._connection.run(scripts.RENEW, keys, arguments)
        if newest is not None:
            raise deposed(term, int(newest))
        self._following.lease.renew(asked, int(ttl_ms) / 1000.0, self._monotonic())
        self._following.ask()

    def leased(self) -> bool:
        return self._monotonic() < self._following.lease.until

    async def report(self, report: EvidenceReport) -> None:
        async with self._reporting:
            now = self._monotonic()
            writing = self._reported.writing(report, now)
            if writing.changed:
                keys = [self._layout.key("evidence", rollout) for rollout in writing.changed]
                await self._connection.run(scripts.REPORT, keys, [writing.field, str(KEEP_S), *writing.arguments()])
            self._reported.done(writing, now)

    async def reports(self, rollout: str) -> list[EvidenceReport]:
        key = self._layout.key("evidence", rollout)
        found = []
        for name, value in (await self._connection.command("HGETALL", key)).items():
            try:
                found.append(evidence.read(rollout, name, value))
            except (ValueError, TypeError) as wrong:
                self._following.complain(
                    f"what Redis has as {name[:200]!r} under {key} is passed over: {str(wrong)[:200]}"
                )
        return found

    # ------------------------------------------------------------------------------------------ itself

    async def ping(self) -> None:
        await self._connection.command("PING")

    async def close(self) -> None:
        """Take out the gateways that are still there, and end all connections."""
        try:
            await self._following.close()
        finally:
            await self._connection.close()
