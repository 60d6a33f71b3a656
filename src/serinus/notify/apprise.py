"""People are told by Apprise, which knows chats, e-mail and pagers: one readable message an event."""

import asyncio
import hashlib
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from serinus.core.errors import InvalidInput, Unavailable
from serinus.core.events import Event, EventKind
from serinus.core.records import RecordedEvent

KINDS = frozenset(
    {
        EventKind.CANARY_STARTED,
        EventKind.PROMOTED,
        EventKind.ROLLED_BACK,
        EventKind.AUTO_ROLLBACK_TRIGGERED,
        EventKind.PROMOTION_UNDONE,
        EventKind.PAUSED,
        EventKind.HOLDING,
        EventKind.PROGRESS_OVERDUE,
        EventKind.ROLLBACK_RECOMMENDED,
        EventKind.PROMOTION_RECOMMENDED,
        EventKind.HEALTH_CHECK_FAILED,
    }
)
"""What people want to be told of where they do not say."""

_BAD = frozenset(
    {
        EventKind.ROLLED_BACK,
        EventKind.AUTO_ROLLBACK_TRIGGERED,
        EventKind.HEALTH_CHECK_FAILED,
        EventKind.HEALTH_CHECK_ERROR,
        EventKind.ROLLBACK_RECOMMENDED,
        EventKind.CANARY_REFUSED,
    }
)
_GOOD = frozenset({EventKind.PROMOTED, EventKind.BAKE_ENDED, EventKind.PROMOTION_RECOMMENDED})
_LOOK = frozenset({EventKind.HOLDING, EventKind.PROGRESS_OVERDUE, EventKind.PAUSED, EventKind.PROMOTION_UNDONE})


class People:
    """Tells whoever is at one address.

    Raises:
        InvalidInput: Apprise is not installed, or has no use for the address.
    """

    def __init__(self, url: str, number: int, kinds: frozenset[EventKind] = KINDS) -> None:
        self._to, scheme = _opened(url, number)
        self.name = f"{scheme}:{hashlib.sha256(url.encode()).hexdigest()[:6]}"
        self.kinds = kinds
        # Apprise waits for its servers in a thread: one of ours, which keeps nobody else waiting.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self.name)

    async def notify(self, events: Sequence[RecordedEvent]) -> None:
        """Send a message for each event; Unavailable if one was not taken."""
        loop = asyncio.get_running_loop()
        for recorded in events:
            title, body = message(recorded.event)
            if not await loop.run_in_executor(self._thread, self._send, title, body, _mood(recorded.event.kind)):
                raise Unavailable("It took no message.", remedy="Try its address: apprise -vv --body test ADDRESS")

    def _send(self, title: str, body: str, mood: str) -> bool:
        return bool(self._to.notify(title=title, body=body, notify_type=mood, body_format="text"))


def message(event: Event) -> tuple[str, str]:
    """Give an event as a title and a text: what happened, why, and who did it."""
    title = f"{event.deployment}: {event.kind.replace('_', ' ')}"
    said = _SAYINGS.get(event.kind, _nothing)(event.data)
    reason = event.reason[:1].upper() + event.reason[1:]
    about = f"{event.actor}, {event.at:%Y-%m-%d %H:%M:%S} UTC" + (f", rollout {event.rollout}" if event.rollout else "")
    lines = [line if line.endswith((".", "!", "?")) else f"{line}." for line in (said, reason) if line]
    return title, "\n".join([*lines, f"({about})"])


def _nothing(_data: Mapping[str, object]) -> str:
    return ""


def _started(data: Mapping[str, object]) -> str:
    plan = f", by the plan {data['plan']}" if data.get("plan") else ""
    return f"{data.get('canary')} gets {_share(data)} of the traffic of {data.get('baseline')}{plan}"


def _rolled_back(data: Mapping[str, object]) -> str:
    stays = "serves again" if data.get("promotion") else "stays"
    return f"{data.get('canary')} was taken out at {_share(data)} of the traffic, {data.get('baseline')} {stays}"


def _moved(data: Mapping[str, object]) -> str:
    return f"{data.get('to')} serves in place of {data.get('from')}"


def _share(data: Mapping[str, object]) -> str:
    weight = data.get("weight")
    return f"{weight:g} %" if isinstance(weight, int | float) else "a share"


_SAYINGS: dict[EventKind, Callable[[Mapping[str, object]], str]] = {
    EventKind.CANARY_STARTED: _started,
    EventKind.ROLLED_BACK: _rolled_back,
    EventKind.PROMOTED: _moved,
    EventKind.BAKE_ENDED: _moved,
    EventKind.PROMOTION_UNDONE: _moved,
}


def _mood(kind: EventKind) -> str:
    """Give what Apprise colours a message by."""
    if kind in _BAD:
        return "failure"
    if kind in _GOOD:
        return "success"
    return "warning" if kind in _LOOK else "info"


def _opened(url: str, number: int) -> tuple[Any, str]:
    scheme = url.partition("://")[0].lower()
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it would show addresses, which hold secrets
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what its many services import is its own affair
            import apprise

            to = apprise.Apprise()
            known = to.add(url)
    except ImportError as missing:
        raise InvalidInput(
            "To tell people takes the library apprise, which is not installed.",
            field="SERINUS_NOTIFY_URLS",
            remedy="pip install 'serinus[notify]'",
        ) from missing
    if not known:
        raise InvalidInput(
            f"SERINUS_NOTIFY_URLS: number {number}, which begins with {scheme}://, is no address that Apprise knows.",
            field="SERINUS_NOTIFY_URLS",
            remedy="Write it as Apprise's documentation says for this service.",
        )
    return to, scheme
