"""Journals in a folder of the test's own."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from serinus.core.log_frames import START, Batch, Position
from serinus.journal.journal import FileJournal
from serinus.journal.journals import FileJournals

LIMIT = 10_000_000


@dataclass
class Home:
    """A folder with journals of processes, which end when they are told to, or with the test."""

    folder: Path
    troubles: list[str] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)

    def journals(self, name: str = "this", store: str = "store", **options: Any) -> FileJournals:
        chosen = {"limit": LIMIT, "on_trouble": self.troubles.append, **options}
        return FileJournals(self.folder / "journal", store, name, **chosen)

    def begin(self, name: str = "this", **options: Any) -> FileJournal:
        journal = self.journals(name, **options).begin()
        self.stack.callback(close, journal)
        return journal

    def left_behind(self, *rows: bytes, name: str = "dead", **options: Any) -> Path:
        """Leave a journal behind as a process does that ends."""
        journal = self.journals(name, **options).begin()
        for each in rows:
            journal.append([each], 1, 2)
        journal.close(remove=False)
        return self.folder / "journal/store" / name


def close(journal: FileJournal) -> None:
    if journal._lock >= 0:
        journal.close(remove=False)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    with home.stack:
        yield home


def read_all(journal: FileJournal, after: Position = START, limit: int = 1) -> list[Batch]:
    """Read a journal to its end, as few frames at a time as possible."""
    batches = []
    while (batch := journal.read(after, limit)) is not None:
        batches.append(batch)
        after = batch.ends
    return batches


def rows_of(batches: Sequence[Batch]) -> list[bytes]:
    return [batch.payload for batch in batches]
