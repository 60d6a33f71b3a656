import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from serinus.predictors import frames
from serinus.predictors.processes import Runner, ending


class Link:
    """A runner's end of its socket, and what its gateway hears, in order."""

    def __init__(self) -> None:
        ours, self.its = socket.socketpair()
        self.heard: list[object] = []
        self.garbled = 0
        self.runner = Runner(
            asyncio.get_running_loop(),
            ours,
            lambda number, kind, content: self.heard.append((number, kind, bytes(content))),
            self.heard.append,
            lambda _: setattr(self, "garbled", self.garbled + 1),
        )

    def say(self, number: int, content: bytes = b"abc") -> None:
        self.its.sendall(frames.HEAD.pack(len(content), number, frames.ANSWERS, 1) + content)


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    link = Link()
    yield link
    link.runner.forget()
    link.its.close()


async def until_heard(link: Link, count: int) -> None:
    async with asyncio.timeout(30):
        while len(link.heard) < count:  # noqa: ASYNC110 - what is heard has no event
            await asyncio.sleep(0.001)


async def test_what_a_runner_said_before_it_ended_is_heard_before_its_end(link: Link) -> None:
    link.say(1)
    link.say(2)
    link.its.close()

    link.runner.ended("its process ended")

    assert link.heard == [(1, frames.ANSWERS, b"abc"), (2, frames.ANSWERS, b"abc"), "its process ended"]


async def test_an_end_is_told_once(link: Link) -> None:
    link.runner.ended("one")
    link.runner.ended("two")

    assert link.heard == ["one"]


async def test_a_runner_that_hangs_up_has_ended_if_no_better_reason_is_heard_of(link: Link) -> None:
    link.its.close()

    await until_heard(link, 1)

    assert link.heard == ["it closed its connection"]


async def test_of_one_that_is_forgotten_nothing_is_heard(link: Link) -> None:
    link.say(1)

    link.runner.forget()
    link.runner.ended("it ended")
    await asyncio.sleep(0)

    assert link.heard == []


async def test_one_that_says_more_at_once_than_is_held_is_ended(link: Link) -> None:
    link.its.sendall(frames.HEAD.pack(frames.LARGEST + 1, 1, frames.ANSWERS, 1))

    await until_heard(link, 1)

    assert link.garbled == 1
    assert "no answer" in str(link.heard[0])


async def test_more_than_a_socket_takes_at_once_is_sent_when_there_is_room(link: Link) -> None:
    whole = frames.HEAD.pack(1 << 22, 1, frames.ROWS, 1) + bytes(1 << 22)

    link.runner.send(whole)
    link.runner.send(b"the next one")

    link.its.setblocking(False)  # noqa: FBT003 - the standard library's
    got = b""
    while len(got) < len(whole) + 12:
        got += await asyncio.get_running_loop().sock_recv(link.its, 1 << 20)
    assert got == whole + b"the next one"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (3, "its process ended with exit code 3"),
        (-11, "its process was ended by SIGSEGV"),
        (-99, "its process was ended by signal 99"),
    ],
)
def test_how_a_process_ended_is_said_in_words(code: int, said: str) -> None:
    assert ending(code) == said
