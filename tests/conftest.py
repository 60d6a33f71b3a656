"""Servers of other makers, each started once and only if a test asks for it; see tests/services.py."""

import gc
import signal
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.services import S3, PostgreSQL, Redis, SeaweedFS, provided

_prefixes = count(1)

LONGEST = (
    "production/test_workers.py",
    "production/test_worker_deaths.py",
    "production/test_redis_outages.py",
    "examples/test_demo.py",
    "examples/test_demo_endings.py",
    "production/test_takeover.py",
    "production/test_balancing.py",
    "production/test_postgresql_outages.py",
    "production/test_crashes.py",
    "production/test_races.py",
    "production",
    "docs",
    "feature_stores",
    "e2e",
    "cli",
    "deploy",
    "stores",
    "boards",
)
"""Files and folders that take long come first, the longest before all, so that processes side by side end together."""

# A busy machine draws examples slowly; that says nothing of what is tested.
settings.register_profile("serinus", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("serinus")


def pytest_configure() -> None:
    """Let programs that tests start heed Ctrl-C, though the tests themselves may run in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while everything is imported, nor ever after in what was: it lasts as long as the process."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the longest files to the front; the order is otherwise as it was."""
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(here)
        named = (str(path), path.parts[0])
        return next((place for place, name in enumerate(LONGEST) if name in named), len(LONGEST))

    items.sort(key=place)


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
