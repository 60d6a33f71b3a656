"""Where a Redis is: what may be written, and what is shown of it."""

import pytest
from redis import Redis as Client
from tests.boards.conftest import OpenBoard
from tests.boards.watching import split
from tests.service import provided
from tests.services import Redis

from serinus.boards.redis import open_board
from serinus.boards.redis.connection import Connection
from serinus.core.errors import InvalidInput, Unavailable

SECRET = "hunter2"


class RedisWithSocket(Redis):
    """One that can be reached by a file, too."""

    def _command(self) -> list[str]:
        return [*super()._command(), "--unixsocket", str(self.folder / "socket")]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache.example", "redis://cache.example:6379/0"),
        ("redis://cache.example:7000/3", "redis://cache.example:7000/3"),
        (f"redis://:{SECRET}@cache.example/3", "redis://cache.example:6379/3"),
        (f"rediss://jo:{SECRET}@cache.example:7000", "rediss://cache.example:7000/0"),
        (f"redis://cache.example/?password={SECRET}&db=2", "redis://cache.example:6379/2"),
        (f"redis://:{SECRET}@[::1]:7000/0", "redis://[::1]:7000/0"),
        (f"unix://jo:{SECRET}@/run/redis.sock?db=4", "unix:///run/redis.sock?db=4"),
        ("redis://", "redis://localhost:6379/0"),
    ],
)
async def test_an_address_is_shown_without_its_secrets(url: str, address: str) -> None:
    assert Connection(url, 1.0).address == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cache.example:6379",
        f"http://:{SECRET}@cache.example",
        f"redis//:{SECRET}@cache.example",
        f"redis://:{SECRET}@cache.example:port",
        f"redis://:{SECRET}/2@cache.example",
        f"redis://:{SECRET}#2@cache.example",
        f"redis://:{SECRET}@cache.example/serinus",
        f"redis://:{SECRET}@cache.example/?colour=red",
        f"redis://:{SECRET}@cache.example/?socket_timeout=soon",
        f"redis://:{SECRET}@[::1/0",
    ],
)
async def test_what_is_no_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        open_board(url, on_trouble=lambda _: None)

    assert raised.value.field == "SERINUS_REDIS_URL"
    assert SECRET not in str(raised.value)


async def test_a_password_that_is_wrong_is_no_outage_and_not_repeated(own_redis: Redis, opened: OpenBoard) -> None:
    with Client.from_url(own_redis.url()) as client:
        client.config_set("requirepass", "right")
    board = opened(own_redis.url().replace("redis://", f"redis://:{SECRET}@"))

    with pytest.raises(Unavailable) as raised:
        await board.ping()

    assert SECRET not in str(raised.value)
    assert own_redis.url() in raised.value.message
    assert "password" in raised.value.remedy


async def test_a_password_opens(own_redis: Redis, opened: OpenBoard) -> None:
    with Client.from_url(own_redis.url()) as client:
        client.config_set("requirepass", SECRET)
    board = opened(own_redis.url().replace("redis://", f"redis://:{SECRET}@"))

    assert await board.publish(split(1))


async def test_a_number_that_is_out_of_range_is_told_from_a_wrong_password(own_redis: Redis, opened: OpenBoard) -> None:
    board = opened(own_redis.url(99))

    with pytest.raises(Unavailable) as raised:
        await board.ping()

    assert "has no database 99" in raised.value.message
    assert "SERINUS_REDIS_URL" in raised.value.remedy
    assert "password" not in raised.value.remedy


async def test_a_redis_can_be_reached_by_a_socket_in_the_file_system(opened: OpenBoard) -> None:
    with provided(RedisWithSocket()) as redis:
        board = opened(f"unix://{redis.folder}/socket?db=1")
        assert await board.publish(split(1))
        with Client.from_url(redis.url(1)) as client:
            assert client.hexists("serinus:splits", "fraud")
        await board.close()


async def test_a_redis_that_may_not_write_says_why(own_redis: Redis, opened: OpenBoard) -> None:
    board = opened(own_redis.url())
    await board.publish(split(1))
    with Client.from_url(own_redis.url()) as client:
        client.config_set("maxmemory", 1)

    with pytest.raises(Unavailable) as raised:
        await board.publish(split(2))

    assert "memory" in raised.value.message
