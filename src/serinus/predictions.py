"""The prediction log: batched, off the request path, inputs kept only as a keyed hash."""

import asyncio
import contextlib
import hashlib
import hmac
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import rfc8785

from serinus.core.errors import SerinusError
from serinus.core.records import PredictionRecord
from serinus.core.signature import Scalar
from serinus.ports import Store

BATCH = 500
_SAFE_INT = 2**53 - 1


@dataclass(frozen=True, slots=True)
class HashKey:
    """The secret under which inputs are hashed; ``id`` tells keys apart without giving them away."""

    secret: bytes

    @property
    def id(self) -> str:
        """The first 8 hex digits of the key's own hash."""
        return hashlib.sha256(b"serinus key id:" + self.secret).hexdigest()[:8]

    def of_inputs(self, inputs: Mapping[str, Scalar | None]) -> str:
        """Give hex HMAC-SHA-256 over the RFC 8785 canonical JSON of named inputs (ints beyond 2**53 as strings)."""
        safe = {name: _in_json_range(value) for name, value in inputs.items()}
        return self.of_bytes(rfc8785.dumps(safe))

    def of_bytes(self, data: bytes) -> str:
        """Give hex HMAC-SHA-256 of bytes."""
        return hmac.new(self.secret, data, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Answered:
    """One entry on its way to the log: the record still without hashes, and what is to be hashed."""

    record: PredictionRecord
    names: tuple[str, ...]
    values: tuple[Scalar | None, ...]
    entity_id: str | None

    def hashed(self, key: HashKey) -> PredictionRecord:
        """Complete the record."""
        return replace(
            self.record,
            inputs_hmac=key.of_inputs(dict(zip(self.names, self.values, strict=True))),
            entity_hmac=key.of_bytes(self.entity_id.encode("utf-8", "surrogatepass")) if self.entity_id else "",
            key_id=key.id,
        )


class PredictionLog:
    """Takes answered predictions from memory to the store, in order, in batches.

    At most ``limit`` entries wait (the store may be gone for a while); beyond that the newest are dropped and counted.
    """

    def __init__(
        self,
        store: Store,
        key: HashKey,
        *,
        interval_s: float,
        limit: int,
        on_trouble: Callable[[str], None],
    ) -> None:
        self._store = store
        self._key = key
        self._interval_s = interval_s
        self._limit = limit
        self._on_trouble = on_trouble
        self._waiting: deque[Answered] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self.dropped = 0
        self.written = 0

    @property
    def pending(self) -> int:
        """How many entries wait."""
        return len(self._waiting)

    def append(self, entry: Answered) -> None:
        """Take an entry; never blocks."""
        if len(self._waiting) >= self._limit:
            self.dropped += 1
        else:
            self._waiting.append(entry)

    def start(self) -> None:
        """Begin writing."""
        self._task = asyncio.create_task(self._run(), name="prediction log")

    async def close(self, timeout_s: float = 30.0) -> None:
        """Write what waits, then stop; what the store did not take within ``timeout_s`` is counted as dropped."""
        self._closing.set()
        if self._task is not None:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._task
            except TimeoutError:
                self.dropped += len(self._waiting)
                self._on_trouble(f"{len(self._waiting)} logged predictions were lost: the store did not take them")
            self._task = None

    async def _run(self) -> None:
        troubled = False
        while self._waiting or not self._closing.is_set():
            if troubled or len(self._waiting) < BATCH:
                await self._pause(1.0 if troubled else self._interval_s, wait_out=troubled)
            try:
                await self._write_batch()
                troubled = False
            except SerinusError as trouble:
                if not troubled:
                    self._on_trouble(f"the prediction log waits in memory: {trouble}")
                troubled = True

    async def _write_batch(self) -> None:
        batch = [self._waiting[i] for i in range(min(BATCH, len(self._waiting)))]
        if not batch:
            return
        records = await asyncio.to_thread(lambda: [entry.hashed(self._key) for entry in batch])
        await self._store.append_predictions(records)
        for _ in batch:
            self._waiting.popleft()
        self.written += len(batch)

    async def _pause(self, seconds: float, *, wait_out: bool) -> None:
        if wait_out:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()


def _in_json_range(value: Scalar | None) -> Scalar | None:
    return str(value) if isinstance(value, int) and abs(value) > _SAFE_INT else value
