from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.service_layer.world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A server's parts; its gateway is not started."""
    world = await World.opened(tmp_path)
    yield world
    await world.closed()
