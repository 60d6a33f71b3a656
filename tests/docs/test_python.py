"""What is shown of the Python client runs as it is written, beside a server."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.tables import README
from tests.server import Server, serving

from serinus.client import Client
from serinus.client.endpoints import Endpoint, Endpoints, Procedure, Series

pytestmark = pytest.mark.timeout(300)  # a release from the model to the decision, on a machine that may be busy

PAGE = README.parent / "docs" / "python.md"
SECTION = "\n## Python client\n"


def blocks(text: str) -> list[str]:
    """Give the blocks of Python, in order."""
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def of_readme() -> str:
    """Give the README's section on the client."""
    _, _, rest = README.read_text().partition(SECTION)
    return rest.partition("\n## ")[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"SERINUS_CHECK_INTERVAL": "0.05", "SERINUS_PREDICT_TIMEOUT": "20"}
    with serving(tmp_path_factory.mktemp("docs") / "home", **settings) as server:
        yield server


@pytest.fixture(autouse=True)
def _beside(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERINUS_URL", server.url)


def run(text: str, source: Path) -> dict[str, object]:
    """Run the blocks of a text, one after the other, and give what they leave."""
    names: dict[str, object] = {"__name__": "__main__"}
    found = blocks(text)
    assert found
    for block in found:
        exec(compile(block, str(source), "exec"), names)
    client = names.get("serinus")
    if isinstance(client, Client):
        client.close()
    return names


def test_the_page_runs_as_written_and_the_readme_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    left = run(PAGE.read_text(), PAGE)

    shown = capsys.readouterr().out
    assert "heart@1 ['age', 'chol']" in shown
    assert "200 answered, 0 failed" in shown
    assert "canary_started" in shown
    assert "SERINUS-NOT-FOUND" in shown
    if SECTION in README.read_text():
        with Client() as client:
            client.register(left["first"], "heart", data=left["data"], target="ill")
        run(of_readme(), README)


def test_the_table_of_calls_names_every_call() -> None:
    table = PAGE.read_text().partition("\n## All calls\n")[2]
    named = {
        name for line in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", line)
    }
    methods = {name for name, value in vars(Endpoints).items() if isinstance(value, Endpoint | Procedure | Series)}

    assert named == methods | {"predict_many"}
