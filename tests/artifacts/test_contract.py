"""What every artifact store does."""

import asyncio
import os

import pytest
from tests.artifacts.samples import ABSENT, DATA, DIGEST, digest_of

from serinus.core.errors import ArtifactMissing, InvalidInput
from serinus.ports import Artifacts


@pytest.mark.parametrize("data", [b"", DATA, os.urandom(3_000_000)], ids=["nothing", "little", "much"])
async def test_bytes_come_back_by_their_digest(artifacts: Artifacts, data: bytes) -> None:
    digest = await artifacts.put(data)

    assert digest == digest_of(data)
    assert await artifacts.get(digest) == data
    assert await artifacts.get(digest) == data
    assert await artifacts.size(digest) == len(data)


async def test_the_same_bytes_again_change_nothing(artifacts: Artifacts) -> None:
    assert await artifacts.put(DATA) == await artifacts.put(DATA) == DIGEST
    assert await artifacts.get(DIGEST) == DATA


async def test_the_same_bytes_put_at_once_are_kept_once(artifacts: Artifacts) -> None:
    data = os.urandom(1_000_000)

    digests = await asyncio.gather(*(artifacts.put(data) for _ in range(6)))

    assert len(set(digests)) == 1
    assert await artifacts.get(digests[0]) == data


async def test_what_is_not_kept_is_missing(artifacts: Artifacts) -> None:
    assert await artifacts.size(ABSENT) is None
    with pytest.raises(ArtifactMissing) as missing:
        await artifacts.get(ABSENT)
    assert ABSENT in missing.value.message


async def test_what_was_missing_is_found_when_it_has_been_put(artifacts: Artifacts) -> None:
    with pytest.raises(ArtifactMissing):
        await artifacts.get(DIGEST)

    await artifacts.put(DATA)

    assert await artifacts.get(DIGEST) == DATA


@pytest.mark.parametrize(
    "digest",
    ["", "latest", "sha256:", DIGEST.upper(), DIGEST[:-1], DIGEST + "\n", DIGEST + "0", "sha256:../../../etc/passwd"],
)
async def test_what_is_no_digest_is_refused(artifacts: Artifacts, digest: str) -> None:
    for refused in (artifacts.get(digest), artifacts.size(digest)):
        with pytest.raises(InvalidInput, match="not the digest") as error:
            await refused
        assert error.value.field == "digest"


async def test_an_empty_store_answers(artifacts: Artifacts) -> None:
    await artifacts.ping()


async def test_asking_whether_it_answers_leaves_nothing_behind(artifacts: Artifacts) -> None:
    await artifacts.put(DATA)

    await artifacts.ping()

    assert await artifacts.size(DIGEST) == len(DATA)
