"""What the tests of boards have in common: splits, cuts and evidence to put up, and a gateway that listens."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from serinus.core.evidence import Counts, Evidence, Key
from serinus.core.routing import Cut, Role, Split
from serinus.ports import Board

PATIENCE_S = 20.0
"""How long a test waits for what must come, on a machine however busy."""

CUT = Cut("2026-03-01T12:00:00+00:00", "jo", "too many errors", {"errors": 7, "rate": 0.5, "by": ["a", None, {}]})
LATER = Cut("2026-03-01T12:00:05+00:00", "checker")


def split(generation: int, weight: float = 5.0, deployment: str = "fraud", rollout: int = 1) -> Split:
    return Split(deployment, generation, f"{deployment}:{rollout}", generation, weight)


def evidence(rollout: str, requests: int) -> Evidence:
    counts = Counts(requests, 1, 2, 3, 4, {0: 1, 672: requests}, 12.5)
    return {Key(rollout, "heart@2", 1, Role.CANARY): counts, Key(rollout, "heart@1", 1, Role.BASELINE): counts}


class Told:
    """A gateway that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, Any]] = []
        self._change = asyncio.Event()

    def __call__(self, deployment: str, raw: object) -> None:
        self.changes.append((deployment, raw))
        self._change.set()

    async def wait_for(self, count: int) -> list[tuple[str, Any]]:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.changes) < count:
                self._change.clear()
                await self._change.wait()
        return self.changes

    def last(self, deployment: str = "fraud") -> Split | None:
        """The split that the gateway has to go by."""
        told = [raw for name, raw in self.changes if name == deployment]
        return Split.decoded(told[-1]) if told else None


async def reading(board: Board, deployment: str = "fraud") -> Split | None:
    return Split.decoded(await board.split(deployment))


async def eventually(holds: Callable[[], Any]) -> None:
    """Wait for what must come; an error counts as "not yet", until the time is over."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                result = holds()
                if await result if isinstance(result, Awaitable) else result:
                    return
            except Exception:  # noqa: BLE001 - it may come yet
                pass
            await asyncio.sleep(0.02)


class Following(Told):
    """A gateway that routes by whatever it is told, and says so."""

    def __init__(self, board: Board, name: str) -> None:
        super().__init__()
        self._board = board
        self._name = name

    def __call__(self, deployment: str, raw: object) -> None:
        super().__call__(deployment, raw)
        taken = Split.decoded(raw)
        if taken is not None:
            self._board.acknowledge(self._name, deployment, taken.stamp)
