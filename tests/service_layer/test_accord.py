"""Servers of one store have the same board and the same key, or are refused."""

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from typing import cast

import pytest
from tests.service_layer.doubles import until
from tests.service_layer.world import World

from serinus.accord import LEASE_S, Common, kept
from serinus.adapters import common_board, common_key
from serinus.core.errors import Unavailable
from serinus.ports import Store
from serinus.settings import read_settings

OURS = Common("place", "here", "The others are at {}.", "SERINUS_PLACE", "Go there.")
THEIRS = replace(OURS, ours="elsewhere")


def keeping(common: Common, world: World) -> AbstractAsyncContextManager[None]:
    return kept(common, cast("Store", world.store), world.clock, world.troubles.append)


async def test_any_number_may_have_the_same(world: World) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(keeping(OURS, world))

    assert world.troubles == []


async def test_whoever_has_another_is_told_that_it_waits_and_then_refused_with_both(world: World) -> None:
    async with keeping(THEIRS, world):
        refused = asyncio.ensure_future(keeping(OURS, world).__aenter__())
        await until(lambda: world.troubles)
        world.clock.seconds += LEASE_S + 2.0
        with pytest.raises(Unavailable) as refusal:
            await refused

    assert world.troubles == ["The others are at elsewhere. This one waits 10 s for them to go."]
    assert refusal.value.message == "The others are at elsewhere. Here it is here."
    assert (refusal.value.field, refusal.value.remedy) == ("SERINUS_PLACE", "Go there.")


async def test_what_nobody_else_can_have_ends_with_its_server(world: World) -> None:
    async with keeping(replace(THEIRS, alone=True), world):
        pass

    async with keeping(OURS, world):
        pass

    assert world.troubles == []


async def test_a_store_that_is_gone_for_a_while_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serinus.accord.LEASE_S", 0.05)
    async with keeping(OURS, world):
        world.store.goes_down()
        before = world.store.calls["hold"]
        await until(lambda: world.store.calls["hold"] > before + 2)
        world.store.mended()

    assert world.troubles == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"redis_prefix": "other:"}),
        ({}, {"redis_url": "redis://redis.example/1"}),
        ({"redis_url": "unix:///run/redis.sock?db=1"}, {"redis_url": "unix:///run/redis.sock?db=2"}),
    ],
)
def test_boards_that_servers_cannot_share_have_names_of_their_own(one: dict[str, str], other: dict[str, str]) -> None:
    usual = {"database_url": "postgresql://db/serinus", "redis_url": "redis://redis.example/0", "hash_key": "k" * 32}

    first, second = (common_board(read_settings(**{**usual, **each})).ours for each in (one, other))

    assert first != second


@pytest.mark.parametrize("url", ["redis://redis.example", "redis://10.0.0.7/0", "rediss://user:pw@redis.example?db=0"])
def test_a_board_has_one_name_by_whatever_address_it_is_reached(url: str) -> None:
    settings = read_settings(database_url="postgresql://db/serinus", redis_url=url, hash_key="k" * 32)

    assert common_board(settings).ours == "Redis, database 0, keys serinus:*"


def test_a_key_is_named_without_giving_it_away() -> None:
    settings = read_settings(redis_url="redis://r/0", database_url="postgresql://db/serinus", hash_key="k" * 32)

    assert "kk" not in str(common_key(settings))
