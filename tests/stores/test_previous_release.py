"""In a rolling upgrade the code of the release before this one works on the schema of this one."""

import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

FIRST_RELEASE = "259af84"
"""0.1.0, which knows SQLite alone, and nothing of newer schemas that it could work with."""

COMMIT = (HERE / "previous_release.txt").read_text(encoding="utf-8").strip()
"""Of the release before this one, or of what comes nearest to it: the code that others may be running."""


def source_of(commit: str, folder: Path) -> Path:
    """Lay out the package as it was at a commit."""
    git = subprocess.run(["git", "-C", str(ROOT), "archive", commit, "src"], capture_output=True, check=False)
    if git.returncode != 0:
        reason = f"there is no history here to take {commit} from: {git.stderr.decode().strip()}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with tarfile.open(fileobj=BytesIO(git.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "src"


def run(source: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_code_of_the_previous_release_works_on_this_schema(database_url: str, tmp_path: Path) -> None:
    source = source_of(COMMIT, tmp_path)

    run_there = run(source, "-c", "import serinus; print(serinus.__file__)")
    assert run_there.stdout.startswith(str(source))

    done = run(source, str(HERE / "previous_release.py"), database_url)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["sqlite"])
def test_the_code_of_the_first_release_refuses_this_schema(database_url: str, tmp_path: Path) -> None:
    source = source_of(FIRST_RELEASE, tmp_path)
    opening = "import asyncio, sys; from serinus.stores.sql import open_store; asyncio.run(open_store(sys.argv[1]))"

    refused = run(source, "-c", opening, database_url)

    assert "knows revisions up to '0001': a newer Serinus has upgraded it" in refused.stderr
