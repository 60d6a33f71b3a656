"""The way to a server: where it is, on whose behalf, for how long; and what went wrong on it, in words."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx2

from serinus.client.calls import Call
from serinus.client.errors import UnreachableError
from serinus.core.errors import InvalidInput

DEFAULT_URL = "http://127.0.0.1:8000"
ACTOR_HEADER = "X-Serinus-Actor"
ACTOR_LENGTH = 100
CONNECT_TIMEOUT_S = 5.0
CONNECTIONS_KEPT = 20
SILENCE_S = 45.0
"""A stream of events that says nothing for so long, three of its heartbeats, has broken."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a server is reached; ``timeout_s`` is for an answer, with all tries that it takes."""

    base_url: str = field(repr=False)
    timeout_s: float
    headers: tuple[tuple[str, str], ...] = field(repr=False)

    @classmethod
    def to(cls, base_url: str | None, actor: str, token: str | None, timeout: float) -> "Way":
        """Find the way from what a program says, and else from the environment; InvalidInput says what is wrong."""
        url = _checked_url(os.environ.get("SERINUS_URL") or DEFAULT_URL if base_url is None else base_url)
        secret = os.environ.get("SERINUS_TOKEN", "") if token is None else token
        headers = [(ACTOR_HEADER, _header_value(actor))] if actor else []
        headers += [("Authorization", f"Bearer {_checked_token(secret)}")] if secret else []
        return cls(url, _checked_timeout(timeout), tuple(headers))

    @property
    def shown(self) -> str:
        """The URL as it may be shown."""
        return _shown(self.base_url)

    @property
    def trusts_environment(self) -> bool:
        """Whether proxies of the environment count: one for the world must not be asked for this machine."""
        return not _is_loopback(self.base_url)

    @property
    def limits(self) -> httpx2.Limits:
        """Let as many predictions be under way as may be, besides streams."""
        return httpx2.Limits(max_connections=None, max_keepalive_connections=CONNECTIONS_KEPT)

    def timeout(self, left_s: float) -> httpx2.Timeout:
        """Bound one try."""
        left_s = max(left_s, 0.001)
        return httpx2.Timeout(left_s, connect=min(left_s, CONNECT_TIMEOUT_S))

    def streaming(self) -> httpx2.Timeout:
        """Bound the silence of a stream."""
        return httpx2.Timeout(SILENCE_S, connect=min(self.timeout_s, CONNECT_TIMEOUT_S))

    @contextmanager
    def in_words(self, call: Call[Any]) -> Iterator[None]:
        """Turn what breaks inside the block into errors that say what was wrong and what to do."""
        try:
            yield
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                f"What was given cannot be sent as JSON: {error}.",
                field="body",
                remedy="Give finite numbers, whole characters, true, false, null, and lists and mappings of them.",
            ) from error
        except httpx2.ConnectError as error:
            raise UnreachableError(
                f"There is no Serinus server at {self.shown} ({_cause(error)}).",
                remedy="Start one with `canary serve`, or say where it is with --url or SERINUS_URL.",
                sent=False,
            ) from error
        except (httpx2.TimeoutException, TimeoutError) as error:
            sent = not isinstance(error, httpx2.ConnectTimeout)
            raise UnreachableError(self._too_late(call, error), remedy=_doubt(call, sent=sent), sent=sent) from error
        except httpx2.RequestError as error:
            raise UnreachableError(
                f"The connection to {self.shown} broke: {_cause(error)}.", remedy=_doubt(call, sent=True)
            ) from error

    def _too_late(self, call: Call[Any], error: Exception) -> str:
        if isinstance(error, httpx2.ConnectTimeout):
            return f"{self.shown} did not accept a connection within {min(self.timeout_s, CONNECT_TIMEOUT_S):g} s."
        return f"{self.shown} did not answer {call.method} {call.path} within {self.timeout_s:g} s."


def _checked_url(given: Any) -> str:
    url = str(given)
    wrong = InvalidInput(
        f"{_shown(url)!r} is not the URL of a server.",
        field="url",
        remedy=f"Write it like {DEFAULT_URL} (--url, or SERINUS_URL).",
    )
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        httpx2.URL(url)
    except (ValueError, httpx2.InvalidURL):
        raise wrong from None
    if not usable:
        raise wrong
    return url.rstrip("/")


def _shown(url: str) -> str:
    """Leave out who it is for: a name and a password before an @."""
    before, at, behind = url.rpartition("@")
    scheme, slashes, _ = before.partition("//")
    return f"{scheme}{slashes}{behind}" if at and slashes else behind


def _checked_token(token: str) -> str:
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise InvalidInput(
            "The token has characters that no header can carry.",
            field="token",
            remedy="Give it as it was issued, without spaces or line ends (token=..., or SERINUS_TOKEN).",
        )
    return token


def _checked_timeout(timeout: Any) -> float:
    if not isinstance(timeout, int | float) or not 0.0 < timeout < math.inf:
        raise InvalidInput(f"timeout is {timeout!r}.", field="timeout", remedy="Give a positive number of seconds.")
    return float(timeout)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _header_value(text: str) -> str:
    printable = "".join(c if c.isprintable() else "?" for c in text)
    return printable.encode("ascii", "backslashreplace").decode("ascii")[:ACTOR_LENGTH]


def _cause(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _doubt(call: Call[Any], *, sent: bool) -> str:
    if sent and call.changes_something:
        return "It may have been done all the same: look with `canary status` before you try again."
    return "Try again."
