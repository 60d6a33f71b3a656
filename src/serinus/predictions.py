"""The prediction log: what was answered is on this machine's disk before the answer goes out, and in the store soon."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from serinus.core.errors import Unavailable
from serinus.core.log_frames import START, Batch, Position, Taken
from serinus.ports import Journal, Journals, Store

BATCH_BYTES = 2**20
"""About how much of a journal goes into the store in one transaction."""
RETRY_S = 1.0
"""How often a store that failed is tried again."""
ADOPT_S = 5.0
"""How often journals that other processes left behind are looked for."""
CLOSE_S = 10.0
"""How long a log that is closed goes on writing to the store; what is left waits on disk."""
CALM_S = 10.0
"""After how long without a loss a further one is told of again."""

ALONE_S = 0.0002
"""A record that comes so long after the last write is written at once, and does not wait for others of its turn."""

Deliver = Callable[[], None]
"""Called when what it goes with may be answered; it must not block."""


@dataclass(slots=True)
class _Source:
    """A journal, how far the store has it, and how many of its records are known to wait.

    ``batch`` is what was read and the store has yet to take: what is tried again is the same, so that a try whose
    answer was lost is known by its end. ``not_before``: until then it is left alone, for it failed.
    """

    journal: Journal
    position: Position | None = None
    pending: int = 0
    batch: Batch | None = None
    not_before: float = 0.0


class PredictionLog:
    """Keeps answered predictions in a journal, and takes them from there to the store, in order, each once.

    All that is kept in one turn of the event loop is one write. Only then, and with ``durable`` when the disk has it
    for good, is it delivered; always, for no answer is refused because it cannot be logged. What the journal does not
    take, and rows that the store refuses, are dropped and counted. What the store has not taken when the log is closed
    waits on disk: another process, or the next one here, takes it over.
    """

    def __init__(  # noqa: PLR0913 - named settings
        self,
        store: Store,
        journals: Journals,
        *,
        interval_s: float,
        on_trouble: Callable[[str], None],
        durable: bool = False,
        retry_s: float = RETRY_S,
        adopt_s: float = ADOPT_S,
        alone_s: float = ALONE_S,
    ) -> None:
        self._store = store
        self._journals = journals
        self._own: _Source | None = None
        self._adopted: list[_Source] = []
        self._interval_s = interval_s
        self._retry_s = retry_s
        self._adopt_s = adopt_s
        self._on_trouble = on_trouble
        self._syncing = _Syncing(self._sync, self._tell) if durable else None
        self._rows: list[bytes] = []
        self._instants: list[int] = []
        self._delivers: list[Deliver] = []
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._closed = False
        self._next_look_at = 0.0
        self._told_at: dict[str, float] = {}
        self._flushed_at = 0.0
        self._alone_s = alone_s
        self.dropped = 0
        self.written = 0

    @property
    def pending(self) -> int:
        """How many records wait here; of journals that were taken over, those that have been read."""
        read = (source.batch for source in self._adopted)
        own = self._own.pending if self._own is not None else 0
        return own + sum(batch.records for batch in read if batch is not None)

    @property
    def journal_bytes(self) -> int:
        """How many bytes wait on disk, those of journals that were taken over among them."""
        return sum(source.journal.size for source in self._sources())

    # ------------------------------------------------------------------------------------------- keeping

    def keep(self, row: bytes, at_us: int, deliver: Deliver) -> None:
        """Keep one row, of an instant in microseconds since 2000, and call ``deliver`` when that is done."""
        self._rows.append(row)
        self._instants.append(at_us)
        self._delivers.append(deliver)
        if len(self._delivers) == 1:
            if time.monotonic() - self._flushed_at > self._alone_s:  # it will hardly have company in this turn
                self._flush()
            else:
                asyncio.get_running_loop().call_soon(self._flush)

    def keep_many(self, rows: Sequence[bytes], at_us: int, deliver: Deliver) -> None:
        """Keep the rows of one request, as ``keep`` does."""
        self._rows.extend(rows)
        self._instants.append(at_us)
        self._delivers.append(deliver)
        if len(self._delivers) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    async def kept(self, rows: Sequence[bytes], at_us: int) -> None:
        """Keep the rows of one request, and return when that is done."""
        done = asyncio.get_running_loop().create_future()
        self.keep_many(rows, at_us, lambda: None if done.done() else done.set_result(None))
        await done

    def _flush(self) -> None:
        rows, instants, delivers = self._rows, self._instants, self._delivers
        self._rows, self._instants, self._delivers = [], [], []
        self._flushed_at = time.monotonic()
        try:
            self._append(rows, instants)
        except Exception as trouble:  # noqa: BLE001 - whatever it is, who waits is answered
            self.dropped += len(rows)
            self._tell("journal", f"answered predictions are not logged: {trouble}")
        if self._syncing is not None:
            self._syncing.deliver_after(delivers)
        else:
            deliver_all(delivers)

    def _append(self, rows: Sequence[bytes], instants: Sequence[int]) -> None:
        if self._closed:
            raise Unavailable("The prediction log is closed.")
        own = self._own or self._begun()
        own.journal.append(rows, min(instants), max(instants))
        own.pending += len(rows)

    def _begun(self) -> _Source:
        if self._own is None:
            self._own = _Source(self._journals.begin(), START)
        return self._own

    def _sync(self) -> None:
        self._begun().journal.sync()

    def _sources(self) -> list[_Source]:
        return [*self._adopted, *([] if self._own is None else [self._own])]

    # ------------------------------------------------------------------------------------------ shipping

    def start(self) -> None:
        """Begin to take what is kept to the store; Unavailable if there is no place for a journal."""
        self._begun()
        self._task = asyncio.create_task(self._run(), name="prediction log")

    async def close(self, timeout_s: float = CLOSE_S) -> None:
        """Take what waits to the store, then stop; what it did not take within ``timeout_s`` stays on disk."""
        await asyncio.sleep(0)  # what was kept in this turn is written at its end
        self._closing.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._task
            self._task = None
        self._closed = True
        if self._syncing is not None:
            await self._syncing.close()
        waiting = self.journal_bytes
        if waiting:
            self._on_trouble(
                f"{self.pending} logged predictions ({waiting} bytes) wait on disk: the store did not take them yet; "
                "the next server on this home takes them to it"
            )
        for source in self._sources():
            await self._end(source)
        self._own, self._adopted = None, []

    async def _run(self) -> None:
        failed = False
        while True:
            is_last = self._closing.is_set()
            try:
                await self._look_for_abandoned()
                largest = await self._ship()
                failed = False
            except Exception as trouble:  # noqa: BLE001 - whatever it is, what waits must not wait for ever
                if not failed:
                    self._on_trouble(f"the prediction log waits on disk: {type(trouble).__name__}: {trouble}")
                failed = True
                await asyncio.sleep(self._retry_s)
                continue
            if is_last and not largest:
                return
            if not is_last and largest < BATCH_BYTES // 2:
                await self._pause()

    async def _ship(self) -> int:
        """Take the next part of each journal to the store, and say how many bytes are left of the largest.

        One that was taken over and fails holds up no other.
        """
        own = self._begun()
        await self._ship_from(own)
        largest = own.journal.size
        for source in self._adopted.copy():
            if source.not_before > asyncio.get_running_loop().time():
                continue
            try:
                await self._ship_from(source)
            except Exception as trouble:  # noqa: BLE001 - as above
                self._tell(source.journal.name, f"journal {source.journal.name} waits on disk: {trouble}")
                source.not_before = asyncio.get_running_loop().time() + self._retry_s
                continue
            if not source.journal.size:
                self._adopted.remove(source)
                await self._end(source)
            largest = max(largest, source.journal.size)
        return largest

    async def _ship_from(self, source: _Source) -> None:
        journal = source.journal
        if source.position is None:
            source.position = await self._store.position(journal.name)
            journal.release(source.position)
        if not journal.size:
            return
        if source.batch is None:
            source.batch = await asyncio.to_thread(journal.read, source.position, BATCH_BYTES)
        if source.batch is None:
            return
        taken = await self._store.take_in(journal.name, source.batch)
        if taken.position == source.batch.ends:
            self._count(source.batch, taken)
            source.pending = max(0, source.pending - source.batch.records)
        source.batch, source.position = None, taken.position
        journal.release(taken.position)

    def _count(self, batch: Batch, taken: Taken) -> None:
        self.written += batch.records - taken.refused
        self.dropped += taken.refused
        if taken.refused:
            self._on_trouble(f"{taken.refused} logged predictions were refused: {taken.reason}")

    async def _look_for_abandoned(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._next_look_at or self._closing.is_set():
            return
        self._next_look_at = now + self._adopt_s
        self._adopted += [_Source(journal) for journal in await asyncio.to_thread(self._journals.adopt)]

    async def _end(self, source: _Source) -> None:
        """Let go of a journal, and of all that is kept of it if the store has it whole."""
        is_whole = not source.journal.size
        source.journal.close(remove=is_whole)
        if is_whole:
            with contextlib.suppress(Unavailable):  # then its position stays, for pruning
                await self._store.forget(source.journal.name)

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._interval_s):
                await self._closing.wait()

    def _tell(self, what: str, message: str) -> None:
        """Tell of a trouble once, until it has not been met for a while."""
        now = asyncio.get_running_loop().time()
        if now - self._told_at.get(what, -CALM_S) >= CALM_S:
            self._on_trouble(message)
        self._told_at[what] = now


class _Syncing:
    """Delivers what the disk has for good: while it is asked for some, the rest gathers for the next time."""

    def __init__(self, sync: Callable[[], None], tell: Callable[[str, str], None]) -> None:
        self._sync = sync
        self._tell = tell
        self._waiting: list[Deliver] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._task: asyncio.Task[None] | None = None

    def deliver_after(self, delivers: list[Deliver]) -> None:
        self._waiting += delivers
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="journal sync")

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            delivers, self._waiting = self._waiting, []
            try:
                await loop.run_in_executor(self._thread, self._sync)
            except Unavailable as trouble:
                self._tell("sync", f"answered predictions may not outlive a loss of power: {trouble.message}")
            finally:
                deliver_all(delivers)

    async def close(self) -> None:
        if self._task is not None:
            await asyncio.wait({self._task})
        self._thread.shutdown()


def deliver_all(delivers: Iterable[Deliver]) -> None:
    """Deliver all, whatever one of them raises."""
    for deliver in delivers:
        try:
            deliver()
        except Exception as defect:  # noqa: BLE001 - the others wait for theirs
            asyncio.get_running_loop().call_exception_handler(
                {"message": "an answer was not sent", "exception": defect}
            )
