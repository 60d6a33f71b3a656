"""Timers that nearly all are taken back before they ring: setting one costs no timer of the event loop."""

import asyncio
from collections import deque
from typing import Protocol

_EARLY_S = 0.001
"""How much too early a timer of the event loop may ring: libuv counts whole milliseconds."""


class Awaited(Protocol):
    """What may come too late."""

    over: bool
    """Whether it has come, or nobody waits for it any more."""

    def late(self) -> None:
        """Be told that it has not come in time."""
        ...


class Alarms:
    """Alarms that ring ``delay_s`` seconds after they were set, in that order, unless what they wait for is over.

    One timer stands for all of them: it is set for the first that is not over, and set anew when it has rung.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, delay_s: float) -> None:
        self._loop = loop
        self._delay_s = delay_s
        self._set: deque[tuple[float, Awaited]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, awaited: Awaited) -> None:
        """Set an alarm."""
        waiting = self._set
        while waiting and waiting[0][1].over:
            waiting.popleft()
        due = self._loop.time() + self._delay_s
        waiting.append((due, awaited))
        if self._timer is None:  # for the first: of one that has just rung, others may be left
            self._timer = self._loop.call_at(waiting[0][0], self._ring)

    def _ring(self) -> None:
        waiting, now = self._set, self._loop.time() + _EARLY_S
        self._timer = None
        while waiting and (waiting[0][1].over or waiting[0][0] <= now):
            _, awaited = waiting.popleft()
            if not awaited.over:
                awaited.late()
        if waiting and self._timer is None:
            self._timer = self._loop.call_at(waiting[0][0], self._ring)
