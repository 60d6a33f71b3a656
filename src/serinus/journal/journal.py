"""One journal: its folder, held by a lock that goes with the process, and the segment that is written to."""

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from serinus.core.errors import Unavailable
from serinus.core.log_frames import Batch, Position, framed
from serinus.journal.segments import read_on, segment_file, segments

SEGMENT_BYTES = 16 * 2**20
"""From which size on a segment is followed by the next."""


class FileJournal:
    """A journal in a folder; made by ``FileJournals``.

    Args:
        folder: of its segments. lock: a descriptor of the folder, which is locked; it is closed with the journal.
        room: how many bytes may be added now, to be asked before each write. durable: ``sync`` will be called.
        on_trouble: told of what cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        lock: int,
        *,
        room: Callable[[], int],
        on_trouble: Callable[[str], None],
        durable: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.name = folder.name
        self._folder = folder
        self._lock = lock
        self._room = room
        self._on_trouble = on_trouble
        self._durable = durable
        self._segment_bytes = segment_bytes
        self._sizes = segments(folder)
        self._number = max(self._sizes, default=0)
        self._descriptor: int | None = None
        self._to_sync: list[int] = []
        """Ended segments, which the next ``sync`` closes: it may be at one of them just now."""
        self._is_new_on_disk = False
        self._told: set[tuple[int, int]] = set()
        self.size = sum(self._sizes.values())

    def append(self, rows: Sequence[bytes], oldest: int, newest: int) -> None:
        payload = b"".join(rows)
        header = framed(payload, len(rows), oldest, newest)
        length = len(header) + len(payload)
        if length > self._room():
            raise Unavailable(
                f"The journal in {self._folder} has no room left: {self.size} bytes wait for the store.",
                remedy="See that the store answers; SERINUS_JOURNAL_BYTES sets how much may wait.",
            )
        try:
            descriptor = self._open_segment()
            try:
                self._write(descriptor, header, payload)
            except OSError:
                self._undo(descriptor)
                raise
        except OSError as trouble:
            raise Unavailable(
                f"The journal in {self._folder} cannot be written: {trouble.strerror or trouble}.",
                remedy="See that its disk has room and is not damaged.",
            ) from trouble
        self._sizes[self._number] += length
        self.size += length

    def sync(self) -> None:
        ended, self._to_sync = self._to_sync, []
        is_new, self._is_new_on_disk = self._is_new_on_disk, False
        written = ended if self._descriptor is None else [*ended, self._descriptor]
        try:
            for descriptor in written:
                os.fdatasync(descriptor)
            if is_new:
                os.fsync(self._lock)
        except OSError as trouble:
            raise Unavailable(
                f"The journal in {self._folder} cannot be written to its disk: {trouble.strerror or trouble}.",
                remedy="See that its disk has room and is not damaged.",
            ) from trouble
        finally:
            for descriptor in ended:
                os.close(descriptor)

    def read(self, after: Position, limit: int) -> Batch | None:
        try:
            return read_on(self._folder, dict(self._sizes), after, limit, self._tell_of_damage)
        except OSError as trouble:
            raise Unavailable(
                f"The journal in {self._folder} cannot be read: {trouble.strerror or trouble}.",
                remedy="See that its disk is not damaged, and that nobody removes files from it.",
            ) from trouble

    def release(self, until: Position) -> None:
        for number, size in list(self._sizes.items()):
            is_read = number < until.segment or (number == until.segment and until.place >= size)
            if is_read and (number != self._number or self._descriptor is None):
                segment_file(self._folder, number).unlink(missing_ok=True)
                del self._sizes[number]
        self.size = sum(size - (until.place if number == until.segment else 0) for number, size in self._sizes.items())

    def close(self, *, remove: bool) -> None:
        self._end_segment()
        for descriptor in self._to_sync:
            os.close(descriptor)
        self._to_sync = []
        self.size = 0
        if remove:
            for number in self._sizes:
                segment_file(self._folder, number).unlink(missing_ok=True)
            with suppress(OSError):  # somebody has put something there
                self._folder.rmdir()
        os.close(self._lock)
        self._lock = -1

    def _write(self, descriptor: int, header: bytes, payload: bytes) -> None:
        written = os.writev(descriptor, (header, payload))
        if written != len(header) + len(payload):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _undo(self, descriptor: int) -> None:
        """Take back half a frame; where that cannot be done, go on in another segment, for what follows it is lost."""
        try:
            os.ftruncate(descriptor, self._sizes[self._number])
        except OSError:
            self._end_segment()

    def _open_segment(self) -> int:
        if self._descriptor is not None and self._sizes[self._number] < self._segment_bytes:
            return self._descriptor
        self._end_segment()
        self._number += 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(segment_file(self._folder, self._number), flags, 0o600)
        self._is_new_on_disk = True
        self._sizes[self._number] = 0
        return self._descriptor

    def _end_segment(self) -> None:
        if self._descriptor is None:
            return
        if self._durable:
            self._to_sync.append(self._descriptor)
        else:
            os.close(self._descriptor)
        self._descriptor = None

    def _tell_of_damage(self, segment: int, place: int, lost: int) -> None:
        if (segment, place) not in self._told:
            self._told.add((segment, place))
            file = segment_file(self._folder, segment)
            self._on_trouble(f"{lost} bytes of the journal from byte {place} of {file} on are damaged, and are lost")
