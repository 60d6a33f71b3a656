"""Which journals there are in a home: this process's own, and those that others left behind when they ended.

    <home>/journal/<store>/<journal>/<segment>.log

A journal belongs to the store that its predictions go to: it is left alone by processes on another one. Whoever has a
journal holds its folder by an operating system's lock (flock), so one that can be locked is nobody's any more.
"""

import fcntl
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from serinus.core.errors import Unavailable
from serinus.journal.journal import SEGMENT_BYTES, FileJournal
from serinus.journal.segments import segments

BESIDE = ".new"
"""Ends the name of a folder that is not locked yet."""


class FileJournals:
    """The journals of one store in a home.

    Args:
        folder: of all journals in the home. store: names the store. name: of this process's own journal, like no other.
        limit: bytes that may wait for the store, in this process's own journal and in those that it took over.
        durable: what is written shall outlive a loss of power, once ``sync`` has been called.
        on_trouble: told of what cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        store: str,
        name: str,
        *,
        limit: int,
        on_trouble: Callable[[str], None],
        durable: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._folder = folder / store
        self._name = name
        self._limit = limit
        self._on_trouble = on_trouble
        self._durable = durable
        self._segment_bytes = segment_bytes
        self._held: list[FileJournal] = []

    def begin(self) -> FileJournal:
        final = self._folder / self._name
        beside = final.with_name(self._name + BESIDE)
        try:
            for made in (self._folder.parent, self._folder):
                made.mkdir(exist_ok=True, parents=True, mode=0o700)
            beside.mkdir(mode=0o700)
            lock = _locked(beside)
            if lock is None:
                raise FileExistsError(f"{beside} is held by another process")
            beside.rename(final)  # nobody may find it unlocked
        except OSError as trouble:
            raise Unavailable(
                f"No journal can be kept in {self._folder}: {trouble.strerror or trouble}.",
                field="SERINUS_HOME",
                remedy="Set SERINUS_HOME to a folder on a local disk that has room and that this user can write to.",
            ) from trouble
        return self._hold(final, lock)

    def adopt(self) -> Sequence[FileJournal]:
        locks = {folder: _locked(folder) for folder in _folders(self._folder)}
        return [self._hold(folder, lock) for folder, lock in locks.items() if lock is not None]

    def _hold(self, folder: Path, lock: int) -> FileJournal:
        journal = FileJournal(
            folder,
            lock,
            room=self._room,
            on_trouble=self._on_trouble,
            durable=self._durable,
            segment_bytes=self._segment_bytes,
        )
        self._held.append(journal)
        return journal

    def _room(self) -> int:
        return self._limit - sum([journal.size for journal in self._held])


def abandoned(folder: Path) -> dict[Path, int]:
    """Give the journals in the folder of all journals that no process holds now, with how many bytes wait in each."""
    waiting = {}
    for store in _folders(folder):
        for journal in _folders(store):
            lock = _locked(journal)
            if lock is not None:
                waiting[journal] = sum(segments(journal).values())
                os.close(lock)
    return waiting


def _folders(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError):
        return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.endswith(BESIDE))
    return []


def _locked(folder: Path) -> int | None:
    """Lock a folder; None where somebody has it, or where it is gone."""
    with suppress(FileNotFoundError):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who had it may have removed it before it let it go.
            if os.path.samestat(os.fstat(lock), folder.stat()):
                return lock
        except BlockingIOError:
            pass
        os.close(lock)
    return None
