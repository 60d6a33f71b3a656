import os
import subprocess
import sys

import pytest
from starlette.responses import HTMLResponse, Response
from tests.cli.conftest import Canary
from tests.cli.terminal import environment, run
from tests.client.fake_server import FakeServer

import serinus
from serinus.cli.app import PANELS

ARTICLE = ["models", "deploy", "start", "status", "traffic", "health", "metrics", "promote", "rollback", "history"]
OURS = [
    "serve",
    "check",
    "config",
    "doctor",
    "register",
    "configure",
    "pause",
    "resume",
    "undo",
    "predict",
    "demo",
    "approve",
    "plan",
    "explain",
    "replay",
    "forecast",
    "simulate",
    "version",
]
COMMANDS = [function.__name__ for functions in PANELS.values() for function in functions]


def test_help_lists_all_commands(canary: Canary) -> None:
    ran = canary("--help")

    assert ran.code == 0
    for command in ARTICLE + OURS:
        assert f"\n  {command} " in ran.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_with_an_example(canary: Canary, command: str) -> None:
    ran = canary(command, "--help")

    assert ran.code == 0
    assert f"Example: canary {command}" in ran.out


def test_without_a_command_there_is_help(canary: Canary) -> None:
    ran = canary()

    assert ran.code == 2
    assert "history" in ran.out + ran.err


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_the_version_is_told(canary: Canary, arguments: list[str]) -> None:
    ran = canary(*arguments)

    assert (ran.code, ran.out) == (0, f"serinus {serinus.__version__}\n")


@pytest.mark.parametrize(
    "arguments", [["dance"], ["status", "--loud"], ["deploy", "heart-prod"], ["status", "-o", "xml"]]
)
def test_wrong_usage_exits_with_2_and_says_so_on_stderr(canary: Canary, arguments: list[str]) -> None:
    ran = canary(*arguments)

    assert ran.code == 2
    assert ran.out == ""
    assert "Error" in ran.err


def test_help_is_there_before_anybody_waits_for_it() -> None:
    """Slow libraries are imported by the commands that need them."""
    script = "import sys; from serinus.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment())

    assert not {"httpx2", "rich", "pandas", "numpy", "sklearn", "yaml", "fastapi", "sqlalchemy"} & set(
        done.stderr.split()
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("weight", "traffic"),
        ("set-weight", "traffic"),
        ("list", "status"),
        ("trafic", "traffic"),
        ("rolback", "rollback"),
    ],
)
def test_a_command_that_does_not_exist_brings_the_one_that_was_meant(canary: Canary, typed: str, meant: str) -> None:
    ran = canary(typed, "heart-prod", "30")

    assert ran.code == 2
    assert f"Did you mean '{meant}'" in ran.err


def test_nobody_listening_exits_with_7_and_says_what_to_do(canary: Canary) -> None:
    ran = canary("status", "--url", "http://127.0.0.1:9")

    assert ran.code == 7
    assert ran.out == ""
    assert "http://127.0.0.1:9" in ran.err
    assert "canary serve" in ran.err


def test_an_url_that_is_none_exits_with_2(canary: Canary) -> None:
    ran = canary("status", "--url", "localhost")

    assert ran.code == 2
    assert "localhost" in ran.err


def test_another_programs_answer_exits_with_1(canary: Canary, server: FakeServer) -> None:
    server.answer_instead = lambda: HTMLResponse("<html>hello</html>")

    ran = canary("status")

    assert ran.code == 1
    assert "does not answer as a Serinus server" in ran.err


def test_a_proxy_without_a_server_behind_exits_with_7(canary: Canary, server: FakeServer) -> None:
    server.answer_instead = lambda: Response("bad gateway", 502)

    assert canary("status").code == 7


def test_what_is_not_there_exits_with_3(canary: Canary, server: FakeServer) -> None:
    ran = canary("status", "nowhere")

    assert ran.code == 3
    assert "nowhere" in ran.err
    assert "SERINUS-NOT-FOUND" in ran.err


def test_what_the_server_does_not_accept_exits_with_2_and_names_the_field(canary: Canary, server: FakeServer) -> None:
    ran = canary("predict", "heart-prod", '{"height": 3}')

    assert ran.code == 2
    assert "features.age" in ran.err


def test_a_conflict_exits_with_4_and_shows_the_state_and_what_is_possible(canary: Canary, server: FakeServer) -> None:
    ran = canary("promote", "heart-prod", "--yes")

    assert ran.code == 4
    assert ran.out == ""
    assert "State: stable" in ran.err
    assert "Possible now: configure, start" in ran.err


def test_what_is_possible_is_named_as_it_is_typed(canary: Canary, server: FakeServer) -> None:
    server.start_canary("heart-prod", "heart@2", 20)

    ran = canary("undo", "heart-prod", "--yes")

    assert ran.code == 4
    assert "Possible now: configure, traffic, pause, promote, rollback" in ran.err


def test_options_are_taken_before_the_command_and_after_it(canary: Canary, server: FakeServer) -> None:
    url, nowhere = server.url, "http://127.0.0.1:9"

    before = canary("--url", url, "-o", "json", "status")
    after = canary("--url", nowhere, "-o", "yaml", "status", "--url", url, "-o", "json")

    assert before.document == after.document
    assert before.document["deployments"][0]["name"] == "heart-prod"


def test_the_url_of_the_environment_does_not_overrule_a_given_one(
    canary: Canary, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.url
    monkeypatch.setenv("SERINUS_URL", "http://127.0.0.1:9")

    assert canary("--url", url, "status").code == 0
    assert canary("status").code == 7


def test_json_stands_alone_on_stdout_whatever_is_said_besides(server: FakeServer) -> None:
    server.unacknowledged = ["gateway-2"]

    ran = run("start", "heart-prod", "2", "-o", "json", SERINUS_URL=server.url)

    assert ran.returncode == 0
    assert ran.stdout.startswith("{")
    assert ran.stdout.rstrip().endswith("}")
    assert "gateway-2" in ran.stderr


@pytest.mark.parametrize("how", ["table", "json", "yaml"])
def test_every_format_can_be_printed_where_only_ascii_gets_through(server: FakeServer, how: str) -> None:
    server.start_canary("heart-prod", "heart@2", 20)

    ran = run("status", "heart-prod", "-o", how, SERINUS_URL=server.url, PYTHONIOENCODING="ascii")

    assert ran.returncode == 0
    assert ran.stdout.isascii()
    assert "?" not in ran.stdout


def test_without_a_terminal_there_is_no_colour(server: FakeServer) -> None:
    assert "\x1b" not in run("status", SERINUS_URL=server.url).stdout


def test_a_reader_that_goes_away_is_no_trouble(server: FakeServer) -> None:
    pipe = subprocess.Popen(
        [sys.executable, "-c", "import sys; from serinus.cli import main; sys.exit(main())", "history", "heart-prod"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(SERINUS_URL=server.url),
    )
    assert pipe.stdout is not None
    pipe.stdout.close()
    assert pipe.stderr is not None
    trouble = pipe.stderr.read()
    pipe.stderr.close()
    pipe.wait(30)

    assert b"Traceback" not in trouble


def test_the_time_that_help_takes_is_within_bounds() -> None:
    def once() -> float:
        """Give the processor time it took, in which a busy machine has no part."""
        before = os.times()
        run("--help")
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    # The target is 0.4 s; a busy machine is given room.
    assert min(once() for _ in range(3)) < 1.0
