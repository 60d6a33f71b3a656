"""Servers of other makers, each started once and only if a test asks for it; see tests/services.py."""

import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from tests.services import S3, PostgreSQL, Redis, SeaweedFS, provided

_prefixes = count(1)

LONG = ("production", "e2e", "examples", "docs", "cli")
"""Folders with the files that take longest; they come first, so that processes side by side end together."""


def pytest_configure() -> None:
    """Let programs that tests start heed Ctrl-C, though the tests themselves may run in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the longest files to the front; the order is otherwise as it was."""
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.relative_to(here).parts[0] not in LONG)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server that all tests share: none may stop it."""
    with provided(PostgreSQL()) as postgresql:
        yield postgresql


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """A Redis server that all tests share: none may stop it."""
    with provided(Redis()) as redis:
        yield redis


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[SeaweedFS]:
    """An S3 store that all tests share: none may stop it."""
    with provided(SeaweedFS()) as seaweedfs:
        yield seaweedfs


@pytest.fixture
def postgresql_url(postgresql: PostgreSQL) -> Iterator[str]:
    """An empty database."""
    name = postgresql.create_database()
    yield postgresql.url(name)
    postgresql.drop_database(name)


@pytest.fixture
def redis_url(redis: Redis) -> str:
    """An empty Redis."""
    redis.flush()
    return redis.url()


@pytest.fixture
def s3(seaweedfs: SeaweedFS) -> S3:
    """An empty place in an S3 store."""
    return seaweedfs.s3(prefix=f"test-{next(_prefixes)}")
