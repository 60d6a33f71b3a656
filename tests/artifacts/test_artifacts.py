import asyncio
import hashlib
import os
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from serinus.artifacts import ObjectArtifacts, open_artifacts
from serinus.core.errors import ArtifactCorrupt, ArtifactMissing, InvalidInput, Unavailable
from serinus.ports import Artifacts

DATA = b"a model"
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
ABSENT = f"sha256:{hashlib.sha256(b'absent').hexdigest()}"


@pytest.fixture(params=["folder", "memory"])
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> Artifacts:
    if request.param == "memory":
        return ObjectArtifacts(MemoryStore(), "memory://")
    return open_artifacts(tmp_path)


def file_of(folder: Path, digest: str) -> Path:
    hexadecimal = digest.removeprefix("sha256:")
    return folder / "sha256" / hexadecimal[:2] / hexadecimal


@pytest.mark.parametrize("data", [b"", DATA, os.urandom(3_000_000)], ids=["nothing", "little", "much"])
async def test_bytes_come_back_by_their_digest(artifacts: Artifacts, data: bytes) -> None:
    digest = await artifacts.put(data)

    assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert await artifacts.get(digest) == data
    assert await artifacts.size(digest) == len(data)


async def test_the_same_bytes_again_change_nothing(artifacts: Artifacts) -> None:
    assert await artifacts.put(DATA) == await artifacts.put(DATA) == DIGEST
    assert await artifacts.get(DIGEST) == DATA


async def test_the_same_bytes_put_at_once_are_kept_once(artifacts: Artifacts) -> None:
    data = os.urandom(1_000_000)

    digests = await asyncio.gather(*(artifacts.put(data) for _ in range(20)))

    assert len(set(digests)) == 1
    assert await artifacts.get(digests[0]) == data


async def test_what_is_not_kept_is_missing(artifacts: Artifacts) -> None:
    assert await artifacts.size(ABSENT) is None
    with pytest.raises(ArtifactMissing) as missing:
        await artifacts.get(ABSENT)
    assert ABSENT in missing.value.message


@pytest.mark.parametrize(
    "digest",
    ["", "latest", "sha256:", DIGEST.upper(), DIGEST[:-1], DIGEST + "\n", DIGEST + "0", "sha256:../../../etc/passwd"],
)
async def test_what_is_no_digest_is_refused(artifacts: Artifacts, digest: str) -> None:
    for refused in (artifacts.get(digest), artifacts.size(digest)):
        with pytest.raises(InvalidInput, match="not the digest") as error:
            await refused
        assert error.value.field == "digest"


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


@pytest.mark.parametrize("prefix", ["", "file://"])
async def test_a_folder_that_is_missing_is_made(tmp_path: Path, prefix: str) -> None:
    folder = tmp_path / "a" / "b"

    await open_artifacts(f"{prefix}{folder}").put(DATA)

    assert file_of(folder, DIGEST).read_bytes() == DATA


async def test_another_process_reads_what_was_put(tmp_path: Path) -> None:
    await open_artifacts(tmp_path).put(DATA)

    assert await open_artifacts(tmp_path).get(DIGEST) == DATA


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Unavailable, match="cannot be opened"):
        open_artifacts(tmp_path / "file" / "folder")


@pytest.mark.parametrize("url", ["s3://bucket/models", "ftp://host/models"])
def test_a_store_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="no artifact store") as refused:
        open_artifacts(url)
    assert refused.value.field == "artifacts_url"
