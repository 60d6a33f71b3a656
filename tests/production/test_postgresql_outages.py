"""Without PostgreSQL predictions go on, a rollback is in force at once, and all of it is on record afterwards, once."""

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from tests import models
from tests.e2e.reporting import milliseconds, say
from tests.models import KNOWN, STABLE
from tests.production.conftest import MakeFleet
from tests.production.fleet import Fleet
from tests.production.load import Answer, Load, load, most
from tests.production.watching import by_role, generation_and_share, logged, readings, shares, splits, waiting
from tests.server import COMMAND, PATIENCE_S, Server, environment, eventually
from tests.services import PostgreSQL, Redis, provided

from serinus.client import DocumentClient
from serinus.core.events import TRANSITIONS

pytestmark = pytest.mark.timeout(300)
OUTAGE_S = 20.0
AT_ONCE_S = 1.0
SLACK_S = 3.0
"""What a busy machine may take besides."""
STEADY = 30.0
JOURNAL_BYTES = 20_000
"""Room for some fifty answers."""
BURST = 200
EACH_S = 0.02
REASON = "complaints from support"
BY_HAND = {"auto_promote": False, "auto_rollback": False, "policy": {"interval_s": 0.5}}


@dataclass(frozen=True)
class Production:
    """A fleet with a PostgreSQL and a Redis of its own; ``bounded`` is a third gateway, with a small journal."""

    postgresql: PostgreSQL
    redis: Redis
    fleet: Fleet
    gateways: list[Server]
    bounded: Server

    @property
    def ports(self) -> list[int]:
        return [gateway.port for gateway in self.gateways]

    def start(self, client: DocumentClient, name: str, weight: float) -> None:
        """Start a canary, and wait until every gateway gives it its share."""
        client.deploy(name, STABLE, BY_HAND)
        client.start(name, 2, weight)
        wanted = {name: weight}
        assert eventually(lambda: all(shares(each, wanted) == wanted for each in [*self.gateways, self.bounded]))


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory, new_fleet: MakeFleet) -> Iterator[Production]:
    with provided(PostgreSQL(durable=True)) as postgresql, provided(Redis()) as redis:
        own = {
            "SERINUS_DATABASE_URL": postgresql.url(postgresql.create_database()),
            "SERINUS_REDIS_URL": redis.url(),
        }
        with new_fleet(tmp_path_factory.mktemp("postgresql-outages"), **own) as fleet:
            gateways = fleet.gateways(2)
            bounded = fleet.gateway(SERINUS_JOURNAL_BYTES=str(JOURNAL_BYTES))
            fleet.checker()
            fleet.register(gateways[0], models.Risk(), models.Risk())
            yield Production(postgresql, redis, fleet, gateways, bounded)


# ----------------------------------------------------------------------------------------------- stopped


@dataclass
class Aftermath:
    """What happened while PostgreSQL was stopped; times are those of ``time.monotonic``."""

    load: Load = field(default_factory=Load)
    stopped_at: float = 0.0
    back_at: float = 0.0
    asked_at: float = 0.0
    asked_on: datetime = field(default_factory=lambda: datetime.now(UTC))
    command: "subprocess.CompletedProcess[str] | None" = None
    status: "subprocess.CompletedProcess[str] | None" = None
    ready: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    bounded: list[str] = field(default_factory=list)
    dropped: float = 0.0


@pytest.fixture(scope="module")
def aftermath(production: Production) -> Aftermath:
    """Stop PostgreSQL for a while, under load, and roll a canary back meanwhile."""
    seen, postgresql = Aftermath(), production.postgresql
    first, second = production.gateways
    with first.client() as client:
        production.start(client, "rolled", 50.0)
        production.start(client, "steady", STEADY)
        client.deploy("bounded", STABLE, BY_HAND)
        with load(production.ports, {"rolled": EACH_S, "steady": EACH_S}) as seen.load:
            time.sleep(1.0)
            postgresql.stop("immediate")
            seen.stopped_at = time.monotonic()
            seen.bounded = [predict(production.bounded, "bounded") for _ in range(BURST)]
            with relayed(second.port) as relay:
                seen.asked_on = datetime.now(UTC)
                seen.command = canary("rollback", "rolled", "--reason", REASON, "-o", "json", url=relay.url)
                seen.asked_at = relay.began_at
            seen.status = canary("status", "rolled", "-o", "json", url=first.url)
            with first.http() as http:
                seen.ready = http.get("/health/ready").status_code
            time.sleep(max(0.0, seen.stopped_at + OUTAGE_S - time.monotonic()))
            seen.back_at = time.monotonic()
            postgresql.start()
            assert eventually(lambda: is_stable(first, "rolled"))
            say(f"recorded {time.monotonic() - seen.back_at:.2f} s after PostgreSQL was started")
            time.sleep(1.0)
        assert eventually(lambda: waiting([*production.gateways, production.bounded]) == 0)
        seen.events = client.events("rolled")["events"]
        seen.dropped = readings(production.bounded.url)["serinus_prediction_log_dropped_total"]
    return seen


def canary(*arguments: str, url: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env=environment(SERINUS_URL=url),
    )


def predict(server: Server, deployment: str) -> str:
    """Ask for one prediction, which must not fail; give its id."""
    with server.http() as http:
        answer = http.post(f"/predict/{deployment}", json={"features": KNOWN})
    assert answer.status_code == 200, answer.text
    prediction_id: str = answer.json()["prediction_id"]
    return prediction_id


def is_stable(server: Server, deployment: str) -> bool:
    """Whether the store answers that a rollout has ended."""
    with server.http() as http:
        answer = http.get(f"/deployments/{deployment}")
    document = answer.json()
    return bool(answer.status_code == 200 and document["status"] == "stable" and not document["warnings"])


@dataclass
class Relay:
    """Passes connections on to a server, and remembers when the first byte of the first request came."""

    listener: socket.socket
    began_at: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def pass_on(self, port: int) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", port))
                for source, target in ((caller, server), (server, caller)):
                    threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError), source, target:
            while data := source.recv(65_536):
                self.began_at = self.began_at or time.monotonic()
                target.sendall(data)


@contextmanager
def relayed(port: int) -> Iterator[Relay]:
    """Stand in front of a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = Relay(listener)
        thread = threading.Thread(target=relay.pass_on, args=(port,), daemon=True)
        thread.start()
        yield relay
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE_S)


def test_no_prediction_fails_while_it_is_stopped(aftermath: Aftermath) -> None:
    during = [each for each in aftermath.load.answers if aftermath.stopped_at < each.sent_at < aftermath.back_at]
    say(milliseconds([each.seconds for each in during]))

    assert len(during) > 1000
    assert {each.status for each in aftermath.load.answers} == {200}
    assert aftermath.load.lost == []
    assert aftermath.ready == 200


def test_a_canary_that_nobody_ends_keeps_its_share(aftermath: Aftermath) -> None:
    during = aftermath.load.of("steady", after=aftermath.stopped_at, before=aftermath.back_at)
    canary_answers, expected = sum(each.is_canary for each in during), len(during) * STEADY / 100

    assert abs(canary_answers - expected) <= most(len(during), STEADY) - expected


def test_the_status_can_be_seen_meanwhile_and_says_how_things_are(aftermath: Aftermath) -> None:
    assert aftermath.status is not None
    assert aftermath.status.returncode == 0, aftermath.status.stderr

    document = json.loads(aftermath.status.stdout)
    old, cut = document["warnings"]

    assert document["status"] == "stable"
    assert "last seen" in old
    assert "gets no traffic" in cut
    assert "The record follows" in cut


def test_a_rollback_by_the_command_is_in_force_at_once(aftermath: Aftermath) -> None:
    took_s = aftermath.load.last_canary("rolled") - aftermath.asked_at
    say(f"the last canary answer was asked for {took_s * 1000:+.0f} ms after the command asked")

    assert any(each.is_canary for each in aftermath.load.of("rolled", before=aftermath.asked_at))
    assert took_s < AT_ONCE_S + SLACK_S


def test_the_command_says_that_the_record_follows(aftermath: Aftermath) -> None:
    command = aftermath.command
    assert command is not None
    assert command.returncode == 0, command.stderr
    document = json.loads(command.stdout)

    assert document["recorded"] is False
    assert document["status"] == "stable"
    assert len(document["warnings"]) == 1
    assert document["warnings"][0] in " ".join(command.stderr.split())


def test_the_rollback_is_on_record_once_at_the_time_it_was_made(aftermath: Aftermath) -> None:
    recorded = [event for event in aftermath.events if event["kind"] == "rolled_back"]
    late_s = (datetime.fromisoformat(recorded[0]["at"]) - aftermath.asked_on).total_seconds()

    assert len(recorded) == 1
    assert recorded[0]["reason"] == REASON
    assert 0 <= late_s < OUTAGE_S / 2
    assert [event["generation"] for event in aftermath.events if event["kind"] in TRANSITIONS] == [1, 2, 3]


@pytest.mark.parametrize("name", ["rolled", "steady"])
def test_every_answer_is_logged_once(production: Production, aftermath: Aftermath, name: str) -> None:
    answers = aftermath.load.of(name)
    rows = logged(production.fleet, name)

    assert sorted(row.id for row in rows) == sorted(answer.id for answer in answers)


@pytest.mark.parametrize("name", ["rolled", "steady"])
def test_the_evidence_is_what_was_asked(production: Production, aftermath: Aftermath, name: str) -> None:
    asked = by_role(logged(production.fleet, name), f"{name}:1")

    assert eventually(lambda: evidence(production, name) == asked, patience_s=10.0)


def evidence(production: Production, name: str) -> dict[str, int]:
    with production.gateways[1].client() as client:
        totals = client.metrics(name)
    return {role: totals[role]["requests"] for role in ("baseline", "canary")}


def test_what_a_full_journal_drops_is_the_newest_and_is_counted(production: Production, aftermath: Aftermath) -> None:
    asked, kept = aftermath.bounded, [row.id for row in logged(production.fleet, "bounded")]

    still_there = len(set(asked) & set(kept))
    assert kept[:still_there] == asked[:still_there]
    assert BURST / 10 < still_there < BURST / 2
    assert aftermath.dropped == BURST - still_there


def test_a_journal_that_was_full_takes_what_comes_after(production: Production, aftermath: Aftermath) -> None:
    later = predict(production.bounded, "bounded")

    assert eventually(lambda: later in {row.id for row in logged(production.fleet, "bounded")})


# --------------------------------------------------------------------------------------------- hanging


HANGS_S = 8.0
ANSWERED_S = 4.0


def test_a_database_that_hangs_holds_up_neither_predictions_nor_a_rollback(production: Production) -> None:
    first, second = production.gateways
    with first.client() as client:
        production.start(client, "hung", 50.0)
        with load(production.ports, {"hung": EACH_S}) as seen:
            time.sleep(1.0)
            production.postgresql.pause()
            try:
                paused_at = time.monotonic()
                time.sleep(1.0)
                asked_at = time.monotonic()
                with second.http() as http:
                    answer = http.post("/deployments/hung/rollback", json={"reason": REASON})
                answered_s = time.monotonic() - asked_at
                time.sleep(max(0.0, paused_at + HANGS_S - time.monotonic()))
            finally:
                production.postgresql.resume()
            back_at = time.monotonic()
            assert eventually(lambda: is_stable(first, "hung"))
            time.sleep(1.0)
        assert eventually(lambda: waiting(production.gateways) == 0)
        events = client.events("hung")["events"]
    took_s = seen.last_canary("hung") - asked_at
    during = seen.of("hung", after=paused_at, before=back_at)
    say(f"answered after {answered_s:.2f} s, in force after {took_s:+.3f} s; {_latencies(during)}")

    assert {each.status for each in seen.answers} == {200}
    assert seen.lost == []
    assert answer.status_code == 202
    assert answered_s < ANSWERED_S + SLACK_S
    assert took_s < AT_ONCE_S + SLACK_S
    assert [event["kind"] for event in events].count("rolled_back") == 1
    assert sorted(row.id for row in logged(production.fleet, "hung")) == sorted(each.id for each in seen.of("hung"))


def _latencies(answers: list[Answer]) -> str:
    return milliseconds([each.seconds for each in answers])


# ---------------------------------------------------------------------------- with a board of the past


BLIND_S = 3.0


def test_a_board_of_the_past_gives_nothing_back_while_nobody_can_repair_it(production: Production) -> None:
    first, second = production.gateways
    postgresql, redis = production.postgresql, production.redis
    names = ("silenced", "ended", "cut")
    earlier = redis.folder / "earlier.rdb"
    with first.client() as client:
        for name in names:
            production.start(client, name, 50.0)
        redis.save()
        shutil.copy(redis.dump, earlier)
        past = splits(production.fleet)
        client.set_weight("silenced", 0.0)
        client.rollback("ended")
        nothing = {"silenced": 0.0, "ended": 0.0}
        assert eventually(lambda: all(shares(each, nothing) == nothing for each in production.gateways))
        postgresql.stop("immediate")
        with second.http() as http:
            cut = http.post("/deployments/cut/rollback", json={"reason": REASON})
        cut_at = time.monotonic()
        with load(production.ports, dict.fromkeys(names, EACH_S)) as seen:
            redis.kill()
            shutil.copy(earlier, redis.dump)
            redis.start()
            time.sleep(BLIND_S)
            blind = splits(production.fleet)
            postgresql.start()
            assert eventually(lambda: all(is_stable(second, name) for name in ("ended", "cut")))
            assert eventually(lambda: _agree(production, client, names))
        events = client.events("cut")["events"]
        client.rollback("silenced")

    assert cut.status_code == 202
    assert {name: blind[name] for name in names} == {name: past[name] for name in names}
    for name in names:
        answers = seen.of(name, after=cut_at)
        assert len(answers) > BLIND_S / EACH_S
        assert {(each.status, each.is_canary) for each in answers} == {(200, False)}, name
    assert [event["reason"] for event in events if event["kind"] == "rolled_back"] == [REASON]


def _agree(production: Production, client: DocumentClient, names: Sequence[str]) -> bool:
    kept = splits(production.fleet)
    return all(generation_and_share(kept[name]) == generation_and_share(client.deployment(name)) for name in names)
