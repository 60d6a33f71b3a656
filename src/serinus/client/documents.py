"""The client for programs that wait for an answer, and want it as the API gives it: the command line, tests."""

from collections.abc import Callable, Generator
from contextlib import closing
from types import TracebackType
from typing import Any, ParamSpec, Self

from serinus.client.calls import Call, Document
from serinus.client.endpoints import Endpoints
from serinus.client.running import Runner
from serinus.client.way import Way
from serinus.client.work import Emitting, Repeating, Work

P = ParamSpec("P")

ONCE_MORE = Repeating(times=1, wait_s=0.0, for_a_server=False)
"""A person who waits is told at once that there is no server; a connection that broke is made anew, once."""


class DocumentClient(Endpoints):
    """Speaks to one server; to be closed, or used in a ``with`` block.

    Args:
        base_url: where the server is; by default what SERINUS_URL says, else http://127.0.0.1:8000.
        actor: on whose behalf; it stands in the history of all that is done.
        token: for something in front of the server that asks who it is; by default what SERINUS_TOKEN says.
        timeout: seconds to wait for an answer. A command that loads a model takes a while.

    Every method returns the API's document as it came, and raises what those of ``Client`` raise.
    """

    def __init__(
        self, base_url: str | None = None, *, actor: str = "", token: str | None = None, timeout: float = 60.0
    ) -> None:
        self._runner = Runner(Way.to(base_url, actor, token, timeout), ONCE_MORE)
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

    def send(self, call: Call[Any], *, key: str | None = None) -> Document:
        """Send one call and read its answer.

        A command is sent under ``key``, by default one of its own: the server carries out a command once, however often
        it comes under the same key. So where the connection breaks before the answer is there, it is sent again.
        """
        return self._runner.send(call, key)

    # How endpoints become methods.

    def _sends(self, make: Callable[P, Call[Any]]) -> Callable[P, Document]:
        """Give a method that sends the call that ``make`` makes."""
        return lambda *args, **given: self.send(make(*args, **given))

    def _carries_out(self, make: Callable[P, Work[Call[Any]]]) -> Callable[P, Document]:
        """Give a method that sends several calls, and gives the document of the last."""
        return lambda *args, **given: self.send(self._runner.run(make(*args, **given)))

    def _iterates(self, make: Callable[P, Emitting[Any]]) -> Callable[P, Generator[Document, None, None]]:
        """Give a method that gives one document after the other."""

        def method(*args: P.args, **given: P.kwargs) -> Generator[Document, None, None]:
            with closing(self._runner.iterate(make(*args, **given))) as emitted:
                for each in emitted:
                    yield each.document

        return method
