"""`canary demo` as a newcomer meets it: a process of its own, which leaves nothing behind."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console
from tests.cli.terminal import COMMAND, at_terminal, environment

from serinus.client import Client
from serinus.examples.heart_disease import demo, server
from serinus.examples.heart_disease.models import Candidate, train

NO_STORY = (
    "import sys; from rich.console import Console; from serinus.examples.heart_disease import demo; "
    "demo.tell = lambda narrator, url, *rest: bool(url()); sys.exit(demo.run(True, Console(markup=False)))"
)
"""The demo with --keep, without the story in between."""


def processes_of(folder: Path) -> list[str]:
    """Find the processes that were started on a folder."""
    commands = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [command for command in commands if str(folder) in command]


def assert_nothing_is_left(folder: Path) -> None:
    assert processes_of(folder) == []
    assert list(folder.glob("serinus-demo-*")) == []


def console() -> Console:
    return Console(file=io.StringIO(), width=100, markup=False, highlight=False)


def written(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def test_the_story_comes_true_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "demo"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        # Settings of another server of this user are none of the demo's business.
        env=environment(
            TMPDIR=str(tmp_path), SERINUS_DATABASE_URL="postgresql://nowhere", SERINUS_URL="http://nowhere"
        ),
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for line in (
        r"ca may be missing, but never was in the canary's training data",
        r"✗ critical",
        r"Rolled back by the health checker after \d+\.\d s",
        r"Callers without an answer: 0 of \d+",
        r"59 of the 303 patients \(19\.5 %\)",
        r" 20 %  ✓ healthy   heart@3 got",
        r" 50 %  ✓ healthy   heart@3 got",
        # While it is promoted, the old baseline may answer a request or two.
        r"100 %  ✓ promoted  heart@3 got (100\.0|99\.\d) % of \d+ requests, failed 0",
        r"↯ auto-rollback",
        r"↥ auto-promotion",
        r"✓ all \d+ requests were answered with status 200",
        r"✓ heart-prod serves heart@3",
    ):
        assert re.search(line, done.stdout), f"{line} is not in:\n{done.stdout}"
    assert "\x1b" not in done.stdout
    assert_nothing_is_left(tmp_path)


def test_a_story_that_does_not_come_true_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    out = console()

    def without_a_trap() -> Sequence[Candidate]:
        first, _, third = train()
        return first, third, third

    code = demo.run(keep=False, console=out, trained=without_a_trap, patience_s=7.0)

    assert code == 1
    assert "✗ heart@2 was not rolled back" in written(out)
    assert "✗ heart-prod serves heart@1, not heart@3" in written(out)
    assert "✓ all" in written(out)
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_demo_cleans_up_when_it_is_ended_early(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with at_terminal("demo", TMPDIR=str(tmp_path)) as terminal:
        terminal.wait_for("to heart@2")
        assert processes_of(tmp_path) != []
        terminal.process.send_signal(number)

        assert terminal.end() == code
    assert "Traceback" not in terminal.screen
    assert_nothing_is_left(tmp_path)


def test_a_server_that_is_kept_answers_until_ctrl_c_and_its_data_stay(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", NO_STORY],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(TMPDIR=str(tmp_path), PYTHONUNBUFFERED="1"),
    )
    assert process.stdout is not None
    with process.stdout as lines:
        said = []
        for line in lines:
            said.append(line)
            if "Ctrl-C" in line:
                break
        url = re.search(r"export SERINUS_URL=(\S+)", "".join(said))
        assert url is not None, "".join(said)
        with Client(url[1]) as client:
            assert client.server_health()
        process.send_signal(signal.SIGINT)
        rest = lines.read()

    assert process.wait(30) == 0
    (folder,) = tmp_path.glob("serinus-demo-*")
    assert f"serve --home {folder}/home" in rest
    assert (folder / "home" / "serinus.db").exists()
    assert processes_of(tmp_path) == []


def test_a_server_that_does_not_start_is_explained_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(server, "_environment", lambda: {**os.environ, "SERINUS_CHECK_INTERVAL": "soon"})
    out = console()

    code = demo.run(keep=True, console=out)

    assert code == 1
    assert "could not start" in written(out)
    assert "SERINUS_CHECK_INTERVAL" in written(out)
    assert_nothing_is_left(tmp_path)


def test_a_server_that_dies_on_the_way_ends_the_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    out = console()

    def trained() -> Sequence[Candidate]:
        # The folder's name stands in the server's command line.
        while not list(tmp_path.glob("serinus-demo-*/home/server.json")):
            time.sleep(0.05)
        announced = next(tmp_path.glob("serinus-demo-*/home/server.json"))
        os.kill(int(re.findall(r'"pid": (\d+)', announced.read_text())[0]), signal.SIGKILL)
        return train()

    code = demo.run(keep=False, console=out, trained=trained)

    assert code == 1
    assert "Error: " in written(out)
    assert_nothing_is_left(tmp_path)


def test_the_libraries_that_training_needs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "LIBRARIES", ("sklearn", "no_such_library"))
    out = console()

    code = demo.run(keep=False, console=out)

    assert code == 1
    assert "no_such_library" in written(out)
    assert "pip install 'serinus[demo]'" in written(out)
