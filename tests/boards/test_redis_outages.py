"""What the board on Redis does while Redis is gone, hangs, or comes back with another state."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from redis import Redis as Client
from tests.boards.conftest import OpenBoard
from tests.boards.watching import CUT, PATIENCE_S, Following, Told, eventually, evidence, reading, split
from tests.services import Redis

from serinus.boards.redis import RedisBoard, open_board
from serinus.core.errors import Unavailable
from serinus.core.records import EvidenceReport
from serinus.core.routing import Split

REPORT = EvidenceReport("g1", "boot-1", evidence("fraud:1", 10))
ASKING: dict[str, Callable[[RedisBoard], Awaitable[object]]] = {
    "publish": lambda board: board.publish(split(1)),
    "cut": lambda board: board.cut("fraud", CUT),
    "split": lambda board: board.split("fraud"),
    "splits": lambda board: board.splits(),
    "unacknowledged": lambda board: board.unacknowledged("fraud", 2, PATIENCE_S),
    "renew": lambda board: board.renew(1, 600.0),
    "report": lambda board: board.report(REPORT),
    "reports": lambda board: board.reports("fraud:1"),
    "ping": lambda board: board.ping(),
}


async def put_up(board: RedisBoard, generation: int) -> None:
    """Publish as the checker's repair of the board does: until it succeeds."""
    await eventually(lambda: board.publish(split(generation)))


# ---------------------------------------------------------------------------------------------- gone


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
async def test_without_redis_every_question_is_answered_by_unavailable(
    own_redis: Redis, opened: OpenBoard, ask: Callable[[RedisBoard], Awaitable[object]]
) -> None:
    board = opened(own_redis.url())
    await board.ping()
    own_redis.kill()

    for _ in range(3):
        with pytest.raises(Unavailable) as raised:
            await ask(board)
        assert own_redis.url() in raised.value.message
        assert raised.value.remedy


async def test_a_redis_that_hangs_is_not_waited_for(own_redis: Redis, opened: OpenBoard) -> None:
    board = opened(own_redis.url())
    await board.ping()
    own_redis.pause()

    async with asyncio.timeout(PATIENCE_S):
        results = await asyncio.gather(*(ask(board) for ask in ASKING.values()), return_exceptions=True)

    assert {name: type(result) for name, result in zip(ASKING, results, strict=True)} == dict.fromkeys(
        ASKING, Unavailable
    )
    own_redis.resume()


async def test_many_questions_at_once_are_no_longer_under_way_than_one(own_redis: Redis, opened: OpenBoard) -> None:
    board = opened(own_redis.url())
    await board.ping()
    own_redis.pause()

    async with asyncio.timeout(PATIENCE_S):  # one after the other they would take more than three minutes
        results = await asyncio.gather(*(board.split(f"d{number}") for number in range(200)), return_exceptions=True)

    assert {type(result) for result in results} == {Unavailable}
    own_redis.resume()
    await eventually(lambda: board.publish(split(1)))


async def test_a_gateway_that_joins_without_redis_is_told_when_it_comes(own_redis: Redis, opened: OpenBoard) -> None:
    own_redis.kill()
    board = opened(own_redis.url())
    told = Following(board, "g1")

    await board.join("g1", told)
    own_redis.start()
    await put_up(board, 1)

    await eventually(lambda: told.last() == split(1))
    await eventually(lambda: _is(_behind(board, split(1)), []))


async def test_leaving_and_closing_without_redis_are_no_errors(own_redis: Redis) -> None:
    board = open_board(own_redis.url(), on_trouble=lambda _: None)
    await board.join("g1", Told())
    await board.join("g2", Told())
    own_redis.kill()

    await board.leave("g1")
    await board.close()


async def test_closing_does_not_wait_for_a_redis_that_hangs(own_redis: Redis) -> None:
    board = open_board(own_redis.url(), on_trouble=lambda _: None)
    await board.join("g1", Told())
    own_redis.pause()

    async with asyncio.timeout(PATIENCE_S):
        await board.close()


async def test_the_lease_runs_out_by_itself(own_redis: Redis, opened: OpenBoard) -> None:
    judge, gateway = opened(own_redis.url()), opened(own_redis.url())
    await gateway.join("g1", Told())
    await judge.renew(1, 2.0)
    await eventually(gateway.leased)

    own_redis.pause()

    await eventually(lambda: not gateway.leased())
    assert not judge.leased()
    own_redis.resume()


async def test_without_redis_the_lease_lasts_its_time(own_redis: Redis, opened: OpenBoard) -> None:
    gateway = opened(own_redis.url())
    await gateway.join("g1", Told())
    await gateway.renew(1, 600.0)

    own_redis.kill()
    with pytest.raises(Unavailable):
        await gateway.ping()

    assert gateway.leased()


async def test_each_outage_is_told_once_and_its_end_once(own_redis: Redis) -> None:
    troubles: list[str] = []
    recoveries: list[str] = []
    board = open_board(own_redis.url(), on_trouble=troubles.append, on_recovery=recoveries.append)
    await board.join("g1", Told())

    for outage in (1, 2):
        own_redis.kill()
        await eventually(lambda outage=outage: len(troubles) == outage)  # type: ignore[misc]
        await asyncio.sleep(1.0)  # for several attempts in vain
        assert (len(troubles), len(recoveries)) == (outage, outage - 1)
        own_redis.start()
        await eventually(lambda outage=outage: len(recoveries) == outage)  # type: ignore[misc]
    await board.close()


async def test_a_log_that_cannot_be_written_does_not_end_the_board(own_redis: Redis) -> None:
    def fail(trouble: str) -> None:
        raise BrokenPipeError(trouble)

    board, told = open_board(own_redis.url(), on_trouble=fail), Told()
    await board.join("g1", told)
    own_redis.kill()
    await eventually(lambda: board._following._lost)
    own_redis.start()

    await put_up(board, 1)

    await eventually(lambda: told.last() == split(1))
    await board.close()


# ----------------------------------------------------------------------------------- back, but changed


async def empty(redis: Redis) -> None:
    redis.flush()


async def restart_empty(redis: Redis) -> None:
    redis.kill()
    await asyncio.sleep(0.2)
    redis.start()


async def hang_for_long(redis: Redis) -> None:
    """For so long that every gateway has run out."""
    redis.pause()
    await asyncio.sleep(3.5)
    redis.resume()


losing = pytest.mark.parametrize("lose", [empty, restart_empty], ids=["emptied", "restarted"])
afflicting = pytest.mark.parametrize(
    "afflict", [empty, restart_empty, hang_for_long], ids=["emptied", "restarted", "hung"]
)
Affliction = Callable[[Redis], Awaitable[None]]


@losing
async def test_gateways_are_told_that_a_split_is_gone_and_of_the_next(
    own_redis: Redis, opened: OpenBoard, lose: Affliction
) -> None:
    first, second = opened(own_redis.url()), opened(own_redis.url())
    told = Following(second, "g2")
    await first.publish(split(5))
    await second.join("g2", told)

    await lose(own_redis)
    await told.wait_for(2)
    await put_up(first, 5)

    await told.wait_for(3)
    assert [Split.decoded(raw) for _, raw in told.changes] == [split(5), None, split(5)]


@afflicting
async def test_gateways_live_on_with_what_they_had_acknowledged(
    own_redis: Redis, opened: OpenBoard, afflict: Affliction
) -> None:
    """Nothing is published after it, so that no gateway has a reason to say anything again."""
    first, second = opened(own_redis.url()), opened(own_redis.url())
    await first.publish(split(5))
    for board, name in ((first, "g1"), (second, "g2")):
        await board.join(name, Following(board, name))
    await second.join("behind", Told())
    await eventually(lambda: _is(_behind(first, split(5)), ["behind"]))

    await afflict(own_redis)

    with Client.from_url(own_redis.url()) as client:
        await eventually(lambda: client.scard("serinus:gateways") == 3)
    await eventually(lambda: _is(_behind(first, split(5)), ["behind"]))


async def test_gateways_are_waited_for_in_the_moment_after_redis_was_emptied(
    own_redis: Redis, opened: OpenBoard
) -> None:
    first, second = opened(own_redis.url()), opened(own_redis.url())
    await second.join("g2", Told())
    await first.join("g1", Told())

    own_redis.flush()

    assert await first.unacknowledged("fraud", 1, 0) == ["g1", "g2"]


@afflicting
async def test_a_lease_is_known_again_when_it_is_renewed(
    own_redis: Redis, opened: OpenBoard, afflict: Affliction
) -> None:
    judge, gateway = opened(own_redis.url()), opened(own_redis.url())
    await gateway.join("g1", Told())
    await judge.renew(1, 2.0)
    await eventually(gateway.leased)
    await afflict(own_redis)
    await eventually(lambda: not gateway.leased())

    await eventually(lambda: _done(judge.renew(1, 600.0)))

    await eventually(gateway.leased)


@losing
async def test_evidence_is_put_up_again(own_redis: Redis, opened: OpenBoard, lose: Affliction) -> None:
    gateway, checker = opened(own_redis.url()), opened(own_redis.url())
    await gateway.report(REPORT)

    await lose(own_redis)

    async def is_back() -> bool:
        await gateway.report(REPORT)
        return await checker.reports("fraud:1") == [REPORT]

    await eventually(is_back)


async def test_a_redis_from_an_old_dump_comes_right(own_redis: Redis, opened: OpenBoard, tmp_path: Path) -> None:
    first, second = opened(own_redis.url()), opened(own_redis.url())
    told = Following(second, "g2")
    await second.join("g2", told)
    await first.publish(split(1))
    await first.report(EvidenceReport("g1", "boot-1", evidence("fraud:1", 3)))
    own_redis.save()
    shutil.copy(own_redis.dump, tmp_path / "old.rdb")
    await first.publish(split(5))
    await first.publish(split(1, deployment="spam"))
    await first.report(REPORT)
    await eventually(lambda: told.last() == split(5))

    own_redis.kill()
    shutil.copy(tmp_path / "old.rdb", own_redis.dump)
    own_redis.start()
    await eventually(lambda: told.last() == split(1))
    gone = dict(told.changes)["spam"]
    await put_up(first, 5)

    async def evidence_is_back() -> bool:
        await first.report(REPORT)
        return await second.reports("fraud:1") == [REPORT]

    assert gone is None
    await eventually(lambda: told.last() == split(5))
    assert await reading(first) == split(5)
    await eventually(lambda: _is(_behind(first, split(5)), []))
    await eventually(evidence_is_back)


async def test_a_change_during_an_outage_of_the_channels_alone_is_told(
    redis_url: str, client: Client, opened: OpenBoard
) -> None:
    """Redis ends the connection that listens, as it does when one falls behind; commands go on."""
    first, second, told = opened(redis_url), opened(redis_url), Told()
    await second.join("g2", told)

    for generation in range(1, 31):
        client.client_kill_filter(_type="pubsub")
        await first.publish(split(generation))

    await eventually(lambda: told.last() == split(30))
    generations = [raw["generation"] for _, raw in told.changes]
    assert generations == sorted(set(generations))


async def test_scripts_that_redis_forgot_are_brought_again(redis_url: str, client: Client, opened: OpenBoard) -> None:
    board = opened(redis_url)
    await board.publish(split(1))

    client.script_flush()

    assert await board.publish(split(2))


async def test_a_caller_that_goes_away_harms_no_other(redis_url: str, opened: OpenBoard) -> None:
    """A connection on which an answer is still due must not be given to the next caller."""
    board = opened(redis_url)
    for number in range(20):
        await board.publish(split(1, deployment=f"d{number}"))

    async def ask(number: int) -> None:
        kept = await board.split(f"d{number}")
        assert Split.decoded(kept) == split(1, deployment=f"d{number}")

    for _ in range(10):
        asking = [asyncio.ensure_future(ask(number)) for number in range(20)]
        await asyncio.sleep(0)
        for each in asking[::2]:
            each.cancel()
        results = await asyncio.gather(*asking, return_exceptions=True)
        assert results[1::2] == [None] * 10


async def _behind(board: RedisBoard, published: Split) -> list[str]:
    return await board.unacknowledged("fraud", published.stamp, 0)


async def _is(asked: Awaitable[list[str]], expected: list[str]) -> bool:
    return await asked == expected


async def _done(asked: Awaitable[None]) -> bool:
    await asked
    return True
