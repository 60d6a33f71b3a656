"""Asking one role's model, and the baseline where a canary fails, within the caller's deadline."""

import asyncio
from collections.abc import Callable
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

    ``latency_ms`` and ``failure`` are those of the arm first drawn. ``answer`` and ``answered_by`` are what the caller
    gets; where there is no answer, ``error`` is what the caller is told.
    """

    latency_ms: float
    failure: SerinusError | None = None
    answer: Answer | None = None
    answered_by: Arm | None = None
    error: SerinusError | None = None


async def ask(arm: Arm, spare: Arm | None, row: Row, timeout_s: float, monotonic: Callable[[], float]) -> Outcome:
    """Ask ``arm`` for a row, and ``spare`` (if any) where it fails.

    Both roles have the same time, ``MODEL_SHARE`` of the deadline. A canary that is silent for ``HEDGE_SHARE`` of it
    may still answer, but from then on the baseline is asked as well, so that its answer is there at the deadline.
    """
    started = monotonic()
    if spare is not None:
        return await _ask_hedged(arm, spare, row, timeout_s, monotonic)
    try:
        answer = await arm.predict(row, timeout_s * MODEL_SHARE)
    except SerinusError as failure:
        return Outcome(_ms_since(started, monotonic), failure, error=failure)
    return Outcome(_ms_since(started, monotonic), None, answer, arm)


async def _ask_hedged(arm: Arm, spare: Arm, row: Row, timeout_s: float, monotonic: Callable[[], float]) -> Outcome:
    started = monotonic()
    asked = asyncio.ensure_future(arm.predict(row, timeout_s * MODEL_SHARE))
    hedge: asyncio.Future[Answer] | None = None
    try:
        await asyncio.wait({asked}, timeout=timeout_s * HEDGE_SHARE)
        if not asked.done():
            left_s = timeout_s * (MODEL_SHARE - HEDGE_SHARE)
            hedge = asyncio.ensure_future(spare.predict(row, left_s))
            await asyncio.wait({asked}, timeout=left_s)
        latency_ms = _ms_since(started, monotonic)
        failure = _failure(asked, arm, latency_ms)
        if failure is None:
            return Outcome(latency_ms, None, asked.result(), arm)
        if hedge is None:
            hedge = asyncio.ensure_future(spare.predict(row, timeout_s * MODEL_SHARE - latency_ms / 1000.0))
        try:
            return Outcome(latency_ms, failure, await hedge, spare)
        except SerinusError as error:
            return Outcome(latency_ms, failure, error=error)
    finally:
        for work in (asked, hedge):
            if work is not None:
                _abandon(work)


def _failure(asked: asyncio.Future[Answer], arm: Arm, latency_ms: float) -> SerinusError | None:
    if not asked.done():  # the predictor should have said so itself
        return ModelTimeout(f"{arm.name} did not answer after {latency_ms:.0f} ms.")
    error = asked.exception()
    if error is None or isinstance(error, SerinusError):
        return error
    raise error


def _abandon(work: asyncio.Future[Answer]) -> None:
    """End what nobody waits for any more; with what it ends is of no interest, and so is not reported as lost."""
    if not work.done():
        work.cancel()
        work.add_done_callback(_abandon)
    elif not work.cancelled():
        work.exception()


def _ms_since(started: float, monotonic: Callable[[], float]) -> float:
    return (monotonic() - started) * 1000.0
