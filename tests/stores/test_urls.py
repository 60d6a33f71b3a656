"""Which URLs are taken, and that no password is given away."""

import sys
import traceback
from collections.abc import Iterator

import pytest
from tests.service import provided
from tests.services import PostgreSQL

from serinus.core.errors import InvalidInput, Unavailable
from serinus.stores.sql import open_store
from serinus.stores.urls import parsed, postgresql_url


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_goes_by_several_names(scheme: str) -> None:
    url = postgresql_url(f"{scheme}://ada:pass@db.example:5433/serinus?sslmode=require")

    assert url.render_as_string(hide_password=False) == (
        "postgresql+psycopg://ada:pass@db.example:5433/serinus?sslmode=require"
    )


@pytest.mark.parametrize(
    "url",
    [
        "mysql://serinus:s3cret@localhost/x",
        "postgresql//serinus:s3cret@localhost/x",
        "postgresql://serinus:s3cret@localhost:543x2/x",
        "postgresql+asyncpg://serinus:s3cret@localhost/x",
        "postgresql://serinus:s3cret@localhost",
        "postgresql://serinus@localhost/x?password=s3cret",
        "postgresql://serinus:s3cret@localhost/x?colour=blue",
    ],
)
async def test_a_refused_url_does_not_give_away_its_password(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await open_store(url)

    assert refused.value.field == "SERINUS_DATABASE_URL"
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))


@pytest.fixture(scope="module")
def guarded() -> Iterator[PostgreSQL]:
    """A server that asks for a password."""
    with provided(PostgreSQL(password="s3cret")) as server:
        server.execute("CREATE ROLE idle PASSWORD 's3cret'")
        server.execute("CREATE ROLE stranger LOGIN PASSWORD 's3cret'")
        server.execute("CREATE DATABASE closed")
        server.execute("REVOKE CONNECT ON DATABASE closed FROM public")
        yield server


@pytest.mark.parametrize(
    ("user", "password", "database"),
    [
        ("serinus", ":n0ne", "postgres"),
        ("serinus", "", "postgres"),
        ("nobody", ":s3cret", "postgres"),
        ("idle", ":s3cret", "postgres"),
        ("stranger", ":s3cret", "closed"),
    ],
    ids=["wrong password", "no password", "no such user", "may not log in", "may not connect"],
)
async def test_a_user_who_is_refused_is_told_from_an_outage(
    guarded: PostgreSQL, user: str, password: str, database: str
) -> None:
    with pytest.raises(Unavailable) as refused:
        await open_store(guarded.url(database).replace("serinus:s3cret", f"{user}{password}"))

    assert f"refuses user {user!r}" in refused.value.message
    assert "SERINUS_DATABASE_URL" in refused.value.remedy
    assert "s3cret" not in str(refused.value)
    assert "n0ne" not in str(refused.value)


async def test_a_database_that_is_not_there_is_told_from_an_outage(guarded: PostgreSQL) -> None:
    with pytest.raises(Unavailable, match="has no database 'nonesuch'") as refused:
        await open_store(guarded.url("nonesuch"))

    assert 'CREATE DATABASE "nonesuch"' in refused.value.remedy
    assert "SERINUS_DATABASE_URL" in refused.value.remedy


async def test_a_database_that_does_not_answer_is_named_without_password() -> None:
    with pytest.raises(Unavailable, match=r"postgresql://ada@127\.0\.0\.1:1/x does not answer") as failed:
        await open_store("postgresql://ada:s3cret@127.0.0.1:1/x?application_name=n4me")

    assert "s3cret" not in str(failed.value)
    assert "n4me" not in str(failed.value)


async def test_without_its_driver_postgresql_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(InvalidInput, match=r"pip install 'serinus\[postgres\]'"):
        await open_store("postgresql://ada:s3cret@127.0.0.1:1/x")


def test_sqlite_is_no_postgresql() -> None:
    assert parsed("sqlite:///x.db").drivername == "sqlite"
    with pytest.raises(InvalidInput, match="no PostgreSQL database"):
        postgresql_url("sqlite:///x.db")
