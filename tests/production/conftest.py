"""Fleets on services that all tests share; see fleet.py. A test that stops a service starts its own."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import Protocol

import pytest
from tests.production.fleet import Fleet, closing
from tests.services import PostgreSQL, Redis, SeaweedFS

_numbers = count(1)


class MakeFleet(Protocol):
    """Makes a fleet without servers yet, on a database, a Redis prefix and an S3 prefix that nobody else has."""

    def __call__(self, folder: Path, **settings: str) -> AbstractContextManager[Fleet]: ...


@pytest.fixture(scope="session")
def new_fleet(postgresql: PostgreSQL, redis: Redis, seaweedfs: SeaweedFS) -> MakeFleet:
    """Make fleets for longer than a test: `with new_fleet(folder) as fleet`; ``settings`` go over those of a fleet."""

    def make(folder: Path, **settings: str) -> AbstractContextManager[Fleet]:
        name = f"fleet-{next(_numbers)}"
        fleet = Fleet.on(
            folder,
            database=postgresql.url(postgresql.create_database()),
            redis=redis.url(),
            s3=seaweedfs.s3(name),
            SERINUS_REDIS_PREFIX=f"{name}:",
        )
        fleet.settings |= settings
        return closing(fleet)

    return make


@pytest.fixture
def fleet(new_fleet: MakeFleet, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet without servers yet; those that the test starts are killed at its end."""
    with new_fleet(tmp_path) as fleet:
        yield fleet
