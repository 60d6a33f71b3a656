import asyncio

import pytest

from serinus.core.errors import NotFound, Unavailable
from serinus.patience import within


async def _after(turns: int, outcome: object) -> object:
    for _ in range(turns):
        await asyncio.sleep(0)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def test_what_answers_in_time_is_given() -> None:
    assert await within(30.0, _after(3, "an answer"), "The store") == "an answer"


async def test_what_fails_in_time_fails_as_it_does() -> None:
    with pytest.raises(NotFound):
        await within(30.0, _after(3, NotFound("no such thing")), "The store")


async def test_what_does_not_answer_is_unavailable_and_named() -> None:
    with pytest.raises(Unavailable, match=r"^The store has not answered within 0\.01 s"):
        await within(0.01, asyncio.Event().wait(), "The store")


async def test_what_does_not_answer_is_ended() -> None:
    ended = asyncio.Event()

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(Unavailable):
        await within(0.01, hangs(), "The store")

    assert ended.is_set()


async def test_a_caller_who_goes_away_is_not_taken_for_a_silence() -> None:
    waiting = asyncio.ensure_future(within(30.0, asyncio.Event().wait(), "The store"))
    await asyncio.sleep(0)

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
