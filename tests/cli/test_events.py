"""Events of all deployments, those that were and those that come, and where what is deployed comes from."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import models
from tests.cli.conftest import Canary
from tests.cli.terminal import COMMAND, environment
from tests.models import STABLE
from tests.server import PATIENCE_S, Server, eventually, serving, start
from tests.service import free_ports

from serinus.core.records import Lineage

SETTINGS = {"SERINUS_ALLOW_PICKLE": "true"}
NAMES = ("first", "second")
ORIGINS = (
    Lineage("sha256:aa11", "run-1", "c0ffee"),
    Lineage("sha256:bb22", "run-2", "beef", parent="risk@1"),
    Lineage(),
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two deployments, of which the first had a canary, and has another one."""
    with serving(tmp_path_factory.mktemp("events") / "home", **SETTINGS) as server, server.client() as client:
        for lineage in ORIGINS:
            models.register(client, STABLE.model, models.Risk(), lineage=lineage, metrics={"accuracy": 0.9})
        for name in NAMES:
            client.deploy(name, STABLE, {"auto_promote": False, "auto_rollback": False})
        client.start("first", 2, 10)
        client.rollback("first", reason="enough seen")
        client.start("first", 3, 10)
        yield server


@pytest.fixture(autouse=True)
def _at(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERINUS_URL", running.url)


def happened(document: dict[str, list[dict[str, object]]]) -> list[tuple[object, object]]:
    return [(each["deployment"], each["kind"]) for each in document["events"]]


ALL = [
    ("first", "deployment_created"),
    ("second", "deployment_created"),
    ("first", "canary_started"),
    ("first", "rolled_back"),
    ("first", "canary_started"),
]


def test_the_newest_events_of_all_deployments_are_shown_in_their_order(canary: Canary) -> None:
    assert happened(canary("events", "-o", "json").document) == ALL
    assert happened(canary("events", "-n", "2", "-o", "json").document) == ALL[3:]
    assert happened(canary("events", "second", "-o", "json").document) == ALL[1:2]


def test_events_are_chosen_by_kind_time_and_id(canary: Canary) -> None:
    everything = canary("events", "-o", "json").document["events"]
    second = everything[1]

    assert happened(canary("events", "-k", "rolled_back", "-o", "json").document) == ALL[3:4]
    assert happened(canary("events", "--since", second["at"], "-o", "json").document) == ALL[1:]
    assert happened(canary("events", "--since", "1h", "-o", "json").document) == ALL
    assert happened(canary("events", "--after", str(second["id"]), "-o", "json").document) == ALL[2:]


def test_people_see_one_line_an_event_with_its_deployment(canary: Canary) -> None:
    ran = canary("events")

    lines = [line for line in ran.out.splitlines() if "second" in line or "first" in line]
    assert len(lines) == 5
    assert "enough seen" in ran.out


@pytest.mark.parametrize("since", ["yesterday", "5", "-3h", "99999999999d", ""])
def test_what_is_no_time_is_refused(since: str, canary: Canary) -> None:
    ran = canary("events", f"--since={since}")

    assert ran.code == 2
    assert "--since" in ran.err


def test_a_deployment_that_does_not_exist_brings_those_that_are_like_it(canary: Canary) -> None:
    for arguments in (("events", "frist"), ("events", "frist", "--follow")):
        ran = canary(*arguments)

        assert ran.code == 3
        assert "Did you mean first?" in ran.err


def test_following_shows_each_event_once_through_the_death_of_the_server_until_ctrl_c(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    home, told = tmp_path / "home", tmp_path / "told.jsonl"
    server = start(home, "--port", str(port), **SETTINGS)
    server.wait_until_ready()
    with server.client() as client:
        models.register(client, STABLE.model, models.Risk())
        client.deploy("before", STABLE)
        client.configure("before", {"sticky": True})
    # From the second event on: the first is told as one that was there already.
    command = [*COMMAND, "events", "--follow", "--after", "1", "-o", "json", "--url", f"http://127.0.0.1:{port}"]
    with told.open("w") as out:
        following = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, env=environment())

    def seen() -> list[int]:
        return [json.loads(line)["id"] for line in told.read_text().splitlines()]

    try:
        assert eventually(lambda: seen() == [2])
        with server.client() as client:
            client.deploy("during", STABLE)
        assert eventually(lambda: seen() == [2, 3])
        server.kill()
        server = start(home, "--port", str(port), **SETTINGS)
        server.wait_until_ready()
        with server.client() as client:
            client.deploy("after", STABLE)
        assert eventually(lambda: seen() == [2, 3, 4]), seen()
        following.send_signal(signal.SIGINT)
        _, said = following.communicate(timeout=PATIENCE_S)
    finally:
        following.kill()
        following.wait()
        server.kill()

    assert following.returncode == 0
    assert said == b""


def test_following_since_then_begins_with_what_was(running: Server, tmp_path: Path) -> None:
    told = tmp_path / "told.txt"
    command = [*COMMAND, "events", "first", "--follow", "--since", "1h", "-k", "rolled_back"]
    with told.open("w") as out:
        following = subprocess.Popen(command, stdout=out, env=environment(SERINUS_URL=running.url))
    try:
        assert eventually(lambda: "enough seen" in told.read_text())
    finally:
        following.kill()
        following.wait()

    assert len(told.read_text().splitlines()) == 1


# -------------------------------------------------------------------------------------------- traces


def test_a_rolled_back_canary_is_traced_to_its_training_data(canary: Canary) -> None:
    for arguments in (("--rollout", "1"), ("--rollout", "first:1"), ("--version", "risk@2")):
        traced = canary("trace", "first", *arguments, "-o", "json").document

        assert traced["rollout"]["phase"] == "rolled_back"
        assert (traced["decision"]["kind"], traced["decision"]["reason"]) == ("rolled_back", "enough seen")
        version, parent = traced["versions"]["canary"]
        assert (version["ref"], version["run_id"], version["git_commit"]) == ("risk@2", "run-2", "beef")
        assert (version["dataset_digest"], version["metrics"]) == ("sha256:bb22", {"accuracy": 0.9})
        assert (parent["ref"], parent["dataset_digest"]) == ("risk@1", "sha256:aa11")


def test_without_more_the_last_rollout_and_its_baseline_are_traced(canary: Canary) -> None:
    traced = canary("trace", "first", "-o", "json").document

    assert traced["rollout"]["id"] == "first:2"
    first = {role: line[0]["ref"] for role, line in traced["versions"].items()}
    assert first == {"canary": "risk@3", "baseline": "risk@1"}


def test_people_see_the_path_and_where_it_ends(canary: Canary) -> None:
    bad = canary("trace", "first", "--version", "risk@2").out
    for fact in ("first:1", "rolled back", "enough seen", "run-2", "sha256:bb22"):
        assert fact in bad
    assert bad.index("sha256:bb22") < bad.index("made from") < bad.index("sha256:aa11")

    unknown = canary("trace", "first").out
    assert unknown.index("canary  risk@3") < unknown.index("not recorded") < unknown.index("baseline  risk@1")


def test_a_deployment_without_a_rollout_is_traced_by_its_baseline(canary: Canary) -> None:
    for arguments in ((), ("--version", "risk@1")):
        traced = canary("trace", "second", *arguments, "-o", "json").document

        assert traced["rollout"] is None
        assert traced["versions"]["baseline"][0]["dataset_digest"] == "sha256:aa11"
    assert "sha256:aa11" in canary("trace", "second").out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--version", "risk@9"), 2),
        (("--version", "risk"), 2),
        (("--rollout", "9"), 3),
        (("--rollout", "other:1"), 2),
        (("--rollout", "x"), 2),
        (("--rollout", "1", "--version", "risk@1"), 2),
    ],
)
def test_what_was_never_there_has_no_trace(arguments: tuple[str, ...], code: int, canary: Canary) -> None:
    assert canary("trace", "first", *arguments).code == code
