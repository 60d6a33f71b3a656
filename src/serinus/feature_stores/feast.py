"""Features from a Feast feature server, over HTTP: within a deadline, one lookup of an entity at a time, and kept."""

import asyncio
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NamedTuple

import httpx2
import msgspec

from serinus.core.errors import PlatformError, Unavailable
from serinus.core.lookups import Found, Lookup

KEPT = 10_000
"""Entities whose features are kept, at most."""
LARGEST_ANSWER = 1_048_576
"""Bytes of an answer, at most."""
CONNECTIONS = 64
_SHOWN = 200
_HERE = frozenset({"PRESENT", "NULL_VALUE"})


class _Metadata(msgspec.Struct):
    feature_names: list[str]


class _Values(msgspec.Struct):
    values: list[Any]
    statuses: list[str]


class _Answer(msgspec.Struct):
    metadata: _Metadata
    results: list[_Values]


class _Kept(NamedTuple):
    found: Found
    until: float


_answers = msgspec.json.Decoder(_Answer, float_hook=float)


class FeastFeatures:
    """Looks features up.

    Args:
        url: of the feature server. timeout_s: of one lookup, from the first of those who wait for it.
        ttl_s: how long what was found is used again; 0 for not.
    """

    def __init__(
        self, url: str, *, timeout_s: float, ttl_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._ttl_s = ttl_s
        self._monotonic = monotonic
        self._kept: OrderedDict[Lookup, _Kept] = OrderedDict()
        self._under_way: dict[Lookup, asyncio.Task[Found]] = {}
        self._http = httpx2.AsyncClient(
            headers={"accept-encoding": "identity", "content-type": "application/json"},
            verify=ssl.create_default_context() if url.startswith("https:") else False,
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            timeout=None,  # each lookup has a deadline of its own
            limits=httpx2.Limits(max_connections=CONNECTIONS, keepalive_expiry=3.0),
        )

    async def find(self, lookup: Lookup) -> Found:
        """Give the features of one entity; whoever asks for the same at the same time waits for the same answer.

        Raises:
            Unavailable: the feature server does not answer in time. PlatformError: it refuses, or answers with garbage.
        """
        kept = self._kept.get(lookup)
        if kept is not None and self._monotonic() < kept.until:
            self._kept.move_to_end(lookup)
            return kept.found
        asking = self._under_way.get(lookup)
        if asking is None:
            asking = self._under_way[lookup] = asyncio.create_task(self._asked(lookup), name="look features up")
            asking.add_done_callback(lambda done: self._settle(lookup, done))
        return await asyncio.shield(asking)

    async def close(self) -> None:
        """Give the connections back."""
        for asking in list(self._under_way.values()):
            asking.cancel()
        await self._http.aclose()

    def _settle(self, lookup: Lookup, done: "asyncio.Task[Found]") -> None:
        self._under_way.pop(lookup, None)
        if done.cancelled() or done.exception() is not None or not self._ttl_s:
            return
        self._kept[lookup] = _Kept(done.result(), self._monotonic() + self._ttl_s)
        self._kept.move_to_end(lookup)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    async def _asked(self, lookup: Lookup) -> Found:
        body = msgspec.json.encode({"feature_service": lookup.service, "entities": {lookup.key: [lookup.entity]}})
        try:
            async with asyncio.timeout(self._timeout_s):
                try:
                    status, data = await self._posted(body)
                except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError):
                    status, data = await self._posted(body)  # Feast closes a connection after an error of its own
        except (TimeoutError, httpx2.HTTPError) as trouble:
            late = isinstance(trouble, TimeoutError)
            what = f"did not answer within {self._timeout_s:g} s" if late else f"cannot be asked: {_said(trouble)}"
            raise Unavailable(
                f"The feature server at {self._url} {what}.",
                field="entity_id",
                remedy="Send the features, or try again when the feature server answers.",
            ) from trouble
        if status != httpx2.codes.OK:
            raise self._broken(f"HTTP {status} {data[:_SHOWN].decode(errors='replace')}".strip())
        return self._read(lookup, data)

    async def _posted(self, body: bytes) -> tuple[int, bytes]:
        async with self._http.stream("POST", f"{self._url}/get-online-features", content=body) as answer:
            data = bytearray()
            async for part in answer.aiter_raw():
                data += part
                if len(data) > LARGEST_ANSWER:
                    raise self._broken(f"more than {LARGEST_ANSWER} bytes")
        return answer.status_code, bytes(data)

    def _read(self, lookup: Lookup, data: bytes) -> Found:
        try:
            answer = _answers.decode(data)
            columns = zip(answer.metadata.feature_names, answer.results, strict=True)
            found = [
                (name, value, status)
                for name, column in columns
                for [(value, status)] in [list(zip(column.values, column.statuses, strict=True))]
                if name != lookup.key
            ]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as wrong:
            raise self._broken(f"no features of one entity ({wrong})") from wrong
        return Found(
            {name: value for name, value, status in found if status in _HERE},
            frozenset(name for name, _, status in found if status == "NOT_FOUND"),
            frozenset(name for name, _, status in found if status not in {*_HERE, "NOT_FOUND"}),
        )

    def _broken(self, what: str) -> PlatformError:
        return PlatformError(
            f"The feature server at {self._url} gave {what}.",
            field="entity_id",
            remedy="See that the deployment's feature_service and feature_entity are those of Feast, and what its log "
            "says; or send the features.",
        )


def _said(trouble: Exception) -> str:
    return f"{type(trouble).__name__}: {trouble}".rstrip(": ")
