import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from tests.service_layer.doubles import NOW, Unreliable, until
from tests.service_layer.world import World

from serinus.core.errors import Unavailable
from serinus.core.log_frames import START, Batch, Position, Taken
from serinus.core.log_rows import decoded, encoded, microseconds
from serinus.core.records import PredictionRecord
from serinus.core.routing import Role
from serinus.journal.journals import FileJournals
from serinus.ports import Store
from serinus.predictions import PredictionLog

AT_US = microseconds(NOW)
LIMIT = 10**7


def record(number: int) -> PredictionRecord:
    return PredictionRecord(
        id=f"{number:06}",
        at=NOW,
        deployment="fraud",
        rollout="fraud:1",
        split_version=1,
        role=Role.CANARY,
        version="risk@2",
        answered_by="risk@2",
        inputs_hmac="ab" * 32,
        key_id="k1",
        prediction="0.5",
        prediction_class=None,
        confidence=None,
        latency_ms=7.0,
        error_kind="",
        forced=False,
    )


def row(number: int) -> bytes:
    return encoded(record(number))


def ids(numbers: Iterable[int]) -> list[str]:
    return [f"{number:06}" for number in numbers]


class Taking:
    """A store that keeps what it is given, refuses the records it is told to, and may lose answers."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.positions: dict[str, Position] = {}
        self.refused: set[str] = set()
        self.loses_answers = 0

    async def take_in(self, journal: str, batch: Batch) -> Taken:
        there = self.positions.get(journal)
        if there is not None and there != batch.begins:
            return Taken(there)
        found = [each.id for each in decoded(batch.payload)]
        self.ids += [each for each in found if each not in self.refused]
        self.positions[journal] = batch.ends
        if self.loses_answers:
            self.loses_answers -= 1
            raise Unavailable("the answer was lost")
        refused = len(self.refused & set(found))
        return Taken(batch.ends, refused, "a reason" if refused else "")

    async def position(self, journal: str) -> Position:
        return self.positions.get(journal, START)

    async def forget(self, journal: str) -> None:
        self.positions.pop(journal, None)


class Delivered:
    """What was delivered, by the numbers of the records."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def __call__(self, number: int) -> Callable[[], None]:
        return lambda: self.numbers.append(number)


class Logs:
    """Makes logs on one home, each with a journal of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.troubles: list[str] = []
        self.stack = AsyncExitStack()

    def on(self, store: object, name: str = "this", limit: int = LIMIT, **options: Any) -> PredictionLog:
        journals = FileJournals(self.home, "store", name, limit=limit, on_trouble=self.troubles.append)
        log = PredictionLog(
            cast("Store", store),
            journals,
            **{
                "interval_s": 0.001,
                "on_trouble": self.troubles.append,
                "retry_s": 0.001,
                "adopt_s": 0.001,
                **options,
            },
        )
        self.stack.push_async_callback(log.close, 0.0)
        return log

    async def left_behind(self, numbers: Iterable[int], name: str = "dead") -> None:
        """Leave records as a server does whose store took none of them."""
        log = self.on(Taking(), name)
        await log.kept([row(number) for number in numbers], AT_US)
        await log.close(timeout_s=0.0)

    @property
    def files(self) -> list[str]:
        return sorted(str(file.relative_to(self.home)) for file in self.home.rglob("*") if file.is_file())


@pytest.fixture
async def logs(tmp_path: Path) -> AsyncIterator[Logs]:
    logs = Logs(tmp_path / "journal")
    async with logs.stack:
        yield logs


async def kept(log: PredictionLog, *numbers: int) -> None:
    for number in numbers:
        await log.kept([row(number)], AT_US)


# ------------------------------------------------------------------------------------------ what is kept


async def test_what_is_delivered_is_on_disk(logs: Logs) -> None:
    log, seen = logs.on(Taking()), list[int]()

    log.keep(row(1), AT_US, lambda: seen.append((logs.home / "store/this/00000001.log").stat().st_size))
    before = seen.copy()
    await until(lambda: seen)

    assert before == []
    assert seen[0] > len(row(1))


async def test_what_is_kept_in_one_turn_is_one_write_and_delivered_in_its_order(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, delivered, writes, write = logs.on(Taking()), Delivered(), list[int](), os.writev

    def counted(descriptor: int, parts: list[bytes]) -> int:
        writes.append(descriptor)
        return write(descriptor, parts)

    monkeypatch.setattr(os, "writev", counted)

    for number in range(5):
        log.keep(row(number), AT_US, delivered(number))
    log.keep_many([row(5), row(6)], AT_US, delivered(5))
    await until(lambda: delivered.numbers)

    assert delivered.numbers == [0, 1, 2, 3, 4, 5]
    assert len(writes) == 1
    assert log.pending == 7


async def test_who_cannot_be_delivered_to_holds_up_no_other(logs: Logs) -> None:
    log, delivered = logs.on(Taking()), Delivered()
    defects: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: defects.append(context))

    log.keep(row(0), AT_US, lambda: 1 // 0)  # type: ignore[arg-type]
    log.keep(row(1), AT_US, delivered(1))
    await until(lambda: delivered.numbers)

    assert [type(each["exception"]) for each in defects] == [ZeroDivisionError]


async def test_who_does_not_wait_any_more_is_logged_all_the_same(logs: Logs) -> None:
    store = Taking()
    log = logs.on(store)
    log.start()
    waiting = asyncio.ensure_future(log.kept([row(1)], AT_US))
    await asyncio.sleep(0)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting

    await log.close()

    assert store.ids == ids([1])


async def test_at_the_bound_the_oldest_are_kept_the_rest_is_counted_and_all_are_answered(logs: Logs) -> None:
    store = Taking()
    log = logs.on(store, limit=3 * (len(row(0)) + 32))
    await kept(log, 0, 1, 2, 3, 4)
    dropped = log.dropped

    log.start()
    await log.close()

    assert dropped == 2
    assert store.ids == ids([0, 1, 2])
    assert (log.written, log.dropped) == (3, 2)
    assert len(logs.troubles) == 1, "told once, however many are dropped"


async def test_what_was_written_makes_room_for_more(logs: Logs) -> None:
    store = Taking()
    log = logs.on(store, limit=2 * (len(row(0)) + 32))
    log.start()
    for number in range(6):
        await kept(log, number)
        await until(lambda: not log.pending)

    assert store.ids == ids(range(6))
    assert log.dropped == 0


async def test_a_disk_that_takes_nothing_refuses_no_answer(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    store = Taking()
    log = logs.on(store)
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", fail)
        await kept(log, 0, 1)
    await kept(log, 2)

    log.start()
    await log.close()

    assert store.ids == ids([2])
    assert (log.written, log.dropped) == (1, 2)
    assert len(logs.troubles) == 1
    assert "No space left on device" in logs.troubles[0]


async def test_what_comes_after_the_end_is_answered_and_counted_as_dropped(logs: Logs) -> None:
    log = logs.on(Taking())
    log.start()
    await log.close()

    await kept(log, 0)

    assert (log.written, log.dropped, log.pending) == (0, 1, 0)


# ----------------------------------------------------------------------------------- durably, if that is asked


async def test_what_shall_outlive_a_loss_of_power_is_delivered_after_the_disk_has_it(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered, at_sync = Delivered(), list[list[int]]()
    monkeypatch.setattr(os, "fdatasync", lambda _: at_sync.append(delivered.numbers.copy()))
    log = logs.on(Taking(), durable=True)

    for number in range(3):
        log.keep(row(number), AT_US, delivered(number))
    await until(lambda: len(delivered.numbers) == 3)

    assert at_sync == [[]]


async def test_what_comes_while_the_disk_is_asked_is_delivered_with_the_next_time(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered, at_sync = Delivered(), list[list[int]]()
    log = logs.on(Taking(), durable=True)
    loop = asyncio.get_running_loop()

    def keep_more(_: int) -> None:
        at_sync.append(delivered.numbers.copy())
        if len(at_sync) == 1:
            asyncio.run_coroutine_threadsafe(keep(1), loop).result()
            asyncio.run_coroutine_threadsafe(keep(2), loop).result()

    async def keep(number: int) -> None:
        log.keep(row(number), AT_US, delivered(number))

    monkeypatch.setattr(os, "fdatasync", keep_more)
    await keep(0)
    await until(lambda: len(delivered.numbers) == 3)

    assert at_sync == [[], [0]]


async def test_a_disk_that_cannot_sync_refuses_no_answer(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    log = logs.on(Taking(), durable=True)

    await kept(log, 0, 1)

    assert len(logs.troubles) == 1
    assert "may not outlive a loss of power" in logs.troubles[0]


async def test_a_log_that_ends_delivers_what_it_has_yet_to_sync(logs: Logs) -> None:
    log, delivered = logs.on(Taking(), durable=True), Delivered()
    log.start()
    log.keep(row(0), AT_US, delivered(0))

    await log.close()

    assert delivered.numbers == [0]


# ------------------------------------------------------------------------------------- the way to the store


async def test_what_was_answered_is_in_the_store(logs: Logs, world: World) -> None:
    log = logs.on(world.real_store)
    log.start()
    await kept(log, 1)

    await log.close()

    assert await world.real_store.predictions("fraud") == [record(1)]
    assert (log.written, log.dropped, log.pending, log.journal_bytes) == (1, 0, 0, 0)
    assert logs.files == []


async def test_records_are_written_in_their_order_however_many_they_are(logs: Logs) -> None:
    store = Taking()
    log = logs.on(store)
    for start in range(0, 12_000, 1000):
        await log.kept([row(number) for number in range(start, start + 1000)], AT_US)

    log.start()
    await log.close()

    assert store.ids == ids(range(12_000))
    assert log.written == 12_000


async def test_records_that_come_while_others_are_written_are_written_too(logs: Logs) -> None:
    store = Unreliable(Taking())
    gate = store.gates["take_in"] = asyncio.Event()
    log = logs.on(store)
    log.start()
    await kept(log, 0)
    await until(lambda: store.calls["take_in"])

    await kept(log, 1)
    gate.set()
    await log.close()

    assert cast("Taking", store.real).ids == ids([0, 1])


@pytest.mark.parametrize("failure", [Unavailable("gone"), RuntimeError("a defect")], ids=["outage", "defect"])
async def test_records_wait_on_disk_while_the_store_fails_and_are_then_complete(logs: Logs, failure: Exception) -> None:
    store = Unreliable(Taking())
    store.fails["take_in"] = failure
    log = logs.on(store)
    log.start()
    await kept(log, *range(5))
    await until(lambda: store.calls["take_in"] > 20)
    waiting, size = log.pending, log.journal_bytes

    store.fails.clear()
    await until(lambda: not log.pending)
    await log.close()

    assert waiting == 5
    assert size == 5 * (len(row(0)) + 32)
    assert cast("Taking", store.real).ids == ids(range(5))
    assert (log.written, log.dropped) == (5, 0)
    assert len(logs.troubles) == 1, "told once, however often it is tried"


async def test_a_second_outage_is_told_again(logs: Logs) -> None:
    store = Unreliable(Taking())
    log = logs.on(store)
    log.start()
    for number in range(2):
        store.fails["take_in"] = Unavailable("gone")
        await kept(log, number)
        await until(lambda number=number: len(logs.troubles) > number)  # type: ignore[misc]
        store.fails.clear()
        await until(lambda: not log.pending)

    assert len(logs.troubles) == 2


async def test_what_was_written_while_its_answer_was_lost_is_written_and_counted_once(logs: Logs) -> None:
    store = Taking()
    store.loses_answers = 1
    log = logs.on(store)
    log.start()
    await kept(log, 0, 1)
    await until(lambda: logs.troubles)
    await kept(log, 2)

    await log.close()

    assert store.ids == ids([0, 1, 2])
    assert (log.written, log.dropped, log.pending) == (3, 0, 0)


async def test_a_store_that_went_back_to_an_earlier_state_gets_again_what_it_lost(logs: Logs) -> None:
    """As when it was restored from a backup, or another server has taken its place."""
    store = Taking()
    log = logs.on(store)
    log.start()
    await kept(log, 0)
    await until(lambda: not log.pending)
    earlier = dict(store.positions)
    await kept(log, 1)
    await until(lambda: not log.pending)
    del store.ids[1:]
    store.positions = earlier

    await kept(log, 2)
    await log.close()

    assert store.ids == ids([0, 1, 2])


async def test_a_record_that_the_store_refuses_holds_up_no_other(logs: Logs) -> None:
    store = Taking()
    store.refused = {"000003"}
    log = logs.on(store)
    await kept(log, *range(6))

    log.start()
    await log.close()

    assert store.ids == ids([0, 1, 2, 4, 5])
    assert (log.written, log.dropped, log.pending) == (5, 1, 0)
    assert logs.troubles == ["1 logged predictions were refused: a reason"]


# ------------------------------------------------------------------------------------------ from one to the next


async def test_what_the_store_did_not_take_waits_on_disk_for_the_next_server(logs: Logs) -> None:
    down, up = Unreliable(Taking()), Taking()
    down.fails["take_in"] = Unavailable("gone")
    first = logs.on(down, "first")
    first.start()
    await kept(first, 0, 1, 2)
    await first.close(timeout_s=0.02)
    told = logs.troubles[-1]

    second = logs.on(up, "second")
    second.start()
    await kept(second, 3)
    await until(lambda: len(up.ids) == 4)
    await second.close()

    assert told.startswith("3 logged predictions (")
    assert (first.dropped, first.pending) == (0, 0)
    assert sorted(up.ids) == ids(range(4))
    assert (second.written, second.dropped) == (4, 0)
    assert up.positions == {}, "of journals that are gone it keeps nothing"
    assert logs.files == []


async def test_what_a_server_left_behind_is_taken_over_while_another_one_runs(logs: Logs) -> None:
    store = Taking()
    log = logs.on(store)
    log.start()
    await logs.left_behind(range(3))

    await until(lambda: len(store.ids) == 3)
    await until(lambda: not logs.files)

    assert store.ids == ids(range(3))


async def test_of_what_was_left_behind_the_part_that_the_store_has_is_not_written_again(logs: Logs) -> None:
    """The server was killed after the store had taken it, and before it was removed."""
    await logs.left_behind(range(3))
    store = Taking()
    store.positions["dead"] = Position(1, len(row(0)) * 3 + 32)
    log = logs.on(store)
    log.start()

    await until(lambda: not logs.files)

    assert store.ids == []
    assert log.written == 0


async def test_a_journal_that_cannot_be_read_holds_up_no_other(logs: Logs) -> None:
    await logs.left_behind(range(3), "broken")
    await logs.left_behind([3], "whole")
    store = Taking()
    log = logs.on(store)
    os.rename(logs.home / "store/broken/00000001.log", logs.home / "store/broken/00000001.log.aside")  # noqa: PTH104
    (logs.home / "store/broken/00000001.log").mkdir()
    log.start()
    await kept(log, 4)

    await until(lambda: sorted(store.ids) == ids([3, 4]))
    await until(lambda: any(told.startswith("journal broken waits on disk") for told in logs.troubles))


async def test_closing_gives_up_a_store_that_hangs(logs: Logs) -> None:
    store = Unreliable(Taking())
    store.gates["take_in"] = asyncio.Event()
    log = logs.on(store)
    log.start()
    await kept(log, 0)

    await log.close(timeout_s=0.02)

    assert log.dropped == 0
    assert logs.files == ["store/this/00000001.log"]


async def test_closing_waits_out_an_outage_that_ends_in_time(logs: Logs) -> None:
    store = Unreliable(Taking())
    store.fails["take_in"] = Unavailable("gone")
    log = logs.on(store)
    log.start()
    await kept(log, 0)
    closing = asyncio.ensure_future(log.close())
    await until(lambda: store.calls["take_in"] > 3)

    store.fails.clear()
    await closing

    assert (log.written, log.dropped) == (1, 0)


async def test_no_input_is_on_disk_or_in_the_store(world: World) -> None:
    await world.register()
    await world.deploy()
    await world.gateway.start()
    world.log.start()
    await world.gateway.predict("credit", {"x": 123456.789, "y": 2.0}, entity_id="ada-lovelace")
    journal = b"".join(file.read_bytes() for file in world.folder.rglob("*.log"))
    await world.log.close()
    await world.real_store.close()
    data = journal + b"".join(path.read_bytes() for path in world.folder.glob("serinus.db*"))

    assert b"credit" in journal
    assert b"123456" not in data
    assert b"ada-lovelace" not in data
