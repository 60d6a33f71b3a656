"""Versions that other engines compute: split, judged, failed over and rolled back as those that run here are."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.e2e.conftest import QUICK
from tests.e2e.load import ask_at_once
from tests.models import KNOWN
from tests.peers.mlserver import MLServer, Served
from tests.server import Server, eventually, serving
from tests.service import HOST, provided

from serinus.cli import main
from serinus.cli.exits import ExitCode
from serinus.client import ApiError, DocumentClient
from serinus.core.names import VersionRef

REQUEST = {"features": KNOWN}
RIGHT = Served("heart", (0.02, 0.004), -2.0)
OTHER = Served("heart", (0.02, 0.003), -2.0, version="2", layout="matrix")
SLOW = Served("slow", (0.02, 0.004), -2.0, seconds=2.2)
BY_ITSELF = {"policy": {"interval_s": 0.1}, "auto_promote": False}
BY_HAND = {"auto_rollback": False, "auto_promote": False}
SIGNATURE = {
    "features": [{"name": "age", "dtype": "int"}, {"name": "chol", "dtype": "float"}],
    "output": {"kind": "class", "classes": [0, 1], "class_names": ["well", "ill"]},
}
BASELINE = VersionRef("heart", 1)
CANARY, SLOW_ONE, OF_ONE_TEST = 2, 3, 4


class Engines(NamedTuple):
    """Two MLServers: one for the baseline, and one for canaries, which tests stop."""

    production: MLServer
    trial: MLServer


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    with provided(MLServer([RIGHT, SLOW])) as production, provided(MLServer([OTHER])) as trial:
        yield Engines(production, trial)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, engines: Engines) -> Iterator[Server]:
    """A server with heart@1, and on the engine for canaries heart@2 and @4; heart@3 is slow."""
    folder = tmp_path_factory.mktemp("remote")
    allowed = {"SERINUS_REMOTE_MODELS": f"engine.example.org,{HOST}", "SERINUS_PREDICT_TIMEOUT": "2"}
    with serving(folder / "home", **allowed, **QUICK) as server:
        for url in (
            engines.production.url("heart"),
            engines.trial.url("heart", "2"),
            engines.production.url("slow"),
            engines.trial.url("heart", "2"),
        ):
            assert register(server, folder, url) == ExitCode.OK
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[DocumentClient]:
    with server.client() as client:
        yield client


def register(server: Server, folder: Path, url: str, examples: Any = ((63, 233.0),)) -> int:
    """Register a remote version of heart as a user would."""
    (folder / "signature.json").write_text(json.dumps(SIGNATURE))
    (folder / "examples.json").write_text(json.dumps(examples))
    files = ("--signature", str(folder / "signature.json"), "--examples", str(folder / "examples.json"))
    return main(["register", "heart", "--remote", url, *files, "--url", server.url])


def the_trial_engine_is_up(engines: Engines) -> None:
    if engines.trial.process is None:
        engines.trial.start()


async def test_both_roles_are_answered_by_their_engines(
    server: Server, client: DocumentClient, engines: Engines, name: str
) -> None:
    the_trial_engine_is_up(engines)
    client.deploy(name, BASELINE, BY_HAND)
    client.start(name, CANARY, 50)

    replies = await ask_at_once(server.port, name, 100, REQUEST, connections=8)

    assert {reply.status for reply in replies} == {200}
    for role, served in (("baseline", RIGHT), ("canary", OTHER)):
        documents = [reply.document for reply in replies if reply.document["model_role"] == role]
        chance = served.probability(**KNOWN)
        assert {(each["prediction"], each["prediction_class"]) for each in documents} == {
            (int(chance > 0.5), "ill" if chance > 0.5 else "well")
        }
        assert documents[0]["confidence"] == pytest.approx(max(chance, 1.0 - chance))
        assert not any(each["failover"] for each in documents)


async def test_an_engine_that_is_killed_costs_no_caller_anything_and_its_canary_is_rolled_back(
    server: Server, client: DocumentClient, engines: Engines, name: str
) -> None:
    the_trial_engine_is_up(engines)
    client.deploy(name, BASELINE, BY_ITSELF)
    client.start(name, OF_ONE_TEST, 50)
    assert {each.status for each in await ask_at_once(server.port, name, 20, REQUEST, connections=4)} == {200}
    engines.trial.kill()

    replies = await ask_at_once(server.port, name, 200, REQUEST, connections=4)

    assert {reply.status for reply in replies} == {200}
    assert {reply.document["model_role"] for reply in replies} == {"baseline"}
    assert any(reply.document["failover"] for reply in replies)
    assert eventually(lambda: client.deployment(name)["status"] == "stable")
    assert eventually(lambda: client.events(name)["events"][-1]["kind"] == "auto_rollback_triggered")
    assert client.events(name)["events"][-1]["data"]["baseline"]["error_rate"] == 0.0

    with pytest.raises(ApiError, match="not ready") as refused:
        client.start(name, OF_ONE_TEST, 50)
    assert refused.value.code == "SERINUS-UNAVAILABLE"

    engines.trial.start()
    client.start(name, OF_ONE_TEST, 50)
    replies = await ask_at_once(server.port, name, 50, REQUEST, connections=4)
    assert {reply.status for reply in replies} == {200}
    assert {reply.document["model_role"] for reply in replies} == {"baseline", "canary"}
    assert not any(reply.document["failover"] for reply in replies)


async def test_an_engine_that_hangs_is_failed_over_within_the_deadline_and_answers_when_it_is_back(
    server: Server, client: DocumentClient, engines: Engines, name: str
) -> None:
    the_trial_engine_is_up(engines)
    client.deploy(name, BASELINE, BY_HAND)
    client.start(name, CANARY, 100)
    engines.trial.pause()

    replies = await ask_at_once(server.port, name, 8, REQUEST, connections=8)

    assert {reply.status for reply in replies} == {200}
    assert all(reply.document["failover"] for reply in replies)
    assert eventually(lambda: client.metrics(name)["canary"]["timeouts"] == 8)
    engines.trial.resume()
    again = await ask_at_once(server.port, name, 8, REQUEST, connections=8)
    assert {(reply.document["model_role"], reply.document["failover"]) for reply in again} == {("canary", False)}


def test_a_version_that_is_slower_than_the_deadline_is_not_started(client: DocumentClient, name: str) -> None:
    client.deploy(name, BASELINE, BY_HAND)

    with pytest.raises(ApiError, match="needs more than") as refused:
        client.start(name, SLOW_ONE, 50)
    assert refused.value.code == "SERINUS-CONTRACT"


def test_an_engine_at_a_place_that_is_not_allowed_is_not_registered(
    server: Server, engines: Engines, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    elsewhere = engines.production.url("heart").replace(HOST, "localhost")

    assert register(server, tmp_path, elsewhere) == ExitCode.USAGE
    assert "SERINUS_REMOTE_MODELS" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("path", "code"),
    [("/v2/models/absent", ExitCode.NOT_FOUND), ("/v2/models/heart?x=1", ExitCode.USAGE), ("", ExitCode.USAGE)],
)
def test_what_is_no_model_of_the_engine_is_not_registered(
    server: Server, engines: Engines, tmp_path: Path, path: str, code: ExitCode
) -> None:
    assert register(server, tmp_path, engines.production.address + path) == code


def test_rows_that_do_not_fit_the_signature_are_not_registered(
    server: Server, engines: Engines, tmp_path: Path
) -> None:
    assert register(server, tmp_path, engines.production.url("heart"), [["old", 1]]) == ExitCode.USAGE


def test_an_engine_that_nobody_runs_is_named(server: Server, tmp_path: Path) -> None:
    assert register(server, tmp_path, f"http://{HOST}:9/v2/models/heart") == ExitCode.UNREACHABLE
