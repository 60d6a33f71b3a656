"""Which URLs are taken, and that no password is given away."""

import sys

import pytest

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
        "postgresql+asyncpg://serinus:s3cret@localhost/x",
        "postgresql://serinus:s3cret@localhost",
        "postgresql://serinus@localhost/x?password=s3cret",
        "postgresql://serinus:s3cret@localhost/x?colour=blue",
    ],
)
async def test_a_refused_url_does_not_give_away_its_password(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await open_store(url)

    assert refused.value.field == "database_url"
    assert "s3cret" not in str(refused.value)


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
