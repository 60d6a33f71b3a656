import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.cli.conftest import Canary
from tests.stores.samples import prediction, write_log

from serinus.stores.sql import open_store

NOW = datetime.now(UTC)
AGES = (31, 29)  # days


async def keep(url: str) -> None:
    store = await open_store(url)
    await write_log(store, [prediction(number, "prod", NOW - timedelta(days=days)) for number, days in enumerate(AGES)])
    await store.close()


async def kept(url: str) -> list[str]:
    store = await open_store(url)
    found = [each.id for each in await store.predictions("prod")]
    await store.close()
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url: str = f"sqlite:///{tmp_path}/s.db" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    monkeypatch.setenv("SERINUS_DATABASE_URL", url)
    monkeypatch.setenv("SERINUS_HOME", str(tmp_path / "home"))
    return url


def test_what_is_older_is_removed_and_counted(canary: Canary, database: str) -> None:
    asyncio.run(keep(database))

    ran = canary("prune", "--older-than", "30d", "-o", "json")

    assert ran.code == 0, ran.err
    assert ran.document["removed"] == {"predictions": 1, "snapshots": 0, "outcomes": 0}
    assert urlsplit(database).path.rpartition("/")[2] in ran.document["database"]
    assert asyncio.run(kept(database)) == [prediction(1).id]


@pytest.mark.parametrize("older_than", ["0", "60", "5s", "-1d", "soon"])
def test_a_span_that_cannot_be_removes_nothing(canary: Canary, database: str, older_than: str) -> None:
    asyncio.run(keep(database))

    ran = canary("prune", "--older-than", older_than)

    assert ran.code == 2
    assert len(asyncio.run(kept(database))) == 2


def test_an_age_without_a_unit_is_refused_with_those_there_are(canary: Canary) -> None:
    ran = canary("prune", "--older-than", "60")

    assert ran.code == 2
    assert "60d, 60h, 60m or 60s" in ran.err


def test_a_database_that_is_not_there_is_named_and_not_made(canary: Canary, tmp_path: Path) -> None:
    ran = canary("prune", "--older-than", "30d", "--home", str(tmp_path / "home"))

    assert ran.code == 3
    assert str(tmp_path / "home" / "serinus.db") in " ".join(ran.err.split())
    assert "SERINUS_DATABASE_URL" in ran.err
    assert "--home" in ran.err
    assert not (tmp_path / "home").exists()


def test_what_was_pruned_is_named_without_its_password(
    canary: Canary, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    asyncio.run(keep(database))
    if database.startswith("postgresql"):
        monkeypatch.setenv("SERINUS_DATABASE_URL", database.replace("serinus@", "serinus:s3cret@"))

    ran = canary("prune", "--older-than", "30d")

    assert ran.code == 0, ran.err
    assert "Removed 1 predictions" in ran.out
    assert urlsplit(database).path.rpartition("/")[2] in ran.out
    assert "s3cret" not in ran.out + ran.err
