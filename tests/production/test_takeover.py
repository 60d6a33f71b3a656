"""One checker leads, another takes over: when the leader is paused, killed or told to end; and what holds without any.

What is real: two gateways and the checkers, each a `canary` process, on a PostgreSQL of their own, Redis and S3. The
checkers tell PostgreSQL their names, and a trigger notes who wrote what.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx2
import psycopg
import pytest
from redis import Redis
from tests import models
from tests.e2e.reporting import say
from tests.models import KNOWN, STABLE
from tests.production.agreement import record_of
from tests.production.conftest import MakeFleet
from tests.production.fleet import Fleet
from tests.production.load import load
from tests.production.watching import readings
from tests.server import COMMAND, PATIENCE_S, Server, environment, eventually
from tests.services import PostgreSQL, provided

from serinus.cli.exits import ExitCode
from serinus.core.events import EventKind
from serinus.core.routing import Cut, Role, Split
from serinus.leadership import LEASE_S, RENEW_S

GOOD, BAD = 2, 3
TAKEOVER_S = 5.0
CANARY_LEASE_S = 2.0
SLACK_S = 1.5
"""How late Redis may hear of what was sent before the checker was killed."""
SOON: dict[str, Any] = {"auto_promote": False, "policy": {"interval_s": 0.2}}
EVENTS = "hashtextextended('serinus events', 0)"
"""The lock under which a transaction writes events."""
NOTE_WRITERS = """
    CREATE TABLE written (who text NOT NULL, what text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
    CREATE FUNCTION note_writer() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO written (who, what) VALUES (current_setting('application_name'), TG_TABLE_NAME);
        RETURN NULL;
    END $$;
"""


@dataclass
class Production:
    """A fleet with a PostgreSQL of its own, and as many checkers as a test wants."""

    postgresql: PostgreSQL
    fleet: Fleet
    gateways: list[Server]
    checkers: dict[str, Server] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def ports(self) -> list[int]:
        return [gateway.port for gateway in self.gateways]

    @property
    def database(self) -> str:
        return self.fleet.settings["SERINUS_DATABASE_URL"]

    def warnings(self, deployment: str) -> list[str]:
        """Give what the owner of a deployment is told."""
        with self.gateways[0].client() as client:
            warnings: list[str] = client.deployment(deployment)["warnings"]
        return warnings

    def health(self, deployment: str) -> "subprocess.CompletedProcess[bytes]":
        """Ask for the health of a deployment as a pipeline does."""
        command = [*COMMAND, "health", deployment]
        return subprocess.run(command, env=environment(SERINUS_URL=self.gateways[0].url), check=False, timeout=60)

    def begin_checker(self) -> str:
        name = f"checker-{next(self._numbers)}"
        database = f"{self.database}?application_name={name}"
        self.checkers[name] = self.fleet.begin(name, command="check", SERINUS_DATABASE_URL=database)
        return name

    def pair(self) -> tuple[str, str]:
        """Give two checkers: the one that leads, and the one that waits to."""
        self.checkers = {name: each for name, each in self.checkers.items() if each.process.poll() is None}
        while len(self.checkers) < 2:
            self.begin_checker()
        for each in self.checkers.values():
            each.wait_until_ready()
        assert eventually(lambda: sum(map(self.leads, self.checkers)) == 1)
        leader, follower = sorted(self.checkers, key=self.leads, reverse=True)
        return leader, follower

    def leads(self, name: str) -> bool:
        return readings(self.checkers[name].url)["serinus_checker_leading"] == 1.0

    def send(self, name: str, ending: signal.Signals) -> None:
        os.kill(self.checkers[name].pid, ending)

    def start(self, name: str, version: int, weight: float, **settings: Any) -> None:
        """Start a canary that is looked at again and again."""
        with self.gateways[0].client() as client:
            client.deploy(name, STABLE, SOON | settings)
            client.start(name, version, weight)

    def ask(self, name: str, number: int) -> list[dict[str, Any]]:
        """Ask the gateways in turn."""
        clients = [httpx2.Client(base_url=each.url, trust_env=False, timeout=PATIENCE_S) for each in self.gateways]
        answers = [
            clients[each % len(clients)].post(f"/predict/{name}", json={"features": KNOWN}) for each in range(number)
        ]
        for client in clients:
            client.close()
        assert {answer.status_code for answer in answers} == {200}
        return [answer.json() for answer in answers]

    def cut(self, name: str) -> Cut | None:
        """Give the cut of a canary on the board."""
        settings = self.fleet.settings
        with Redis.from_url(settings["SERINUS_REDIS_URL"], decode_responses=True) as redis:
            split = Split.decoded(json.loads(redis.hget(f"{settings['SERINUS_REDIS_PREFIX']}splits", name)))
        assert split is not None
        return split.cut


@pytest.fixture(scope="module")
def production(new_fleet: MakeFleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    with provided(PostgreSQL()) as postgresql:
        settings = {
            "SERINUS_DATABASE_URL": postgresql.url(postgresql.create_database()),
            "SERINUS_CANARY_LEASE": str(CANARY_LEASE_S),
        }
        with new_fleet(tmp_path_factory.mktemp("takeover"), **settings) as fleet:
            gateways = fleet.gateways(2)
            fleet.register(gateways[0], models.Risk(), models.Risk(), models.Raises())
            production = Production(postgresql, fleet, gateways)
            with psycopg.connect(production.database, autocommit=True) as connection:
                connection.execute(NOTE_WRITERS)
                for table in ("deployments", "rollouts", "events", "health_snapshots", "boot_evidence"):
                    connection.execute(
                        f"CREATE TRIGGER note_writer AFTER INSERT OR UPDATE ON {table} "
                        "FOR EACH ROW EXECUTE FUNCTION note_writer()"
                    )
            yield production


@dataclass(frozen=True)
class Sql:
    """Looks into the database past all servers."""

    connection: "psycopg.Connection[tuple[Any, ...]]"

    def value(self, query: str, *parameters: object) -> Any:
        row = self.connection.execute(query.encode(), parameters).fetchone()
        assert row is not None
        return row[0]

    def written_by(self, name: str, since: object) -> list[str]:
        found = self.connection.execute("SELECT what FROM written WHERE who = %s AND at > %s", [name, since])
        return [row[0] for row in found]


@pytest.fixture
def sql(production: Production) -> Iterator[Sql]:
    with psycopg.connect(production.database, autocommit=True) as connection:
        yield Sql(connection)


def seconds_until(holds: Callable[[], object]) -> float:
    began = time.monotonic()
    assert eventually(holds)
    return time.monotonic() - began


def pause_in_the_middle_of_a_write(production: Production, leader: str, sql: Sql) -> None:
    """Pause the leader when it has begun to write an event of "looked-at", and would go on at once."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND wait_event = 'advisory'"
    sql.value(f"SELECT pg_advisory_lock({EVENTS})")
    with load(production.ports, {"looked-at": 0.01}):
        for _ in range(10):
            assert eventually(lambda: sql.value(waits, leader), every_s=0.005)
            production.send(leader, signal.SIGSTOP)
            if sql.value(waits, leader):
                break
            production.send(leader, signal.SIGCONT)  # it gave up just before
    sql.value(f"SELECT pg_advisory_unlock({EVENTS})")
    assert sql.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", leader)


# ------------------------------------------------------------------------------------------- a leader less


@pytest.fixture
def undo_pause() -> Iterator[ExitStack]:
    with ExitStack() as undone:
        yield undone


async def test_a_leader_that_is_paused_is_replaced_and_can_change_nothing_any_more(
    production: Production, sql: Sql, undo_pause: ExitStack
) -> None:
    acted = "SELECT count(*) FROM events WHERE deployment = 'bad' AND kind = 'auto_rollback_triggered'"
    leader, follower = production.pair()
    production.start("looked-at", GOOD, 50)
    production.start("bad", BAD, 50)
    undo_pause.callback(production.send, leader, signal.SIGCONT)
    pause_in_the_middle_of_a_write(production, leader, sql)
    paused_at = sql.value("SELECT clock_timestamp()")

    with load(production.ports, {"looked-at": 0.02, "bad": 0.02}):
        took_s = seconds_until(lambda: production.leads(follower))
        acted_s = seconds_until(lambda: sql.value(acted))
        assert sql.written_by(follower, paused_at)
        ticked_at = readings(production.checkers[follower].url)["serinus_checker_round_timestamp_seconds"]
        production.send(leader, signal.SIGCONT)
        series = "serinus_checker_round_timestamp_seconds"
        assert eventually(lambda: readings(production.checkers[leader].url)[series] > ticked_at + 1.0)

    say(f"{follower} leads {took_s:.2f} s after the pause, and has acted after {acted_s:.2f} s more")
    assert sql.written_by(leader, paused_at) == []
    assert production.leads(follower)
    assert not production.leads(leader)
    record = await record_of(production.fleet, "bad")
    assert record.kinds.count(EventKind.ROLLED_BACK) == 1
    assert record.kinds.count(EventKind.AUTO_ROLLBACK_TRIGGERED) == 1


def test_a_lease_that_nobody_renews_is_taken_in_time() -> None:
    assert LEASE_S + RENEW_S <= TAKEOVER_S


def requests(of_roles: dict[str, Any]) -> int:
    return sum(of_roles[role]["requests"] for role in ("baseline", "canary"))


def test_evidence_is_whole_after_the_leader_was_killed(production: Production, sql: Sql) -> None:
    leader, follower = production.pair()
    production.start("counted", GOOD, 50)
    counted = "SELECT coalesce(sum((e -> 4)::int), 0) FROM (SELECT jsonb_array_elements(seen::jsonb) AS e FROM ("
    counted += "SELECT seen FROM sequential_tests WHERE rollout = 'counted:1') AS l) AS p"
    production.ask("counted", 100)
    assert eventually(lambda: sql.value(counted) == 100)
    killed_at = sql.value("SELECT clock_timestamp()")

    production.checkers[leader].kill()
    production.ask("counted", 60)
    took_s = seconds_until(lambda: production.leads(follower))
    # What is asked while nobody judges is no comparison: it goes to the baseline.
    assert eventually(
        lambda: all(readings(gateway.url)["serinus_canary_leased"] == 1.0 for gateway in production.gateways)
    )
    production.ask("counted", 40)

    assert eventually(lambda: sql.value(counted) == 200)
    assert "health_snapshots" in sql.written_by(follower, killed_at)
    with production.gateways[0].client() as client:
        assert requests(client.metrics("counted")) == 200
        assert eventually(lambda: requests(client.health("counted")) == 200)  # a look is on record each second
    say(f"{follower} leads {took_s:.2f} s after the leader was killed")


def test_a_leader_that_is_told_to_end_leaves_at_once(production: Production, sql: Sql) -> None:
    leader, follower = production.pair()
    held = "SELECT count(*) FROM leases WHERE name = 'checker' AND term = %s AND expires_at > clock_timestamp()"
    term = sql.value("SELECT term FROM leases WHERE name = 'checker'")
    assert sql.value(held, term) == 1

    assert production.checkers[leader].terminate() == 0

    assert sql.value(held, term) == 0
    took_s = seconds_until(lambda: production.leads(follower))
    assert sql.value("SELECT term FROM leases WHERE name = 'checker'") == term + 1
    say(f"{follower} leads {took_s:.2f} s after the leader had ended")


# ---------------------------------------------------------------------------------------------- no leader


def test_without_a_checker_a_canary_loses_its_traffic_within_the_lease(production: Production) -> None:
    production.pair()
    production.start("unjudged", GOOD, 100)
    assert eventually(lambda: {each["model_role"] for each in production.ask("unjudged", 4)} == {Role.CANARY})

    with load(production.ports, {"unjudged": 0.01}) as asked:
        for checker in production.checkers.values():
            checker.kill()
        killed_at = time.monotonic()
        assert eventually(lambda: {each["model_role"] for each in production.ask("unjudged", 4)} == {Role.BASELINE})
        began = time.monotonic()
        assert eventually(lambda: len(asked.of("unjudged", after=began)) >= 50)
        assert not any(each.is_canary for each in asked.of("unjudged", after=began))
        (warning,) = production.warnings("unjudged")
        assert "no checker has judged" in warning
        assert production.health("unjudged").returncode == ExitCode.UNHEALTHY
        production.begin_checker()
        assert eventually(lambda: asked.of("unjudged")[-1].is_canary)
        assert production.warnings("unjudged") == []

    assert not asked.lost
    assert {each.status for each in asked.answers} == {200}
    last = max(each.sent_at for each in asked.of("unjudged", before=began) if each.is_canary)
    say(f"the canary answered what was sent until {last - killed_at:.2f} s after the last checker was killed")
    assert last - killed_at < CANARY_LEASE_S + SLACK_S


async def test_without_postgresql_the_leader_rolls_a_bad_canary_back_and_records_it_afterwards(
    production: Production, sql: Sql
) -> None:
    production.pair()
    production.start("orphan", BAD, 50)
    looked = "SELECT count(*) FROM health_snapshots WHERE deployment = 'orphan'"
    assert eventually(lambda: sql.value(looked))
    sql.connection.close()

    production.postgresql.stop("immediate")
    try:
        with load(production.ports, {"orphan": 0.02}) as asked:
            took_s = seconds_until(lambda: production.cut("orphan"))
            series = 'canary_traffic_pct{deployment="orphan"}'
            assert eventually(lambda: all(readings(each.url)[series] == 0.0 for each in production.gateways))
            began = time.monotonic()
            assert eventually(lambda: len(asked.of("orphan", after=began)) >= 50)
            assert not any(each.document["failover"] for each in asked.of("orphan", after=began))
        assert {each.status for each in asked.answers} == {200}
    finally:
        production.postgresql.start()

    record = await record_of(production.fleet, "orphan")
    assert record.changes == [EventKind.DEPLOYMENT_CREATED, EventKind.CANARY_STARTED, EventKind.ROLLED_BACK]
    assert record.kinds.count(EventKind.AUTO_ROLLBACK_TRIGGERED) == 1
    (event,) = (each for each in record.events if each.kind is EventKind.ROLLED_BACK)
    assert event.actor == "health-checker"
    say(f"cut off after {took_s:.2f} s without PostgreSQL")
