"""What clients do, apart from how: work is a generator that says what to do next, and is told what came of it.

A synchronous and an asynchronous client do the same work, so whatever takes more than one request is written once.
No I/O here.
"""

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar
from uuid import uuid4

from serinus.client.answers import Reply, read_answer
from serinus.client.calls import Call, Document, Repeat
from serinus.client.errors import UnavailableError, UnexpectedAnswerError, UnreachableError
from serinus.client.way import Way
from serinus.core.errors import InvalidInput, SerinusError

if TYPE_CHECKING:
    import httpx2

KEY_HEADER = "Idempotency-Key"
LARGEST_ANSWER = 256 * 1024 * 1024
"""Bytes; what the server pages, it pages far below."""
_DOUBLINGS = 100
"""Of a wait, beyond which no float is needed."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Exchange:
    """Send one request, once, and wait ``within_s`` seconds for its Reply."""

    call: Call[Any]
    headers: tuple[tuple[str, str], ...]
    within_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Open:
    """Open the stream that a call gives, in place of one that is open; comes to the Reply that it begins with."""

    call: Call[Any]


class Read(Enum):
    """Read what the open stream says next: a server-sent event, None at its end."""

    NEXT = "next"


@dataclass(frozen=True, slots=True)
class Emit(Generic[T_co]):
    """Hand a document to whoever asked for the work, as what ``call`` gives."""

    call: Call[T_co]
    document: Document


Effect = Call[Any] | Exchange | Wait | Open | Read | Emit[T_co]
"""What to do next; a call is sent as often as ``sending`` does, and comes to its document."""

Work = Generator[Effect[Any], Any, T]
Emitting = Generator[Effect[T_co], Any, None]


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What work came to."""

    value: T


def advance(work: Work[T], came: object = None, error: SerinusError | None = None) -> Effect[Any] | Done[T]:
    """Tell work what came of the last thing to do, and give the next."""
    try:
        return work.send(came) if error is None else work.throw(error)
    except StopIteration as end:
        return Done(end.value)


def doubled(first_s: float, times: int, longest_s: float) -> float:
    """Give seconds that were doubled so many times, up to a bound."""
    return min(first_s * 2.0 ** min(times, _DOUBLINGS), longest_s)


@dataclass(frozen=True, slots=True)
class Repeating:
    """How often, and when, a call is sent again that can be sent again safely.

    Args:
        times: so often at most. wait_s: seconds before the first, doubled each time, each drawn from its upper half.
        longest_s: and no longer than that, where the server does not ask for it.
        for_a_server: also where none was found, or one asked to come back later.
    """

    times: int
    wait_s: float = 0.1
    longest_s: float = 5.0
    for_a_server: bool = True

    def __post_init__(self) -> None:
        times: Any = self.times
        if not isinstance(times, int) or times < 0:
            raise InvalidInput(f"retries is {times!r}.", field="retries", remedy="Give 0, 1, 2, …")

    def after(self, call: Call[Any], error: SerinusError, tried: int, left_s: float, draw: float) -> float | None:
        """Say in how many seconds to send a call again that failed for the ``tried``-th time; None for never."""
        if tried > self.times or not self._safely(call, error):
            return None
        wait_s = doubled(self.wait_s, tried - 1, self.longest_s) * (0.5 + draw / 2.0)
        asked_s = error.retry_after_s if isinstance(error, UnavailableError) else None
        wait_s = max(wait_s, asked_s or 0.0)
        return wait_s if wait_s < left_s else None

    def _safely(self, call: Call[Any], error: SerinusError) -> bool:
        if isinstance(error, UnavailableError):
            return self.for_a_server and call.repeat is Repeat.SAFELY
        if not isinstance(error, UnreachableError):
            return False
        return self.for_a_server if not error.sent else call.repeat is Repeat.SAFELY


def sending(
    call: Call[Any],
    way: Way,
    repeating: Repeating,
    key: str | None = None,
    *,
    now: Callable[[], float] = time.monotonic,
    draw: Callable[[], float] = random.random,
) -> Work[Document]:
    """Send a call until it is answered, as often as is safe; all tries of a command are under one key."""
    headers = ((KEY_HEADER, key or uuid4().hex),) if call.takes_key else ()
    ends_at = now() + way.timeout_s
    for tried in count(1):
        try:
            reply = yield Exchange(call, headers, ends_at - now())
            return read_answer(call, way.shown, reply)
        except SerinusError as error:
            wait_s = repeating.after(call, error, tried, ends_at - now(), draw())
            if wait_s is None:
                raise
        if wait_s:
            yield Wait(wait_s)
    raise AssertionError("tries are counted without end")


class Body:
    """The body of an answer, which has so many seconds to come, however slowly it does."""

    def __init__(self, within_s: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._ends_at = now() + within_s
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        """Take what came.

        Raises:
            TimeoutError: it came too late. UnexpectedAnswerError: it is more than any answer.
        """
        if self._now() > self._ends_at:
            raise TimeoutError
        self._size += len(part)
        if self._size > LARGEST_ANSWER:
            raise UnexpectedAnswerError(
                f"The answer has more than {LARGEST_ANSWER} bytes, which none of a Serinus server has.",
                remedy="Look whether the URL is right.",
            )
        self._parts.append(part)

    def reply(self, answer: "httpx2.Response") -> Reply:
        """Give what is looked at of the answer."""
        headers = answer.headers
        body = b"".join(self._parts)
        return Reply(answer.status_code, headers.get("content-type", ""), body, headers.get("retry-after", ""))


def is_stream(answer: "httpx2.Response") -> bool:
    """Whether an answer is a stream of events."""
    return answer.is_success and answer.headers.get("content-type", "").startswith("text/event-stream")


def read_no_stream(call: Call[Any], way: Way, reply: Reply) -> NoReturn:
    """Raise what an answer tells of that is no stream of events."""
    read_answer(call, way.shown, reply)
    raise UnexpectedAnswerError(
        f"{way.shown} does not answer {call.method} {call.path} with a stream of events.",
        remedy="Look whether server and client are of the same version.",
    )
