"""Artifacts in S3: what is created once, and how each way to fail is told apart."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import obstore
import pytest
from tests.artifacts.samples import ABSENT, DATA, DIGEST, artifacts_in, digest_of, key_of
from tests.services import S3, SeaweedFS, provided

from serinus.artifacts import S3Access, open_artifacts
from serinus.core.errors import ArtifactCorrupt, SerinusError, Unavailable
from serinus.ports import Artifacts

READER = "reader"
READERS_SECRET = "of-no-use"


class GuardedSeaweedFS(SeaweedFS):
    """One that makes no bucket by itself and has a second user, who may only read."""

    def _prepare(self) -> None:
        super()._prepare()
        config = self.folder / "s3.json"
        identities = json.loads(config.read_text())["identities"]
        credentials = [{"accessKey": READER, "secretKey": READERS_SECRET}]
        identities.append({"name": READER, "credentials": credentials, "actions": ["Read", "List"]})
        config.write_text(json.dumps({"identities": identities}))

    def _command(self) -> list[str]:
        return [*super()._command(), "-s3.autoCreateBucket=false"]

    def _is_ready(self) -> bool:
        with suppress(FileNotFoundError):  # its bucket is made a moment after it listens
            return super()._is_ready()
        return False


@pytest.fixture(scope="module")
def guarded() -> Iterator[SeaweedFS]:
    with provided(GuardedSeaweedFS()) as guarded:
        yield guarded


async def refusal(artifacts: Artifacts, what: str) -> SerinusError:
    """Do one of the four things that can be asked of a store, and give the error."""
    asked = {
        "put": lambda: artifacts.put(DATA),
        "get": lambda: artifacts.get(DIGEST),
        "size": lambda: artifacts.size(DIGEST),
        "ping": artifacts.ping,
    }
    with pytest.raises(Unavailable) as refused:
        await asked[what]()
    return refused.value


EVERYTHING = pytest.mark.parametrize("what", ["put", "get", "size", "ping"])


async def test_the_object_is_where_other_clients_find_it(s3: S3) -> None:
    await artifacts_in(s3).put(DATA)

    assert bytes(s3.store().get(key_of(DIGEST)).bytes()) == DATA


async def test_stores_under_two_prefixes_know_nothing_of_each_other(s3: S3) -> None:
    await artifacts_in(s3).put(DATA)

    assert await artifacts_in(replace(s3, prefix=f"{s3.prefix}/other")).size(DIGEST) is None


async def test_a_put_never_overwrites(s3: S3) -> None:
    artifacts = artifacts_in(s3)
    await artifacts.put(DATA)
    before = s3.store().head(key_of(DIGEST))

    await artifacts.put(DATA)

    assert s3.store().head(key_of(DIGEST)) == before


async def test_of_many_writers_at_once_all_succeed_and_one_object_is_there(s3: S3) -> None:
    data = os.urandom(2_000_000)
    writers = [artifacts_in(s3) for _ in range(5)]

    digests = await asyncio.gather(*(writer.put(data) for writer in writers))

    assert set(digests) == {digest_of(data)}
    assert [entry["path"] for entry in obstore.list(s3.store()).collect()] == [key_of(digests[0])]
    assert await writers[0].get(digests[0]) == data


@pytest.mark.parametrize("damage", [b"", b"a mod", b"b model"], ids=["emptied", "torn", "flipped"])
async def test_a_corrupt_object_is_found_when_it_is_read_and_when_it_is_put_again(s3: S3, damage: bytes) -> None:
    artifacts = artifacts_in(s3)
    await artifacts.put(DATA)
    s3.store().put(key_of(DIGEST), damage, mode="overwrite")

    for found in (artifacts.get(DIGEST), artifacts.put(DATA)):
        with pytest.raises(ArtifactCorrupt) as corrupt:
            await found
        assert f"{s3.url}/{key_of(DIGEST)}" in corrupt.value.message


async def test_keys_that_are_given_are_not_mixed_with_the_environment(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of another session")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")

    assert await artifacts_in(s3).put(DATA) == DIGEST


async def test_what_is_not_given_comes_from_the_environment(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ALLOW_HTTP", raising=False)

    assert await open_artifacts(s3.url).put(DATA) == DIGEST
    assert await open_artifacts(s3.url, S3Access()).get(DIGEST) == DATA


@EVERYTHING
@pytest.mark.parametrize("wrong", ["access_key_id", "secret_access_key"])
async def test_wrong_credentials_are_named_and_not_shown(s3: S3, what: str, wrong: str) -> None:
    error = await refusal(artifacts_in(s3, **{wrong: "quite-wrong"}), what)

    assert "refuses the credentials" in error.message
    assert "SERINUS_S3_SECRET_ACCESS_KEY" in error.remedy
    assert not {"quite-wrong", s3.secret_key} & set(str(error).replace(".", " ").split())
    assert error.__cause__ is None


@EVERYTHING
async def test_a_missing_bucket_is_not_taken_for_a_missing_artifact(guarded: SeaweedFS, what: str) -> None:
    error = await refusal(artifacts_in(replace(guarded.s3(), bucket="no-such-bucket")), what)

    assert "no such bucket" in error.message
    assert "s3://no-such-bucket" in error.message
    assert "SERINUS_ARTIFACTS_URL" in error.remedy


async def test_a_user_who_may_only_read_reads_and_is_told_why_a_put_fails(guarded: SeaweedFS) -> None:
    await artifacts_in(guarded.s3()).put(DATA)
    reader = artifacts_in(guarded.s3(), access_key_id=READER, secret_access_key=READERS_SECRET)

    assert await reader.get(DIGEST) == DATA
    assert await reader.size(ABSENT) is None
    error = await refusal(reader, "put")

    assert "does not allow it" in error.message
    assert "s3:PutObject" in error.remedy


@EVERYTHING
async def test_a_server_that_is_not_s3_is_not_taken_for_an_empty_store(guarded: SeaweedFS, what: str) -> None:
    master = f"http://127.0.0.1:{guarded.ports[2]}"

    error = await refusal(artifacts_in(guarded.s3(), endpoint=master), what)

    assert f"{master} answers what no S3 server should" in error.message


@EVERYTHING
async def test_an_address_where_nobody_listens_is_named(s3: S3, what: str) -> None:
    error = await refusal(artifacts_in(s3, endpoint="http://127.0.0.1:1"), what)

    assert "http://127.0.0.1:1 does not answer" in error.message
    assert "SERINUS_S3_ENDPOINT" in error.remedy


async def test_tls_to_a_port_that_has_none_is_named(s3: S3) -> None:
    error = await refusal(artifacts_in(s3, endpoint=s3.endpoint.replace("http", "https")), "ping")

    assert "speaks no TLS" in error.message
