"""Targets are told of every event at least once, in order, and none of them is in another's way."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.service_layer.doubles import Clock, Unreliable, until
from tests.service_layer.world import DATABASE

from serinus.core.errors import NotificationRefused, TargetGone, Unavailable
from serinus.core.events import Event, EventKind
from serinus.core.records import RecordedEvent
from serinus.dispatch import (
    DELIVERED,
    FAILED,
    FORGOTTEN_AFTER,
    GIVEN_UP_AFTER,
    LEASE_S,
    LONGEST_ASKED_S,
    LONGEST_PAUSE_S,
    LONGEST_WAIT_S,
    PASSED_OVER,
    POLL_S,
    RENEW_S,
    TRIES,
    Dispatcher,
    Told,
    _Line,
)
from serinus.stores.sql import SqlStore, open_store

FAR_S = 10 * LONGEST_WAIT_S


@dataclass
class Target:
    """A target that takes what it is told, unless ``answers`` raises for it, and remembers all that it was told."""

    name: str = "chat"
    kinds: frozenset[EventKind] = frozenset(EventKind)
    answers: Callable[[RecordedEvent], None] = lambda _: None
    gate: asyncio.Event | None = None
    told: list[int] = field(default_factory=list)

    async def notify(self, events: Sequence[RecordedEvent]) -> None:
        for each in events:
            self.told.append(each.id)
            if self.gate is not None:
                await self.gate.wait()
            self.answers(each)

    def refuses(self, trouble: Exception, *events: int) -> None:
        """Raise for these events, or all of them, from now on."""

        def answer(event: RecordedEvent) -> None:
            if not events or event.id in events:
                raise trouble

        self.answers = answer


class Office:
    """One process that tells targets, on a store and a clock that it shares with others."""

    def __init__(self, store: SqlStore, clock: Clock, holder: str = "a") -> None:
        self.clock = clock
        self.outbox = Unreliable(store.outbox)
        self.store = store
        self.warned: list[str] = []
        self.mended: list[str] = []
        self.lines: dict[str, _Line] = {}
        self.dispatcher = Dispatcher(
            targets=[],
            outbox=self.outbox,  # type: ignore[arg-type]
            store=store,
            holder=holder,
            clock=clock,
            on_trouble=self.warned.append,
            on_recovery=self.mended.append,
            chance=lambda: 0.0,
        )

    async def round(self, target: Target) -> float:
        """Let one round pass; give how long it is until the next one."""
        line = self.lines.setdefault(target.name, _Line(target, self.dispatcher, Told()))
        return await line.round()

    def told(self, target: Target) -> Told:
        return self.lines[target.name].told

    async def record(self, *deployments: str, kind: EventKind = EventKind.PAUSED) -> list[int]:
        events = [Event(name, 1, kind, self.clock.now(), "ada") for name in deployments]
        return [each.id for each in await self.store.record(events)]


@pytest.fixture
async def store(tmp_path: Path, empty_database: Path) -> AsyncIterator[SqlStore]:
    shutil.copy(empty_database, tmp_path)
    store = await open_store(f"sqlite:///{tmp_path}/{DATABASE}")
    yield store
    await store.close()


@pytest.fixture
def office(store: SqlStore) -> Office:
    return Office(store, Clock())


@pytest.fixture
async def chat(office: Office) -> Target:
    """A target that is known already."""
    target = Target()
    await office.round(target)
    return target


# ---------------------------------------------------------------------------------------- delivering


async def test_a_target_is_told_of_what_comes_once_and_in_order(office: Office, chat: Target) -> None:
    new = await office.record("fraud", "churn", "fraud")

    for _ in range(3):
        await office.round(chat)

    assert chat.told == new
    assert office.told(chat) == Told({DELIVERED: 3}, waiting=0)  # type: ignore[arg-type]


async def test_a_target_is_not_told_of_what_it_does_not_want(office: Office, chat: Target) -> None:
    chat.kinds = frozenset({EventKind.PROMOTED})
    await office.record("fraud", kind=EventKind.PAUSED)
    wanted = await office.record("fraud", kind=EventKind.PROMOTED)

    await office.round(chat)

    assert chat.told == wanted
    assert office.told(chat).waiting == 0


async def test_a_new_target_is_not_told_of_what_was(office: Office, chat: Target) -> None:
    await office.record("fraud")
    new = Target("pager")
    await office.round(new)
    later = await office.record("fraud")

    await office.round(new)

    assert new.told == later


# -------------------------------------------------------------------------------------------- trouble


async def test_what_a_target_cannot_take_now_it_is_told_again_later_and_before_what_follows(
    office: Office, chat: Target
) -> None:
    first, second = await office.record("fraud", "fraud")
    chat.refuses(Unavailable("gone"))
    await office.round(chat)
    assert chat.told == [first]

    chat.answers = lambda _: None
    await office.round(chat)
    assert chat.told == [first], "it is left alone for a while"
    office.clock.advance(1.0)
    await office.round(chat)

    assert chat.told == [first, first, second]
    assert office.told(chat).results == {FAILED: 1, DELIVERED: 2}


async def test_it_is_tried_less_and_less_often(office: Office, chat: Target) -> None:
    await office.record("fraud")
    chat.refuses(Unavailable("gone"))
    pauses = []
    for _ in range(12):
        pauses.append(await office.round(chat))
        office.clock.advance(LONGEST_WAIT_S)

    assert pauses[:6] == [1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S
    assert len(chat.told) == 12


@pytest.mark.parametrize(("asked_s", "waits_s"), [(120.0, 120.0), (0.0, 1.0), (10**9, LONGEST_ASKED_S), (None, 1.0)])
async def test_a_target_that_asks_for_time_has_it_within_bounds(
    asked_s: float | None, waits_s: float, office: Office, chat: Target
) -> None:
    (new,) = await office.record("fraud")
    chat.refuses(Unavailable("busy", retry_after_s=asked_s))
    assert await office.round(chat) == waits_s

    office.clock.advance(waits_s - 0.5)
    await office.round(chat)
    assert chat.told == [new]
    office.clock.advance(0.5)
    await office.round(chat)
    assert chat.told == [new, new]


async def test_a_target_that_is_silent_is_tried_again(office: Office, chat: Target) -> None:
    first, second = await office.record("fraud", "fraud")
    office.dispatcher = office.lines[chat.name].of = _within(office.dispatcher, 0.01)
    chat.gate = asyncio.Event()
    await office.round(chat)
    chat.gate.set()
    office.clock.advance(1.0)
    office.lines[chat.name].of = _within(office.dispatcher, 30.0)
    await office.round(chat)

    assert chat.told == [first, first, second]


def _within(dispatcher: Dispatcher, deadline_s: float) -> Dispatcher:
    return replace(dispatcher, deadline_s=deadline_s)


async def test_an_event_that_is_not_taken_keeps_back_its_deployment_alone(office: Office, chat: Target) -> None:
    poison, other, after = await office.record("fraud", "churn", "fraud")
    chat.refuses(NotificationRefused("too odd"), poison)

    await office.round(chat)

    assert chat.told == [poison, other]
    assert office.told(chat).waiting == 2
    assert after not in chat.told


async def test_an_event_that_is_refused_again_and_again_is_passed_over(office: Office, chat: Target) -> None:
    poison, after = await office.record("fraud", "fraud")
    chat.refuses(NotificationRefused("too odd"), poison)
    for _ in range(TRIES + 1):
        await office.round(chat)
        office.clock.advance(FAR_S)

    assert chat.told == [poison] * TRIES + [after]
    assert office.told(chat).results == {FAILED: TRIES - 1, PASSED_OVER: 1, DELIVERED: 1}
    assert any(f"event {poison}" in said for said in office.warned)


async def test_a_target_that_is_down_for_long_loses_nothing(office: Office, chat: Target) -> None:
    new = await office.record("fraud", "fraud")
    chat.refuses(Unavailable("gone"))
    for _ in range(TRIES + 1):
        await office.round(chat)
        office.clock.advance(GIVEN_UP_AFTER.total_seconds() / (TRIES + 2))

    chat.answers = lambda _: None
    await office.round(chat)

    assert chat.told[-2:] == new


async def test_what_waits_for_a_target_that_is_down_for_ever_does_not_grow_for_ever(
    office: Office, chat: Target
) -> None:
    chat.refuses(Unavailable("gone"))
    await office.record(*["fraud"] * 20)
    for _ in range(TRIES):
        await office.round(chat)
        office.clock.advance(FAR_S)
    office.clock.advance(GIVEN_UP_AFTER.total_seconds())
    new = await office.record("fraud", "churn")

    await office.round(chat)

    assert office.told(chat).waiting == len(new)
    assert office.told(chat).results[PASSED_OVER] == 20
    chat.answers = lambda _: None
    office.clock.advance(FAR_S)
    await office.round(chat)
    assert sorted(chat.told[-2:]) == new


async def test_an_event_that_nobody_takes_for_days_is_passed_over(office: Office, chat: Target) -> None:
    (old,) = await office.record("fraud")
    chat.refuses(Unavailable("gone"))
    office.clock.advance(GIVEN_UP_AFTER.total_seconds() + 1)
    for _ in range(TRIES):
        await office.round(chat)
        office.clock.advance(FAR_S)
    chat.answers = lambda _: None
    (new,) = await office.record("fraud")

    await office.round(chat)

    assert chat.told == [old] * TRIES + [new]
    assert office.told(chat).results[PASSED_OVER] == 1


async def test_who_wants_no_more_is_told_no_more_and_that_is_said_once(office: Office, chat: Target) -> None:
    (first,) = await office.record("fraud")
    chat.refuses(TargetGone("410"))
    await office.round(chat)
    await office.record("fraud", "churn")

    for _ in range(3):
        await office.round(chat)

    assert chat.told == [first]
    assert office.told(chat).waiting == 0
    assert len(office.warned) == 1


async def test_an_outage_is_said_once_and_so_is_its_end(office: Office, chat: Target) -> None:
    await office.record("fraud", "churn")
    chat.refuses(Unavailable("gone"))
    for _ in range(5):
        await office.round(chat)
        office.clock.advance(LONGEST_WAIT_S)
    chat.answers = lambda _: None
    await office.round(chat)

    assert (len(office.warned), len(office.mended)) == (1, 1)


async def test_a_target_that_does_what_it_should_not_is_tried_again(office: Office, chat: Target) -> None:
    (new,) = await office.record("fraud")
    chat.refuses(ZeroDivisionError("a mistake in it"))
    await office.round(chat)
    office.clock.advance(1.0)
    await office.round(chat)

    assert chat.told == [new, new]


# ------------------------------------------------------------------------------------ at least once


async def test_what_was_taken_and_not_marked_is_told_again_by_who_comes_after(office: Office, chat: Target) -> None:
    new = await office.record("fraud", "fraud")
    office.outbox.fails["settle"] = Unavailable("killed before it could mark it")
    await office.round(chat)
    assert chat.told == new[:1]

    office.clock.advance(LEASE_S + 1)
    await Office(office.store, office.clock, "b").round(chat)

    assert chat.told == [new[0], *new]


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("step", ["enlist", "spread", "due", "settle", "untold"])
async def test_wherever_a_process_dies_the_next_one_goes_on_in_order_and_leaves_nothing_out(
    step: str, office: Office, chat: Target, *, is_done: bool
) -> None:
    new = await office.record("fraud", "fraud", "fraud")
    if is_done:
        office.outbox.lost.add(step)
    else:
        office.outbox.fails[step] = Unavailable("killed right before it")
    office.clock.advance(RENEW_S)
    await office.round(chat)
    before = list(chat.told)

    office.clock.advance(LEASE_S + 1)
    await Office(office.store, office.clock, "b").round(chat)

    after = chat.told[len(before) :]
    assert before == new[: len(before)]
    assert after == new[len(new) - len(after) :]
    assert len(before) + len(after) <= len(new) + 1, "one that could not be noted at most"
    assert [*dict.fromkeys(chat.told)] == new


async def test_what_could_not_be_marked_is_not_told_again_by_who_knows(office: Office, chat: Target) -> None:
    new = await office.record("fraud")
    office.outbox.fails["settle"] = Unavailable("read-only for a while")
    for _ in range(5):
        await office.round(chat)
    office.outbox.mended()

    await office.round(chat)

    assert chat.told == new
    assert office.told(chat).waiting == 0


async def test_an_event_of_a_newer_serinus_is_left_to_one(office: Office, chat: Target) -> None:
    async with office.store._writing() as connection:
        columns = "deployment, generation, kind, at, actor, reason, rollout, data"
        when = office.clock.now().isoformat(timespec="microseconds")
        values = f"('fraud', 1, 'sang', '{when}', 'ada', '', '', '{{}}')"
        await connection.exec_driver_sql(f"INSERT INTO events ({columns}) VALUES {values}")
        await connection.exec_driver_sql("INSERT INTO outbox (event) SELECT max(id) FROM events")
    (other,) = await office.record("churn")

    for _ in range(2):
        await office.round(chat)
        office.clock.advance(1.0)

    assert chat.told == [other]
    assert office.told(chat).waiting == 1


# ------------------------------------------------------------------------------------- who tells whom


async def test_of_two_processes_one_tells_a_target(office: Office, chat: Target) -> None:
    other = Office(office.store, office.clock, "b")
    new = await office.record("fraud")

    await other.round(chat)
    assert chat.told == []
    assert other.told(chat).waiting is None
    await office.round(chat)

    assert chat.told == new


async def test_a_target_that_asks_for_time_has_it_from_all_processes(office: Office, chat: Target) -> None:
    other = Office(office.store, office.clock, "b")

    async def others_try(seconds: float) -> None:
        office.clock.advance(seconds)
        await other.round(chat)

    line = office.lines[chat.name]
    line.of = replace(office.dispatcher, sleep=others_try)
    (first,) = await office.record("fraud")
    chat.refuses(Unavailable("busy", retry_after_s=3 * LEASE_S))
    pause_s = await office.round(chat)
    await office.record("churn")

    await line.rest(pause_s)

    assert chat.told == [first]


async def test_each_target_is_told_by_a_process_that_knows_it(office: Office, chat: Target) -> None:
    other, pager = Office(office.store, office.clock, "b"), Target("pager")
    await other.round(pager)
    new = await office.record("fraud")

    await office.round(chat)
    await other.round(pager)

    assert (chat.told, pager.told) == (new, new)


async def test_who_was_killed_is_followed_by_another_process(office: Office, chat: Target) -> None:
    other = Office(office.store, office.clock, "b")
    new = await office.record("fraud")
    office.clock.advance(LEASE_S + 1)

    await other.round(chat)

    assert chat.told == new


async def test_who_stops_lets_another_process_go_on_at_once(office: Office, chat: Target) -> None:
    running = asyncio.create_task(office.lines[chat.name].run())
    new = await office.record("fraud")
    await until(lambda: chat.told == new)
    while await office.store.outbox.untold(chat.name):  # noqa: ASYNC110 - what is waited for has no event of its own
        await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.wait({running})
    more = await office.record("fraud")

    await Office(office.store, office.clock, "b").round(chat)

    assert chat.told == new + more


async def test_a_target_that_is_silent_keeps_no_other_waiting(store: SqlStore) -> None:
    silent, pager, clock = Target("silent", gate=asyncio.Event()), Target("pager"), Clock()
    office = Office(store, clock)
    told = office.dispatcher.told
    running = asyncio.create_task(replace(office.dispatcher, targets=[silent, pager]).run())
    await until(lambda: [each.waiting for each in told.values()] == [0, 0])
    new = await office.record("fraud", "fraud")

    await until(lambda: pager.told == new)
    running.cancel()
    await asyncio.wait({running})

    assert silent.told in ([], new[:1])


async def test_a_target_that_nobody_has_in_his_settings_is_forgotten_after_a_day(office: Office, chat: Target) -> None:
    old = Target("old")
    await office.round(old)
    await office.record("fraud")
    await office.round(chat)
    assert await office.store.outbox.untold("old") == 1

    office.clock.advance(FORGOTTEN_AFTER.total_seconds() + 1)
    await office.round(chat)
    await office.dispatcher.tidy()

    assert await office.store.outbox.untold("old") == 0


async def test_what_waits_while_no_server_runs_for_days_is_told_afterwards(office: Office, chat: Target) -> None:
    new = await office.record("fraud")
    office.clock.advance(2 * FORGOTTEN_AFTER.total_seconds())
    restarted = Office(office.store, office.clock)
    restarted.dispatcher = replace(restarted.dispatcher, targets=[chat])

    await restarted.dispatcher.tidy()
    await restarted.round(chat)

    assert chat.told == new


async def test_without_a_target_no_event_waits(store: SqlStore) -> None:
    office = Office(store, Clock())
    running = asyncio.create_task(office.dispatcher.run())
    await office.record("fraud", "churn")

    async def waiting() -> int:
        async with store._reading() as connection:
            return int((await connection.exec_driver_sql("SELECT count(*) FROM outbox")).scalar_one())

    await office.dispatcher.tidy()
    assert await waiting() == 0
    running.cancel()
    await asyncio.wait({running})


async def test_a_store_that_does_not_answer_stops_nothing(office: Office, chat: Target) -> None:
    office.outbox.goes_down()
    assert await office.round(chat) == POLL_S
    office.outbox.mended()
    new = await office.record("fraud")

    await office.round(chat)

    assert chat.told == new
