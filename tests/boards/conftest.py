"""Each test of the contract runs on every board that Serinus can use: add the next one to ``board``."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from serinus.boards.memory import MemoryBoard
from serinus.ports import Board

Overwrite = Callable[[str, object], Awaitable[None]]


@pytest.fixture(params=["memory"])
async def board(request: pytest.FixtureRequest) -> AsyncIterator[Board]:
    """An empty board."""
    assert request.param == "memory"
    board = MemoryBoard()
    yield board
    await board.close()


@pytest.fixture
def overwrite(board: Board) -> Overwrite:
    """Put anything up for a deployment past the board, as a hand or a defect would."""
    assert isinstance(board, MemoryBoard)

    async def put(deployment: str, raw: object) -> None:
        board.put(deployment, raw)

    return put
