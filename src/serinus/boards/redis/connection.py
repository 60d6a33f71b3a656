"""One Redis: its address, commands that take no longer than they may, and subscriptions. What is asked is not its."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, NoScriptError, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from serinus.boards.redis.scripts import Script
from serinus.core.errors import InvalidInput, Unavailable

CONNECTIONS = 16
"""How many commands may be under way at once; more wait for their turn, within their time."""

NextMessage = Callable[[float], Awaitable[str]]
"""Gives the next message; Unavailable if the connection breaks, or none comes within so many seconds."""

_NO_SUCH_DATABASE = ("DB index is out of range", "SELECT is not allowed in cluster mode")
_SCHEMES = {"redis", "rediss", "unix"}


class Connection:
    """A Redis server, connected to as needed.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, with user and password if they are needed.
        timeout_s: how long a command may take, connecting included.

    Raises:
        InvalidInput: the URL is none of these.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._closed = False
        try:
            self._pool = _pool(url, timeout_s)
            # Only a connection knows whether all that stands in the URL's query is an option of one.
            options = self._pool.make_connection()
            self.database = int(options.db)
            self.address = _address(url, self.database)
        except (ValueError, TypeError, RedisError):
            # Neither the URL nor what is wrong with it is shown: there may be a password in it.
            raise InvalidInput(
                "The address of Redis is not one that Serinus can use.",
                field="SERINUS_REDIS_URL",
                remedy="Write redis://USER:PASSWORD@HOST:PORT/NUMBER (rediss:// for TLS) or unix://PATH?db=NUMBER; "
                "characters of a password other than letters and digits as %XX.",
            ) from None
        self._client: Any = Redis(connection_pool=self._pool)

    async def command(self, *words: str) -> Any:
        """Carry out a command; Unavailable if that does not succeed in time."""
        with self._explaining():
            async with asyncio.timeout(self._timeout_s):
                return await self._client.execute_command(*words)

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str]) -> Any:
        """Run a script; Unavailable if that does not succeed in time."""
        rest = (str(len(keys)), *keys, *arguments)
        with self._explaining():
            async with asyncio.timeout(self._timeout_s):
                try:
                    return await self._client.execute_command("EVALSHA", script.digest, *rest)
                except NoScriptError:
                    return await self._client.execute_command("EVAL", script.text, *rest)

    @asynccontextmanager
    async def subscribed(self, *channels: str) -> AsyncIterator[NextMessage]:
        """Listen to channels on a connection of their own: all that is published from now on is heard, in its order."""
        pubsub = self._client.pubsub()
        try:
            with self._explaining():
                async with asyncio.timeout(self._timeout_s):
                    await pubsub.subscribe(*channels)
                    confirmed: set[str] = set()
                    while not confirmed.issuperset(channels):
                        message = await pubsub.get_message(timeout=self._timeout_s)
                        confirmed.update([message["channel"]] if message else [])
            yield lambda silence_s: self._next_message(pubsub, silence_s)
        finally:
            await pubsub.aclose()

    async def _next_message(self, pubsub: Any, silence_s: float) -> str:
        with self._explaining():
            # The library makes a connection that broke anew before it says so: that takes its time too.
            async with asyncio.timeout(silence_s + self._timeout_s):
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=silence_s)
        if message is None:
            raise self._silent(f"has sent nothing for {silence_s:g} s")
        return str(message["data"])

    async def close(self) -> None:
        """End all connections; what is under way fails."""
        self._closed = True
        with suppress(RedisError, OSError):
            await self._pool.aclose()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Turn whatever keeps Redis from answering into Unavailable."""
        if self._closed:
            raise Unavailable("The board is closed.", remedy="Open it again.")
        try:
            yield
        except TimeoutError as silence:
            raise self._silent(f"does not answer within {self._timeout_s:g} s") from silence
        except (AuthenticationError, NoPermissionError, ResponseError) as refusal:
            raise self._refused(refusal) from refusal
        except (RedisError, OSError) as failure:
            raise self._silent(f"does not answer: {_sentence(failure)}") from failure

    def _refused(self, refusal: RedisError) -> Unavailable:
        if str(refusal).startswith(_NO_SUCH_DATABASE):
            return Unavailable(
                f"Redis at {self.address} has no database {self.database}: {_sentence(refusal)}.",
                remedy="Write a smaller number at the end of SERINUS_REDIS_URL, such as /0, or let its configuration "
                "raise `databases`.",
            )
        return Unavailable(
            f"Redis at {self.address} refuses: {_sentence(refusal)}.",
            remedy="See that the user and password are right and allow all commands and channels, that it is no "
            "replica, and that it has memory and disk space left.",
        )

    def _silent(self, what: str) -> Unavailable:
        return Unavailable(
            f"Redis at {self.address} {what}.",
            remedy="See that it runs and can be reached from here; Serinus goes on by itself when it answers.",
        )


def _pool(url: str, timeout_s: float) -> Any:
    parts = urlsplit(url)
    number = "" if parts.scheme == "unix" else parts.path.strip("/")
    if parts.scheme not in _SCHEMES or parts.fragment or (number and not number.isdecimal()):
        message = "no URL of a Redis"
        raise ValueError(message)
    return BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_timeout=None,  # each command has its time as a whole
        retry=Retry(NoBackoff(), 0),
        # What is kept may be any bytes: they come and go unharmed.
        decode_responses=True,
        encoding_errors="surrogateescape",
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )


def _address(url: str, database: int) -> str:
    """Write where a Redis is, without user, password and options."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix://{parts.path}?db={database}"
    host = parts.hostname or "localhost"
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}:{parts.port or 6379}/{database}"


def _sentence(failure: Exception) -> str:
    return str(failure).strip().rstrip(".") or type(failure).__name__
