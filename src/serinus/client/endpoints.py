"""The methods of every client, each described once by a function: a line here makes one a method of all of them.

``Client`` gives a method's result, ``AsyncClient`` something to await it by, ``DocumentClient`` the API's document.
"""

import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from functools import cached_property, update_wrapper
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, get_args, get_origin, overload

from serinus.client import calls, procedures
from serinus.client.calls import Call, Document
from serinus.client.following import follow
from serinus.client.many import predict_rows
from serinus.client.work import Emit, Emitting, Work

if TYPE_CHECKING:
    from serinus.client.asynchronous import AsyncClient
    from serinus.client.documents import DocumentClient
    from serinus.client.synchronous import Client

P = ParamSpec("P")
T = TypeVar("T")


class _Described(Generic[P]):
    """What stands in a client's class for a function; asked for there, it tells of it."""

    def __init__(self, described: Callable[P, Any]) -> None:
        self._described = described
        update_wrapper(self, described)

    def __set_name__(self, owner: type, name: str) -> None:
        self.__name__ = name

    def __call__(self, client: Any, /, *args: P.args, **given: P.kwargs) -> Any:
        """Call it as a class's function."""
        return self._of(client)(*args, **given)

    @cached_property
    def __signature__(self) -> inspect.Signature:
        """What ``help`` shows: the function's parameters, and what a Client gives."""
        itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        return self._signature.replace(parameters=[itself, *self._signature.parameters.values()])

    @cached_property
    def _signature(self) -> inspect.Signature:
        described = inspect.signature(self._described)
        return described.replace(return_annotation=self._given(described.return_annotation))

    def _given(self, annotation: Any) -> Any:
        """Say what a Client gives where the function gives what is annotated."""
        raise NotImplementedError

    def _of(self, client: Any) -> Callable[P, Any]:
        """Make a client's method of the function."""
        raise NotImplementedError

    def _bound(self, client: Any) -> Any:
        if client is None:
            return self
        method: Any = update_wrapper(self._of(client), self._described)
        method.__name__, method.__signature__ = self.__name__, self._signature
        return method


class Endpoint(_Described[P], Generic[P, T]):
    """A method that is one call."""

    def __init__(self, described: Callable[P, Call[T]]) -> None:
        super().__init__(described)

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: "Client", owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: "AsyncClient", owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: "DocumentClient", owner: type) -> Callable[P, Document]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        return self._bound(client)

    def _given(self, annotation: Any) -> Any:
        return get_args(annotation)[0]

    def _of(self, client: Any) -> Callable[P, Any]:
        method: Callable[P, Any] = client._sends(self._described)  # noqa: SLF001 - a method is half of its client
        return method


class Procedure(_Described[P], Generic[P, T]):
    """A method that is several calls, the last of which gives its result."""

    def __init__(self, described: Callable[P, Work[Call[T]]]) -> None:
        super().__init__(described)

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: "Client", owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: "AsyncClient", owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: "DocumentClient", owner: type) -> Callable[P, Document]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        return self._bound(client)

    def _given(self, annotation: Any) -> Any:
        *_, last_call = get_args(annotation)
        return get_args(last_call)[0]

    def _of(self, client: Any) -> Callable[P, Any]:
        method: Callable[P, Any] = client._carries_out(self._described)  # noqa: SLF001 - likewise
        return method


class Series(_Described[P], Generic[P, T]):
    """A method that gives one thing after the other."""

    def __init__(self, described: Callable[P, Emitting[T]]) -> None:
        super().__init__(described)

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: "Client", owner: type) -> Callable[P, Generator[T, None, None]]: ...
    @overload
    def __get__(self, client: "AsyncClient", owner: type) -> Callable[P, AsyncGenerator[T, None]]: ...
    @overload
    def __get__(self, client: "DocumentClient", owner: type) -> Callable[P, Generator[Document, None, None]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        return self._bound(client)

    def _given(self, annotation: Any) -> Any:
        effects, *_ = get_args(annotation)
        (emitted,) = (get_args(each)[0] for each in get_args(effects) if get_origin(each) is Emit)
        return GenericAlias(Generator, (emitted, None, None))

    def _of(self, client: Any) -> Callable[P, Any]:
        method: Callable[P, Any] = client._iterates(self._described)  # noqa: SLF001 - likewise
        return method


class Endpoints:
    """Every call that there is."""

    server_health = Endpoint(calls.server_health)

    models = Endpoint(calls.models)
    versions = Endpoint(calls.versions)
    version = Endpoint(calls.version)
    register = Procedure(procedures.register)
    register_file = Procedure(procedures.register_file)
    register_package = Procedure(procedures.register_package)

    deployments = Endpoint(calls.deployments)
    deployment = Endpoint(calls.deployment)
    deploy = Endpoint(calls.create_deployment)
    configure = Endpoint(calls.configure)
    start = Endpoint(calls.start)
    rehearse = Endpoint(calls.rehearse)
    set_weight = Endpoint(calls.set_weight)
    pause = Endpoint(calls.pause)
    resume = Endpoint(calls.resume)
    approve = Endpoint(calls.approve)
    promote = Endpoint(calls.promote)
    rollback = Endpoint(calls.rollback)
    undo = Endpoint(calls.undo)

    rollouts = Endpoint(calls.rollouts)
    events = Endpoint(calls.events)
    event_pages = Series(procedures.event_pages)
    follow = Series(follow)
    health = Endpoint(calls.health)
    metrics = Endpoint(calls.metrics)
    explain = Endpoint(calls.explain)
    looks = Series(procedures.looks)
    history = Endpoint(calls.history)
    production = Endpoint(calls.production)
    production_of = Endpoint(calls.production_of)
    forecast = Endpoint(calls.forecast)

    predict = Endpoint(calls.predict)
    predict_rows = Endpoint(predict_rows)
