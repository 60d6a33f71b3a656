"""Predictors that run a model in processes of its own, so that whatever it does costs nobody else anything.

The requests of a version wait here, in the gateway. A runner that has nothing to do is given what waits, as one batch;
while it works, more comes to wait. So a batch is as large as the load asks for, and a lone request waits for nothing.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from serinus.core.errors import BadOutput, ModelError, ModelTimeout, Overloaded, SerinusError, Unavailable
from serinus.core.records import ModelVersion
from serinus.core.signature import Row
from serinus.core.work import Work
from serinus.ports import Settle
from serinus.predictors import frames
from serinus.predictors.orders import BATCH_ROWS, Allowed, Size, modules_of, order_of
from serinus.predictors.pace import Pace
from serinus.predictors.places import Place
from serinus.predictors.processes import Artifact, Nursery, Runner
from serinus.predictors.refusals import error_of
from serinus.predictors.waiting import Asked, Line, Refused

_REFUSED = Refused()
_PAUSES_S = (0.0, 0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""How long after each end in a row of ends a runner is begun again; one request ends it twice, once among others."""
_WELL_S = 30.0
"""How long a runner has to run for its end to be the first of a row again."""


@dataclass(frozen=True, slots=True)
class RunnerPredictors:
    """Makes predictors with processes of their own.

    Args:
        nursery: begins the processes. niceness: how much a canary's processes let others go first, 0 to 19.
        one_core: whether this process and all runners have one core together. on_trouble: told in a line of what
        happens to runners.
    """

    nursery: Nursery
    allowed: Allowed = field(default_factory=Allowed)
    size: Size = field(default_factory=Size)
    niceness: int = 5
    one_core: bool = False
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
        self._line = Line(self._loop, self._is_late, self._is_withdrawn)
        self._pace = Pace()
        self._places = [Place() for _ in range(by.size.runners)]
        self._gathering = min(by.size.batch_rows, by.size.queue, BATCH_ROWS) if by.one_core else 0
        """So many requests may gather; batches of more are made of what comes while a runner works."""
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
        # As tasks, so that those that are left end with the predictor where one of them fails.
        await asyncio.gather(*(self._under_way(self._fill(place), "begin") for place in self._places))

    def ask(self, rows: Sequence[Row], timeout_s: float, settle: Settle) -> Asked | Refused:
        """Ask for rows in training order, all at once; ``settle`` is told the answers, or why there are none.

        That is: ModelError (the model raised, or its process ended), BadOutput, ModelTimeout (no answer in time,
        waiting included), Overloaded (others wait, and the queue is full or would take too long; nothing was begun),
        Unavailable (it is closed).
        """
        line = self._line
        waiting = line.waiting
        if (
            self._closed
            or self._is_down
            or (waiting and self._is_full(waiting + 1, timeout_s) and not self._makes_room(timeout_s))
        ):
            settle(self._refusal())
            return _REFUSED
        asked = line.join(rows, timeout_s, settle)
        if self._lone:  # the last batch was one request: more will hardly come in this turn of the event loop
            self._feed()
        elif not self._feeding:
            self._feeding = True
            self._loop.call_soon(self._gather, 0)
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
        if asked.begun:
            self._end_hanging(asked, timeout_s)

    def _is_withdrawn(self, asked: Asked) -> None:
        """See that a runner does not go on for ever with what nobody waits for."""
        self._end_hanging(asked, max(0.0, asked.at + 2 * asked.timeout_s - time.monotonic()))

    def _end_hanging(self, asked: Asked, after_s: float) -> None:
        for place in self._places:
            if place.batch is not None and asked in place.batch and place.killing is None:
                place.killing = self._loop.call_later(after_s, self._kill_hanging, place, place.number)

    def _is_full(self, waiting: int, timeout_s: float) -> bool:
        """Say whether the line is too long, or moves too slowly, for the last of so many."""
        return waiting > self._by.size.queue or self._pace.is_too_slow(waiting, timeout_s)

    def _makes_room(self, timeout_s: float) -> bool:
        """Hand over what gathers, behind which nobody works yet, and say whether one more may wait then."""
        if not self._feeding:
            return False
        self._feed()
        waiting = self._line.waiting
        return not waiting or not self._is_full(waiting + 1, timeout_s)

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

    def _gather(self, before: int) -> None:
        """Give runners what waits once a turn of the event loop has brought no more, or as many wait as may gather.

        Where there is one core, no runner works for as long as this process does, so that none waits for this.
        """
        waiting = self._line.waiting
        if before < waiting < self._gathering:
            self._loop.call_soon(self._gather, waiting)
        else:
            self._feed()

    def _feed(self) -> None:
        """Give every runner that has nothing to do what waits."""
        self._feeding = False
        line = self._line
        idle = [place for place in self._places if place.is_idle]
        left = len(idle)
        for place in idle:
            if not line:
                return
            self._send(place, line.take(-(-line.waiting // left), self._by.size.batch_rows))
            left -= 1

    def _send(self, place: Place, batch: list[Asked]) -> None:
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

    def _answered(self, place: Place, number: int, kind: int, content: memoryview) -> None:
        batch = place.batch
        if batch is None or number != place.number:
            return
        if kind == frames.ANSWERS:
            rows = sum([len(asked.rows) for asked in batch]) if len(batch) > 1 else len(batch[0].rows)
            took_ns, answers = frames.answered(content, rows)
            self._is_done(place, took_ns)
            begin = 0
            for asked in batch:
                end = begin + len(asked.rows)
                asked.end(answers[begin:end])
                begin = end
            return
        said, answers_of_each = frames.outcomes(content, [len(asked.rows) for asked in batch])
        place.doomed = place.doomed or said.last
        self._is_done(place, said.took_ns)
        for asked, outcome, found in zip(batch, said.outcomes, answers_of_each, strict=True):
            asked.end(_failure(outcome) if outcome.failure else found)

    def _is_done(self, place: Place, took_ns: int) -> None:
        """Note that a runner is done with its batch; where it has a core of its own it gets its next one at once."""
        took_s = took_ns / 1e9
        self.work.took_s += took_s
        if place.is_pressed and place.batch:  # how long this process took to hear of it is not the model's doing
            self._pace.note(took_s / len(place.batch) / len(self._places))
        place.batch = None
        if place.killing is not None:
            place.calm()
        if place.leaves:
            self._leave(place)
        if not self._line or self._feeding:
            return
        if self._by.one_core:
            # In the next turn of the event loop those are answered whom this batch was of; after it they may have asked
            # again: one batch in place of two that take turns.
            self._feeding = True
            self._loop.call_soon(self._loop.call_soon, self._gather, self._line.waiting)
        else:
            self._feed()

    def _gone(self) -> Unavailable:
        return Unavailable(f"{self._version.ref} is no longer loaded here.", remedy="Send the request again.")

    # ------------------------------------------------------------------------------------------- runners

    async def _fill(self, place: Place) -> None:
        """Begin a runner and wait until it has loaded the model."""
        place.runner, place.packer, place.doomed = None, None, False
        ready: asyncio.Future[None] = self._loop.create_future()

        def on_frame(number: int, kind: int, content: memoryview) -> None:
            if kind == frames.LOADED:
                self._is_ready(place, frames.loaded(content))
                _resolve(ready)
            elif kind == frames.REFUSED:
                _resolve(ready, error_of(frames.refused(content)))
            elif place.runner is runner and place.packer is not None:
                self._answered(place, number, kind, content)

        def on_end(why: str) -> None:
            _resolve(ready, ModelError(f"{self._version.ref} could not be loaded: {why}."))
            if place.runner is runner and place.packer is not None:
                self._ended(place, why)

        runner: Runner | None = None
        runner = await self._by.nursery.begin(modules_of(self._version), self._artifact, on_frame, on_end)
        order = order_of(self._version, self._by.allowed, self._by.nursery.threads)
        place.runner = runner
        try:
            runner.send(frames.frame(0, frames.LOAD, order))
            await ready
        except BaseException:
            if place.runner is runner:
                place.runner, place.packer = None, None
            self._by.nursery.end(runner)
            runner.forget()
            raise

    def _is_ready(self, place: Place, loaded: frames.Loaded) -> None:
        """Note that a runner has loaded the model."""
        place.began_at = self._loop.time()
        place.packer = frames.Packer(len(self._version.signature.features), as_matrix=loaded.takes_matrix)
        self.work.offline = loaded.offline
        if self._yields:
            self._set_niceness(place)
        self._feed()

    def _ended(self, place: Place, why: str) -> None:
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

    def _begin_again(self, place: Place) -> None:
        place.timer = None
        self._look_whether_down()
        self._under_way(self._refill(place), "begin")

    def _under_way(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        """Begin work that ends with this predictor."""
        task = self._loop.create_task(work, name=f"{what} {self._version.ref}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _refill(self, place: Place) -> None:
        try:
            await self._fill(place)
        except SerinusError as failure:
            place.began_at = self._loop.time()
            self._ended(place, failure.message.rstrip("."))

    def _replace(self, place: Place) -> None:
        """Put a fresh runner in the place of one that cannot be told to stop letting others go first."""

        async def replaced() -> None:
            fresh = Place()
            try:
                await self._fill(fresh)
            except SerinusError as failure:
                self._by.on_trouble(f"{self._version.ref} goes on with less time than is its due: {failure.message}")
                return
            if place.packer is None:  # it ended meanwhile; what is begun in its place lets nobody go first
                self._end(fresh)
                return
            self._places.append(fresh)
            place.leaves = True
            if place.batch is None:
                self._leave(place)
            self._feed()

        self._under_way(replaced(), "replace")

    def _set_niceness(self, place: Place) -> bool:
        return place.runner is None or self._by.nursery.yield_to_others(
            place.runner, self._by.niceness if self._yields else 0
        )

    def _kill_hanging(self, place: Place, number: int) -> None:
        place.killing = None
        if place.runner is not None and place.batch is not None and place.number == number:
            place.doomed = True
            self._by.nursery.end(place.runner)

    def _leave(self, place: Place) -> None:
        self._places.remove(place)
        self._end(place)

    def _end(self, place: Place) -> None:
        if place.runner is not None:
            place.runner.forget()
            self._by.nursery.end(place.runner)


def _failure(outcome: frames.Outcome) -> ModelError:
    return BadOutput(outcome.message) if outcome.failure == frames.BAD else ModelError(outcome.message)


def _resolve(ready: "asyncio.Future[None]", failure: SerinusError | None = None) -> None:
    if ready.done():
        return
    if failure is not None:
        ready.set_exception(failure)
    else:
        ready.set_result(None)
