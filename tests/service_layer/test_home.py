import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from serinus.core.errors import InvalidInput, Unavailable
from serinus.home import Home

HOLDING = """
import sys
from pathlib import Path
from serinus.home import Home
with Home(Path(sys.argv[1])) as home:
    home.announce("http://127.0.0.1:8123")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_home_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "home"

    with Home(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_second_holder_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    with Home(tmp_path) as first:
        first.announce("http://127.0.0.1:8123")

        with pytest.raises(Unavailable) as refused, Home(tmp_path):
            pass

    assert f"at http://127.0.0.1:8123 (process {os.getpid()})" in refused.value.message
    assert str(tmp_path) in refused.value.message
    assert refused.value.field == "SERINUS_HOME"


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '"text"'])
def test_a_second_holder_is_refused_whatever_is_known_of_the_first(tmp_path: Path, text: str | None) -> None:
    with Home(tmp_path):
        if text is not None:
            (tmp_path / "server.json").write_text(text)

        with pytest.raises(Unavailable, match="Another server is running on the home folder"), Home(tmp_path):
            pass


def test_a_home_that_was_given_back_can_be_taken_again(tmp_path: Path) -> None:
    with Home(tmp_path) as first:
        first.announce("http://127.0.0.1:8123")

    with Home(tmp_path):
        assert not (tmp_path / "server.json").exists()


def test_a_home_is_free_when_its_holder_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Unavailable, match=f"process {holder.pid}"), Home(tmp_path):
            pass

        holder.send_signal(signal.SIGKILL)
        holder.wait()

        with Home(tmp_path):
            assert not (tmp_path / "server.json").exists(), "it would point to a server that is gone"


def test_what_is_announced_can_be_read(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.announce("http://[::1]:9")

        assert json.loads((tmp_path / "server.json").read_text()) == {"url": "http://[::1]:9", "pid": os.getpid()}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Unavailable, match="cannot be used") as refused, Home(tmp_path / "file" / "home"):
        pass

    assert refused.value.field == "SERINUS_HOME"


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        key = home.hash_key()
        assert home.hash_key() == key
        assert stat.S_IMODE((tmp_path / "hash.key").stat().st_mode) == 0o600
    with Home(tmp_path) as again:
        assert again.hash_key() == key

    assert len(key) == 64


def test_each_home_has_a_key_of_its_own(tmp_path: Path) -> None:
    keys = set()
    for name in ("a", "b"):
        with Home(tmp_path / name) as home:
            keys.add(home.hash_key())

    assert len(keys) == 2


@pytest.mark.parametrize(
    "damaged",
    [b"", b"\n", b"0" * 63, b"0" * 65, b"0" * 63 + b"g", b"\xff" * 64, b"0" * 32 + b"\n" + b"0" * 31],
    ids=["empty", "blank", "short", "long", "not hex", "not text", "two lines"],
)
def test_a_damaged_key_is_refused_and_left_as_it_is(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "hash.key"
    path.write_bytes(damaged)

    with Home(tmp_path) as home, pytest.raises(InvalidInput, match="is damaged") as refused:
        home.hash_key()

    assert refused.value.field == str(path)
    assert path.read_bytes() == damaged
