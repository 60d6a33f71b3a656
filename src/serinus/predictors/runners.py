"""Predictors that run a model in processes of its own, so that whatever it does costs nobody else anything.

The requests of a version wait here, in the gateway. A runner that has nothing to do is given what waits, as one batch;
while it works, more comes to wait. So a batch is as large as the load asks for, and a lone request waits for nothing.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from serinus.core.answers import Answer
from serinus.core.errors import BadOutput, ModelError, ModelTimeout, Overloaded, SerinusError, Unavailable
from serinus.core.records import ModelVersion
from serinus.core.signature import Row
from serinus.core.work import Work
from serinus.ports import Settle
from serinus.predictors import frames
from serinus.predictors.pace import Pace
from serinus.predictors.processes import Artifact, Nursery, Runner
from serinus.predictors.refusals import error_of
from serinus.predictors.waiting import Asked, Line

BATCH_ROWS = 64
_PAUSES_S = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""How long after each end in a row of ends a runner is begun again."""
_WELL_S = 30.0
"""How long a runner has to run for its end to be the first of a row again."""

_MODULES = {
    "skops": ["skops.io", "sklearn.pipeline", "sklearn.compose", "sklearn.ensemble", "sklearn.linear_model"],
    "onnx": ["onnxruntime"],
    "xgboost": ["xgboost"],
    "lightgbm": ["lightgbm"],
    "torchscript": ["torch"],
}
"""What is imported once for all runners of a format; what is missing here, each runner imports for itself."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What an operator lets models be; see ``formats.Formats``."""

    allow_pickle: bool = False
    trusted_types: Iterable[str] = frozenset()
    allow_torchscript: bool = False


@dataclass(frozen=True, slots=True)
class Size:
    """How many runners a version has, how many requests may wait for them, and how many rows are a batch at most."""

    runners: int = 1
    queue: int = 4096
    batch_rows: int = BATCH_ROWS


@dataclass(frozen=True, slots=True)
class RunnerPredictors:
    """Makes predictors with processes of their own.

    Args:
        nursery: begins the processes. niceness: how much a canary's processes let others go first, 0 to 19.
        on_trouble: told in a line of what happens to runners.
    """

    nursery: Nursery
    allowed: Allowed = field(default_factory=Allowed)
    size: Size = field(default_factory=Size)
    niceness: int = 10
    on_trouble: Callable[[str], None] = lambda _: None

    async def start(self, version: ModelVersion, artifact: bytes) -> "RunnerPredictor":
        """Load a model in processes of its own.

        Raises:
            ModelError: the model's own code failed, or ended its process. FormatRefused: as ``Formats.load``.
            Unavailable: no process could be begun.
        """
        predictor = RunnerPredictor(version, artifact, self)
        try:
            await predictor.begin()
        except BaseException:
            predictor.close()
            raise
        return predictor


class _Place:
    """Where one runner of a version is, or is to be."""

    __slots__ = ("batch", "began_at", "ends", "is_pressed", "killing", "leaves", "number", "packer", "runner", "timer")

    def __init__(self) -> None:
        self.runner: Runner | None = None
        self.packer: frames.Packer | None = None
        self.batch: list[Asked] | None = None
        self.number = 0
        self.is_pressed = False
        """Whether others wait while it is at a batch."""
        self.ends = 0
        self.began_at = 0.0
        self.killing: asyncio.TimerHandle | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.leaves = False

    @property
    def is_idle(self) -> bool:
        return self.packer is not None and self.batch is None and not self.leaves

    def calm(self) -> None:
        """Kill nothing: what it was at is done."""
        if self.killing is not None:
            self.killing.cancel()
            self.killing = None


class RunnerPredictor:
    """Answers with one model version in processes of its own, in the order of the requests.

    A batch that fails is answered request by request. Where a process ends while it works on several requests, each of
    them is tried again alone: the one that ends it once more is the one that fails. A process that is at a batch for
    longer than any request of it waits, and as long again, is killed.
    """

    def __init__(self, version: ModelVersion, artifact: bytes, by: RunnerPredictors) -> None:
        self._version = version
        self._by = by
        self._artifact = Artifact(artifact)
        self._loop = asyncio.get_running_loop()
        self._line = Line(self._loop, self._is_late)
        self._pace = Pace()
        self._places = [_Place() for _ in range(by.size.runners)]
        self._feeding = False
        self._lone = True
        self._closed = False
        self._yields = False
        self._is_down = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.work = Work()

    @property
    def version(self) -> ModelVersion:
        """The version it answers for."""
        return self._version

    async def begin(self) -> None:
        """Begin all runners and wait until they have loaded the model; raises what ``start`` does."""
        await asyncio.gather(*(self._fill(place) for place in self._places))

    def ask(self, rows: Sequence[Row], timeout_s: float, settle: Settle) -> Asked:
        """Ask for rows in training order, all at once; ``settle`` is told the answers, or why there are none.

        That is: ModelError (the model raised, or its process ended), BadOutput, ModelTimeout (no answer in time,
        waiting included), Overloaded (the queue is full, or would take too long; nothing was begun), Unavailable (it
        is closed).
        """
        line = self._line
        asked = line.asked(rows, timeout_s, settle)
        is_full = line.waiting > self._by.size.queue or self._pace.is_too_slow(line.waiting, timeout_s)
        if is_full or self._closed or self._is_down:
            asked.end(self._refusal())
            return asked
        line.join(asked)
        if self._lone:  # the last batch was one request: more will hardly come in this turn of the event loop
            self._feed()
        elif not self._feeding:
            self._feeding = True
            self._loop.call_soon(self._feed)
        return asked

    def yield_to_others(self, yes: bool) -> None:  # noqa: FBT001 - it is the port's one question
        """Let others go first, as a canary does, or not any more."""
        if yes == self._yields or self._closed:
            return
        self._yields = yes
        for place in self._places:
            if place.runner is None or place.packer is None:
                continue  # it is told when it is ready
            if not self._set_niceness(place) and not yes:
                self._replace(place)

    def close(self) -> None:
        """End each process after the batch it is at; what still waits gets Unavailable. Closing twice is once."""
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        self._line.end(self._gone())
        for place in list(self._places):
            if place.timer is not None:
                place.timer.cancel()
            if place.batch is None:
                self._leave(place)
            place.leaves = True
        self._artifact.close()

    # ------------------------------------------------------------------------------------------ requests

    def _is_late(self, asked: Asked) -> None:
        """End a request whose time is over; a runner that goes on with it for as long again is killed."""
        what = "did not answer" if asked.begun else "was still waiting for its turn"
        timeout_s = asked.timeout_s
        asked.end(
            ModelTimeout(
                f"{self._version.ref} {what} after {timeout_s * 1000:g} ms.",
                remedy="Use a faster model, a longer timeout, or more runners per version.",
            )
        )
        if not asked.begun:
            return
        for place in self._places:
            if place.batch is not None and asked in place.batch and place.killing is None:
                place.killing = self._loop.call_later(timeout_s, self._kill_hanging, place, place.number)

    def _refusal(self) -> SerinusError:
        if self._closed:
            return self._gone()
        if self._is_down:
            return ModelError(f"{self._version.ref} ends its processes again and again; the next one is yet to begin.")
        return Overloaded(
            f"{self._version.ref} has {self._line.waiting} requests waiting: more than it answers in time.",
            remedy="Try again shortly; more gateways, or more runners per version, answer more at once.",
        )

    def _look_whether_down(self) -> None:
        """Take note of whether all runners wait to be begun again."""
        self._is_down = bool(self._places) and all(place.timer is not None for place in self._places)

    def _feed(self) -> None:
        """Give every runner that has nothing to do what waits."""
        self._feeding = False
        idle = [place for place in self._places if place.is_idle]
        for number, place in enumerate(idle):
            if not self._line:
                return
            share = -(-self._line.waiting // (len(idle) - number))
            self._send(place, self._line.take(share, self._by.size.batch_rows))

    def _send(self, place: _Place, batch: list[Asked]) -> None:
        if not batch or place.runner is None or place.packer is None:
            return
        place.batch = batch
        place.number = (place.number + 1) & 0xFFFFFFFF
        self._lone = len(batch) == 1
        now, work = time.monotonic(), self.work
        place.is_pressed = self._line.waiting > 0
        work.batches += 1
        work.requests += len(batch)
        work.waited_s += now * len(batch) - sum([asked.at for asked in batch])
        place.runner.send(place.packer.batch(place.number, [asked.rows for asked in batch]))

    def _answered(self, place: _Place, number: int, kind: int, content: memoryview) -> None:
        batch = place.batch
        if batch is None or number != place.number:
            return
        place.batch = None
        place.calm()
        if place.leaves:
            self._leave(place)
        if kind == frames.ANSWERS:
            found = frames.answers(content)
            self._worked(place, len(batch), found.took_ns / 1e9)
            answers = frames.columns(found).answers()
            if self._line:  # the runner has its next batch before these are told
                self._feed()
            if len(answers) == len(batch):
                for asked, answer in zip(batch, answers, strict=True):
                    asked.end((answer,))
                return
            begin = 0
            for asked in batch:
                end = begin + len(asked.rows)
                asked.end(answers[begin:end])
                begin = end
            return
        outcomes = frames.outcomes(content)
        self._worked(place, len(batch), outcomes.took_ns / 1e9)
        self._feed()
        for asked, outcome in zip(batch, outcomes.outcomes, strict=True):
            asked.end(_outcome(outcome))

    def _worked(self, place: _Place, requests: int, took_s: float) -> None:
        """Take note of how long a model took for a batch; how long this process took to hear of it is not its doing."""
        self.work.took_s += took_s
        if place.is_pressed:
            self._pace.note(took_s / requests / len(self._places))

    def _gone(self) -> Unavailable:
        return Unavailable(f"{self._version.ref} is no longer loaded here.", remedy="Send the request again.")

    # ------------------------------------------------------------------------------------------- runners

    async def _fill(self, place: _Place) -> None:
        """Begin a runner and wait until it has loaded the model."""
        place.runner, place.packer = None, None
        ready: asyncio.Future[frames.Loaded] = self._loop.create_future()

        def on_frame(number: int, kind: int, content: memoryview) -> None:
            if kind == frames.LOADED:
                _resolve(ready, frames.loaded(content))
            elif kind == frames.REFUSED:
                _resolve(ready, error_of(frames.refused(content)))
            elif place.runner is runner:
                self._answered(place, number, kind, content)

        def on_end(why: str) -> None:
            _resolve(ready, ModelError(f"{self._version.ref} could not be loaded: {why}."))
            if place.runner is runner and place.packer is not None:
                self._ended(place, why)

        runner: Runner | None = None
        runner = await self._by.nursery.begin(
            _MODULES.get(self._version.draft.format, []), self._artifact, on_frame, on_end
        )
        place.runner = runner
        try:
            runner.send(frames.frame(0, frames.LOAD, self._order()))
            loaded = await ready
        except BaseException:
            if place.runner is runner:
                place.runner = None
            self._by.nursery.end(runner)
            runner.forget()
            raise
        place.began_at = self._loop.time()
        place.packer = frames.Packer(len(self._version.signature.features), as_matrix=loaded.takes_matrix)
        self.work.offline = loaded.offline
        if self._yields:
            self._set_niceness(place)
        self._feed()

    def _order(self) -> frames.Order:
        allowed = self._by.allowed
        return frames.Order(
            label=str(self._version.ref),
            format=self._version.draft.format,
            signature=self._version.signature.encoded(),
            allow_pickle=allowed.allow_pickle,
            allow_torchscript=allowed.allow_torchscript,
            trusted_types=sorted(allowed.trusted_types),
            threads=self._by.nursery.threads,
        )

    def _ended(self, place: _Place, why: str) -> None:
        """Take up what a runner that ended was at, and begin another one, later and later if they all end soon."""
        batch, place.batch = place.batch or [], None
        place.runner, place.packer = None, None
        place.calm()
        left = [asked for asked in batch if not asked.over]
        if place.leaves:
            self._places.remove(place)
            for asked in left:
                asked.end(ModelError(f"{self._version.ref} failed: {why}."))
            return
        self.work.ends += 1
        if self._loop.time() - place.began_at > _WELL_S:
            place.ends = 0
        pause_s = _PAUSES_S[min(place.ends, len(_PAUSES_S) - 1)]
        place.ends += 1
        self._by.on_trouble(f"{self._version.ref}: {why}; another one is begun" + f" in {pause_s:g} s" * bool(pause_s))
        if pause_s:
            place.timer = self._loop.call_later(pause_s, self._begin_again, place)
            self._look_whether_down()
        else:
            self._begin_again(place)
        if len(batch) > 1 and not pause_s:
            self._line.put_back(left)
            return
        for asked in left:
            asked.end(ModelError(f"{self._version.ref} failed: {why}."))
        if self._is_down:
            self._line.end(self._refusal())

    def _begin_again(self, place: _Place) -> None:
        place.timer = None
        self._look_whether_down()
        task = self._loop.create_task(self._refill(place), name=f"begin {self._version.ref}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _refill(self, place: _Place) -> None:
        try:
            await self._fill(place)
        except SerinusError as failure:
            place.began_at = self._loop.time()
            self._ended(place, failure.message.rstrip("."))

    def _replace(self, place: _Place) -> None:
        """Put a fresh runner in the place of one that cannot be told to stop letting others go first."""

        async def replaced() -> None:
            fresh = _Place()
            try:
                await self._fill(fresh)
            except SerinusError as failure:
                self._by.on_trouble(f"{self._version.ref} goes on with less time than is its due: {failure.message}")
                return
            self._places.append(fresh)
            place.leaves = True
            if place.batch is None:
                self._leave(place)
            self._feed()

        task = self._loop.create_task(replaced(), name=f"replace {self._version.ref}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _set_niceness(self, place: _Place) -> bool:
        return place.runner is None or self._by.nursery.yield_to_others(
            place.runner, self._by.niceness if self._yields else 0
        )

    def _kill_hanging(self, place: _Place, number: int) -> None:
        place.killing = None
        if place.runner is not None and place.batch is not None and place.number == number:
            self._by.nursery.end(place.runner)

    def _leave(self, place: _Place) -> None:
        self._places.remove(place)
        if place.runner is not None:
            place.runner.forget()
            self._by.nursery.end(place.runner)


def _outcome(outcome: frames.Outcome) -> "Sequence[Answer] | Exception":
    if not outcome.failure:
        return frames.columns(outcome).answers()
    return BadOutput(outcome.message) if outcome.failure == frames.BAD else ModelError(outcome.message)


def _resolve(ready: "asyncio.Future[frames.Loaded]", outcome: frames.Loaded | SerinusError) -> None:
    if ready.done():
        return
    if isinstance(outcome, SerinusError):
        ready.set_exception(outcome)
    else:
        ready.set_result(outcome)
