"""Predictors that run ONNX graphs in the server's own process: the lowest latency there is, and no isolation.

What it gives up: a graph that takes long holds up every other request for as long, deadlines cannot be kept meanwhile,
and one that crashes or exhausts the memory takes the server with it. ONNX graphs hold no code of their own, so an
operator who knows his models may choose it (SERINUS_INLINE_ONNX).
"""

import asyncio
import time
from collections.abc import Sequence

from serinus.core.answers import Answer, RawOutput, read_columns
from serinus.core.errors import BadOutput, ModelError, Overloaded, SerinusError, Unavailable
from serinus.core.records import ModelVersion
from serinus.core.signature import Row
from serinus.core.work import Work
from serinus.ports import Model, ModelLoader, Settle

_MESSAGE = 300


class InlinePredictors:
    """Makes predictors that compute on the event loop.

    Args:
        loader: loads the models, on a thread. queue: of each version: how many requests may come in one turn.
        batch_rows: how many rows a model is asked for at once, at most.
    """

    def __init__(self, loader: ModelLoader, queue: int = 4096, batch_rows: int = 64) -> None:
        self._loader = loader
        self._queue = queue
        self._batch_rows = batch_rows

    async def start(self, version: ModelVersion, artifact: bytes) -> "InlinePredictor":
        """Load a model; raises what the loader raises."""
        model = await asyncio.to_thread(self._loader.load, artifact, version.draft.format, version.signature)
        return InlinePredictor(version, model, queue=self._queue, batch_rows=self._batch_rows)


class _Asked:
    __slots__ = ("at", "over", "rows", "settle")

    def __init__(self, rows: Sequence[Row], settle: Settle) -> None:
        self.rows = rows
        self.settle = settle
        self.at = time.monotonic()
        self.over = False

    def end(self, outcome: Sequence[Answer] | Exception) -> None:
        if not self.over:
            self.over = True
            self.settle(outcome)

    def withdraw(self) -> None:
        """Want no answer any more."""
        self.over = True


class InlinePredictor:
    """Answers all requests of a turn of the event loop at once, at the end of the turn."""

    def __init__(self, version: ModelVersion, model: Model, *, queue: int, batch_rows: int) -> None:
        self._version = version
        self._model = model
        self._bound = queue
        self._batch_rows = batch_rows
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Asked] = []
        self._closed = False
        self.work = Work()

    @property
    def version(self) -> ModelVersion:
        """The version it answers for."""
        return self._version

    def ask(self, rows: Sequence[Row], timeout_s: float, settle: Settle) -> _Asked:
        """Ask for rows in training order; a deadline means nothing here, where nothing else goes on meanwhile."""
        asked = _Asked(rows, settle)
        if self._closed:
            asked.end(Unavailable(f"{self._version.ref} is no longer loaded here.", remedy="Send the request again."))
        elif len(self._waiting) >= self._bound:
            asked.end(
                Overloaded(f"{self._version.ref} has {self._bound} requests waiting.", remedy="Try again shortly.")
            )
        else:
            if not self._waiting:
                self._loop.call_soon(self._work)
            self._waiting.append(asked)
        return asked

    def yield_to_others(self, yes: bool) -> None:  # noqa: FBT001 - the port's one question
        """Do nothing: it has no process of its own."""

    def close(self) -> None:
        """Answer what waits, and nothing after that."""
        self._closed = True

    def _work(self) -> None:
        waiting, self._waiting = [asked for asked in self._waiting if not asked.over], []
        while waiting:
            batch, room = [waiting.pop(0)], self._batch_rows
            room -= len(batch[0].rows)
            while waiting and len(waiting[0].rows) <= room:
                room -= len(waiting[0].rows)
                batch.append(waiting.pop(0))
            self._answer(batch)

    def _answer(self, batch: list[_Asked]) -> None:
        begun = time.monotonic()
        self.work.batches += 1
        self.work.requests += len(batch)
        self.work.waited_s += sum(begun - asked.at for asked in batch)
        outcome = self._outcome([row for asked in batch for row in asked.rows])
        if isinstance(outcome, SerinusError) and len(batch) > 1:
            outcomes: list[list[Answer] | SerinusError] = [self._outcome(asked.rows) for asked in batch]
        elif isinstance(outcome, SerinusError):
            outcomes = [outcome]
        else:
            answers = iter(outcome)
            outcomes = [[next(answers) for _ in asked.rows] for asked in batch]
        self.work.took_s += time.monotonic() - begun
        for asked, each in zip(batch, outcomes, strict=True):
            asked.end(each)

    def _outcome(self, rows: Sequence[Row]) -> list[Answer] | SerinusError:
        try:
            raw: RawOutput = self._model.predict(rows)
            return read_columns(raw, self._version.signature.output, len(rows)).answers()
        except BadOutput as failure:
            return failure
        except Exception as failure:  # noqa: BLE001 - whatever it raises
            return ModelError(f"{self._version.ref} raised {type(failure).__name__}: {str(failure)[:_MESSAGE]}")
