"""When a call is sent again, and when not: without any I/O."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from serinus.client import (
    InvalidError,
    ModelFailedError,
    OverloadedError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
    calls,
)
from serinus.client.answers import Reply
from serinus.client.calls import Call
from serinus.client.documents import ONCE_MORE
from serinus.client.way import Way
from serinus.client.work import LARGEST_ANSWER, Body, Done, Exchange, Repeating, Wait, advance, doubled, sending
from serinus.core.errors import InvalidInput, SerinusError

WAY = Way("http://127.0.0.1:8000", 60.0, ())
OFTEN = Repeating(3)
ANSWER = Reply(200, "application/json", b'{"name": "prod"}')
ABSENT = UnreachableError("Nobody is there.", sent=False)
BROKEN = UnreachableError("It broke.")


def problem(status: int, code: str, retry_after: str = "") -> Reply:
    body = f'{{"code": "{code}", "detail": "No."}}'
    return Reply(status, "application/problem+json", body.encode(), retry_after)


OVERLOADED = problem(503, "SERINUS-OVERLOADED", "1")


@dataclass
class Told:
    """What was done for a call, as time went by."""

    exchanges: list[Exchange] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    now: float = 0.0


def send(call: Call[Any], repeating: Repeating, *outcomes: Reply | SerinusError, each_s: float = 0.0) -> Told:
    """Send a call whose tries come to ``outcomes``, each after so many seconds; raise what the call comes to."""
    told, left = Told(), iter(outcomes)
    work = sending(call, WAY, repeating, now=lambda: told.now, draw=lambda: 1.0)
    step = advance(work)
    try:
        while not isinstance(step, Done):
            if isinstance(step, Wait):
                told.waits.append(step.seconds)
                told.now += step.seconds
                step = advance(work)
                continue
            assert isinstance(step, Exchange)
            told.exchanges.append(step)
            told.now += each_s
            outcome = next(left)
            step = advance(work, None, outcome) if isinstance(outcome, SerinusError) else advance(work, outcome)
    except SerinusError as error:
        error.details["told"] = told
        raise
    assert step.value == {"name": "prod"}
    return told


def given_up(error: SerinusError) -> Told:
    told = error.details["told"]
    assert isinstance(told, Told)
    return told


LOOK, COMMAND, PREDICTION = calls.deployment("prod"), calls.promote("prod"), calls.predict("prod", {})
CERTAIN = calls.predict("prod", {}, retry=True)


@pytest.mark.parametrize(
    "call", [LOOK, COMMAND, calls.put_artifact(b"m"), CERTAIN], ids=["look", "command", "artifact", "retried"]
)
@pytest.mark.parametrize(
    "trouble", [ABSENT, BROKEN, OVERLOADED, Reply(502, "text/html")], ids=["absent", "broken", "overloaded", "proxy"]
)
def test_what_is_safe_to_send_again_is_sent_until_it_is_answered(
    call: Call[Any], trouble: Reply | SerinusError
) -> None:
    told = send(call, OFTEN, trouble, trouble, trouble, ANSWER)

    assert len(told.exchanges) == 4
    assert len({each.headers for each in told.exchanges}) == 1


def test_a_prediction_is_sent_again_only_if_the_server_cannot_have_seen_it() -> None:
    assert len(send(PREDICTION, OFTEN, ABSENT, ANSWER).exchanges) == 2
    for trouble, kind in ((BROKEN, UnreachableError), (OVERLOADED, OverloadedError)):
        with pytest.raises(kind) as raised:
            send(PREDICTION, OFTEN, trouble)
        assert len(given_up(raised.value).exchanges) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500])
def test_a_refusal_is_final(status: int) -> None:
    with pytest.raises(SerinusError) as raised:
        send(COMMAND, OFTEN, problem(status, "SERINUS-TEST"))

    assert len(given_up(raised.value).exchanges) == 1


def test_a_model_that_fails_is_not_asked_again() -> None:
    with pytest.raises(ModelFailedError):
        send(CERTAIN, OFTEN, problem(504, "SERINUS-MODEL-TIMEOUT"))


def test_the_waits_double_up_to_a_limit() -> None:
    told = send(LOOK, Repeating(6, wait_s=1.0, longest_s=5.0), *[ABSENT] * 6, ANSWER)

    assert told.waits == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


@pytest.mark.parametrize(("draw", "wait_s"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_programs_that_lost_a_server_together_come_back_one_by_one(draw: float, wait_s: float) -> None:
    assert Repeating(3, wait_s=1.0).after(LOOK, ABSENT, 1, 60.0, draw) == wait_s


def test_a_server_that_asks_for_time_gets_it() -> None:
    assert send(LOOK, OFTEN, problem(503, "SERINUS-UNAVAILABLE", "7"), ANSWER).waits == [7.0]


def test_all_tries_together_have_the_time_of_one() -> None:
    with pytest.raises(UnreachableError) as raised:
        send(LOOK, Repeating(99), *[BROKEN] * 99, each_s=25.0)

    told = given_up(raised.value)
    assert len(told.exchanges) == 3
    assert [each.within_s for each in told.exchanges] == pytest.approx([60.0, 34.9, 9.7])


def test_a_server_that_asks_for_more_time_than_there_is_is_given_up() -> None:
    with pytest.raises(UnavailableError) as raised:
        send(LOOK, OFTEN, problem(503, "SERINUS-UNAVAILABLE", "61"))

    assert raised.value.retry_after_s == 61.0


def test_the_last_trouble_is_the_one_that_is_told() -> None:
    with pytest.raises(InvalidError):
        send(LOOK, OFTEN, BROKEN, OVERLOADED, problem(422, "SERINUS-INVALID"))


def test_no_retries_are_none() -> None:
    with pytest.raises(UnreachableError) as raised:
        send(LOOK, Repeating(0), BROKEN)

    assert len(given_up(raised.value).exchanges) == 1


def test_a_person_who_waits_is_told_at_once_that_there_is_no_server() -> None:
    for trouble in (ABSENT, OVERLOADED):
        with pytest.raises(SerinusError) as raised:
            send(LOOK, ONCE_MORE, trouble)
        assert len(given_up(raised.value).exchanges) == 1
    assert send(LOOK, ONCE_MORE, BROKEN, ANSWER).waits == []


def test_each_command_has_a_key_of_its_own() -> None:
    first, second = (send(COMMAND, OFTEN, ANSWER).exchanges[0].headers for _ in range(2))

    assert first != second
    assert dict(first).keys() == {"Idempotency-Key"}


def test_a_wait_that_is_doubled_without_end_stays_a_number() -> None:
    assert [doubled(0.5, times, 10.0) for times in (0, 1, 4, 5, 5000)] == [0.5, 1.0, 8.0, 10.0, 10.0]


@pytest.mark.parametrize("retries", [-1, 1.5, "3", None])
def test_a_number_of_retries_that_cannot_be_is_refused(retries: Any) -> None:
    with pytest.raises(InvalidInput) as raised:
        Repeating(retries)

    assert raised.value.field == "retries"


def test_an_answer_has_its_time_however_slowly_it_comes() -> None:
    clock = iter([0.0, 1.0, 2.0, 3.5])
    body = Body(3.0, now=lambda: next(clock))
    body.add(b"{")
    body.add(b"}")

    with pytest.raises(TimeoutError):
        body.add(b" ")


def test_an_answer_without_end_is_not_kept() -> None:
    body = Body(1e9)
    body.add(bytes(LARGEST_ANSWER))

    with pytest.raises(UnexpectedAnswerError):
        body.add(b"}")
