"""The console command against the server that it is made for."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from tests.cli.conftest import Canary
from tests.cli.terminal import COMMAND, at_terminal, environment, run

from serinus.client import DocumentClient

PATIENCE_S = 60.0
KNOWN = {"age": 63, "clinic": "north"}
UNSEEN = {"age": 63, "clinic": "moon"}


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.1)
    return False


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def serving(home: Path, port: int = 0) -> Iterator[str]:
    """Run `canary serve` and give its URL."""
    with (home.parent / "serve.log").open("a") as log:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--home", str(home), "--port", str(port)],
            stdout=log,
            stderr=log,
            env=environment(SERINUS_CHECK_INTERVAL="0.1"),
        )
    announced = home / "server.json"
    try:
        assert eventually(lambda: announced.exists() or process.poll() is not None)
        assert process.poll() is None, (home.parent / "serve.log").read_text()
        yield json.loads(announced.read_text())["url"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training data, a model that takes any clinic, and one that raises at a clinic it has not seen."""
    folder = tmp_path_factory.mktemp("server")
    data = pd.DataFrame(
        {"age": [63, 41, 57, 29] * 5, "clinic": ["north", "south", "north", "south"] * 5, "num": [0, 1, 1, 0] * 5}
    )
    data.to_csv(folder / "train.csv", index=False)
    for name, unknown in (("good", "ignore"), ("fragile", "error")):
        encoder = make_column_transformer((OneHotEncoder(handle_unknown=unknown), ["clinic"]), remainder="passthrough")
        model = make_pipeline(encoder, LogisticRegression()).fit(data[["age", "clinic"]], data["num"])
        skops.io.dump(model, folder / f"{name}.skops")
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """A running server with good as heart@1 and fragile as heart@2."""
    with serving(folder / "home") as url:
        for name, accuracy in (("good", "0.852"), ("fragile", "0.541")):
            done = run(
                *("register", "heart", str(folder / f"{name}.skops"), "--data", str(folder / "train.csv")),
                *("--target", "num", "--metric", f"accuracy={accuracy}", "--url", url),
            )
            assert done.returncode == 0, done.stderr
        yield url


@pytest.fixture(autouse=True)
def _server_in_the_environment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERINUS_URL", url)


def test_registered_models_are_listed_with_what_is_known_of_them(canary: Canary) -> None:
    versions = canary("models", "heart", "-o", "json").document["versions"]

    assert [version["ref"] for version in versions] == ["heart@1", "heart@2"]
    assert versions[0]["metrics"] == {"accuracy": 0.852}
    assert versions[0]["examples"] > 0
    assert versions[0]["lineage"]["dataset_digest"].startswith("sha256:")


def test_a_misspelt_deployment_brings_those_that_are_like_it(canary: Canary) -> None:
    canary("deploy", "tumors-prod", "heart@1")

    looked, steered, other = (
        canary("status", "tumor-prod"),
        canary("start", "tumr-prod", "2"),
        canary("status", "something-else"),
    )

    assert [each.code for each in (looked, steered, other)] == [3, 3, 3]
    assert "Did you mean tumors-prod?" in looked.err
    assert "Did you mean tumors-prod?" in steered.err
    assert "Did you mean" not in other.err


def test_a_release_is_steered_from_start_to_undo(canary: Canary) -> None:
    steps = [
        canary("deploy", "steered", "heart@1", "--no-auto-promote"),
        canary("start", "steered", "2", "--weight", "20"),
        canary("traffic", "steered", "+10"),
        canary("pause", "steered"),
        canary("resume", "steered"),
        canary("promote", "steered", "--yes", "--reason", "better"),
        canary("undo", "steered", "--yes"),
    ]

    assert [step.code for step in steps] == [0] * 7
    assert "30 %" in steps[2].out
    assert canary("status", "steered", "-o", "json").document["baseline"] == "heart@1"
    kinds = [e["kind"] for e in canary("history", "steered", "--reverse", "-o", "json").document["events"]]
    assert kinds == [
        *("deployment_created", "canary_started", "traffic_adjusted", "paused", "resumed"),
        *("promoted", "promotion_undone"),
    ]


def test_a_bad_canary_is_rolled_back_by_itself_and_the_history_tells_why(canary: Canary, url: str) -> None:
    canary("deploy", "guarded", "heart@1", "--interval", "0.1s")
    canary("start", "guarded", "2", "--weight", "50")
    with DocumentClient(url) as client:
        for _ in range(100):
            assert client.predict("guarded", UNSEEN)["model_version"] == "heart@1"

        # In force at once, on record a moment later.
        assert eventually(lambda: client.events("guarded")["events"][-1]["kind"] == "auto_rollback_triggered")

    history = canary("history", "guarded", "--limit", "50", "-o", "json").document["events"]
    assert {"canary_started", "health_check_failed", "rolled_back", "auto_rollback_triggered"} <= {
        event["kind"] for event in history
    }
    health = canary("health", "guarded")
    assert health.code == 0  # no canary runs any more
    assert "critical" in health.out
    assert "has ended" in health.out
    metrics = canary("metrics", "guarded", "-o", "json").document
    assert metrics["canary"]["error_rate"] == 1.0
    assert metrics["baseline"]["model_errors"] == 0


def test_a_rollout_is_explained_and_comes_out_as_it_was_when_it_is_judged_again(
    canary: Canary, url: str, tmp_path: Path
) -> None:
    (tmp_path / "bolder.yaml").write_text("alpha: 0.1\nerrorMargin: 0.2\n")
    canary("deploy", "replayed", "heart@1", "--interval", "0.1s")
    canary("start", "replayed", "2", "--weight", "50")
    with DocumentClient(url) as client:
        for _ in range(100):
            client.predict("replayed", UNSEEN)
        assert eventually(lambda: client.deployment("replayed")["status"] == "stable"), client.health("replayed")
        # In force at once, on record a moment later.
        assert eventually(lambda: "rolled_back" in {each["kind"] for each in client.events("replayed")["events"]})

    again = canary("replay", "replayed:1", "--policy", str(tmp_path / "bolder.yaml"), "-o", "json")
    shown = canary("replay", "replayed:1")
    explained = canary("explain", "replayed")

    assert (again.code, shown.code, explained.code) == (0, 0, 0)
    assert again.document["same"] == again.document["looks"] > 0
    assert again.document["other"]["rollback"]["look"] <= again.document["recorded"]["rollback"]["look"]
    assert "every verdict comes out as it was" in shown.out
    assert "rolled back" in explained.out
    assert "odds" in explained.out


def test_a_plan_is_followed_by_a_persons_word(canary: Canary) -> None:
    canary("deploy", "planned", "heart@1")

    started = canary("start", "planned", "2", "--plan", "standard", "-o", "json")
    early = canary("approve", "planned")
    replaced = canary("start", "planned", "2", "--plan", "article", "--replace", "-o", "json")

    assert (started.code, early.code, replaced.code) == (0, 4, 0)
    assert started.document["rollout"]["plan"]["name"] == "standard"
    assert replaced.document["rollout"]["weight"] == 20.0
    assert "article: step" in canary("status", "planned").out
    assert canary("rollback", "planned").code == 0


def test_a_forecast_is_made_of_a_plan(canary: Canary, tmp_path: Path) -> None:
    canary("deploy", "foreseen", "heart@1")
    (tmp_path / "plan.yaml").write_text(canary("plan", "show", "standard", "-o", "yaml").out)

    named = canary("forecast", "foreseen", "--plan", "standard", "--rate", "50", "-o", "json")
    read = canary("forecast", "foreseen", "--plan", str(tmp_path / "plan.yaml"), "--rate", "50", "-o", "json")

    assert (named.code, read.code) == (0, 0)
    assert named.document["plan"] == read.document["plan"]
    assert "The plan" in canary("forecast", "foreseen", "--plan", "standard", "--rate", "50").out


def test_every_view_of_a_running_canary_can_be_shown(canary: Canary, url: str) -> None:
    canary("deploy", "shown", "heart@1", "--no-auto-promote", "--interval", "0.1s")
    canary("start", "shown", "2", "--weight", "50")
    with DocumentClient(url) as client:
        for _ in range(40):
            client.predict("shown", KNOWN)
        assert eventually(lambda: client.health("shown")["health"] == "healthy")

    assert "✓ healthy" in canary("status").out
    status = canary("status", "shown")
    for fact in ("50 %", "✓ healthy", "errors", "p95", "points", "odds"):
        assert fact in status.out
    assert canary("health", "shown").code == 0
    assert "mean" in canary("metrics", "shown").out
    assert "check passed" in canary("history", "shown").out
    assert "heart@" in canary("predict", "shown", json.dumps(KNOWN), "--entity", "patient-7").out


def test_errors_of_the_server_have_their_exit_codes(canary: Canary) -> None:
    canary("deploy", "strict", "heart@1")

    assert canary("status", "nowhere").code == 3
    assert canary("deploy", "other", "heart@9").code == 3
    assert canary("deploy", "strict", "heart@1").code == 4
    assert canary("configure", "strict", "--error-delta", "5").code == 2
    assert canary("history", "strict", "--kind", "nonsense").code == 2
    assert canary("predict", "strict", '{"age": "old"}').code == 2
    conflict = canary("rollback", "strict")
    assert conflict.code == 4
    assert "Possible now: configure, start" in conflict.err


def test_an_answer_given_late_does_not_hold(canary: Canary, url: str) -> None:
    canary("deploy", "raced", "heart@1", "--no-auto-promote")
    canary("start", "raced", "2")

    with at_terminal("promote", "raced", SERINUS_URL=url) as terminal:
        terminal.wait_for("[y/N]")
        canary("traffic", "raced", "30")
        terminal.type("y\n")

        assert terminal.end() == 4


def test_watch_waits_for_a_server_and_goes_on_through_its_restart(folder: Path) -> None:
    home, port = folder / "restarted", free_port()
    with at_terminal("status", "--watch", SERINUS_URL=f"http://127.0.0.1:{port}") as terminal:
        terminal.wait_for("unreachable, retrying")
        for _ in range(2):
            with serving(home, port):
                terminal.screen = ""
                terminal.wait_for("No deployments yet")
            terminal.screen = ""
            terminal.wait_for("unreachable, retrying")
        terminal.interrupt()

        assert terminal.end() == 0


def test_a_port_that_is_taken_is_named(url: str, tmp_path: Path) -> None:
    port = url.rpartition(":")[2]

    done = run("serve", "--home", str(tmp_path / "other"), "--port", port)

    assert done.returncode == 1
    assert port in done.stderr
    assert "Traceback" not in done.stderr


def test_the_network_is_not_let_in_by_accident(tmp_path: Path) -> None:
    done = run("serve", "--home", str(tmp_path / "other"), "--host", "0.0.0.0", "--port", "0")

    assert done.returncode == 2
    assert "--insecure" in done.stderr


def test_a_server_ends_on_demand_without_a_failure(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "serve", "--home", str(tmp_path / "home"), "--port", "0"],
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    assert eventually((tmp_path / "home" / "server.json").exists)
    os.kill(process.pid, signal.SIGINT)

    assert process.wait(PATIENCE_S) == 0
