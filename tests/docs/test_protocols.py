"""What docs/protocols.md shows works as it is written."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import models
from tests.server import REPOSITORY, Server, serving

TEXT = (REPOSITORY / "docs" / "protocols.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("docs") / "home", SERINUS_ALLOW_PICKLE="true") as server:
        with server.client() as client:
            models.register(client, "risk", models.Risk())
            client.deploy("heart-prod", models.STABLE)
        yield server


@pytest.mark.parametrize("program", PROGRAMS, ids=["triton", "mlflow"])
def test_a_program_does_what_it_says(server: Server, program: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "127.0.0.1:8000" in program

    exec(compile(program.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}"), "protocols.md", "exec"), {})

    assert capsys.readouterr().out.split() in (["[0.63", "0.41]", "baseline"], ["[0.63,", "0.41]", "baseline"])


def test_the_routes_that_are_shown_are_those_that_there_are(server: Server) -> None:
    with server.http() as http:
        described = http.get("/openapi.json").json()["paths"]
    shown = set(re.findall(r"`(?:GET|POST) (/(?:v2|invocations)[^`]*)`", TEXT))

    assert shown
    assert shown <= described.keys()


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT):
        assert (Path(REPOSITORY) / "docs" / target).exists()
