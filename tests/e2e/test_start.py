"""A server starts whole or not at all, and says why."""

import asyncio
import json
import socket
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
from tests import models
from tests.e2e.conftest import QUICK
from tests.e2e.load import ask_at_once
from tests.models import KNOWN, STABLE
from tests.server import Server, attempt_to_serve, eventually, serving, start

from serinus.assembly import assembled
from serinus.client import DocumentClient
from serinus.core.commands import Create, StartCanary
from serinus.core.errors import Unavailable
from serinus.core.names import VersionRef
from serinus.core.policy import Settings
from serinus.home import Home
from serinus.settings import read_settings

LOADING_S = 1.0


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@dataclass(frozen=True)
class Start:
    """A start on a home with two deployments: prod's baseline takes ``LOADING_S`` to load, lost's file has gone."""

    server: Server
    ready: httpx2.Response
    first: list[httpx2.Response]
    """The first predictions of prod."""
    lost: httpx2.Response
    """A prediction of the deployment without a model."""
    found: Callable[[], object]
    """Puts the model's file back."""


async def _fill(folder: Path) -> str:
    """Leave the two deployments in a home, and give the digest of lost's model."""
    settings = read_settings(home=folder, allow_pickle=True, check_interval=3600, canary_lease=86_400)
    with Home(folder) as home:
        async with assembled(settings, home) as system:
            for model in (models.Risk(loading=LOADING_S), models.Risk()):
                await system.registry.register(models.pickled(model), "risk")
            other = await system.registry.register(models.pickled(models.Risk(seconds=0.001)), "other")
            await system.engine.create(Create(name="prod", baseline=STABLE, settings=Settings(auto_promote=False)))
            await system.engine.execute("prod", StartCanary(canary=VersionRef("risk", 2), weight=50))
            await system.engine.create(Create(name="lost", baseline=other.ref, settings=Settings()))
    return other.draft.digest


@pytest.fixture(scope="module")
def second_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    folder = tmp_path_factory.mktemp("start")
    digest = asyncio.run(_fill(folder / "home")).removeprefix("sha256:")
    files = (file for file in (folder / "home" / "artifacts").rglob("*") if file.is_file())
    artifact = next(file for file in files if sha256(file.read_bytes()).hexdigest() == digest)
    away = artifact.rename(folder / "away")

    port = free_port()
    server = start(folder / "home", "--port", str(port), **QUICK)
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        try:
            while not server.announced:
                assert server.process.poll() is None, server.stderr
                # Nobody listens, or whoever does says that it is not ready.
                try:
                    assert http.get("/health/ready").status_code == 503
                except httpx2.ConnectError:
                    time.sleep(0.05)
            ready = http.get("/health/ready")
            first = [http.post("/predict/prod", json={"features": KNOWN}) for _ in range(20)]
            lost = http.post("/predict/lost", json={"features": KNOWN})
            yield Start(server, ready, first, lost, lambda: away.rename(artifact))
        finally:
            server.kill()


def test_nobody_is_answered_before_the_models_are_loaded_and_nobody_waits_for_loading(second_start: Start) -> None:
    assert {answer.status_code for answer in second_start.first} == {200}
    assert {answer.json()["model_role"] for answer in second_start.first} == {"baseline", "canary"}
    assert max(answer.elapsed.total_seconds() for answer in second_start.first) < 0.7 * LOADING_S


def test_a_model_that_cannot_be_loaded_is_told_keeps_nobody_else_and_is_served_once_it_can(
    second_start: Start,
) -> None:
    ready, lost = second_start.ready, second_start.lost
    assert ready.status_code == 503
    assert "lost" in ready.json()["checks"]["models"]
    assert "prod" not in ready.json()["checks"]["models"]
    assert lost.status_code == 503
    assert lost.json()["code"] == "SERINUS-UNAVAILABLE"
    assert lost.headers["retry-after"]
    assert {answer.status_code for answer in second_start.first} == {200}

    second_start.found()

    with second_start.server.http() as http:
        assert eventually(lambda: http.get("/health/ready").status_code == 200)
        assert http.post("/predict/lost", json={"features": KNOWN}).status_code == 200


async def _with_a_canary(folder: Path) -> str:
    """Leave a rollout in a home, and give the digest of the canary's model."""
    settings = read_settings(home=folder, allow_pickle=True, check_interval=3600, canary_lease=86_400)
    with Home(folder) as home:
        async with assembled(settings, home) as system:
            await system.registry.register(models.pickled(models.Risk()), "risk")
            canary = await system.registry.register(models.pickled(models.Risk(seconds=0.001)), "risk")
            await system.engine.create(Create(name="prod", baseline=STABLE, settings=Settings()))
            await system.engine.execute("prod", StartCanary(canary=canary.ref, weight=100))
    return canary.draft.digest


def test_a_canary_that_cannot_be_loaded_is_told_and_leaves_the_server_ready(tmp_path: Path) -> None:
    digest = asyncio.run(_with_a_canary(tmp_path / "home")).removeprefix("sha256:")
    for file in (tmp_path / "home" / "artifacts").rglob("*"):
        if file.is_file() and sha256(file.read_bytes()).hexdigest() == digest:
            file.unlink()

    with serving(tmp_path / "home", **QUICK) as server, server.http() as http:
        ready = http.get("/health/ready")
        answer = http.post("/predict/prod", json={"features": KNOWN})

    assert ready.status_code == 200
    assert "risk@2" in ready.json()["checks"]["rollouts"]
    assert (answer.status_code, answer.json()["model_role"]) == (200, "baseline")


async def test_loading_a_canary_holds_up_no_request(server: Server, client: DocumentClient, name: str) -> None:
    slow = VersionRef.parse(models.register(client, "risk", models.Risk(loading=LOADING_S))).version
    client.deploy(name, STABLE)

    async def start_canary() -> float:
        began = time.monotonic()
        await asyncio.to_thread(client.start, name, slow, 0)
        return time.monotonic() - began

    starting = asyncio.create_task(start_canary())
    replies = []
    while not starting.done():
        replies += await ask_at_once(server.port, name, 20, {"features": KNOWN}, connections=2)

    assert await starting > LOADING_S
    assert {reply.status for reply in replies} == {200}
    assert max(reply.seconds for reply in replies) < 0.7 * LOADING_S


def test_a_second_server_on_the_same_home_is_refused_with_where_the_first_one_is(server: Server) -> None:
    second = attempt_to_serve(server.home)

    assert second.returncode == 1
    assert str(server.home) in second.stderr
    assert server.url in second.stderr
    assert str(server.pid) in second.stderr
    assert "Traceback" not in second.stderr
    with server.http() as http:
        assert http.get("/health/ready").status_code == 200
    assert server.announced


def test_the_network_is_let_in_on_demand_alone(tmp_path: Path) -> None:
    refused = attempt_to_serve(tmp_path / "home", "--host", "0.0.0.0")

    assert refused.returncode == 2
    assert "0.0.0.0" in refused.stderr
    assert "--insecure" in refused.stderr
    assert not (tmp_path / "home").exists()


def test_whoever_lets_the_network_in_is_called_by_any_name(tmp_path: Path) -> None:
    with serving(tmp_path / "home", "--host", "0.0.0.0", "--insecure") as server:
        local = f"http://127.0.0.1:{server.port}/health"
        assert httpx2.get(local, headers={"host": "models.example"}, trust_env=False).status_code == 200


def test_a_port_in_use_is_named(server: Server, tmp_path: Path) -> None:
    refused = attempt_to_serve(tmp_path / "home", "--port", str(server.port))

    assert refused.returncode == 1
    assert f"127.0.0.1:{server.port}" in refused.stderr
    assert "--port 0" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("SERINUS_CHECK_INTERVAL", "abc", "unset"),
        ("SERINUS_DATABASE_URL", "mysql://db/serinus", "unset"),
        ("SERINUS_DATABASE_URL", "postgresql://localhost", "/NAME"),
        ("SERINUS_REDIS_URL", "redis://localhost/abc", "/0"),
        ("SERINUS_ARTIFACTS_URL", "s3://x", "s3://BUCKET"),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_its_value_and_what_to_do(
    tmp_path: Path, setting: str, value: str, remedy: str
) -> None:
    refused = attempt_to_serve(tmp_path / "home", **{setting: value})

    assert refused.returncode == 2, refused.stderr
    assert setting in refused.stderr
    assert value.partition("://")[0] in refused.stderr
    assert remedy in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_database_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "serinus.db").write_text("this is a diary, and no database" * 100)

    refused = attempt_to_serve(tmp_path / "home")

    assert refused.returncode == 1
    assert "serinus.db" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(Unavailable) as refused, Home(tmp_path / "file" / "home"):
        pass

    assert refused.value.field == "SERINUS_HOME"
    assert str(tmp_path / "file" / "home") in refused.value.message


def test_what_is_secret_in_the_home_is_its_owners_alone(server: Server) -> None:
    modes = {name: stat.S_IMODE((server.home / name).stat().st_mode) for name in ("hash.key", "server.json")}

    assert modes == {"hash.key": 0o600, "server.json": 0o600}
    assert stat.S_IMODE(server.home.stat().st_mode) == 0o700
    assert json.loads((server.home / "server.json").read_text())["pid"] == server.pid
