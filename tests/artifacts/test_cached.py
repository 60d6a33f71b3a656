"""A cache in front of an artifact store: what is kept, what is removed, and what it never costs."""

import asyncio
import multiprocessing
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from obstore.store import MemoryStore
from tests.artifacts.samples import ABSENT, DATA, DIGEST, digest_of, file_of

from serinus.artifacts import CachedArtifacts, ObjectArtifacts, open_artifacts
from serinus.core.errors import ArtifactCorrupt, ArtifactMissing
from serinus.ports import Artifacts


class CountedArtifacts(ObjectArtifacts):
    """Artifacts in memory that count how often they are read, and may be told to wait with the answer."""

    def __init__(self) -> None:
        super().__init__(MemoryStore(), "memory://")
        self.reads = 0
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def get(self, digest: str) -> bytes:
        self.reads += 1
        self.asked.set()
        await self.may_answer.wait()
        return await super().get(digest)


class Cache:
    """A cache with what a test looks at: its inner store, its folder, and the troubles it told of."""

    def __init__(self, folder: Path, limit_bytes: int = 1000) -> None:
        self.inner = CountedArtifacts()
        self.folder = folder
        self.troubles: list[str] = []
        self.artifacts = CachedArtifacts(self.inner, folder, limit_bytes, on_trouble=self.troubles.append)

    def file_of(self, digest: str) -> Path:
        return self.folder / digest.removeprefix("sha256:")

    async def filled(self, *contents: bytes) -> list[str]:
        """Put and read contents, each used later than the one before; give their digests."""
        digests = [await self.artifacts.put(content) for content in contents]
        for age, digest in enumerate(reversed(digests)):
            await self.artifacts.get(digest)
            os.utime(self.file_of(digest), (1_000_000 - age, 1_000_000 - age))
        return digests

    def kept(self, digests: list[str]) -> list[bool]:
        return [self.file_of(digest).exists() for digest in digests]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


async def test_what_was_read_once_is_read_from_the_disk(cache: Cache) -> None:
    await cache.artifacts.put(DATA)

    assert [await cache.artifacts.get(DIGEST) for _ in range(3)] == [DATA] * 3
    assert cache.inner.reads == 1


async def test_what_is_put_is_not_in_the_cache_before_it_is_read(cache: Cache) -> None:
    await cache.artifacts.put(DATA)

    assert not cache.folder.exists()


async def test_a_file_that_only_this_machine_has_is_not_available(cache: Cache) -> None:
    cache.folder.mkdir()
    cache.file_of(DIGEST).write_bytes(DATA)

    assert await cache.artifacts.size(DIGEST) is None
    assert await cache.artifacts.put(DATA) == DIGEST
    assert await cache.inner.get(DIGEST) == DATA


async def test_many_who_ask_at_once_read_the_store_once(cache: Cache) -> None:
    await cache.artifacts.put(DATA)
    cache.inner.may_answer.clear()
    asking = [asyncio.create_task(cache.artifacts.get(DIGEST)) for _ in range(20)]
    await cache.inner.asked.wait()
    cache.inner.may_answer.set()

    assert await asyncio.gather(*asking) == [DATA] * 20
    assert cache.inner.reads == 1


async def test_one_who_goes_away_takes_the_answer_from_nobody(cache: Cache) -> None:
    await cache.artifacts.put(DATA)
    cache.inner.may_answer.clear()
    first, second = [asyncio.create_task(cache.artifacts.get(DIGEST)) for _ in range(2)]
    await cache.inner.asked.wait()

    first.cancel()
    cache.inner.may_answer.set()

    assert await second == DATA
    assert cache.inner.reads == 1


async def test_a_read_that_failed_is_tried_again_by_the_next_who_asks(cache: Cache) -> None:
    with pytest.raises(ArtifactMissing):
        await cache.artifacts.get(DIGEST)
    await cache.inner.put(DATA)

    assert await cache.artifacts.get(DIGEST) == DATA


async def test_what_the_store_holds_corrupt_is_not_kept(tmp_path: Path) -> None:
    cached = CachedArtifacts(open_artifacts(tmp_path), tmp_path / "cache", 1000, on_trouble=pytest.fail)
    await cached.put(DATA)
    file_of(tmp_path, DIGEST).write_bytes(b"b model")

    with pytest.raises(ArtifactCorrupt):
        await cached.get(DIGEST)

    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("damage", [b"", b"a mod", b"b model"], ids=["emptied", "torn", "flipped"])
async def test_a_damaged_file_is_replaced_and_told_of(cache: Cache, damage: bytes) -> None:
    await cache.filled(DATA)
    cache.file_of(DIGEST).write_bytes(damage)

    assert await cache.artifacts.get(DIGEST) == DATA

    assert cache.file_of(DIGEST).read_bytes() == DATA
    assert len(cache.troubles) == 1
    assert str(cache.file_of(DIGEST)) in cache.troubles[0]


async def test_a_damaged_file_that_the_store_has_not_either_is_removed(cache: Cache) -> None:
    cache.folder.mkdir()
    cache.file_of(ABSENT).write_bytes(DATA)

    with pytest.raises(ArtifactMissing):
        await cache.artifacts.get(ABSENT)

    assert not cache.file_of(ABSENT).exists()


async def test_the_least_recently_used_make_room(cache: Cache) -> None:
    digests = await cache.filled(b"1" * 400, b"2" * 400)
    assert await cache.artifacts.get(digests[0])  # used last now

    third = await cache.artifacts.put(b"3" * 400)
    await cache.artifacts.get(third)

    assert cache.kept([*digests, third]) == [True, False, True]
    assert cache.troubles == []


async def test_as_many_go_as_the_new_one_needs(cache: Cache) -> None:
    digests = await cache.filled(b"1" * 300, b"2" * 300, b"3" * 300)

    fourth = await cache.artifacts.put(b"4" * 700)
    await cache.artifacts.get(fourth)

    assert cache.kept([*digests, fourth]) == [False, False, True, True]


async def test_what_fills_the_limit_exactly_is_kept(cache: Cache) -> None:
    assert cache.kept(await cache.filled(b"1" * 600, b"2" * 400)) == [True, True]


async def test_a_file_larger_than_the_limit_is_read_but_not_kept(cache: Cache) -> None:
    digests = await cache.filled(b"1" * 400)
    large = await cache.artifacts.put(b"2" * 1001)

    assert await cache.artifacts.get(large) == b"2" * 1001

    assert cache.kept([*digests, large]) == [True, False]
    assert cache.troubles == []


async def test_what_the_cache_did_not_make_stays(cache: Cache) -> None:
    cache.folder.mkdir()
    (cache.folder / "notes.txt").write_text("9" * 5000)
    (cache.folder / "sha256").mkdir()

    digests = await cache.filled(b"1" * 900)
    await cache.artifacts.get(await cache.artifacts.put(b"2" * 900))

    assert cache.kept(digests) == [False]
    assert {entry.name for entry in cache.folder.iterdir()} >= {"notes.txt", "sha256"}
    assert cache.troubles == []


async def test_what_a_process_that_died_left_unfinished_is_cleared_away(cache: Cache) -> None:
    cache.folder.mkdir()
    old, young = cache.folder / "old.unfinished", cache.folder / "young.unfinished"
    for unfinished in (old, young):
        unfinished.write_bytes(b"half")
    os.utime(old, (1_000_000, 1_000_000))

    await cache.filled(DATA)

    assert not old.exists()
    assert young.exists()


async def test_a_folder_that_cannot_be_used_costs_no_read_and_one_complaint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "cache")
    digests = [await cache.artifacts.put(content) for content in (DATA, b"another")]

    assert [await cache.artifacts.get(digest) for digest in digests * 2] == [DATA, b"another"] * 2

    assert len(cache.troubles) == 1
    assert str(cache.folder) in cache.troubles[0]


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Let every write beyond ``size`` bytes fail, half done, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_costs_no_read_leaves_no_rest_and_is_complained_of_once_each_time(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=1_000_000)
    digest = await cache.artifacts.put(b"1" * 200_000)

    for outage in (1, 2):
        with no_file_larger_than(100_000):
            for _ in range(3):
                assert len(await cache.artifacts.get(digest)) == 200_000
        assert len(cache.troubles) == outage
        assert os.listdir(tmp_path) == []  # noqa: PTH208 - a Path may not be asked in an async function

        await cache.artifacts.get(digest)
        assert cache.kept([digest]) == [True]
        cache.file_of(digest).unlink()


async def test_only_the_owner_can_look_into_the_cache(cache: Cache) -> None:
    await cache.filled(DATA)

    assert cache.folder.stat().st_mode & 0o077 == 0
    assert cache.file_of(DIGEST).stat().st_mode & 0o077 == 0


CONTENTS = [bytes([number]) * 50_000 for number in range(8)]
SHARED_LIMIT = 3 * 50_000


def read_often(store: str, folder: str, seed: int) -> None:
    """Read all artifacts again and again through a cache that holds three of them."""

    async def read() -> None:
        troubles: list[str] = []
        artifacts: Artifacts = CachedArtifacts(
            open_artifacts(store), Path(folder), SHARED_LIMIT, on_trouble=troubles.append
        )
        for turn in range(40):
            content = CONTENTS[(turn * (2 * seed + 1)) % len(CONTENTS)]
            assert await artifacts.get(digest_of(content)) == content
        assert troubles == []

    asyncio.run(read())


async def test_processes_share_a_folder_that_is_too_small_for_them(tmp_path: Path) -> None:
    store, folder = tmp_path / "artifacts", tmp_path / "cache"
    for content in CONTENTS:
        await open_artifacts(store).put(content)
    spawn = multiprocessing.get_context("spawn")
    readers = [spawn.Process(target=read_often, args=(str(store), str(folder), seed)) for seed in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        await asyncio.to_thread(reader.join, 110.0)

    assert [reader.exitcode for reader in readers] == [0] * 4
    last = CachedArtifacts(open_artifacts(store), folder, SHARED_LIMIT, on_trouble=pytest.fail)
    for content in CONTENTS:
        await last.get(digest_of(content))
    assert sum(entry.stat().st_size for entry in folder.iterdir()) <= SHARED_LIMIT
    assert {len(entry.name) for entry in folder.iterdir()} == {64}
