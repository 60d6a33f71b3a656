"""Each test of the contract runs on every board that Serinus can use: add the next one to ``board``."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from redis import Redis as Client
from tests.service import provided
from tests.services import Redis

from serinus.boards.memory import MemoryBoard
from serinus.boards.redis import RedisBoard, open_board
from serinus.ports import Board

Overwrite = Callable[[str, object], Awaitable[None]]
OpenBoard = Callable[..., RedisBoard]


@pytest.fixture(params=["memory", "redis"])
async def board(request: pytest.FixtureRequest) -> AsyncIterator[Board]:
    """An empty board; nothing may trouble it."""
    troubles: list[str] = []
    board: Board
    if request.param == "memory":
        board = MemoryBoard()
    else:
        board = open_board(request.getfixturevalue("redis_url"), on_trouble=troubles.append)
    yield board
    await board.close()
    assert troubles == []


@pytest.fixture
def overwrite(board: Board, request: pytest.FixtureRequest) -> Overwrite:
    """Put anything up for a deployment past the board, as a hand or a defect would."""

    async def put(deployment: str, raw: object) -> None:
        if isinstance(board, MemoryBoard):
            board.put(deployment, raw)
            return
        with Client.from_url(request.getfixturevalue("redis_url")) as client:
            if raw is None:
                client.hdel("serinus:splits", deployment)
            else:
                client.hset("serinus:splits", deployment, json.dumps(raw))

    return put


@pytest.fixture
async def opened() -> AsyncIterator[OpenBoard]:
    """Open boards as processes do, each with connections of its own; what troubles them goes into ``troubles``."""
    boards: list[RedisBoard] = []

    def open_one(url: str, troubles: list[str] | None = None, prefix: str = "serinus:") -> RedisBoard:
        board = open_board(url, prefix=prefix, on_trouble=([] if troubles is None else troubles).append)
        boards.append(board)
        return board

    yield open_one
    for board in boards:
        await board.close()


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    """Look into the Redis that all tests share, and put anything there."""
    with Client.from_url(redis_url) as client:
        yield client


@pytest.fixture
def own_redis() -> Iterator[Redis]:
    """A Redis that a test may stop."""
    with provided(Redis()) as redis:
        yield redis
