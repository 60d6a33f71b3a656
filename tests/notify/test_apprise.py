"""People get one readable message an event, by whatever service Apprise knows."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.notify.receiver import Receiver, Reply, receiving
from tests.notify.samples import recorded, rolled_back

from serinus.core.errors import InvalidInput, Unavailable
from serinus.core.events import EventKind
from serinus.notify.apprise import KINDS, People, message


@pytest.fixture(scope="module")
def running() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def receiver(running: Receiver) -> Receiver:
    running.posts.clear()
    running.answers = lambda _: Reply()
    return running


def people(receiver: Receiver, number: int = 1) -> People:
    return People(receiver.url.replace("http://", "json://") + "/chat?to=a,b", number)


async def test_an_event_comes_as_one_message(receiver: Receiver) -> None:
    await people(receiver).notify([rolled_back()])

    (post,) = receiver.posts
    assert post.path.startswith("/chat")
    assert post.json["type"] == "failure"
    assert post.json["title"] == "heart-prod: rolled back"
    assert post.json["message"].splitlines() == [
        "heart@2 was taken out at 20 % of the traffic, heart@1 stays.",
        "Canary errors 15.2 % against 0.0 %: odds 3324 to 1 against 'within 0.5 points'.",
        "(health-checker, 2026-03-01 12:00:00 UTC, rollout heart-prod:2)",
    ]


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        (
            EventKind.CANARY_STARTED,
            {"canary": "heart@2", "baseline": "heart@1", "weight": 5.0, "plan": "careful"},
            "heart@2 gets 5 % of the traffic of heart@1, by the plan careful.",
        ),
        (EventKind.PROMOTED, {"from": "heart@1", "to": "heart@2"}, "heart@2 serves in place of heart@1."),
        (EventKind.PROMOTION_UNDONE, {"from": "heart@2", "to": "heart@1"}, "heart@1 serves in place of heart@2."),
        (EventKind.HOLDING, {"requests": 3}, "It has to be approved."),
        (EventKind.ROLLED_BACK, {}, "None was taken out at a share of the traffic, None stays."),
    ],
)
def test_a_message_says_what_happened_and_why(kind: EventKind, data: dict[str, Any], said: str) -> None:
    title, body = message(recorded(kind, reason="it has to be approved", **data).event)

    assert title == f"heart-prod: {kind.replace('_', ' ')}"
    assert said in body.splitlines()
    assert "It has to be approved." in body
    assert body.endswith("(ada, 2026-03-01 12:00:00 UTC, rollout heart-prod:2)")


@pytest.mark.parametrize("kind", EventKind)
def test_every_kind_can_be_told(kind: EventKind) -> None:
    title, body = message(recorded(kind).event)

    assert title
    assert body


async def test_what_is_not_taken_is_to_be_tried_again(receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(500)

    with pytest.raises(Unavailable):
        await people(receiver).notify([rolled_back()])


async def test_a_service_that_is_slow_holds_up_nothing_else(receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(delay_s=0.3)
    telling = asyncio.create_task(people(receiver).notify([rolled_back()]))

    turns = 0
    while not telling.done():
        turns += 1
        await asyncio.sleep(0)

    assert turns > 10
    await telling


def test_routine_is_not_what_people_want() -> None:
    assert {EventKind.ROLLED_BACK, EventKind.PROMOTED, EventKind.HOLDING} <= KINDS
    assert {EventKind.HEALTH_CHECK_PASSED, EventKind.STEP_REACHED, EventKind.TRAFFIC_ADJUSTED} & KINDS == frozenset()


@pytest.mark.parametrize("url", ["nonsense://token@x", "slack://", "mailto://"])
def test_an_address_that_apprise_cannot_use_is_refused_without_showing_it(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InvalidInput, match="number 3") as refused:
        People(url, 3)

    assert refused.value.field == "SERINUS_NOTIFY_URLS"
    assert "token" not in str(refused.value)
    assert caplog.text == ""


def test_a_name_gives_nothing_away(receiver: Receiver) -> None:
    name = people(receiver).name

    assert name.startswith("json:")
    assert name == people(receiver).name
    assert len(name) == len("json:") + 6
