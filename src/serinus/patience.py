"""Waiting for what may never answer, but not for ever."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from serinus.core.errors import Unavailable

T = TypeVar("T")


async def within(seconds: float, work: Awaitable[T], what: str) -> T:
    """Give what comes of some work; Unavailable, naming ``what``, if nothing has after so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as silence:
        raise Unavailable(
            f"{what} has not answered within {seconds:g} s.", remedy="See that it runs and can be reached."
        ) from silence
