"""Posting to somebody's HTTP server: what its answer means, and a name for it that gives no secret away."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx2

from serinus.core.errors import NotificationRefused, TargetGone, Unavailable

_FOR_NOW = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


def named(kind: str, url: str) -> str:
    """Name a target by its kind and server; addresses of one server are told apart by a few digits of their hash."""
    parts = urlsplit(url)
    place = f"{parts.hostname or ''}:{parts.port}" if parts.port else parts.hostname or ""
    return f"{kind}:{place}:{hashlib.sha256(url.encode()).hexdigest()[:6]}"


async def posted(http: httpx2.AsyncClient, url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Post, and return if it was taken.

    A redirection is a refusal: what is signed for one address is not sent to another one.

    Raises:
        Unavailable: no answer, 5xx, 408, 425 or 429; with the answer's Retry-After, or None, as ``retry_after_s``.
        TargetGone: 410. NotificationRefused: any other answer.
    """
    try:
        async with http.stream("POST", url, content=body, headers=headers, follow_redirects=False) as answer:
            status, asked = answer.status_code, answer.headers.get("retry-after", "")
    except httpx2.HTTPError as trouble:
        raise Unavailable(
            f"It does not answer: {str(trouble).strip().rstrip('.') or type(trouble).__name__}.",
            remedy="See that it runs and can be reached from here.",
        ) from trouble
    if HTTPStatus(200) <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if status == HTTPStatus.GONE:
        raise TargetGone("It answers 410.", remedy="Take it out of the settings.")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _FOR_NOW:
        after_s = _seconds(asked, datetime.now(UTC))
        raise Unavailable(f"It answers {status}.", remedy="See its log.", retry_after_s=after_s)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise NotificationRefused(f"It answers {status}: it is elsewhere now.", remedy="Correct its address.")
    raise NotificationRefused(f"It answers {status}.", remedy="See its log, and whether address and secret are right.")


def _seconds(asked: str, now: datetime) -> float | None:
    """Read a Retry-After: seconds, or a date."""
    if asked.isascii() and asked.isdecimal():
        return float(asked)
    try:
        at = parsedate_to_datetime(asked)
    except (OverflowError, ValueError):
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())
