"""What takes more than one call: registering a model, reading page by page. No I/O here but what packing reads."""

from collections.abc import Callable, Generator, Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from serinus.client import calls
from serinus.client.calls import About, Call, Document, Packing, Registration
from serinus.client.results import EventsPage, LooksPage, Version
from serinus.client.work import Emit, Emitting, Work

if TYPE_CHECKING:
    from serinus.core.records import Package

T = TypeVar("T")


def register(model: object, name: str, **given: Unpack[Registration]) -> Work[Call[Version]]:
    """Pack a model and register it under ``name`` as its next version.

    Args:
        model: a fitted scikit-learn estimator, an ONNX model, or the path of a saved one.
        name: the model's name.
        given: see ``serinus.client.calls.Registration``; at least ``data`` (and ``target``) or ``signature``.
    """
    from serinus.formats.packing import pack

    package = pack(model, **_part(given, Packing))
    return (yield from register_package(name, package, **_part(given, About)))


def register_file(name: str, path: Path | str, **given: Unpack[Registration]) -> Work[Call[Version]]:
    """Register a saved model; see ``register``."""
    return register(Path(path), name, **given)


def register_package(name: str, package: "Package", **about: Unpack[About]) -> Work[Call[Version]]:
    """Send the artifact, then register it as the next version of ``name``."""
    stored = yield calls.put_artifact(package.data)
    return calls.create_version(name, str(stored.get("digest")), package, about)


def looks(name: str, rollout: int, *, limit: int = 500) -> Emitting[LooksPage]:
    """Give all looks at the n-th rollout of a deployment, oldest first, page by page."""
    return _pages(lambda after: calls.looks(name, rollout, after=after, limit=limit))


def event_pages(
    name: str | None = None,
    *,
    limit: int = 500,
    newest_first: bool = False,
    kinds: Iterable[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
) -> Emitting[EventsPage]:
    """Give the whole timeline of a deployment, or of all, page by page; see ``events``."""
    wanted = tuple(kinds)
    return _pages(
        lambda after: calls.events(
            name, after=after, limit=limit, newest_first=newest_first, kinds=wanted, since=since, until=until
        )
    )


def _pages(page_after: Callable[[int], Call[T]]) -> Generator[Call[T] | Emit[T], Document, None]:
    after = 0
    while True:
        call = page_after(after)
        page = yield call
        yield Emit(call, page)
        following = page.get("next")
        if not isinstance(following, int) or following == after:
            return
        after = following


def _part(given: Registration, kind: type) -> Any:
    return {name: value for name, value in given.items() if name in kind.__annotations__}
