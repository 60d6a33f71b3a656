"""The client for programs that wait for an answer, with typed results."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from itertools import count
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from serinus.client.answers import read_result
from serinus.client.calls import Call
from serinus.client.endpoints import Endpoints
from serinus.client.many import Asked, PredictionFailure, asked_of_each
from serinus.client.results import Prediction
from serinus.client.running import Runner
from serinus.client.way import Way
from serinus.client.work import Emitting, Repeating, Work
from serinus.core.errors import SerinusError

P = ParamSpec("P")
T = TypeVar("T")


class Client(Endpoints):
    """Speaks to one server; to be closed, or used in a ``with`` block. Threads can share it.

    Args:
        base_url: where the server is; by default what SERINUS_URL says, else http://127.0.0.1:8000.
        actor: on whose behalf; it stands in the history of all that is done.
        token: for something in front of the server that asks who it is; by default what SERINUS_TOKEN says.
        timeout: seconds to wait for an answer, with all tries. A command that loads a model takes a while.
        retries: how often to try again, at most, where that is safe: what only reads, commands (the server carries out
            each once, however often it comes) and what the server has not seen.

    Every method raises ApiError (by its kinds: NotFoundError, ConflictError, InvalidError, …), UnreachableError,
    UnexpectedAnswerError or InvalidInput. Where one takes ``expected_generation``, the command is refused with
    StaleGenerationError if somebody else has changed the deployment since then; ``reason`` stands in the history.
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
        self._runner = Runner(Way.to(base_url, actor, token, timeout), Repeating(retries))
        self.base_url = self._runner.way.base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._runner.way.shown!r})"

    def close(self) -> None:
        """Give back the connections."""
        self._runner.close()

    def send(self, call: Call[T], *, key: str | None = None) -> T:
        """Send one call of ``serinus.client.calls`` and give its result; a command under ``key``, else its own."""
        return read_result(call, self._runner.send(call, key))

    def predict_many(
        self,
        name: str,
        rows: Iterable[Mapping[str, object]] | Any,
        *,
        entity_ids: Iterable[str | None] | None = None,
        at_once: int = 8,
        retry: bool = False,
    ) -> list[Prediction | PredictionFailure]:
        """Ask for a prediction for each of ``rows``, some at a time; a row that fails loses no other.

        Args:
            name: the deployment.
            rows: features by name, or a pandas DataFrame.
            entity_ids: whom each row is about.
            at_once: how many predictions may be under way at a time.
            retry: see ``predict``.

        Returns:
            In the order of the rows, a Prediction or a PredictionFailure for each.
        """
        from concurrent.futures import ThreadPoolExecutor

        asked = asked_of_each(name, rows, entity_ids, at_once=at_once, retry=retry)
        executor = ThreadPoolExecutor(at_once, thread_name_prefix="predict")
        try:
            return list(executor.map(self._answered, count(), asked))
        finally:
            executor.shutdown(cancel_futures=True)

    def _answered(self, row: int, asked: Asked) -> Prediction | PredictionFailure:
        if isinstance(asked, PredictionFailure):
            return asked
        try:
            return self.send(asked)
        except SerinusError as error:
            return PredictionFailure(row, error)

    # How endpoints become methods.

    def _sends(self, make: Callable[P, Call[T]]) -> Callable[P, T]:
        """Give a method that sends the call that ``make`` makes."""
        return lambda *args, **given: self.send(make(*args, **given))

    def _carries_out(self, make: Callable[P, Work[Call[T]]]) -> Callable[P, T]:
        """Give a method that sends several calls, and gives the result of the last."""
        return lambda *args, **given: self.send(self._runner.run(make(*args, **given)))

    def _iterates(self, make: Callable[P, Emitting[T]]) -> Callable[P, Generator[T, None, None]]:
        """Give a method that gives one result after the other."""

        def method(*args: P.args, **given: P.kwargs) -> Generator[T, None, None]:
            with closing(self._runner.iterate(make(*args, **given))) as emitted:
                for each in emitted:
                    yield read_result(each.call, each.document)

        return method
