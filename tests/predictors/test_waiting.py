import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tests.service_layer.doubles import LeapingLoop

from serinus.core.answers import Answer
from serinus.core.errors import Unavailable
from serinus.predictors.waiting import Asked, Line


class Desk:
    """A line, and what became of each request by its number."""

    def __init__(self) -> None:
        self.late: list[int] = []
        self.withdrawn: list[int] = []
        self.outcomes: dict[int, object] = {}
        self.loop = asyncio.get_running_loop()
        self.line = Line(self.loop, lambda asked: self.late.append(number_of(asked)), self._withdrawn)

    def ask(self, number: int, rows: int = 1, timeout_s: float = 1.0) -> Asked:
        return self.line.join([[number]] * rows, timeout_s, self._settling(number))

    def take(self, most: int = 1000, room: int = 1000) -> list[int]:
        return [number_of(asked) for asked in self.line.take(most, room)]

    def _settling(self, number: int) -> Callable[[Sequence[Answer] | Exception], None]:
        def settle(outcome: object) -> None:
            assert number not in self.outcomes, "an outcome is told once"
            self.outcomes[number] = outcome

        return settle

    def _withdrawn(self, asked: Asked) -> None:
        self.withdrawn.append(number_of(asked))


def number_of(asked: Asked) -> int:
    number = asked.rows[0][0]
    assert isinstance(number, int)
    return number


def leaping(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = LeapingLoop()
    try:
        loop.run_until_complete(work())
    finally:
        loop.close()
    assert loop.lost == []


async def test_requests_are_taken_in_their_order_as_far_as_there_is_room_for_their_rows() -> None:
    desk = Desk()
    for number, rows in enumerate((3, 1, 2, 1)):
        desk.ask(number, rows)

    assert [desk.take(room=4), desk.take(room=4), desk.take(room=4)] == [[0, 1], [2, 3], []]
    assert desk.line.waiting == 0


async def test_so_many_requests_are_taken_at_most() -> None:
    desk = Desk()
    for number in range(5):
        desk.ask(number)

    assert [desk.take(most=2), desk.take(most=9)] == [[0, 1], [2, 3, 4]]


async def test_a_request_of_more_rows_than_there_is_room_for_is_taken_alone() -> None:
    desk = Desk()
    for number, rows in enumerate((9, 1)):
        desk.ask(number, rows)

    assert [desk.take(room=4), desk.take(room=4)] == [[0], [1]]


async def test_what_is_put_back_is_taken_first_and_each_alone() -> None:
    desk = Desk()
    asked = [desk.ask(number) for number in range(3)]
    desk.line.take(9, 9)
    desk.ask(7)

    desk.line.put_back(asked)

    assert desk.line.waiting == 4
    assert [desk.take() for _ in range(4)] == [[0], [1], [2], [7]]


async def test_what_is_withdrawn_while_it_waits_is_not_taken_and_nobody_is_told() -> None:
    desk = Desk()
    first, _ = desk.ask(0), desk.ask(1)

    first.withdraw()
    first.withdraw()
    first.end([Answer(1)])

    assert desk.line.waiting == 1
    assert desk.take() == [1]
    assert desk.outcomes == {}
    assert desk.withdrawn == [], "nobody was at it"


async def test_what_is_withdrawn_when_it_was_begun_is_told_to_who_began_it() -> None:
    desk = Desk()
    asked = desk.ask(0)
    desk.take()

    asked.withdraw()

    assert desk.withdrawn == [0]
    assert desk.line.waiting == 0


async def test_an_outcome_is_told_once_and_is_no_withdrawal() -> None:
    desk = Desk()
    waiting, begun = desk.ask(1), desk.ask(0)
    desk.line.take(1, 1)

    for asked in (waiting, begun):
        asked.end([Answer(1)])
        asked.end([Answer(2)])
        asked.withdraw()

    assert desk.outcomes == {0: [Answer(1)], 1: [Answer(1)]}
    assert desk.withdrawn == []
    assert desk.line.waiting == 0


async def test_all_that_wait_can_be_told_of_an_error() -> None:
    desk = Desk()
    desk.ask(0)
    desk.line.take(1, 1)
    desk.ask(1)
    desk.ask(2)
    gone = Unavailable("gone")

    desk.line.end(gone)

    assert desk.outcomes == {1: gone, 2: gone}
    assert (desk.line.waiting, bool(desk.line)) == (0, False)


def test_each_request_is_late_when_its_own_time_is_over_waiting_or_begun() -> None:
    async def work() -> None:
        desk = Desk()
        for number, timeout_s in enumerate((3.0, 1.0, 2.0, 1.0)):
            desk.ask(number, timeout_s=timeout_s)
        desk.line.take(1, 9)

        await asyncio.sleep(1.5)
        assert desk.late == [1, 3]
        await asyncio.sleep(2.0)
        assert desk.late == [1, 3, 2, 0]

    leaping(work)


def test_what_is_over_is_never_late() -> None:
    async def work() -> None:
        desk = Desk()
        answered, withdrawn = desk.ask(0), desk.ask(1)
        answered.end([Answer(1)])
        withdrawn.withdraw()

        await asyncio.sleep(5.0)

        assert desk.late == []

    leaping(work)


def test_any_number_of_different_timeouts_is_kept() -> None:
    async def work() -> None:
        desk = Desk()
        for number in range(100):
            desk.ask(number, timeout_s=1.0 + number / 100)

        await asyncio.sleep(3.0)

        assert desk.late == list(range(100))

    leaping(work)


async def test_a_line_holds_few_that_are_over_whoever_waits_in_front_of_them() -> None:
    desk = Desk()
    desk.ask(0, timeout_s=1000.0)

    for number in range(1, 5000):
        desk.ask(number).withdraw()

    assert desk.line.waiting == 1
    assert len(desk.line._line) < 100
    assert desk.take() == [0]


async def test_what_is_over_holds_on_to_nobody_who_asked() -> None:
    desk = Desk()
    asked = desk.ask(0)

    asked.end([Answer(1)])

    assert "Desk" not in asked.settle.__qualname__
