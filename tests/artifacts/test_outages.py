"""An S3 that stops, hangs and comes back, with and without a cache in front of it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.artifacts.samples import ABSENT, DATA, DIGEST, artifacts_in
from tests.services import SeaweedFS, provided

from serinus.artifacts import CachedArtifacts, ObjectArtifacts
from serinus.core.errors import Unavailable

SOON_S = 30.0
"""What separates a bounded wait from the minutes of a client's own retries, even on a busy machine."""


@pytest.fixture
def mortal() -> Iterator[SeaweedFS]:
    """An S3 store that the test may stop."""
    with provided(SeaweedFS()) as mortal:
        yield mortal


@pytest.fixture
async def cached(mortal: SeaweedFS, tmp_path: Path) -> CachedArtifacts:
    """A cache that has read DATA once."""
    cached = CachedArtifacts(artifacts_in(mortal.s3()), tmp_path, 1_000_000, on_trouble=pytest.fail)
    await cached.put(DATA)
    await cached.get(DIGEST)
    return cached


async def silence_of(artifacts: ObjectArtifacts) -> None:
    """Wait until it answers no more: a process that is told to stop may still do so for a moment."""
    with suppress(TimeoutError, Unavailable):
        while True:
            async with asyncio.timeout(1):
                await artifacts.ping()


@pytest.mark.parametrize("outage", ["kill", "pause"])
async def test_an_s3_that_is_gone_is_unavailable_soon_and_used_again_when_it_is_back(
    mortal: SeaweedFS, outage: str
) -> None:
    artifacts = artifacts_in(mortal.s3())
    await artifacts.put(DATA)
    mortal.kill() if outage == "kill" else mortal.pause()
    await silence_of(artifacts)

    asked = time.monotonic()
    asking = (artifacts.ping(), artifacts.get(DIGEST), artifacts.size(DIGEST), artifacts.put(b"another model"))
    answers = await asyncio.gather(*asking, return_exceptions=True)

    assert time.monotonic() - asked < SOON_S
    assert [type(answer) for answer in answers] == [Unavailable] * 4
    assert all("does not answer" in str(answer) for answer in answers)

    mortal.start() if outage == "kill" else mortal.resume()
    await artifacts.ping()
    assert await artifacts.get(DIGEST) == DATA


async def test_what_was_read_once_is_read_without_s3_and_also_by_the_next_process(
    mortal: SeaweedFS, cached: CachedArtifacts, tmp_path: Path
) -> None:
    mortal.kill()

    assert await cached.get(DIGEST) == DATA
    after_a_restart = CachedArtifacts(artifacts_in(mortal.s3()), tmp_path, 1_000_000, on_trouble=pytest.fail)
    assert await after_a_restart.get(DIGEST) == DATA


async def test_a_cache_without_its_s3_takes_nothing_and_promises_nothing(
    mortal: SeaweedFS, cached: CachedArtifacts
) -> None:
    mortal.kill()

    asking = (cached.put(DATA), cached.put(b"another"), cached.size(DIGEST), cached.get(ABSENT), cached.ping())
    answers = await asyncio.gather(*asking, return_exceptions=True)

    assert [type(answer) for answer in answers] == [Unavailable] * 5
