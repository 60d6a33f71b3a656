import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.journal.conftest import Home, read_all, rows_of

from serinus.core.errors import Unavailable
from serinus.journal.journals import abandoned

HOLD = """
import sys, time
from pathlib import Path
from serinus.journal.journals import FileJournals
journal = FileJournals(Path(sys.argv[1]), "store", "held", limit=10**6, on_trouble=print).begin()
journal.append([b"a row"], 1, 2)
print("begun", flush=True)
time.sleep(60)
"""


def test_a_journal_that_a_process_left_behind_is_taken_over(home: Home) -> None:
    home.left_behind(b"one", b"two")

    (journal,) = home.journals().adopt()

    assert journal.name == "dead"
    assert rows_of(read_all(journal)) == [b"one", b"two"]
    journal.close(remove=False)


def test_the_journal_of_a_process_that_lives_is_left_alone_until_it_is_killed(home: Home) -> None:
    command = [sys.executable, "-c", HOLD, str(home.folder / "journal")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "begun\n"
        while_it_lives = home.journals().adopt()
        other.send_signal(signal.SIGKILL)

    (journal,) = home.journals().adopt()

    assert while_it_lives == []
    assert rows_of(read_all(journal)) == [b"a row"]
    journal.close(remove=True)
    assert list((home.folder / "journal/store").iterdir()) == []


def test_a_process_takes_over_neither_its_own_journal_nor_one_twice(home: Home) -> None:
    home.left_behind(b"one")
    journals = home.journals()
    own = journals.begin()

    first, second = journals.adopt(), journals.adopt()
    beside = home.journals("beside").adopt()

    assert [journal.name for journal in first] == ["dead"]
    assert second == beside == []
    for journal in (own, *first):
        journal.close(remove=True)


def test_the_journals_of_another_store_are_left_alone(home: Home) -> None:
    home.left_behind(b"one")

    assert home.journals(store="another").adopt() == []


def test_what_is_no_journal_is_left_alone(home: Home) -> None:
    home.left_behind(b"one")
    (home.folder / "journal/store/notes").write_text("mine")
    (home.folder / "journal/store/half.new").mkdir()

    adopted = home.journals().adopt()

    assert [journal.name for journal in adopted] == ["dead"]
    adopted[0].close(remove=True)


def test_a_journal_that_is_removed_while_others_wait_for_it_is_taken_over_by_nobody(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home.left_behind(b"one")
    (journal,) = home.journals().adopt()
    open_it = os.open

    def opened_too_late(path: Path, flags: int, mode: int = 0o777) -> int:
        descriptor = open_it(path, flags, mode)
        if path == folder:
            journal.close(remove=True)
        return descriptor

    monkeypatch.setattr(os, "open", opened_too_late)

    assert home.journals("beside").adopt() == []


def test_where_there_is_no_journal_none_is_taken_over(home: Home) -> None:
    assert home.journals().adopt() == []


def test_a_journal_that_holds_a_file_of_somebody_else_is_emptied_and_stays(home: Home) -> None:
    folder = home.left_behind(b"one")
    (folder / "notes").write_text("mine")
    (journal,) = home.journals().adopt()

    journal.close(remove=True)

    assert [file.name for file in folder.iterdir()] == ["notes"]


def test_a_home_that_cannot_be_written_to_has_no_journal(home: Home) -> None:
    (home.folder / "journal").write_text("a file")

    with pytest.raises(Unavailable, match="No journal can be kept"):
        home.journals().begin()


def test_what_waits_for_nobody_is_found(home: Home) -> None:
    held = home.begin("held")
    folder = home.left_behind(b"one")

    waiting = abandoned(home.folder / "journal")

    assert waiting == {folder: (folder / "00000001.log").stat().st_size}
    assert held.size == 0
    assert abandoned(home.folder / "nowhere") == {}
