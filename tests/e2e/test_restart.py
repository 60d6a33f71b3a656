"""A server that ends, in whatever way, takes nothing with it that was answered, and the next one goes on from there."""

import asyncio
import math
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests import models
from tests.e2e.conftest import QUICK
from tests.e2e.load import Connection, Lost, Reply, ask_at_once
from tests.e2e.reporting import say
from tests.models import KNOWN, STABLE
from tests.server import PATIENCE_S, Server, eventually, serving

from serinus.client import DocumentClient
from serinus.core.events import TRANSITIONS
from serinus.core.names import VersionRef

CONNECTIONS = 8
SLOW_S = 0.5
WEIGHT = 30
SETTINGS = QUICK | {"SERINUS_PREDICT_TIMEOUT": "3"}
POLICY = {"auto_promote": False, "auto_rollback": False, "policy": {"interval_s": 0.2, "p95_margin_ms": 10_000}}
"""Under which a busy machine, on which one of two equal versions may be slower for a while, is no bad health."""


@dataclass(frozen=True)
class Seen:
    """What a client sees of a deployment."""

    state: dict[str, Any]
    events: list[dict[str, Any]]
    health: dict[str, Any]
    metrics: dict[str, Any]

    @classmethod
    def by(cls, client: DocumentClient) -> "Seen":
        return cls(
            client.deployment("prod"),
            client.events("prod", limit=1000)["events"],
            client.health("prod"),
            client.metrics("prod"),
        )

    @property
    def requests(self) -> int:
        return int(self.metrics["baseline"]["requests"] + self.metrics["canary"]["requests"])


@dataclass
class Traffic:
    """What callers met while a server ended."""

    replies: list[Reply] = field(default_factory=list)
    slow: list[Reply] = field(default_factory=list)
    lost: list[bool] = field(default_factory=list)
    """For each connection that ended without an answer, whether a part of it had come."""

    @property
    def answered(self) -> set[str]:
        return {str(reply.document["prediction_id"]) for reply in self.replies if reply.status == 200}


@dataclass(frozen=True)
class Life:
    """One server's life: what was seen before its end, what callers met then, what is in its database after."""

    before: Seen
    traffic: Traffic
    exit_code: int
    logged: set[str]
    of_rollout: int
    """How many logged predictions of prod there are, over all lives so far."""
    snapshots: int
    integrity: str


async def _until_the_end(server: Server, traffic: Traffic, ending: signal.Signals) -> None:
    """Keep a server busy, with some slow requests under way when it is told to end."""

    async def keep_asking() -> None:
        connection = Connection(server.port)
        try:
            while True:
                traffic.replies.append(await connection.predict("prod", {"features": KNOWN}))
        except Lost as lost:
            traffic.lost.append(lost.begun)
        except ConnectionRefusedError:
            traffic.lost.append(False)
        finally:
            await connection.close()

    async def ask_slowly() -> None:
        connection = Connection(server.port)
        try:
            traffic.slow.append(await connection.predict("slow", {"features": KNOWN}))
        except Lost as lost:
            traffic.lost.append(lost.begun)
        finally:
            await connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(keep_asking())
        await asyncio.sleep(0.8)
        for _ in range(CONNECTIONS):
            group.create_task(ask_slowly())
        await asyncio.sleep(SLOW_S / 2)
        server.process.send_signal(ending)


def _live(server: Server, ending: signal.Signals) -> Life:
    with server.client() as client:
        before = Seen.by(client)
    traffic = Traffic()
    asyncio.run(_until_the_end(server, traffic, ending))
    exit_code = server.process.wait(PATIENCE_S)
    with closing(sqlite3.connect(server.database)) as database:
        logged = {row[0] for row in database.execute("SELECT id FROM predictions")}
        (of_rollout,) = database.execute("SELECT count(*) FROM predictions WHERE rollout = 'prod:1'").fetchone()
        (snapshots,) = database.execute("SELECT count(*) FROM health_snapshots").fetchone()
        (integrity,) = database.execute("PRAGMA integrity_check").fetchone()
    return Life(before, traffic, exit_code, logged, of_rollout, snapshots, integrity)


@dataclass(frozen=True)
class Lives:
    """A server told to end, the next one on the same home killed, and the third."""

    first: Life
    second: Life
    third: Seen
    fresh: list[Reply]
    """What the second one answered at once."""
    logged: list[str]
    """What was logged in all three."""


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    home = tmp_path_factory.mktemp("lives") / "home"
    with serving(home, **SETTINGS) as server:
        with server.client() as client:
            models.register(client, "risk", models.Risk())
            models.register(client, "risk", models.Risk())
            models.register(client, "slow", models.Risk(seconds=SLOW_S))
            client.deploy("slow", VersionRef("slow", 1))
            client.deploy("prod", STABLE, POLICY, reason="first")
            client.start("prod", 2, 10, reason="second")
            client.set_weight("prod", WEIGHT, reason="third")
            asyncio.run(ask_at_once(server.port, "prod", 300, {"features": KNOWN}, connections=CONNECTIONS))
            assert eventually(lambda: client.health("prod")["health"] == "healthy")
        first = _live(server, signal.SIGTERM)
    with serving(home, **SETTINGS) as server:
        with server.client() as client:
            seen = Seen.by(client)
        fresh = asyncio.run(ask_at_once(server.port, "prod", 400, {"features": KNOWN}, connections=CONNECTIONS))
        second = _live(server, signal.SIGKILL)
    second = Life(seen, *[getattr(second, name) for name in list(Life.__dataclass_fields__)[1:]])
    with serving(home, **SETTINGS) as server, server.client() as client:
        assert eventually(lambda: len(list((home / "journal").glob("*/*"))) == 1), "that of the killed one is left"
        with closing(sqlite3.connect(server.database)) as database:
            logged = [row[0] for row in database.execute("SELECT id FROM predictions")]
        yield Lives(first, second, Seen.by(client), fresh, logged)


def test_a_server_told_to_end_answers_what_it_has_begun(lives: Lives) -> None:
    first = lives.first

    assert first.exit_code == 0
    assert Counter(reply.status for reply in first.traffic.slow) == {200: CONNECTIONS}
    assert {reply.status for reply in first.traffic.replies} == {200}
    assert not any(first.traffic.lost)


def test_every_answer_of_a_server_told_to_end_is_in_the_log_once(lives: Lives) -> None:
    traffic, logged = lives.first.traffic, lives.first.logged
    slow = {str(reply.document["prediction_id"]) for reply in traffic.slow}
    say(f"{len(traffic.answered)} answered under load, {len(traffic.lost)} connections closed, {len(logged)} logged")

    assert len(traffic.answered) == len(traffic.replies) > 100
    assert traffic.answered | slow <= logged
    # 300 were asked before; an answer that was given and never arrived may be in the log besides.
    assert 0 <= len(logged) - len(traffic.answered | slow) - 300 <= len(traffic.lost)


@pytest.mark.parametrize("life", ["second", "third"])
def test_the_next_server_has_the_same_state_and_timeline(lives: Lives, life: str) -> None:
    then = lives.first.before if life == "second" else lives.second.before
    now = lives.second.before if life == "second" else lives.third

    assert now.state == then.state
    assert now.state["rollout"]["weight"] == WEIGHT
    assert now.events[: len(then.events)] == then.events
    changes = [event for event in now.events if event["kind"] in TRANSITIONS]
    assert [(event["generation"], event["reason"]) for event in changes] == [(1, "first"), (2, "second"), (3, "third")]


def test_the_share_is_in_force_again_from_the_first_request(lives: Lives) -> None:
    drawn = Counter(reply.document["model_role"] for reply in lives.fresh)
    allowed = 4 * math.sqrt(400 * 0.3 * 0.7)

    assert drawn.total() == 400
    assert abs(drawn["canary"] - 120) <= allowed


def test_the_evidence_goes_on_from_where_it_stood(lives: Lives) -> None:
    assert lives.second.before.requests == lives.first.of_rollout
    assert lives.second.before.metrics["canary"]["requests"] > lives.first.before.metrics["canary"]["requests"]
    assert lives.third.requests >= lives.second.before.requests


def test_the_checks_go_on_with_what_was_seen_before(lives: Lives) -> None:
    then, now = lives.first.before.health, lives.second.before.health

    assert lives.second.snapshots > lives.first.snapshots
    assert now["checked_at"] >= then["checked_at"]
    assert lives.third.health["health"] == "healthy"
    assert lives.third.health["canary"]["requests"] >= then["canary"]["requests"]


def test_a_server_that_is_killed_leaves_a_whole_database(lives: Lives) -> None:
    assert lives.second.exit_code == -signal.SIGKILL
    assert lives.second.integrity == "ok"


def test_every_answer_of_a_server_that_is_killed_is_logged_once_by_the_next_one(lives: Lives) -> None:
    killed = lives.second
    answered = {*killed.traffic.answered, *(str(reply.document["prediction_id"]) for reply in lives.fresh)}
    new = [identity for identity in lives.logged if identity not in lives.first.logged]
    late = set(new) - killed.logged
    say(f"killed: {len(killed.traffic.answered)} answered, the last {len(late)} of them logged by the next server")

    assert answered <= set(new)
    assert len(new) == len(set(new))
    # An answer that was logged and given may never have arrived.
    assert len(new) - len(answered) <= len(killed.traffic.lost)
