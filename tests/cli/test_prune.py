import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.cli.conftest import Canary

from serinus.core.records import PredictionRecord
from serinus.core.routing import Role
from serinus.stores.sql import open_store

NOW = datetime.now(UTC)


def record(number: int, at: datetime) -> PredictionRecord:
    return PredictionRecord(
        id=f"p{number}",
        at=at,
        deployment="prod",
        rollout="",
        split_version=0,
        role=Role.BASELINE,
        version="risk@1",
        answered_by="risk@1",
        inputs_hmac="00",
        key_id="k",
        prediction="1",
        prediction_class=None,
        confidence=None,
        latency_ms=1.0,
        error_kind="",
        forced=False,
    )


async def keep(url: str) -> None:
    store = await open_store(url)
    await store.append_predictions([record(1, NOW - timedelta(days=31)), record(2, NOW - timedelta(days=29))])
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
    assert asyncio.run(kept(database)) == ["p2"]


@pytest.mark.parametrize("older_than", ["0", "5s", "-1d", "soon"])
def test_a_span_that_cannot_be_removes_nothing(canary: Canary, database: str, older_than: str) -> None:
    asyncio.run(keep(database))

    ran = canary("prune", "--older-than", older_than)

    assert ran.code == 2
    assert len(asyncio.run(kept(database))) == 2
