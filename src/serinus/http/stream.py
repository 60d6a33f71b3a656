"""The timeline as it happens: Server-Sent Events, which FastAPI encodes, and keeps alive while there are none."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from serinus.core.errors import InvalidInput, Overloaded, Unavailable
from serinus.http import documents
from serinus.http.control import In
from serinus.http.timeline import LARGEST_ID, After, Kinds, Named, checked_deployments, checked_kinds
from serinus.ports import Store

router = APIRouter(tags=["timeline"])

STREAMS = 64
"""So many may be open at once in a process: each asks the store twice a second."""
AT_ONCE = 200
"""So many events are in memory for a stream whose reader is slow."""
POLL_S = 0.5
RETRY_MS = 1000
"""After this time a browser that lost its stream opens another one."""
_open: set[int] = set()


@dataclass(slots=True)
class Following:
    """Who follows which events, ``last`` being the id of the newest that was sent."""

    store: Store
    names: Sequence[str]
    kinds: Sequence[str]
    last: int

    async def next(self) -> list[ServerSentEvent]:
        """Give the events that were recorded since, none while the store does not answer: they are told later."""
        with suppress(Unavailable):
            found = await self.store.timeline(self.names, after=self.last, limit=AT_ONCE, kinds=self.kinds)
            if found:
                self.last = found[-1].id
            return [
                ServerSentEvent(id=str(each.id), event=str(each.event.kind), data=documents.of_event(each))
                for each in found
            ]
        return []


async def the_follower(
    system: In,
    after: After | None = None,
    kind: Kinds = None,
    deployment: Named = None,
    last_event_id: Annotated[str | None, Header(description="In place of ``after``, by who connects again")] = None,
) -> AsyncIterator[Following]:
    """Say what is followed, and from where on, as one of a bounded number of streams."""
    kinds, names = checked_kinds(kind), await checked_deployments(system.store, deployment)
    last = after if last_event_id is None else _id(last_event_id)
    if last is None:
        newest = await system.store.timeline(limit=1, newest_first=True)
        last = newest[0].id if newest else 0
    if len(_open) >= STREAMS:
        raise Overloaded(
            f"{STREAMS} streams of events are open here already.",
            remedy="Close one, ask another gateway, or read /events page by page.",
        )
    following = Following(system.store, names, kinds, last)
    _open.add(id(following))
    try:
        yield following
    finally:
        _open.discard(id(following))


@router.get("/events/stream", summary="Follow the timeline", response_class=EventSourceResponse)
async def follow(
    request: Request, following: Annotated[Following, Depends(the_follower)]
) -> AsyncIterator[ServerSentEvent]:
    """Send each event once it is recorded: its ``id``, its kind as ``event``, its document as ``data``.

    It begins after the event that ``Last-Event-ID`` or ``after`` names, else from now on, and none is left out: who
    connects again goes on after the last that was read. It ends with the server; open streams are bounded (503).
    """
    yield ServerSentEvent(retry=RETRY_MS)
    while not _ends(request):
        found = await following.next()
        for each in found:
            yield each
            if _ends(request):  # a slow reader's page would take longer than the end may
                return
        if len(found) < AT_ONCE:
            await asyncio.sleep(POLL_S)


def _ends(request: Request) -> bool:
    return getattr(request.app.state, "draining", False)


def _id(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= LARGEST_ID:
        return int(text)
    raise InvalidInput(
        f"Last-Event-ID is {text[:80]!r}, which is no event's id.",
        field="Last-Event-ID",
        remedy="Send the id of the last event that was read, or leave it out.",
    )
