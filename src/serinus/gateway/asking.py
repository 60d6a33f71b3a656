"""Asking one role's model, and the baseline where a canary fails, within the caller's deadline."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serinus.alarms import Alarms
from serinus.core.answers import Answer
from serinus.core.errors import ModelError, ModelTimeout, SerinusError
from serinus.core.signature import Row
from serinus.gateway.arms import Arm
from serinus.ports import Ticket

MODEL_SHARE = 0.95
"""The part of the caller's deadline that a model has, whatever its role; the rest is for answering."""
HEDGE_SHARE = 0.5
"""The part of the caller's deadline after which the baseline is asked besides a canary that is still silent."""


@dataclass(slots=True)
class Outcome:
    """What came of a request.

    ``latency_ms`` and ``failure`` are those of the arm first drawn. ``answers``, one for each row, and ``answered_by``
    are what the caller gets; where there are none, ``error`` is what the caller is told.
    """

    latency_ms: float
    failure: SerinusError | None = None
    answers: Sequence[Answer] = ()
    answered_by: Arm | None = None
    error: SerinusError | None = None


class Manner:
    """What all requests of a gateway have in common: the caller's deadline in seconds, and the time."""

    def __init__(self, timeout_s: float, monotonic: Callable[[], float]) -> None:
        self.timeout_s = timeout_s
        self.monotonic = monotonic
        self.model_s = timeout_s * MODEL_SHARE
        self.left_s = timeout_s * (MODEL_SHARE - HEDGE_SHARE)
        self._hedges: Alarms | None = None

    @property
    def hedges(self) -> Alarms:
        """What rings where a canary is still silent."""
        if self._hedges is None:
            self._hedges = Alarms(asyncio.get_running_loop(), self.timeout_s * HEDGE_SHARE)
        return self._hedges


def ask_alone(arm: Arm, rows: Sequence[Row], manner: Manner, done: Callable[[Outcome], None]) -> Ticket | None:
    """Ask an arm that has no spare; ``done`` is told the outcome, once, perhaps before this returns."""
    began = manner.monotonic()

    def answered(outcome: Sequence[Answer] | Exception) -> None:
        latency_ms = (manner.monotonic() - began) * 1000.0
        if not isinstance(outcome, Exception) and len(outcome) == len(rows):
            done(Outcome(latency_ms, None, outcome, arm))
        else:
            failure = arm.failure(outcome, len(rows))
            done(Outcome(latency_ms, failure, error=failure))

    return arm.ask(rows, manner.model_s, answered)


class Asking:
    """Asks ``arm`` for the rows of a request, and ``spare`` for all of them where it fails.

    Both roles have the same time, ``MODEL_SHARE`` of the deadline. A canary that is silent for ``HEDGE_SHARE`` of it
    may still answer, but from then on the baseline is asked as well, so that its answer is there at the deadline.
    ``done`` is told the outcome, once, unless the asking is withdrawn before.
    """

    __slots__ = (
        "_arm",
        "_canary",
        "_done",
        "_failed",
        "_limit",
        "_manner",
        "_rows",
        "_spare",
        "_spare_outcome",
        "_spare_ticket",
        "_started",
        "over",
    )

    def __init__(
        self, arm: Arm, spare: Arm, rows: Sequence[Row], manner: Manner, done: Callable[[Outcome], None]
    ) -> None:
        self._arm = arm
        self._spare = spare
        self._rows = rows
        self._manner = manner
        self._done = done
        self._canary: Ticket | None = None
        self._spare_ticket: Ticket | None = None
        self._spare_outcome: Sequence[Answer] | Exception | None = None
        self._failed: Outcome | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._started = 0.0
        self.over = False

    def begin(self) -> None:
        """Ask; the outcome may be told before this returns."""
        manner = self._manner
        self._started = manner.monotonic()
        ticket = self._arm.ask(self._rows, manner.model_s, self._answered)
        if not self.over:
            self._canary = ticket
        if not self.over and self._failed is None:
            manner.hedges.watch(self)

    def withdraw(self) -> None:
        """End the work: nobody waits for its outcome any more."""
        if self.over:
            return
        for ticket in self._end():
            ticket.withdraw()

    def late(self) -> None:
        """Ask the baseline besides, since the canary is silent."""
        if self._failed is not None:
            return
        left_s = self._manner.left_s
        self._limit = asyncio.get_running_loop().call_later(left_s, self._silent)
        self._ask_spare(left_s)

    def _answered(self, outcome: Sequence[Answer] | Exception) -> None:
        """Hear of the arm first drawn."""
        if self.over or self._failed is not None:
            return
        latency_ms = (self._manner.monotonic() - self._started) * 1000.0
        failure = self._arm.failure(outcome, len(self._rows))
        if failure is None:
            self._finish(Outcome(latency_ms, None, outcome, self._arm))  # type: ignore[arg-type]  # it is no failure
        else:
            self._fail(latency_ms, failure)

    def _silent(self) -> None:
        """Give the canary up: its predictor should have said so itself."""
        if not self.over and self._failed is None:
            latency_ms = (self._manner.monotonic() - self._started) * 1000.0
            self._fail(latency_ms, ModelTimeout(f"{self._arm.name} did not answer after {latency_ms:.0f} ms."))

    def _fail(self, latency_ms: float, failure: SerinusError) -> None:
        self._failed = Outcome(latency_ms, failure)
        if self._spare_outcome is not None:
            self._spare_answered(self._spare_outcome)
        elif self._spare_ticket is None:
            self._ask_spare(self._manner.model_s - latency_ms / 1000.0)

    def _ask_spare(self, timeout_s: float) -> None:
        self._spare_ticket = self._spare.ask(self._rows, timeout_s, self._spare_answered)

    def _spare_answered(self, outcome: Sequence[Answer] | Exception) -> None:
        """Hear of the baseline, whose answer is for a canary that failed."""
        if self.over:
            return
        failed = self._failed
        if failed is None:
            self._spare_outcome = outcome
            return
        error = self._spare.failure(outcome, len(self._rows))
        if error is None:
            failed.answers, failed.answered_by = outcome, self._spare  # type: ignore[assignment]  # it is no failure
        else:
            failed.error = error
        self._finish(failed)

    def _finish(self, outcome: Outcome) -> None:
        done = self._done
        for ticket in self._end():
            ticket.withdraw()
        done(outcome)

    def _end(self) -> list[Ticket]:
        """Be over, and give what may still be under way; an alarm holds this for a while, and nothing else by it."""
        tickets = [ticket for ticket in (self._canary, self._spare_ticket) if ticket is not None]
        self.over = True
        self._canary = self._spare_ticket = None
        self._done = _to_nobody
        if self._limit is not None:
            self._limit.cancel()
        return tickets


def error_kind(failure: SerinusError | None) -> str:
    """Name how a request failed: "", a model error's kind, or ``platform``."""
    if failure is None:
        return ""
    return failure.kind if isinstance(failure, ModelError) else "platform"


def to_microseconds(latency_ms: float) -> float:
    """Give milliseconds to the microsecond; ``round`` takes ten times as long."""
    return int(latency_ms * 1000.0 + 0.5) / 1000.0


def _to_nobody(outcome: Outcome) -> None:
    """Tell of the outcome of what is over."""
