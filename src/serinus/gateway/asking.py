"""Asking one role's model, and the baseline where a canary fails, within the caller's deadline."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serinus.core.answers import Answer
from serinus.core.errors import ModelTimeout, SerinusError
from serinus.core.signature import Row
from serinus.gateway.arms import Arm

MODEL_SHARE = 0.95
"""The part of the caller's deadline that a model has, whatever its role; the rest is for answering."""
HEDGE_SHARE = 0.5
"""The part of the caller's deadline after which the baseline is asked besides a canary that is still silent."""


@dataclass(frozen=True, slots=True)
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


async def ask(
    arm: Arm, spare: Arm | None, rows: Sequence[Row], timeout_s: float, monotonic: Callable[[], float]
) -> Outcome:
    """Ask ``arm`` for the rows of a request, and ``spare`` (if any) for all of them where it fails.

    Both roles have the same time, ``MODEL_SHARE`` of the deadline. A canary that is silent for ``HEDGE_SHARE`` of it
    may still answer, but from then on the baseline is asked as well, so that its answer is there at the deadline.
    """
    started = monotonic()
    if spare is not None:
        return await _ask_hedged(arm, spare, rows, timeout_s, monotonic)
    try:
        answers = await arm.predict(rows, timeout_s * MODEL_SHARE)
    except SerinusError as failure:
        return Outcome(_ms_since(started, monotonic), failure, error=failure)
    return Outcome(_ms_since(started, monotonic), None, answers, arm)


async def _ask_hedged(
    arm: Arm, spare: Arm, rows: Sequence[Row], timeout_s: float, monotonic: Callable[[], float]
) -> Outcome:
    started = monotonic()
    asked = asyncio.ensure_future(arm.predict(rows, timeout_s * MODEL_SHARE))
    hedge: asyncio.Future[list[Answer]] | None = None
    try:
        await asyncio.wait({asked}, timeout=timeout_s * HEDGE_SHARE)
        if not asked.done():
            left_s = timeout_s * (MODEL_SHARE - HEDGE_SHARE)
            hedge = asyncio.ensure_future(spare.predict(rows, left_s))
            await asyncio.wait({asked}, timeout=left_s)
        latency_ms = _ms_since(started, monotonic)
        failure = _failure(asked, arm, latency_ms)
        if failure is None:
            return Outcome(latency_ms, None, asked.result(), arm)
        if hedge is None:
            hedge = asyncio.ensure_future(spare.predict(rows, timeout_s * MODEL_SHARE - latency_ms / 1000.0))
        try:
            return Outcome(latency_ms, failure, await hedge, spare)
        except SerinusError as error:
            return Outcome(latency_ms, failure, error=error)
    finally:
        for work in (asked, hedge):
            if work is not None:
                _abandon(work)


def _failure(asked: asyncio.Future[list[Answer]], arm: Arm, latency_ms: float) -> SerinusError | None:
    if not asked.done():  # the predictor should have said so itself
        return ModelTimeout(f"{arm.name} did not answer after {latency_ms:.0f} ms.")
    error = asked.exception()
    if error is None or isinstance(error, SerinusError):
        return error
    raise error


def _abandon(work: asyncio.Future[list[Answer]]) -> None:
    """End what nobody waits for any more; with what it ends is of no interest, and so is not reported as lost."""
    if not work.done():
        work.cancel()
        work.add_done_callback(_abandon)
    elif not work.cancelled():
        work.exception()


def _ms_since(started: float, monotonic: Callable[[], float]) -> float:
    return (monotonic() - started) * 1000.0
