"""What a server needs is asked in the background whether it answers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from tests.service_layer.doubles import until

from serinus.artifacts.objects import READ_S
from serinus.boards.redis.board import TIMEOUT_S
from serinus.core.errors import Unavailable
from serinus.dependencies import PATIENCE_S, Dependencies
from serinus.stores.connections import QUICK


class Pinged:
    """Two dependencies that answer until they are told otherwise."""

    def __init__(self) -> None:
        self.fails: dict[str, Exception] = {}
        self.silent: set[str] = set()
        self.answers = asyncio.Event()
        """When it comes, what is silent answers after all."""
        self.asked: Counter[str] = Counter()
        self.troubles: list[str] = []
        self.recoveries: list[str] = []
        pings = {name: self.ping(name) for name in ("store", "board")}
        self.dependencies = Dependencies(pings, self.troubles.append, self.recoveries.append)

    def ping(self, name: str) -> Callable[[], Awaitable[None]]:
        async def ping() -> None:
            self.asked[name] += 1
            if name in self.silent:
                await self.answers.wait()
            if name in self.fails:
                raise self.fails[name]

        return ping


@pytest.fixture
def pinged() -> Pinged:
    return Pinged()


@asynccontextmanager
async def running(pinged: Pinged) -> AsyncIterator[None]:
    """Ask again and again."""
    task = asyncio.create_task(pinged.dependencies.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled()


async def test_what_answers_is_ok(pinged: Pinged) -> None:
    await pinged.dependencies.look()

    assert pinged.dependencies.states() == {"store": "ok", "board": "ok"}
    assert pinged.troubles == []


def test_what_has_not_answered_yet_is_not_known_to_be_well(pinged: Pinged) -> None:
    assert set(pinged.dependencies.states().values()) == {"It has not answered yet."}


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (Unavailable("It is gone.", remedy="Bring it back."), "It is gone. Bring it back."),
        (KeyError("x"), "KeyError: 'x'"),
    ],
    ids=["ours", "defect"],
)
async def test_what_fails_is_named_with_the_reason_and_the_other_is_looked_at_too(
    pinged: Pinged, failure: Exception, said: str
) -> None:
    pinged.fails["store"] = failure

    await pinged.dependencies.look()

    assert pinged.dependencies.states() == {"store": said, "board": "ok"}
    assert pinged.troubles == [f"the store: {said}"]


async def test_what_says_nothing_is_given_up(pinged: Pinged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serinus.dependencies.PATIENCE_S", 0.05)
    pinged.silent.add("board")

    await pinged.dependencies.look()

    assert "has not answered within 0.05 s" in pinged.dependencies.states()["board"]


async def test_what_is_slow_and_answers_in_its_own_time_is_not_gone(
    pinged: Pinged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serinus.dependencies.GLANCE_S", 0.001)
    monkeypatch.setattr("serinus.dependencies.INTERVAL_S", 0.001)
    await pinged.dependencies.look()
    pinged.silent.add("board")

    async with running(pinged):
        await until(lambda: pinged.asked["store"] > 20)
        while_it_is_slow = pinged.dependencies.states()
        asked = pinged.asked["board"]
        pinged.answers.set()
        await until(lambda: pinged.asked["board"] > asked)

    assert while_it_is_slow == pinged.dependencies.states() == {"store": "ok", "board": "ok"}
    assert pinged.troubles == []


async def test_what_is_slow_is_not_asked_again_meanwhile_and_keeps_no_other_from_being_seen(
    pinged: Pinged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serinus.dependencies.GLANCE_S", 0.001)
    monkeypatch.setattr("serinus.dependencies.INTERVAL_S", 0.001)
    pinged.silent.add("board")

    async with running(pinged):
        await until(lambda: pinged.asked["store"] > 6)
        pinged.fails["store"] = Unavailable("gone")
        await until(lambda: pinged.dependencies.states()["store"] == "gone")

    assert pinged.asked["board"] == 1


async def test_a_first_answer_that_is_late_is_no_trouble(pinged: Pinged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serinus.dependencies.GLANCE_S", 0.001)
    pinged.silent.add("board")
    await pinged.dependencies.look()
    meanwhile = pinged.dependencies.states()["board"]

    pinged.answers.set()
    await until(lambda: pinged.dependencies.states()["board"] == "ok")

    assert meanwhile == "It has not answered yet."
    assert pinged.troubles == []


def test_no_ping_is_given_up_before_it_would_end_by_itself() -> None:
    own = {"the store": QUICK.transaction_s, "the board": TIMEOUT_S, "the artifacts": READ_S}

    assert [name for name, seconds in own.items() if seconds >= PATIENCE_S] == []


async def test_an_outage_is_told_of_once_and_so_is_its_end(pinged: Pinged) -> None:
    for failure in (Unavailable("gone"), Unavailable("gone"), Unavailable("still gone"), None, None):
        pinged.fails = {"store": failure} if failure else {}
        await pinged.dependencies.look()

    assert pinged.troubles == ["the store: gone"]
    assert pinged.recoveries == ["The store answers again."]
    assert pinged.dependencies.states()["store"] == "ok"


async def test_what_tells_of_itself_is_looked_at_in_silence(pinged: Pinged) -> None:
    dependencies = Dependencies(
        {"board": pinged.ping("board")}, pinged.troubles.append, pinged.recoveries.append, told_elsewhere={"board"}
    )

    pinged.fails = {"board": Unavailable("gone")}
    await dependencies.look()
    meanwhile = dependencies.states()
    pinged.fails = {}
    await dependencies.look()

    assert (meanwhile, dependencies.states()) == ({"board": "gone"}, {"board": "ok"})
    assert pinged.troubles == pinged.recoveries == []


async def test_the_newest_reason_is_shown(pinged: Pinged) -> None:
    for reason in ("gone", "refused"):
        pinged.fails["store"] = Unavailable(reason)
        await pinged.dependencies.look()

    assert pinged.dependencies.states()["store"] == "refused"


async def test_they_are_asked_again_and_again(pinged: Pinged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serinus.dependencies.INTERVAL_S", 0.001)
    pinged.fails["store"] = RuntimeError("a defect")

    async with running(pinged):
        await until(lambda: pinged.asked.total() > 6)


async def test_what_is_given_to_a_reader_is_a_copy(pinged: Pinged) -> None:
    pinged.dependencies.states()["store"] = "changed"

    assert pinged.dependencies.states()["store"] != "changed"
