"""What is shown of training runs as it is written, beside a server."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.tables import README
from tests.server import Server, serving

from serinus.formats import Formats

PAGE = README.parent / "docs" / "training.md"
SECTION = "\n## Training\n"
CLASSIFIED = {"accuracy", "f1", "precision", "recall", "roc_auc"}

pytestmark = pytest.mark.timeout(300)  # models of several libraries, on a machine that may be busy


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "home") as server:
        yield server


@pytest.fixture
def _beside(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SERINUS_URL", server.url)
    monkeypatch.setenv("NO_COLOR", "1")


def run(text: str) -> int:
    """Run the blocks of a text, one after the other; give how many there are."""
    blocks = re.findall(r"^```(python|sh)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for language, block in blocks:
        if language == "python":
            exec(compile(block, block.splitlines()[0].removeprefix("# "), "exec"), {"__name__": "__main__"})
        elif not block.startswith("pip install"):
            ran = subprocess.run(["bash", "-euc", block], capture_output=True, text=True, check=False)
            assert ran.returncode == 0, ran.stderr
    return len(blocks)


@pytest.mark.usefixtures("_beside")
def test_the_page_runs_as_written_and_the_readme_after_it(server: Server) -> None:
    assert run(PAGE.read_text()) == 7
    _, is_there, section = README.read_text().partition(SECTION)
    if is_there:
        assert run(section.partition("\n## ")[0]) == 1
        with server.client() as client:
            growth = client.versions("growth")["versions"]
        assert [set(version["metrics"]) for version in growth] == [CLASSIFIED] * 2

    with server.client() as client:
        assert [version["ref"] for version in client.versions("tumour")["versions"]] == ["tumour@1", "tumour@2"]
        assert "r2" in client.versions("progress")["versions"][0]["metrics"]
        (iris,) = client.versions("iris")["versions"]
        (growths,) = client.versions("growths")["versions"]
    assert (growths["format"], growths["parameters"]["onnx"]["class_flips"]) == ("onnx", 0)
    assert iris["format"] == "xgboost"
    assert iris["signature"]["output"]["classes"] == ["setosa", "versicolor", "virginica"]


def test_the_table_of_formats_names_every_format() -> None:
    section = PAGE.read_text().split("\n## Model files", 1)[1]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)

    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(Formats.names)
