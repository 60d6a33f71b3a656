import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tests.service_layer.doubles import LeapingLoop

from serinus.alarms import Alarms


class Awaited:
    """Notes when it is late, and does what it is told then."""

    def __init__(self, does: Callable[[], object] = lambda: None) -> None:
        self.over = False
        self.late_at: float | None = None
        self._does = does

    def late(self) -> None:
        assert self.late_at is None, "it is told once"
        self.late_at = asyncio.get_running_loop().time()
        self._does()


def leaping(work: Callable[[], Coroutine[Any, Any, None]]) -> LeapingLoop:
    loop = LeapingLoop()
    try:
        loop.run_until_complete(work())
    finally:
        loop.close()
    assert loop.lost == []
    return loop


def is_near(at: float | None, expected: float) -> bool:
    return at is not None and expected - 0.002 <= at <= expected + 0.002


def test_an_alarm_rings_after_its_delay() -> None:
    async def work() -> None:
        awaited = Awaited()
        Alarms(asyncio.get_running_loop(), 1.0).watch(awaited)

        await asyncio.sleep(5.0)

        assert is_near(awaited.late_at, 1.0)

    leaping(work)


def test_an_alarm_for_what_is_over_does_not_ring() -> None:
    async def work() -> None:
        over, open_ = Awaited(), Awaited()
        alarms = Alarms(asyncio.get_running_loop(), 1.0)
        alarms.watch(over)
        await asyncio.sleep(0.5)
        alarms.watch(open_)
        over.over = True

        await asyncio.sleep(5.0)

        assert over.late_at is None
        assert is_near(open_.late_at, 1.5)

    leaping(work)


def test_each_alarm_rings_at_its_own_time() -> None:
    async def work() -> None:
        alarms = Alarms(asyncio.get_running_loop(), 1.0)
        awaited = [Awaited() for _ in range(10)]
        for each in awaited:
            alarms.watch(each)
            await asyncio.sleep(0.1)

        await asyncio.sleep(5.0)

        assert all(is_near(each.late_at, 1.0 + 0.1 * n) for n, each in enumerate(awaited))

    leaping(work)


def test_one_that_is_set_while_another_rings_holds_up_none_that_was_set_before() -> None:
    async def work() -> None:
        alarms = Alarms(asyncio.get_running_loop(), 1.0)
        third = Awaited()
        first, second = Awaited(lambda: alarms.watch(third)), Awaited()
        alarms.watch(first)
        await asyncio.sleep(0.3)
        alarms.watch(second)

        await asyncio.sleep(5.0)

        assert is_near(first.late_at, 1.0)
        assert is_near(second.late_at, 1.3)
        assert is_near(third.late_at, 2.0)

    leaping(work)


def test_one_that_ends_another_while_it_rings_keeps_that_from_ringing() -> None:
    async def work() -> None:
        alarms = Alarms(asyncio.get_running_loop(), 1.0)
        second = Awaited()
        first = Awaited(lambda: setattr(second, "over", True))
        alarms.watch(first)
        alarms.watch(second)

        await asyncio.sleep(5.0)

        assert second.late_at is None

    leaping(work)


def test_alarms_can_be_set_again_when_all_have_rung() -> None:
    async def work() -> None:
        alarms = Alarms(asyncio.get_running_loop(), 1.0)
        alarms.watch(Awaited())
        await asyncio.sleep(10.0)
        late = Awaited()
        alarms.watch(late)

        await asyncio.sleep(5.0)

        assert is_near(late.late_at, 11.0)

    leaping(work)


def test_one_timer_stands_for_all_and_what_is_over_is_let_go() -> None:
    async def work() -> None:
        alarms = Alarms(asyncio.get_running_loop(), 1.0)
        for _ in range(1000):
            awaited = Awaited()
            alarms.watch(awaited)
            awaited.over = True

        assert len(alarms._set) == 1

    leaping(work)
