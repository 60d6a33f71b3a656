"""Artifacts in a local folder."""

import asyncio
import shutil
from pathlib import Path

import pytest
from tests.artifacts.samples import DATA, DIGEST, file_of

from serinus.artifacts import open_artifacts
from serinus.core.errors import ArtifactCorrupt, Unavailable


@pytest.mark.parametrize(
    "damage", [b"", b"a mod", b"a model!", b"b model"], ids=["emptied", "torn", "longer", "flipped"]
)
async def test_a_damaged_file_is_found_when_it_is_read(tmp_path: Path, damage: bytes) -> None:
    artifacts = open_artifacts(tmp_path)
    file_of(tmp_path, await artifacts.put(DATA)).write_bytes(damage)

    with pytest.raises(ArtifactCorrupt) as corrupt:
        await artifacts.get(DIGEST)

    assert DIGEST in corrupt.value.message
    assert str(file_of(tmp_path, DIGEST)) in corrupt.value.message
    assert "delete it and register" in corrupt.value.remedy


@pytest.mark.parametrize("damage", [b"", b"b model"], ids=["torn", "flipped"])
async def test_a_damaged_file_is_found_when_the_same_bytes_are_put_again(tmp_path: Path, damage: bytes) -> None:
    artifacts = open_artifacts(tmp_path)
    file_of(tmp_path, await artifacts.put(DATA)).write_bytes(damage)

    with pytest.raises(ArtifactCorrupt):
        await artifacts.put(DATA)

    file_of(tmp_path, DIGEST).unlink()
    assert await artifacts.put(DATA) == DIGEST
    assert await artifacts.get(DIGEST) == DATA


async def test_a_put_that_fails_leaves_nothing_behind_under_the_digest(tmp_path: Path) -> None:
    artifacts = open_artifacts(tmp_path)
    file_of(tmp_path, DIGEST).parent.parent.mkdir()
    file_of(tmp_path, DIGEST).parent.write_text("in the way of the folder")

    with pytest.raises(Unavailable, match="cannot be written") as failed:
        await artifacts.put(DATA)

    assert "\n" not in str(failed.value)
    file_of(tmp_path, DIGEST).parent.unlink()
    assert await artifacts.size(DIGEST) is None


async def test_a_store_that_fails_while_reading_is_unavailable(tmp_path: Path) -> None:
    artifacts = open_artifacts(tmp_path)
    file_of(tmp_path, DIGEST).parent.parent.mkdir()
    file_of(tmp_path, DIGEST).parent.write_text("in the way of the folder")

    for failing in (artifacts.get(DIGEST), artifacts.size(DIGEST)):
        with pytest.raises(Unavailable, match="cannot be read"):
            await failing


async def test_a_folder_that_has_gone_does_not_answer(tmp_path: Path) -> None:
    artifacts = open_artifacts(tmp_path / "artifacts")
    shutil.rmtree(tmp_path / "artifacts")

    with pytest.raises(Unavailable, match="cannot be read"):
        await artifacts.ping()


async def test_the_event_loop_is_free_while_much_is_hashed(tmp_path: Path) -> None:
    artifacts = open_artifacts(tmp_path)
    data = bytes(100_000_000)
    turns = 0
    putting = asyncio.create_task(artifacts.put(data))

    while not putting.done():
        turns += 1
        await asyncio.sleep(0.001)

    assert turns > 5
    assert await artifacts.size(putting.result()) == len(data)


async def test_another_process_reads_what_was_put(tmp_path: Path) -> None:
    await open_artifacts(tmp_path).put(DATA)

    assert await open_artifacts(tmp_path).get(DIGEST) == DATA
