"""What the board on Redis does beyond the contract: many processes on one Redis, whatever is found there."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis as Client
from tests.boards.conftest import OpenBoard
from tests.boards.watching import CUT, PATIENCE_S, Following, Told, eventually, evidence, reading, split

from serinus.boards.redis import RedisBoard
from serinus.core.errors import Deposed
from serinus.core.records import EvidenceReport
from serinus.core.routing import Split
from serinus.ports import Board

GARBAGE: dict[str, Any] = {
    "text": lambda client, key: client.set(key, "garbage"),
    "list": lambda client, key: client.rpush(key, "garbage"),
    "hash": lambda client, key: client.hset(key, mapping={b"\xff\xfe": b"\xc3\x28\x00", "fraud": "[", "": "{}"}),
    "set": lambda client, key: client.sadd(key, "garbage", b"\xff"),
    "sorted set": lambda client, key: client.zadd(key, {"garbage": 1}),
}
KEYS = ("splits", "lease", "term", "gateways", "evidence:fraud:1")


async def exercise(board: Board, generation: int = 1) -> None:
    """Do everything that a board can."""
    told = Following(board, "g1")
    await board.join("g1", told)
    await board.publish(split(generation))
    await board.cut("fraud", CUT, term=3)
    await board.renew(3, 600.0)
    await board.report(EvidenceReport("g1", "boot-1", evidence("fraud:1", 10)))
    cut = replace(split(generation), cut=CUT)
    assert await reading(board) == cut
    assert await board.unacknowledged("fraud", cut.stamp, PATIENCE_S) == []
    assert board.leased()
    assert await board.reports("fraud:1") == [EvidenceReport("g1", "boot-1", evidence("fraud:1", 10))]


def vanish(board: RedisBoard) -> None:
    """End a board's work as the end of its process does: nobody is told."""
    following = board._following
    following._closing = True
    assert following._task is not None
    following._task.cancel()
    following.gateways._here.clear()


# ------------------------------------------------------------------------------------- many processes


async def test_what_one_process_puts_up_every_other_sees(redis_url: str, opened: OpenBoard) -> None:
    first, second = opened(redis_url), opened(redis_url)
    told = Told()
    await second.join("g2", told)

    await first.publish(split(1))
    await first.cut("fraud", CUT)
    await first.report(EvidenceReport("g1", "boot-1", evidence("fraud:1", 10)))

    cut = replace(split(1), cut=CUT)
    assert [Split.decoded(raw) for _, raw in await told.wait_for(2)] == [split(1), cut]
    assert await reading(second) == cut
    assert await second.reports("fraud:1") == [EvidenceReport("g1", "boot-1", evidence("fraud:1", 10))]


async def test_a_change_waits_for_the_gateways_of_all_processes(redis_url: str, opened: OpenBoard) -> None:
    boards = [opened(redis_url) for _ in range(3)]
    for number, board in enumerate(boards):
        await board.join(f"g{number}", Following(board, f"g{number}"))
    silent = opened(redis_url)
    await silent.join("silent", Told())

    await boards[0].publish(split(4))

    async def only_one_is_behind() -> bool:
        return await boards[0].unacknowledged("fraud", split(4).stamp, 0) == ["silent"]

    await eventually(only_one_is_behind)
    silent.acknowledge("silent", "fraud", split(4).stamp)
    assert await boards[0].unacknowledged("fraud", split(4).stamp, PATIENCE_S) == []


async def test_the_lease_that_one_process_renews_is_known_to_every_other(redis_url: str, opened: OpenBoard) -> None:
    judge, gateway = opened(redis_url), opened(redis_url)
    await gateway.join("g1", Told())
    before = gateway.leased()

    await judge.renew(1, 600.0)

    await eventually(gateway.leased)
    assert not before


async def test_a_lease_that_is_made_shorter_is_shorter_for_every_process(redis_url: str, opened: OpenBoard) -> None:
    judge, gateway = opened(redis_url), opened(redis_url)
    await judge.renew(1, 600.0)
    await eventually(gateway.leased)

    await judge.renew(1, 0.001)

    await eventually(lambda: not gateway.leased())


async def test_a_deposed_checker_of_another_process_can_do_nothing(redis_url: str, opened: OpenBoard) -> None:
    old, new = opened(redis_url), opened(redis_url)
    await old.publish(split(1))
    await old.renew(1, 600.0)

    await new.renew(2, 600.0)

    with pytest.raises(Deposed):
        await old.renew(1, 600.0)
    with pytest.raises(Deposed):
        await old.cut("fraud", CUT, term=1)


async def test_a_process_that_starts_later_is_told_of_what_is_up(redis_url: str, opened: OpenBoard) -> None:
    first = opened(redis_url)
    await first.renew(1, 600.0)
    for number in range(200):
        await first.publish(split(1, deployment=f"d{number}"))
    second, told = opened(redis_url), Told()

    await second.join("g2", told)

    assert sorted(name for name, _ in told.changes) == sorted(f"d{number}" for number in range(200))
    assert second.leased()


async def test_the_same_split_again_tells_nobody(redis_url: str, opened: OpenBoard) -> None:
    first, second, told = opened(redis_url), opened(redis_url), Told()
    await second.join("g2", told)

    results = [await first.publish(split(generation)) for generation in (1, 1, 1, 2)]

    assert [raw["generation"] for _, raw in await told.wait_for(2)] == [1, 2]
    assert results == [True] * 4


async def test_a_gateway_that_went_without_a_word_is_waited_for_only_so_long(redis_url: str, opened: OpenBoard) -> None:
    first, second = opened(redis_url), opened(redis_url)
    await second.join("gone", Told())
    await first.publish(split(1))

    vanish(second)

    assert await first.unacknowledged("fraud", split(1).stamp, 0.05) == ["gone"]
    await eventually(lambda: first.gone() == ["gone"])
    await eventually(lambda: first.gone() == [])
    assert await first.unacknowledged("fraud", split(1).stamp, PATIENCE_S) == []


async def test_a_gateway_that_went_without_a_word_is_named_until_its_lease_has_ended(
    redis_url: str, client: Client, opened: OpenBoard
) -> None:
    """It may be cut off from Redis alone, and give canaries their traffic until then."""
    first, second = opened(redis_url), opened(redis_url)
    await second.join("cut off", Told())
    await first.publish(split(1))
    await first.renew(1, 8.0)
    await eventually(second.leased)

    vanish(second)

    assert await first.unacknowledged("fraud", split(1).stamp, 0.05) == ["cut off"]
    assert await first.unacknowledged("fraud", split(1).stamp, PATIENCE_S) == []
    assert not client.exists("serinus:lease")
    assert not second.leased()


async def test_a_gateway_that_goes_in_good_order_is_not_named_while_the_lease_lasts(
    redis_url: str, opened: OpenBoard
) -> None:
    first, second = opened(redis_url), opened(redis_url)
    await second.join("g2", Told())
    await first.publish(split(1))
    await first.renew(1, 600.0)
    await first.join("g1", Following(first, "g1"))

    await second.leave("g2")

    assert await first.unacknowledged("fraud", split(1).stamp, PATIENCE_S) == []
    assert first.leased()


async def test_a_successor_does_not_acknowledge_for_the_process_that_had_its_name(
    redis_url: str, opened: OpenBoard
) -> None:
    first, second, third = opened(redis_url), opened(redis_url), opened(redis_url)
    await second.join("g2", Told())
    await first.publish(split(1))
    vanish(second)

    await third.join("g2", Following(third, "g2"))

    assert await first.unacknowledged("fraud", split(1).stamp, 0.05) == ["g2"]
    assert await first.unacknowledged("fraud", split(1).stamp, PATIENCE_S) == []


async def test_closing_a_board_takes_its_gateways_out(redis_url: str, opened: OpenBoard) -> None:
    first, second = opened(redis_url), opened(redis_url)
    await second.join("g2", Told())

    await second.close()

    assert await first.unacknowledged("fraud", 1, 0) == []


async def test_boards_of_other_prefixes_and_databases_are_other_boards(redis_url: str, opened: OpenBoard) -> None:
    told = Told()
    board = opened(redis_url)
    others = [opened(redis_url, prefix="other:"), opened(redis_url.removesuffix("/0") + "/1")]
    await board.join("g1", told)

    for other in others:
        await other.publish(split(9))
        await other.renew(9, 600.0)
        await other.join("g2", Told())
    await board.publish(split(1))

    assert [raw["generation"] for _, raw in await told.wait_for(1)] == [1]
    assert await board.unacknowledged("fraud", split(1).stamp, 0) == ["g1"]
    assert not board.leased()
    await board.renew(1, 600.0)


async def test_the_older_protocol_of_redis_will_do(redis_url: str, opened: OpenBoard) -> None:
    board = opened(f"{redis_url}?protocol=2")
    told = Following(board, "g0")
    await board.join("g0", told)

    await exercise(board)

    assert told.last() == replace(split(1), cut=CUT)


# ---------------------------------------------------------------------------------------------- order


async def test_no_older_state_is_told_after_a_newer_one(redis_url: str, opened: OpenBoard) -> None:
    """Changes and what beats bring cross all the time here."""
    first, second, told = opened(redis_url), opened(redis_url), Told()
    await second.join("g2", told)
    published = asyncio.Event()

    async def keep_asking() -> None:
        while not published.is_set():
            second._following.ask()
            second._following.mirror.digest = ""  # so that all splits are sent
            await asyncio.sleep(0)

    asking = asyncio.ensure_future(keep_asking())
    for generation in range(1, 301):
        await first.publish(split(generation))
    published.set()
    await asking

    await eventually(lambda: told.last() == split(300))
    assert [raw["generation"] for _, raw in told.changes] == list(range(1, 301))


STEPS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(["publish", "cut"]), st.integers(1, 9), st.integers(1, 2)),
    min_size=1,
    max_size=25,
)


@given(STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
async def test_of_steps_taken_at_once_none_goes_back(
    redis_url: str, client: Client, opened: OpenBoard, steps: list[tuple[int, str, int, int]]
) -> None:
    """Whatever two processes publish and cut: generations only grow, and a cut stays while its rollout does."""
    client.flushall()
    boards, told = [opened(redis_url), opened(redis_url)], Told()
    watching = opened(redis_url)
    await watching.join("g1", told)

    async def take(board: RedisBoard, step: str, generation: int, rollout: int) -> None:
        if step == "publish":
            await board.publish(split(generation, rollout=rollout))
        else:
            await board.cut("fraud", CUT)

    await asyncio.gather(*(take(boards[who], step, generation, rollout) for who, step, generation, rollout in steps))

    up = await reading(watching)
    await eventually(lambda: told.last() == up)
    newest = max((generation for _, step, generation, _ in steps if step == "publish"), default=None)
    assert (up.generation if up else None) == newest
    seen = [Split.decoded(raw) for _, raw in told.changes]
    for before, after in pairwise(seen):
        assert before is not None
        assert after is not None
        assert after.generation >= before.generation
        assert before.cut is None or after.rollout != before.rollout or after.cut == before.cut
    for board in (*boards, watching):
        await board.close()


# ----------------------------------------------------------------------------------- what is in Redis


async def test_every_key_has_the_prefix_and_an_end(redis_url: str, client: Client, opened: OpenBoard) -> None:
    board = opened(redis_url, prefix="canaries:")
    await exercise(board)
    await board.leave("g1")
    await board.join("g2", Following(board, "g2"))
    await eventually(lambda: client.smembers("canaries:gateways"))

    remaining_ms = {key.decode(): client.pttl(key) for key in client.scan_iter()}

    assert {key.split(":")[0] for key in remaining_ms} == {"canaries"}
    assert {key.split(":")[1] for key in remaining_ms} == {"splits", "gateways", "gateway", "lease", "term", "evidence"}
    assert all(0 < remaining <= 86_400_000 for remaining in remaining_ms.values()), remaining_ms


async def test_what_has_been_put_up_is_kept_while_a_board_is_open(
    redis_url: str, client: Client, opened: OpenBoard
) -> None:
    board = opened(redis_url)
    await board.publish(split(1))

    client.pexpire("serinus:splits", 60_000)

    await eventually(lambda: client.pttl("serinus:splits") > 60_000)


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("key", KEYS)
async def test_garbage_under_a_key_comes_right_by_itself(
    redis_url: str, client: Client, opened: OpenBoard, key: str, garbage: str
) -> None:
    board = opened(redis_url)
    await board.join("g0", Following(board, "g0"))

    client.delete(f"serinus:{key}")
    GARBAGE[garbage](client, f"serinus:{key}")

    async def works() -> bool:
        await exercise(board)
        return True

    await eventually(works)
    assert client.pttl(f"serinus:{key}") > 0


async def test_garbage_that_is_there_before_the_board_comes_right_by_itself(
    redis_url: str, client: Client, opened: OpenBoard
) -> None:
    for key, put in zip(KEYS, GARBAGE.values(), strict=True):
        put(client, f"serinus:{key}")
    board = opened(redis_url)

    async def works() -> bool:
        await exercise(board)
        return True

    await eventually(works)


async def test_bytes_that_are_no_text_are_told_and_replaced(redis_url: str, client: Client, opened: OpenBoard) -> None:
    board, told = opened(redis_url), Told()
    await board.join("g1", told)

    client.hset("serinus:splits", "fraud", b"\xff\x00{\xc3")
    await told.wait_for(1)

    assert told.last() is None
    assert await board.publish(split(1))
    await eventually(lambda: told.last() == split(1))


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 10_000, "NaN", '{"generation": 1e400}'], ids=lambda t: t[:9])
async def test_what_no_reader_can_take_is_no_split(
    redis_url: str, client: Client, opened: OpenBoard, text: str
) -> None:
    client.hset("serinus:splits", "fraud", text)
    board, told = opened(redis_url), Told()

    await board.join("g1", told)

    assert (len(told.changes), told.last(), await reading(board)) == (1, None, None)
    assert await board.publish(split(1))


async def test_a_lease_that_would_never_end_is_none(redis_url: str, client: Client, opened: OpenBoard) -> None:
    board = opened(redis_url)

    client.set("serinus:lease", 1)
    await board.join("g1", Told())

    await eventually(lambda: not client.exists("serinus:lease"))
    assert not board.leased()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("garbage", "[1,2,[]]"),
        ("[1,2]", "[1,2,[]]"),
        ('["g1"]', "[1,2,[]]"),
        ('["g1","b"]', "garbage"),
        ('["g1","b"]', "[]"),
        ('["g1","b"]', "[" * 100_000),
        ('["g1","b"]', '[1,2,{"a":1}]'),
        ('["g1","b"]', '[1,2,[["fraud:2","m@1",1,"canary",1,0,0,0,0,1.0,[]]]]'),
        ('["g1","b"]', '[1,2,[["fraud:1","m@1",1,"canary",1,0,0,0,0,"nan",[]]]]'),
        ('["g1","b"]', '[1,2,[["fraud:1","m@1",1,"canary",-1,0,0,0,0,1.0,[]]]]'),
        ('["g1","b"]', '[1,2,[["fraud:1","m@1",1,"third",1,0,0,0,0,1.0,[]]]]'),
    ],
    ids=lambda text: text[:60],
)
async def test_evidence_that_is_malformed_is_passed_over_and_said_once(
    redis_url: str, client: Client, opened: OpenBoard, name: str, value: str
) -> None:
    troubles: list[str] = []
    board = opened(redis_url, troubles)
    good = EvidenceReport("g1", "boot-1", evidence("fraud:1", 10))
    await board.report(good)

    client.hset("serinus:evidence:fraud:1", name, value)

    assert [await board.reports("fraud:1") for _ in range(3)] == [[good]] * 3
    assert len(troubles) == 1


async def test_evidence_that_comes_late_does_not_replace_what_is_newer(redis_url: str, opened: OpenBoard) -> None:
    """A process's last report may overtake the one before, on another connection."""
    earlier, later = (EvidenceReport("g1", "boot-1", evidence("fraud:1", requests)) for requests in (9, 10))
    await opened(redis_url).report(later)

    board = opened(redis_url)
    await board.report(earlier)

    assert await board.reports("fraud:1") == [later]


async def test_evidence_of_a_process_that_ended_long_ago_goes(
    redis_url: str, client: Client, opened: OpenBoard
) -> None:
    board = opened(redis_url)
    await board.report(EvidenceReport("g1", "boot-1", evidence("fraud:1", 10)))
    field = json.dumps(["g1", "boot-1"])
    size, written, counts = json.loads(client.hget("serinus:evidence:fraud:1", field) or "")
    client.hset("serinus:evidence:fraud:1", field, json.dumps([size, written - 90_000, counts], separators=(",", ":")))

    await board.report(EvidenceReport("g1", "boot-2", evidence("fraud:1", 3)))

    assert [report.boot for report in await board.reports("fraud:1")] == ["boot-2"]


# ------------------------------------------------------------------------------- strangers and defects


@pytest.fixture
def channel(client: Client) -> Iterator[str]:
    """The channel on which boards tell of changes."""
    yield "serinus:0:changes"
    assert client.pubsub_numsub("serinus:0:changes")[0][1] > 0, "nobody listens there"


@pytest.mark.parametrize(
    "message",
    [
        b"garbage",
        b"\xff",
        b"[]",
        b"{}",
        b"7",
        b"null",
        b'["split"]',
        b'["split",1,2]',
        b'["new"]',
        b'["left"]',
        b"[[]]",
    ],
)
async def test_a_message_that_is_none_of_ours_is_passed_over(
    redis_url: str, client: Client, opened: OpenBoard, channel: str, message: bytes
) -> None:
    troubles: list[str] = []
    board, told = opened(redis_url, troubles), Told()
    await board.join("g1", told)

    for _ in range(3):
        client.publish(channel, message)
    await board.publish(split(1))

    await told.wait_for(1)
    assert (len(told.changes), len(troubles)) == (1, 1)


async def test_a_false_message_is_corrected(redis_url: str, client: Client, opened: OpenBoard, channel: str) -> None:
    board, told = opened(redis_url), Told()
    await board.publish(split(1))
    await board.join("g1", told)

    client.publish(channel, json.dumps(["split", "fraud", json.dumps(split(9, 100.0).encoded())]))

    changes = await told.wait_for(3)
    assert [Split.decoded(raw) for _, raw in changes] == [split(1), split(9, 100.0), split(1)]


async def test_a_gateway_that_fails_to_take_over_a_split_keeps_it_from_no_other(
    redis_url: str, opened: OpenBoard
) -> None:
    troubles: list[str] = []
    board, told = opened(redis_url, troubles), Told()

    def fail(deployment: str, raw: object) -> None:
        raise RuntimeError(deployment)

    await board.join("g1", fail)
    await board.join("g2", told)
    await board.publish(split(1))
    await board.publish(split(2))

    await told.wait_for(2)
    assert len(troubles) == 1


async def test_a_board_that_is_closed_says_so(redis_url: str, opened: OpenBoard) -> None:
    board = opened(redis_url)

    await board.close()

    with pytest.raises(Exception, match="closed") as raised:
        await board.publish(split(1))
    assert getattr(raised.value, "code", "") == "SERINUS-UNAVAILABLE"
