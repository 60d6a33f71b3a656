"""What a server needs is asked in the background whether it answers."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.service_layer.doubles import until

from serinus.core.errors import Unavailable
from serinus.dependencies import Dependencies


class Pinged:
    """Two dependencies that answer until they are told otherwise."""

    def __init__(self) -> None:
        self.fails: dict[str, Exception] = {}
        self.silent: set[str] = set()
        self.asked = 0
        self.troubles: list[str] = []
        self.dependencies = Dependencies({name: self._ping(name) for name in ("store", "board")}, self.troubles.append)

    def _ping(self, name: str) -> Callable[[], Awaitable[None]]:
        async def ping() -> None:
            self.asked += 1
            if name in self.silent:
                await asyncio.Event().wait()
            if name in self.fails:
                raise self.fails[name]

        return ping


@pytest.fixture
def pinged() -> Pinged:
    return Pinged()


async def test_what_answers_is_ok(pinged: Pinged) -> None:
    await pinged.dependencies.look()

    assert pinged.dependencies.states() == {"store": "ok", "board": "ok"}
    assert pinged.troubles == []


def test_before_the_first_look_nothing_is_known_to_be_wrong(pinged: Pinged) -> None:
    assert pinged.dependencies.states() == {"store": "ok", "board": "ok"}


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


async def test_an_outage_is_told_of_once_and_so_is_its_end(pinged: Pinged) -> None:
    for failure in (Unavailable("gone"), Unavailable("gone"), Unavailable("still gone"), None, None):
        pinged.fails = {"store": failure} if failure else {}
        await pinged.dependencies.look()

    assert pinged.troubles == ["the store: gone", "the store answers again"]
    assert pinged.dependencies.states()["store"] == "ok"


async def test_the_newest_reason_is_shown(pinged: Pinged) -> None:
    for reason in ("gone", "refused"):
        pinged.fails["store"] = Unavailable(reason)
        await pinged.dependencies.look()

    assert pinged.dependencies.states()["store"] == "refused"


async def test_they_are_asked_again_and_again(pinged: Pinged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serinus.dependencies.INTERVAL_S", 0.001)
    pinged.fails["store"] = RuntimeError("a defect")
    running = asyncio.ensure_future(pinged.dependencies.run())
    await until(lambda: pinged.asked > 6)

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_what_is_given_to_a_reader_is_a_copy(pinged: Pinged) -> None:
    pinged.dependencies.states()["store"] = "changed"

    assert pinged.dependencies.states()["store"] == "ok"
