import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.cli.conftest import Canary
from tests.stores.samples import prediction

from serinus.stores.sql import open_store

NOW = datetime.now(UTC)
AGES = (31, 29)  # days


async def keep(url: str) -> None:
    store = await open_store(url)
    await store.append_predictions(
        [prediction(number, "prod", NOW - timedelta(days=days)) for number, days in enumerate(AGES)]
    )
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
    assert ran.document == {"removed": {"predictions": 1, "snapshots": 0, "outcomes": 0}}
    assert asyncio.run(kept(database)) == [prediction(1).id]


@pytest.mark.parametrize("older_than", ["0", "5s", "-1d", "soon"])
def test_a_span_that_cannot_be_removes_nothing(canary: Canary, database: str, older_than: str) -> None:
    asyncio.run(keep(database))

    ran = canary("prune", "--older-than", older_than)

    assert ran.code == 2
    assert len(asyncio.run(kept(database))) == 2
