"""Predictors that run a model on threads of its own, so that one that hangs holds up nothing but itself."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

from serinus.core.answers import Answer, RawOutput, read_answers
from serinus.core.errors import BadOutput, ModelError, ModelTimeout, Overloaded, SerinusError, Unavailable
from serinus.core.records import ModelVersion
from serinus.core.signature import Row
from serinus.ports import Model, ModelLoader

_T = TypeVar("_T")
_E = TypeVar("_E", bound=SerinusError)
_MESSAGE = 300
"""Characters kept of what a model says when it raises."""


class ThreadPredictors:
    """Makes predictors with threads of their own.

    Args:
        loader: loads the models.
        threads: of each version: how many requests it works on at once.
        queue: of each version: how many requests may wait for a thread.
    """

    def __init__(self, loader: ModelLoader, threads: int = 2, queue: int = 256) -> None:
        self._loader = loader
        self._threads = threads
        self._queue = queue

    async def start(self, version: ModelVersion, artifact: bytes) -> "ThreadPredictor":
        """Load a model, on a thread of its own, and make it ready.

        Raises:
            ModelError: the model's own code failed while it was loaded; and what the loader raises.
        """
        loop = asyncio.get_running_loop()
        loaded: asyncio.Future[Model] = loop.create_future()

        def load() -> None:
            outcome = self._loaded(version, artifact)
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_settle, loaded, outcome)

        threading.Thread(target=load, name=f"load {version.ref}", daemon=True).start()
        return ThreadPredictor(version, await loaded, threads=self._threads, queue=self._queue)

    def _loaded(self, version: ModelVersion, artifact: bytes) -> Model | SerinusError:
        try:
            return self._loader.load(artifact, version.draft.format, version.signature)
        except SerinusError as failure:
            return failure
        except BaseException as failure:  # noqa: BLE001 - a model's own code may raise anything, sys.exit() included
            return _caused(ModelError(f"{version.ref} could not be loaded: {_said(failure)}"), failure)


class ThreadPredictor:
    """Answers with one model on its own daemon threads, request by request, in the order of the requests.

    Daemon threads, unlike ``concurrent.futures``' ones, are not waited for when the process ends: a model that
    hangs for ever keeps its threads for ever, and nothing else.
    """

    def __init__(self, version: ModelVersion, model: Model, *, threads: int, queue: int) -> None:
        self._version = version
        self._model = model
        self._bound = queue
        self._waiting: OrderedDict[_Job, None] = OrderedDict()  # first come first, and each can be taken out
        self._change = threading.Condition(threading.Lock())  # guards what waits and whether it is closed
        self._closed = False
        for number in range(threads):
            name = f"predict {version.ref} #{number}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    @property
    def version(self) -> ModelVersion:
        """The version it answers for."""
        return self._version

    async def predict(self, row: Row, timeout_s: float) -> Answer:
        """Answer for one row in training order, within ``timeout_s`` seconds from now; raises what others do."""
        return (await self.predict_rows([row], timeout_s))[0]

    async def predict_rows(self, rows: Sequence[Row], timeout_s: float) -> list[Answer]:
        """Answer for rows in training order, asked of the model at once, within ``timeout_s`` seconds from now.

        Raises:
            ModelError: the model raised. ModelTimeout: no answer in time, waiting included; a request that had not
            begun is dropped. BadOutput: NaN, infinity, a wrong shape or kind. Overloaded: the queue is full; nothing
            was begun. Unavailable: the predictor is closed.
        """
        job = _Job(rows)
        with self._change:
            if self._closed:
                raise self._gone()
            if len(self._waiting) >= self._bound:
                raise Overloaded(
                    f"{self._version.ref} has {self._bound} requests waiting.",
                    remedy="Try again shortly; more gateways, or more threads per version, answer more at once.",
                )
            self._waiting[job] = None
            self._change.notify()
        alarm = job.loop.call_later(timeout_s, self._expire, job, timeout_s)
        try:
            return await job.answer
        finally:
            alarm.cancel()
            self._drop(job)

    def close(self) -> None:
        """End the threads after their present request; what still waits gets Unavailable. Closing twice is once."""
        with self._change:
            self._closed = True
            left = list(self._waiting)
            self._waiting.clear()
            self._change.notify_all()
        for job in left:
            job.settle(self._gone())

    # ------------------------------------------------------------------------------------ the event loop

    def _expire(self, job: "_Job", timeout_s: float) -> None:
        waited = self._drop(job)
        if not job.answer.done():
            what = "was still waiting for a thread" if waited else "did not answer"
            job.answer.set_exception(
                ModelTimeout(
                    f"{self._version.ref} {what} after {timeout_s * 1000:g} ms.",
                    remedy="Use a faster model, a longer timeout, or more threads per version.",
                )
            )

    def _drop(self, job: "_Job") -> bool:
        with self._change:
            return self._waiting.pop(job, self) is None

    def _gone(self) -> Unavailable:
        return Unavailable(f"{self._version.ref} is no longer loaded here.", remedy="Send the request again.")

    # ---------------------------------------------------------------------------------------- the threads

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job.settle(self._outcome(job.rows))
            del job  # not to keep the rows while waiting for the next one

    def _next(self) -> "_Job | None":
        with self._change:
            while not self._waiting:
                if self._closed:
                    return None
                self._change.wait()
            return self._waiting.popitem(last=False)[0]

    def _outcome(self, rows: Sequence[Row]) -> list[Answer] | ModelError:
        try:
            raw: object = self._model.predict(rows)
        except BaseException as failure:  # noqa: BLE001 - a model that calls sys.exit() ends itself, not the thread
            return _caused(ModelError(f"{self._version.ref} raised {_said(failure)}"), failure)
        if not isinstance(raw, RawOutput):
            return BadOutput(f"The model answered with a {type(raw).__name__}.")
        try:
            return read_answers(raw, self._version.signature.output, len(rows))
        except BadOutput as failure:
            return failure
        except Exception as failure:  # noqa: BLE001 - whatever cannot be read is no answer
            return _caused(BadOutput(f"The model's answer cannot be read: {_said(failure)}"), failure)


class _Job:
    """One request: made on an event loop, settled from anywhere, once."""

    __slots__ = ("answer", "loop", "rows")

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[list[Answer]] = self.loop.create_future()

    def settle(self, outcome: list[Answer] | SerinusError) -> None:
        """Hand over the outcome; it is discarded if nobody waits any more."""
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(_settle, self.answer, outcome)


def _settle(future: "asyncio.Future[_T]", outcome: _T | BaseException) -> None:
    if future.done():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _caused(error: _E, cause: BaseException) -> _E:
    error.__cause__ = cause
    return error


def _said(failure: BaseException) -> str:
    try:
        text = str(failure)
    except Exception:  # noqa: BLE001 - an exception of a model may not even print
        text = ""
    short = text if len(text) <= _MESSAGE else text[: _MESSAGE - 1] + "…"
    return f"{type(failure).__name__}: {short}" if short else type(failure).__name__
