"""Stand-ins for what lies behind the ports, so that a test decides how the outside behaves."""

import asyncio
import selectors
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from serinus.core.answers import Answer
from serinus.core.errors import Unavailable
from serinus.core.names import VersionRef
from serinus.core.records import ModelVersion, VersionDraft
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Row, Signature
from serinus.core.work import Work
from serinus.ports import Settle

T = TypeVar("T")

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENCE_S = 30.0
"""How long a test waits for what must come, on a machine however busy."""
X, Y = Feature("x", Dtype.FLOAT), Feature("y", Dtype.FLOAT)
SIGNATURE = Signature((X, Y), Output(OutputKind.NUMBER))
TURNED = Signature((Y, X), Output(OutputKind.NUMBER))
ONE = VersionRef("risk", 1)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self, now: datetime = NOW) -> None:
        self.at = now
        self.seconds = 1000.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def microseconds(self) -> int:
        return round(self.at.timestamp() * 1_000_000)

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.seconds += seconds


def model_version(
    ref: VersionRef = ONE, signature: Signature = SIGNATURE, examples: tuple[tuple[float, ...], ...] = ()
) -> ModelVersion:
    return ModelVersion(ref, VersionDraft(ref.model, "sha256:0", 1, "own", signature, examples), NOW)


class Puppet:
    """A predictor that does what ``does`` says: answer, raise, or be silent until it is cancelled or ``speak`` is set.

    It keeps no deadline of its own, as the port would have it: a test that needs one gives a ``silence_s``.
    """

    def __init__(self, version: ModelVersion | None = None) -> None:
        self._version = version or model_version()
        self.does: Answer | BaseException = Answer(float(self._version.ref.version))
        self.silence_s: float | None = 0.0
        self.speak = asyncio.Event()
        self.asked: list[tuple[Row, float]] = []
        self.batches: list[list[Row]] = []
        self.withheld = 0
        self.cancelled = 0
        self.closed = 0
        self.yields = False
        self.work = Work()

    @property
    def version(self) -> ModelVersion:
        return self._version

    def is_silent(self) -> None:
        """Answer nothing from now on, until ``speak`` is set."""
        self.silence_s = None

    def ask(self, rows: Sequence[Row], timeout_s: float, settle: Settle) -> "Errand":
        return Errand(self._answered(rows, timeout_s), settle)

    def yield_to_others(self, yes: bool) -> None:  # noqa: FBT001 - the port's one question
        self.yields = yes

    async def _predicted(self, row: Row, timeout_s: float) -> Answer:
        self.asked.append((row, timeout_s))
        try:
            await self._silence()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.does, BaseException):
            raise self.does
        return self.does

    async def _answered(self, rows: Sequence[Row], timeout_s: float) -> list[Answer]:
        self.batches.append(list(rows))
        answer = await self._predicted(rows[0], timeout_s)
        return [answer] * (len(rows) - self.withheld)

    async def _silence(self) -> None:
        if self.silence_s is None:
            await self.speak.wait()
        elif self.silence_s > 0:
            await asyncio.sleep(self.silence_s)

    def close(self) -> None:
        self.closed += 1


class Errand:
    """What a puppet is at for one request."""

    def __init__(self, work: Coroutine[Any, Any, list[Answer]], settle: Settle) -> None:
        self._settle = settle
        self._task = asyncio.ensure_future(work)
        self._task.add_done_callback(self._end)

    def withdraw(self) -> None:
        self._task.cancel()

    def _end(self, task: asyncio.Task[list[Answer]]) -> None:
        if not task.cancelled():
            failure = task.exception()
            self._settle(failure if isinstance(failure, Exception) else task.result())


class Puppets:
    """Starts puppets; ``refuses`` says which versions cannot be started, and ``gate`` holds all of them up."""

    def __init__(self) -> None:
        self.starts: Counter[VersionRef] = Counter()
        self.made: dict[VersionRef, list[Puppet]] = {}
        self.refuses: dict[VersionRef, Exception] = {}
        self.examples_fail: dict[VersionRef, Exception] = {}
        self.gates: dict[VersionRef, asyncio.Event] = {}

    async def start(self, version: ModelVersion, artifact: bytes) -> Puppet:
        self.starts[version.ref] += 1
        if version.ref in self.gates:
            await self.gates[version.ref].wait()
        if version.ref in self.refuses:
            raise self.refuses[version.ref]
        puppet = Puppet(version)
        if version.ref in self.examples_fail:
            puppet.does = self.examples_fail[version.ref]
        self.made.setdefault(version.ref, []).append(puppet)
        return puppet

    def __getitem__(self, ref: VersionRef) -> Puppet:
        """Give the last puppet that was made of a version."""
        return self.made[ref][-1]


class Unreliable:
    """Passes each call on to something real, unless it is told to fail it or to hold it up.

    By the name of the call: ``fails``, ``gates`` (it begins when the gate is open), ``late`` (it is done at once and
    answers when the gate is open) and ``lost`` (it is done, and the answer is lost). ``calls`` counts those that were
    made, ``held`` those that are held up now. ``down`` fails all calls, ``silent`` holds all of them up.
    """

    def __init__(self, real: object) -> None:
        self.real = real
        self.fails: dict[str, Exception] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.late: dict[str, asyncio.Event] = {}
        self.lost: set[str] = set()
        self.down: Exception | None = None
        self.silent: asyncio.Event | None = None
        self.calls: Counter[str] = Counter()
        self.held = 0

    def goes_down(self) -> None:
        """Answer no call any more."""
        self.down = Unavailable(f"{type(self.real).__name__} is gone.")

    def falls_silent(self) -> None:
        """Take calls and say nothing more."""
        self.silent = asyncio.Event()

    def mended(self) -> None:
        """Be reliable from now on; whoever waits goes on."""
        shut = [*self.gates.values(), *self.late.values(), *([self.silent] if self.silent else [])]
        self.fails, self.gates, self.late, self.lost, self.down, self.silent = {}, {}, {}, set(), None, None
        for gate in shut:
            gate.set()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.real, name)
        if not asyncio.iscoroutinefunction(method):
            passed: Callable[..., Awaitable[Any]] = method
            return passed

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            await self._held_up(self.silent, self.gates.get(name))
            trouble = self.down or self.fails.get(name)
            if trouble is not None:
                raise trouble
            answer = await method(*args, **kwargs)
            await self._held_up(self.late.get(name))
            if name in self.lost:
                raise Unavailable("The connection broke.")
            return answer

        return call

    async def _held_up(self, *gates: asyncio.Event | None) -> None:
        self.held += 1
        try:
            for gate in gates:
                if gate is not None:
                    await gate.wait()
        finally:
            self.held -= 1


class _Leaping(selectors.DefaultSelector):
    """Waits for no timer: it notes that the time has come."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None:
            self.now += max(0.0, timeout)
            timeout = 0.0
        return super().select(timeout)


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while it would sleep, and then at once."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        self.lost: list[dict[str, Any]] = []
        super().__init__(self._leaping)
        self.set_exception_handler(lambda _, context: self.lost.append(context))

    def time(self) -> float:
        return self._leaping.now


async def until(holds: Callable[[], object]) -> None:
    """Wait for what happens elsewhere: on a thread, or in another task."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.001)
