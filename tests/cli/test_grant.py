import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.cli.conftest import Canary
from tests.services import PostgreSQL

from serinus.core.errors import SerinusError
from serinus.stores.sql import open_store

ROLE = "serinus_runs"


@pytest.fixture
def url(postgresql: PostgreSQL, postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty database, as its owner logs in to it, and as the settings name it."""
    monkeypatch.setenv("SERINUS_DATABASE_URL", postgresql_url)
    monkeypatch.setenv("SERINUS_HOME", str(tmp_path / "home"))
    postgresql.execute(f"CREATE ROLE {ROLE} LOGIN")
    yield postgresql_url
    postgresql.execute(f"DROP OWNED BY {ROLE}", database=postgresql_url.rpartition("/")[2].partition("?")[0])
    postgresql.execute(f"DROP ROLE {ROLE}")


async def changed(url: str) -> None:
    store = await open_store(url)
    try:
        async with store._writing() as connection:
            await connection.execute(text("DELETE FROM events"))
    finally:
        await store.close()


def test_a_role_that_was_granted_runs_servers_and_removes_no_event(canary: Canary, url: str) -> None:
    as_role = url.replace("serinus@", f"{ROLE}@")

    ran = canary("grant", ROLE)

    assert ran.code == 0, ran.err
    with pytest.raises(SerinusError, match="permission denied"):
        asyncio.run(changed(as_role))


def test_a_role_that_is_not_there_is_named_with_the_remedy(canary: Canary, url: str) -> None:
    ran = canary("grant", "nobody_here")

    assert ran.code == 2
    assert "no role 'nobody_here'" in ran.err
    assert "CREATE ROLE" in ran.err


def test_sqlite_has_no_roles(canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERINUS_DATABASE_URL", f"sqlite:///{tmp_path}/s.db")

    ran = canary("grant", ROLE)

    assert ran.code == 2
    assert "PostgreSQL" in ran.err
