"""The prediction log: batched, off the request path, inputs kept only as a keyed hash."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from sys import getsizeof

from serinus.core.errors import SerinusError
from serinus.core.log_rows import decoded
from serinus.core.records import PredictionRecord
from serinus.core.signature import Scalar
from serinus.hashing import HashKey
from serinus.ports import Store

BATCH = 500
RETRY_S = 1.0
"""How often a store that failed is tried again."""
RAW_BYTES = 64 * 2**20
"""How much memory the inputs that wait to be hashed may take; a hash takes next to none."""
_VALUE_BYTES = 40
"""A number and its place in a row."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One entry on its way to the log: the record still without hashes, and what is to be hashed."""

    record: PredictionRecord
    names: tuple[str, ...]
    values: tuple[Scalar | None, ...]
    entity_id: str | None

    @property
    def size(self) -> int:
        """About how many bytes of memory a hash in their place would free."""
        size = _VALUE_BYTES * len(self.values) + (getsizeof(self.entity_id) if self.entity_id else 0)
        for value in self.values:
            if isinstance(value, str):
                size += getsizeof(value)
        return size

    def hashed(self, key: HashKey) -> PredictionRecord:
        """Complete the record."""
        return replace(
            self.record,
            inputs_hmac=key.of_inputs(dict(zip(self.names, self.values, strict=True))),
            entity_hmac=key.of_entity(self.entity_id),
            key_id=key.id,
        )


class PredictionLog:
    """Takes answered predictions from memory to the store, in order, in batches.

    At most ``limit`` entries wait (the store may be gone for a while); beyond that the newest are dropped and counted.
    Their inputs are hashed off the event loop, as they are written. Only when what waits holds ``raw_bytes`` of inputs
    is an entry hashed as it comes, so that requests of a megabyte take no more memory in an outage than small ones.
    A record that the store refuses while it takes others is dropped and counted too, not to hold up the rest.
    """

    def __init__(
        self,
        store: Store,
        key: HashKey,
        *,
        interval_s: float,
        limit: int,
        on_trouble: Callable[[str], None],
        retry_s: float = RETRY_S,
        raw_bytes: int = RAW_BYTES,
    ) -> None:
        self._store = store
        self._key = key
        self._interval_s = interval_s
        self._retry_s = retry_s
        self._limit = limit
        self._raw_bytes = raw_bytes
        self._on_trouble = on_trouble
        self._waiting: deque[Answered | PredictionRecord] = deque()
        self._raw = 0
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._closed = False
        self.dropped = 0
        self.written = 0

    @property
    def pending(self) -> int:
        """How many entries wait."""
        return len(self._waiting)

    def append(self, entry: Answered) -> None:
        """Take an entry; never blocks."""
        if self._closed or len(self._waiting) >= self._limit:
            self.dropped += 1
            return
        size = entry.size
        if self._raw + size > self._raw_bytes:
            self._waiting.append(entry.hashed(self._key))
        else:
            self._raw += size
            self._waiting.append(entry)

    def keep(self, row: bytes, at_us: int, deliver: Callable[[], None]) -> None:
        self.keep_many([row], at_us, deliver)

    def keep_many(self, rows: Sequence[bytes], at_us: int, deliver: Callable[[], None]) -> None:
        for record in decoded(b"".join(rows)):
            if self._closed or len(self._waiting) >= self._limit:
                self.dropped += 1
            else:
                self._waiting.append(record)
        asyncio.get_running_loop().call_soon(deliver)

    def start(self) -> None:
        """Begin writing."""
        self._task = asyncio.create_task(self._run(), name="prediction log")

    async def close(self, timeout_s: float = 30.0) -> None:
        """Write what waits, then stop; what the store did not take within ``timeout_s`` is counted as dropped."""
        self._closing.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._task
            self._task = None
        self._closed = True
        if self._waiting:
            self._on_trouble(f"{len(self._waiting)} logged predictions were lost: the store did not take them")
            self.dropped += len(self._waiting)
            self._waiting.clear()

    async def _run(self) -> None:
        troubled = False
        while self._waiting or not self._closing.is_set():
            if troubled or len(self._waiting) < BATCH:
                await self._pause(self._retry_s if troubled else self._interval_s, wait_out=troubled)
            try:
                await self._write_batch()
                troubled = False
            except Exception as trouble:  # noqa: BLE001 - whatever it is, what waits must not wait for ever
                if not troubled:
                    self._on_trouble(f"the prediction log waits in memory: {type(trouble).__name__}: {trouble}")
                troubled = True

    async def _write_batch(self) -> None:
        batch = list(islice(self._waiting, BATCH))
        if not batch:
            return
        records = await asyncio.to_thread(lambda: [self._finished(entry) for entry in batch])
        refused = await self._refused(records)
        for entry in batch:
            self._waiting.popleft()
            if isinstance(entry, Answered):
                self._raw -= entry.size
        self.written += len(batch) - refused
        self.dropped += refused

    def _finished(self, entry: Answered | PredictionRecord) -> PredictionRecord:
        return entry.hashed(self._key) if isinstance(entry, Answered) else entry

    async def _refused(self, records: list[PredictionRecord]) -> int:
        """Write records, and give how many of them the store refuses; raise if it takes none."""
        try:
            await self._store.append_predictions(records)
        except SerinusError:
            raise
        except Exception as trouble:  # it may be one of them: that is found by writing each alone
            refused = [record for record in records if not await self._taken(record)]
            if len(refused) == len(records):
                raise
            self._on_trouble(f"{len(refused)} logged predictions were refused: {type(trouble).__name__}: {trouble}")
            return len(refused)
        return 0

    async def _taken(self, record: PredictionRecord) -> bool:
        try:
            await self._store.append_predictions([record])
        except SerinusError:
            raise
        except Exception:  # noqa: BLE001 - the batch's error, which is reported, for this record
            return False
        return True

    async def _pause(self, seconds: float, *, wait_out: bool) -> None:
        if wait_out:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
