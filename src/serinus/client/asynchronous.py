"""The client for asyncio, with typed results, and the I/O that it does."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, closing
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

import httpx2

from serinus.client.answers import Reply, read_result
from serinus.client.calls import Call, Document
from serinus.client.endpoints import Endpoints
from serinus.client.many import Asked, PredictionFailure, asked_of_each
from serinus.client.results import Prediction
from serinus.client.way import Way
from serinus.client.work import (
    Body,
    Done,
    Effect,
    Emit,
    Emitting,
    Exchange,
    Open,
    Repeating,
    Wait,
    Work,
    advance,
    is_stream,
    read_no_stream,
    sending,
)
from serinus.core.errors import SerinusError

P = ParamSpec("P")
T = TypeVar("T")


class AsyncClient(Endpoints):
    """Speaks to one server from asyncio; to be closed, or used in an ``async with`` block.

    It takes what ``Client`` takes, and has the same methods, to be awaited; ``follow``, ``event_pages`` and ``looks``
    are iterated over with ``async for``. Tasks can share it.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        actor: str = "",
        token: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
    ) -> None:
        self._runner = AsyncRunner(Way.to(base_url, actor, token, timeout), Repeating(retries))
        self.base_url = self._runner.way.base_url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._runner.way.shown!r})"

    async def aclose(self) -> None:
        """Give back the connections."""
        await self._runner.close()

    async def send(self, call: Call[T], *, key: str | None = None) -> T:
        """Send one call of ``serinus.client.calls`` and give its result; a command under ``key``, else its own."""
        return read_result(call, await self._runner.send(call, key))

    async def predict_many(
        self,
        name: str,
        rows: Iterable[Mapping[str, object]] | Any,
        *,
        entity_ids: Iterable[str | None] | None = None,
        at_once: int = 8,
        retry: bool = False,
    ) -> list[Prediction | PredictionFailure]:
        """Ask for a prediction for each of ``rows``, some at a time; see ``Client.predict_many``."""
        asked = asked_of_each(name, rows, entity_ids, at_once=at_once, retry=retry)
        answers: dict[int, Prediction | PredictionFailure] = {}
        left = iter(enumerate(asked))
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(at_once, len(asked))):
                    tasks.create_task(self._answer(left, answers))
        except BaseExceptionGroup as several:  # what is wrong with the client is so for every row: it is told once
            raise several.exceptions[0] from None
        return [answers[row] for row in range(len(asked))]

    async def _answer(
        self, left: Iterator[tuple[int, Asked]], answers: dict[int, Prediction | PredictionFailure]
    ) -> None:
        for row, asked in left:
            try:
                answers[row] = asked if isinstance(asked, PredictionFailure) else await self.send(asked)
            except SerinusError as error:
                answers[row] = PredictionFailure(row, error)

    # How endpoints become methods.

    def _sends(self, make: Callable[P, Call[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        """Give a method that sends the call that ``make`` makes."""

        async def method(*args: P.args, **given: P.kwargs) -> T:
            return await self.send(make(*args, **given))

        return method

    def _carries_out(self, make: Callable[P, Work[Call[T]]]) -> Callable[P, Coroutine[Any, Any, T]]:
        """Give a method that sends several calls, and gives the result of the last."""

        async def method(*args: P.args, **given: P.kwargs) -> T:
            return await self.send(await self._runner.run_beside(make(*args, **given)))

        return method

    def _iterates(self, make: Callable[P, Emitting[T]]) -> Callable[P, AsyncGenerator[T, None]]:
        """Give a method that gives one result after the other."""

        async def method(*args: P.args, **given: P.kwargs) -> AsyncGenerator[T, None]:
            async with aclosing(self._runner.iterate(make(*args, **given))) as emitted:
                async for each in emitted:
                    yield read_result(each.call, each.document)

        return method


class AsyncRunner:
    """Speaks HTTP to one server, for any number of tasks."""

    def __init__(self, way: Way, repeating: Repeating) -> None:
        self.way = way
        self._repeating = repeating
        self._http = httpx2.AsyncClient(
            base_url=way.base_url, headers=list(way.headers), trust_env=way.trusts_environment, limits=way.limits
        )

    async def close(self) -> None:
        """Give back the connections."""
        await self._http.aclose()

    async def send(self, call: Call[Any], key: str | None = None) -> Document:
        """Send one call, and again where that is safe; give its document."""
        work = sending(call, self.way, self._repeating, key)
        step = advance(work)
        while not isinstance(step, Done):
            step = advance(work, *await self._attempt(step))
        return step.value

    async def run_beside(self, work: Work[T]) -> T:
        """Do work that comes to one thing and takes its time between requests: that is done beside the event loop."""
        step = await asyncio.to_thread(advance, work)
        while not isinstance(step, Done):
            came, error = await self._attempt(step)
            step = await asyncio.to_thread(advance, work, came, error)
        return step.value

    async def iterate(self, work: Emitting[T]) -> AsyncGenerator[Emit[T], None]:
        """Do work that gives one thing after the other."""
        with closing(work):
            async with aclosing(_Stream(self._http, self.way)) as stream:
                step = advance(work)
                while not isinstance(step, Done):
                    if isinstance(step, Emit):
                        yield step
                        step = advance(work)
                    else:
                        step = advance(work, *await self._attempt(step, stream))

    async def _attempt(self, step: Effect[Any], stream: "_Stream | None" = None) -> tuple[object, SerinusError | None]:
        try:
            return await self._do(step, stream), None
        except SerinusError as error:
            return None, error

    async def _do(self, step: Effect[Any], stream: "_Stream | None") -> object:
        if isinstance(step, Call):
            return await self.send(step)
        if isinstance(step, Exchange):
            return await self._exchange(step)
        if isinstance(step, Wait):
            await asyncio.sleep(step.seconds)
            return None
        if stream is None:
            raise TypeError(step)
        if isinstance(step, Open):
            await stream.open(step.call)
            return None
        return await stream.read()

    async def _exchange(self, step: Exchange) -> Reply:
        call = step.call
        with self.way.in_words(call):
            asked = self._http.stream(
                call.method,
                call.path,
                params=list(call.params),
                json=call.json,
                content=call.content,
                headers=[*call.headers, *step.headers],
                timeout=self.way.timeout(step.within_s),
            )
            body = Body(step.within_s)
            async with asked as answer:
                return await _read(answer, body)


class _Stream:
    """At most one open stream of events."""

    def __init__(self, http: httpx2.AsyncClient, way: Way) -> None:
        self._http = http
        self._way = way
        self._open = AsyncExitStack()
        self._call: Call[Any] | None = None
        self._events: AsyncIterator[httpx2.ServerSentEvent]

    async def aclose(self) -> None:
        """Close what is open."""
        await self._open.aclose()

    async def open(self, call: Call[Any]) -> None:
        """Open a stream in place of the one before."""
        await self.aclose()
        self._call = call
        with self._way.in_words(call):
            answer = await self._open.enter_async_context(
                self._http.stream(call.method, call.path, params=list(call.params), timeout=self._way.streaming())
            )
            if not is_stream(answer):
                read_no_stream(call, self._way, await _read(answer, Body(self._way.timeout_s)))
        self._events = aiter(httpx2.EventSource(answer))

    async def read(self) -> httpx2.ServerSentEvent | None:
        """Give what the stream says next, None at its end."""
        if self._call is None:
            return None
        with self._way.in_words(self._call):
            return await anext(self._events, None)


async def _read(answer: httpx2.Response, body: Body) -> Reply:
    async for part in answer.aiter_bytes():
        body.add(part)
    return body.reply(answer)
