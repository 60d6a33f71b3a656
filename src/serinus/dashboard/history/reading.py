"""Asks for events page by page: no more of them are in memory than are shown, or written at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from serinus.client import DocumentClient
from serinus.words import number, rows

PAGE = 25
"""Events on a page."""
WRITTEN_AT_ONCE = 1000
MOST_WRITTEN = 50_000
"""Events in a file at most: who wants more narrows the filter, or asks the API."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are looked at; without a name those of all deployments."""

    name: str | None
    kinds: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def page(self, client: DocumentClient, after: int, limit: int = PAGE) -> tuple[list[dict[str, Any]], int | None]:
        """Give events, newest first, of before ``after`` (0: the newest), and from where the next page goes on."""
        document = client.events(
            self.name,
            after=after,
            limit=limit,
            newest_first=True,
            kinds=self.kinds,
            since=self.since,
            until=self.until,
        )
        following = number(document.get("next"))
        return rows(document, "events"), None if following is None else int(following)


def everything(client: DocumentClient, wanted: Filter, most: int = MOST_WRITTEN) -> Iterator[dict[str, Any]]:
    """Give all events of a filter, newest first, ``most`` at most."""
    after: int | None = 0
    left = most
    while after is not None and left > 0:
        page, after = wanted.page(client, after, min(WRITTEN_AT_ONCE, left))
        yield from page
        left -= len(page)
