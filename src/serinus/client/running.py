"""Does the work of a client that waits for each answer: the I/O, and nothing else."""

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from typing import Any, TypeVar

import httpx2

from serinus.client.answers import Reply
from serinus.client.calls import Call, Document
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

T = TypeVar("T")


class Runner:
    """Speaks HTTP to one server, for any number of threads."""

    def __init__(self, way: Way, repeating: Repeating) -> None:
        self.way = way
        self._repeating = repeating
        self._http = httpx2.Client(
            base_url=way.base_url, headers=list(way.headers), trust_env=way.trusts_environment, limits=way.limits
        )

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def send(self, call: Call[Any], key: str | None = None) -> Document:
        """Send one call, and again where that is safe; give its document."""
        return self.run(sending(call, self.way, self._repeating, key))

    def run(self, work: Work[T]) -> T:
        """Do work that comes to one thing."""
        with closing(_Stream(self._http, self.way)) as stream:
            step = advance(work)
            while not isinstance(step, Done):
                step = advance(work, *self._attempt(step, stream))
            return step.value

    def iterate(self, work: Emitting[T]) -> Generator[Emit[T], None, None]:
        """Do work that gives one thing after the other."""
        with closing(work), closing(_Stream(self._http, self.way)) as stream:
            step = advance(work)
            while not isinstance(step, Done):
                if isinstance(step, Emit):
                    yield step
                    step = advance(work)
                else:
                    step = advance(work, *self._attempt(step, stream))

    def _attempt(self, step: Effect[Any], stream: "_Stream") -> tuple[object, SerinusError | None]:
        try:
            return self._do(step, stream), None
        except SerinusError as error:
            return None, error

    def _do(self, step: Effect[Any], stream: "_Stream") -> object:
        if isinstance(step, Call):
            return self.send(step)
        if isinstance(step, Exchange):
            return self._exchange(step)
        if isinstance(step, Wait):
            time.sleep(step.seconds)
            return None
        if isinstance(step, Open):
            stream.open(step.call)
            return None
        return stream.read()

    def _exchange(self, step: Exchange) -> Reply:
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
            with asked as answer:
                return _read(answer, body)


class _Stream:
    """At most one open stream of events."""

    def __init__(self, http: httpx2.Client, way: Way) -> None:
        self._http = http
        self._way = way
        self._open = ExitStack()
        self._call: Call[Any] | None = None
        self._events: Iterator[httpx2.ServerSentEvent] = iter(())

    def close(self) -> None:
        """Close what is open."""
        self._open.close()

    def open(self, call: Call[Any]) -> None:
        """Open a stream in place of the one before."""
        self.close()
        self._call = call
        with self._way.in_words(call):
            answer = self._open.enter_context(
                self._http.stream(call.method, call.path, params=list(call.params), timeout=self._way.streaming())
            )
            if not is_stream(answer):
                read_no_stream(call, self._way, _read(answer, Body(self._way.timeout_s)))
        self._events = iter(httpx2.EventSource(answer))

    def read(self) -> httpx2.ServerSentEvent | None:
        """Give what the stream says next, None at its end."""
        if self._call is None:
            return None
        with self._way.in_words(self._call):
            return next(self._events, None)


def _read(answer: httpx2.Response, body: Body) -> Reply:
    for part in answer.iter_bytes():
        body.add(part)
    return body.reply(answer)
