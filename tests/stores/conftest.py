"""Each test of the contract runs on every database that Serinus can use: add the next one to ``database_url``."""

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from serinus.stores.sql import SqlStore, open_store

RunSql = Callable[[str], Awaitable[Sequence[Sequence[Any]]]]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "postgresql":
        name = "t" + uuid.uuid4().hex
        with psycopg.connect("postgresql://postgres@127.0.0.1:24817/postgres", autocommit=True) as c:
            c.execute(f"CREATE DATABASE {name}")
        return f"postgresql://postgres@127.0.0.1:24817/{name}"
    return f"sqlite:///{tmp_path}/state/serinus.db"


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[SqlStore]:
    store = await open_store(database_url)
    yield store
    await store.close()


@pytest.fixture
def run_sql(store: SqlStore) -> RunSql:
    """Run one statement past the store."""

    async def run(statement: str) -> Sequence[Sequence[Any]]:
        async with store._database.writers.begin() as connection:
            result = await connection.exec_driver_sql(statement)
            return result.all() if result.returns_rows else []

    return run
