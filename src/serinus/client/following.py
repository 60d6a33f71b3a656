"""Follows a timeline without end: over a stream where the server has one, else page by page. No I/O here."""

import json
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

from serinus.client import calls
from serinus.client.answers import typed
from serinus.client.calls import Document
from serinus.client.errors import (
    NotFoundError,
    OverloadedError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
)
from serinus.client.results import Event, EventsPage
from serinus.client.work import Effect, Emit, Emitting, Open, Read, Wait, doubled

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0
LONGEST_ASKED_S = 60.0
"""What is waited at most where the server, or something in front of it, asks for more."""
POLL_S = 1.0
PAGE = 500
NO_ROUTE = "SERINUS-HTTP-404"
"""The code of a server that does not know the route; a deployment that is not there has another."""


@dataclass(slots=True)
class _Place:
    """How far the timeline has been told: ``met`` is whether the server was, ``failed`` how often it was not since."""

    name: str | None
    kinds: tuple[str, ...]
    last: int
    met: bool
    failed: int = 0

    def told(self, event: Document) -> Generator[Emit[Event], Any, None]:
        """Hand out an event, unless that was done."""
        if event["id"] > self.last:
            self.last = event["id"]
            yield Emit(calls.event_stream(), event)


def follow(name: str | None = None, *, after: int | None = None, kinds: Iterable[str] = ()) -> Emitting[Event]:
    """Give the events of a deployment, or of all, as they happen, without end: each once, in order.

    Begins after the event with the id ``after``, or with what happens from now on. Where the connection breaks it is
    made again, as long as that takes, and nothing is missed; only a server that cannot be reached at the start is an
    error.
    """
    last = (yield from _newest(name)) if after is None else after
    place = _Place(name, tuple(kinds), last, met=after is None)
    streams = True
    while True:
        wait_s = 0.0
        try:
            yield from _streamed(place) if streams else _paged(place)
        except NotFoundError as missing:
            if not streams or missing.code != NO_ROUTE:
                raise
            streams = False
            continue
        except (UnreachableError, UnavailableError) as error:
            if isinstance(error, OverloadedError):
                streams = False  # too many streams are open: pages are read all the same
            elif not place.met:
                raise
            wait_s = (error.retry_after_s if isinstance(error, UnavailableError) else None) or 0.0
        backoff_s = doubled(FIRST_WAIT_S, place.failed, LONGEST_WAIT_S)
        place.failed += 1
        yield Wait(max(backoff_s, min(wait_s, LONGEST_ASKED_S)))


def _newest(name: str | None) -> Generator[Effect[Event], Any, int]:
    page = typed((yield calls.events(name, limit=1, newest_first=True)), EventsPage, "GET /events")
    return page.events[0].id if page.events else 0


def _streamed(place: _Place) -> Emitting[Event]:
    """Read a stream to its end."""
    yield Open(calls.event_stream(place.name, after=place.last, kinds=place.kinds))
    place.met, place.failed = True, 0
    while (said := (yield Read.NEXT)) is not None:
        if said.data:
            yield from place.told(_event(said.data))


def _paged(place: _Place) -> Emitting[Event]:
    """Read pages until the server ends or breaks off."""
    while True:
        page = yield calls.events(place.name, after=place.last, limit=PAGE, kinds=place.kinds)
        place.met, place.failed = True, 0
        for event in page["events"]:
            yield from place.told(event)
        if page.get("next") is None:
            yield Wait(POLL_S)


def _event(text: str) -> Document:
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):  # nested deeper than Python follows
        event = None
    if not isinstance(event, dict) or not isinstance(event.get("id"), int):
        raise UnexpectedAnswerError(
            f"The stream of events says {text[:80]!r}, which is no event.",
            remedy="Look whether server and client are of the same version.",
        )
    return event
