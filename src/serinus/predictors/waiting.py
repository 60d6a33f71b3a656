"""The line in which the requests of one model version wait: bounded, in their order, each with a deadline."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from serinus.alarms import Alarms
from serinus.core.answers import Answer
from serinus.core.signature import Row
from serinus.ports import Settle

_KINDS_OF_TIMEOUTS = 16
"""Alarms of so many different timeouts are kept; there are three in use in a gateway."""
_MOST_OVER = 64
"""So many requests that are over may stand in a line, and as many more as wait in it."""


class Asked:
    """One request: where it stands, and who is told of its outcome, once.

    ``begun``: it was handed to the model. ``alone``: it is to be handed over alone.
    """

    __slots__ = ("_line", "alone", "at", "begun", "over", "rows", "settle", "timeout_s")

    def __init__(self, line: "Line", rows: Sequence[Row], timeout_s: float, settle: Settle) -> None:
        self._line = line
        self.rows = rows
        self.timeout_s = timeout_s
        self.settle = settle
        self.at = time.monotonic()
        self.begun = False
        self.alone = False
        self.over = False

    def end(self, outcome: Sequence[Answer] | Exception) -> None:
        """Tell the outcome, unless one was told already or nobody waits."""
        if self.over:
            return
        settle, self.settle, self.over = self.settle, _to_nobody, True
        if not self.begun:
            self._line.waiting -= 1
        settle(outcome)

    def late(self) -> None:
        """Be told that the deadline has passed."""
        self._line.on_late(self)

    def withdraw(self) -> None:
        """Want no answer any more; what waits is not begun."""
        if not self.over:
            self._leave()
            if self.begun:
                self._line.on_withdrawn(self)

    def _leave(self) -> None:
        self.over = True
        self.settle = _to_nobody  # an alarm holds this for a while, and nothing else by it
        if not self.begun:
            self._line.waiting -= 1


def _to_nobody(outcome: Sequence[Answer] | Exception) -> None:
    """Tell of the outcome of what is over."""


class Refused:
    """A request that did not join the line; who asked was told why."""

    def withdraw(self) -> None:
        """Want what nobody is at."""


class Line:
    """Requests in their order; those that are over leave it when their turn comes.

    ``on_late`` is told of each whose deadline passes, ``on_withdrawn`` of each that was begun and is wanted no more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_late: Callable[[Asked], None],
        on_withdrawn: Callable[[Asked], None] = lambda _: None,
    ) -> None:
        self.on_late = on_late
        self.on_withdrawn = on_withdrawn
        self.waiting = 0
        """How many wait and are not over."""
        self._loop = loop
        self._line: deque[Asked] = deque()
        self._alarms: dict[float, Alarms] = {}

    def __bool__(self) -> bool:
        """Whether any may wait."""
        return bool(self._line)

    def join(self, rows: Sequence[Row], timeout_s: float, settle: Settle) -> Asked:
        """Put a request at the end, with an alarm for its deadline."""
        line, asked = self._line, Asked(self, rows, timeout_s, settle)
        while line and line[0].over:
            line.popleft()
        self.waiting += 1
        if len(line) > _MOST_OVER + 2 * self.waiting:  # behind one that waits for long, many have come and gone
            line = self._line = deque(each for each in line if not each.over)
        line.append(asked)
        alarms = self._alarms.get(timeout_s)
        if alarms is None:
            alarms = Alarms(self._loop, timeout_s)
            if len(self._alarms) < _KINDS_OF_TIMEOUTS:
                self._alarms[timeout_s] = alarms
        alarms.watch(asked)
        return asked

    def take(self, most: int, room: int) -> list[Asked]:
        """Take the first requests, so many and with so many rows together at most; one at least, however many rows."""
        line = self._line
        taken: list[Asked] = []
        while line:
            asked = line[0]
            if asked.over:
                line.popleft()
                continue
            rows = len(asked.rows)
            if taken and (rows > room or asked.alone or len(taken) >= most):
                break
            line.popleft()
            asked.begun = True
            taken.append(asked)
            room -= rows
            if asked.alone:
                break
        self.waiting -= len(taken)
        return taken

    def put_back(self, taken: Sequence[Asked]) -> None:
        """Put requests back in front, each to be handed over alone."""
        for asked in taken:
            asked.alone, asked.begun = True, False
        self.waiting += len(taken)
        self._line.extendleft(reversed(taken))

    def end(self, error: Exception) -> None:
        """Tell all that wait of an error."""
        waiting, self._line = list(self._line), deque()
        for asked in waiting:
            asked.end(error)
