"""How a timeline is followed through broken connections: without any I/O, and over a socket that breaks."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from tests.client.streaming import Streaming, streaming

from serinus.client import (
    AsyncClient,
    Client,
    DocumentClient,
    NotFoundError,
    OverloadedError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
)
from serinus.client.calls import Call
from serinus.client.following import LONGEST_ASKED_S, LONGEST_WAIT_S, POLL_S, follow
from serinus.client.work import Done, Effect, Emit, Open, Read, Wait, advance
from serinus.core.errors import SerinusError

BROKEN = UnreachableError("It broke.")
NO_ROUTE = NotFoundError(404, {"code": "SERINUS-HTTP-404"})
NO_DEPLOYMENT = NotFoundError(404, {"code": "SERINUS-NOT-FOUND", "field": "deployment"})


class Said:
    """A server-sent event, as far as it is looked at."""

    def __init__(self, data: str) -> None:
        self.data = data


def event(number: int) -> Said:
    return Said(json.dumps({"id": number}))


def page(*numbers: int, more: bool = False) -> dict[str, Any]:
    events = [{"id": number, "at": "2026-03-01T12:00:00+00:00", "kind": "promoted"} for number in numbers]
    return {"events": events, "next": numbers[-1] if more else None}


OPENED = END = None


class Follower:
    """Follows a timeline whose server says what it is told to."""

    def __init__(self, **asked: Any) -> None:
        self.work = follow(**asked)
        self.told: list[int] = []
        self.steps: list[Effect[Any]] = []
        self._next = self._emitted(advance(self.work))

    def hears(self, outcomes: Iterable[object]) -> "Follower":
        for outcome in outcomes:
            self.steps.append(self._next)
            error = outcome if isinstance(outcome, SerinusError) else None
            step = advance(self.work, None if error else outcome, error)
            self._next = self._emitted(step)
        return self

    def _emitted(self, step: Effect[Any] | Done[None]) -> Effect[Any]:
        while isinstance(step, Emit):
            self.told.append(step.document["id"])
            step = advance(self.work)
        assert not isinstance(step, Done)
        return step

    @property
    def after(self) -> list[str]:
        """After which event it asked, each time."""
        asked = [step.call if isinstance(step, Open) else step for step in [*self.steps, self._next]]
        return [dict(call.params).get("after", "0") for call in asked if isinstance(call, Call)]

    @property
    def waits(self) -> list[float]:
        return [step.seconds for step in [*self.steps, self._next] if isinstance(step, Wait)]


def test_a_stream_that_breaks_is_opened_again_after_the_last_event() -> None:
    follower = Follower(after=0).hears([OPENED, event(1), event(2), BROKEN, None, OPENED, event(3), END, None, OPENED])

    assert follower.told == [1, 2, 3]
    assert follower.after == ["0", "2", "3"]


def test_an_event_that_comes_again_is_told_once() -> None:
    follower = Follower(after=5).hears([OPENED, event(5), event(6), BROKEN, None, OPENED, event(6), event(7)])

    assert follower.told == [6, 7]


def test_it_begins_with_what_happens_from_now_on() -> None:
    follower = Follower().hears([page(41), OPENED, event(42)])

    assert follower.told == [42]
    assert follower.after == ["0", "41"]
    assert Follower().hears([page(), OPENED]).after == ["0", "0"]


def test_a_server_that_never_was_there_is_an_error() -> None:
    with pytest.raises(UnreachableError):
        Follower(after=0).hears([BROKEN])


def test_a_server_that_goes_is_waited_for_however_long() -> None:
    follower = Follower(after=0).hears([OPENED, event(1), END, *[None, BROKEN] * 50, None, OPENED, event(2)])

    assert follower.told == [1, 2]
    assert len(follower.waits) == 51
    assert max(follower.waits) == LONGEST_WAIT_S
    assert follower.waits[:3] == [0.5, 1.0, 2.0]


def test_an_outage_of_hours_is_waited_out() -> None:
    follower = Follower(after=0).hears([OPENED, event(1), END, *[None, BROKEN] * 2000, None, OPENED, event(2)])

    assert follower.told == [1, 2]


def test_nobody_who_is_asked_to_wait_for_years_does() -> None:
    later = UnavailableError(503, {"code": "SERINUS-UNAVAILABLE"}, 1e9)

    assert Follower(after=0).hears([OPENED, event(1), END, None, later]).waits[-1] == LONGEST_ASKED_S


def test_a_server_without_a_stream_is_read_page_by_page() -> None:
    follower = Follower(after=0).hears(
        [NO_ROUTE, page(1, 2, more=True), page(3), None, page(), None, BROKEN, None, page(4)]
    )

    assert follower.told == [1, 2, 3, 4]
    assert follower.after == ["0", "0", "2", "3", "3", "3"]
    assert follower.waits[:2] == [POLL_S, POLL_S]


def test_a_server_with_too_many_streams_is_read_page_by_page() -> None:
    too_many = OverloadedError(503, {"code": "SERINUS-OVERLOADED"}, 1.0)

    assert Follower(after=0).hears([too_many, None, page(1)]).told == [1]


@pytest.mark.parametrize("refusal", [NO_DEPLOYMENT, UnauthorizedError(401, {})], ids=["absent", "unauthorized"])
def test_a_refusal_ends_it(refusal: SerinusError) -> None:
    with pytest.raises(type(refusal)):
        Follower(name="nowhere", after=0).hears([OPENED, event(1), END, None, refusal])


@pytest.mark.parametrize("data", ["hello", "[]", '{"id": "x"}', "{", "[" * 100_000], ids=str.__len__)
def test_what_is_no_event_is_not_taken_for_one(data: str) -> None:
    with pytest.raises(UnexpectedAnswerError):
        Follower(after=0).hears([OPENED, Said(data)])


def test_what_holds_no_event_is_passed_over() -> None:
    assert Follower(after=0).hears([OPENED, Said(""), event(1), Said("")]).told == [1]


def test_reading_goes_on_until_the_end() -> None:
    follower = Follower(after=0).hears([OPENED, event(1)])

    assert follower.steps[-1] is Read.NEXT


# ------------------------------------------------------------------------------------------ over sockets


@pytest.fixture
def timeline() -> Iterable[Streaming]:
    with streaming() as server:
        yield server


def test_events_are_followed_over_connections_that_break_anywhere(timeline: Streaming) -> None:
    with Client(timeline.url) as client:
        followed = client.follow(after=0)
        ids = [next(followed).id for _ in range(9)]
        followed.close()

    assert ids == list(range(1, 10))
    assert timeline.opened >= 3


async def test_events_are_followed_from_asyncio_too(timeline: Streaming) -> None:
    async with AsyncClient(timeline.url) as client:
        ids = []
        followed = client.follow(after=0)
        async for each in followed:
            ids.append(each.id)
            if len(ids) == 9:
                break
        await followed.aclose()

    assert ids == list(range(1, 10))
    assert timeline.opened >= 3


def test_a_document_client_follows_documents(timeline: Streaming) -> None:
    with DocumentClient(timeline.url) as client:
        followed = client.follow(after=2)
        first = next(followed)
        followed.close()

    assert (first["id"], first["kind"]) == (3, "promoted")
