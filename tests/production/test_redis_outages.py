"""Whatever becomes of Redis, nobody is refused, no canary gets more than it was given last, and all is well soon after.

An outage is met by five deployments whose canary had 50 %: one is lowered to 20 % before it, one to 0 %, one is rolled
back; one is rolled back while it lasts, and one lowered to 10 %.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests import models
from tests.e2e.reporting import say
from tests.models import STABLE
from tests.production.conftest import MakeFleet
from tests.production.fleet import Fleet
from tests.production.load import WINDOW, Load, highest_share, load, most
from tests.production.watching import by_role, generation_and_share, logged, shares, splits, waiting
from tests.server import Server, eventually
from tests.services import Redis, provided

from serinus.client import DocumentClient

pytestmark = pytest.mark.timeout(300)
PROMPTLY_S = 2.0
SLACK_S = 4.0
"""What a busy machine may take besides."""
BEFORE = 50.0
WATCHED = {"lowered": 20.0, "silenced": 0.0, "ended": 0.0}
"""The last share commanded before the outage."""
COMMANDED = {"rolled-back": 0.0, "turned-down": 10.0}
"""And while it lasts."""
PACE_S = {"lowered": 0.02, "silenced": 0.05, "ended": 0.05, "rolled-back": 0.05, "turned-down": 0.05}
BY_HAND = {"auto_promote": False, "auto_rollback": False}


@dataclass(frozen=True)
class Outage:
    """How Redis is lost, and how it comes back."""

    begin: Callable[[Redis], None]
    end: Callable[[Redis], None]
    answers: bool = False


def _copy(redis: Redis) -> Path:
    return redis.folder / "earlier.rdb"


def _kill_with_a_snapshot(redis: Redis) -> None:
    redis.save()
    redis.kill()


def _start_empty(redis: Redis) -> None:
    redis.dump.unlink()
    redis.start()


def _start_as_it_was_earlier(redis: Redis) -> None:
    shutil.copy(_copy(redis), redis.dump)
    redis.start()


OUTAGES = {
    "killed": Outage(_kill_with_a_snapshot, Redis.start),
    "emptied": Outage(Redis.kill, _start_empty),
    "back-in-time": Outage(Redis.kill, _start_as_it_was_earlier),
    "hanging": Outage(Redis.pause, Redis.resume),
    "flushed": Outage(Redis.flush, lambda _: None, answers=True),
}


@dataclass(frozen=True)
class Answered:
    """A command's answer and when it came."""

    document: dict[str, Any]
    at: float


@dataclass(frozen=True)
class Production:
    """A fleet with a Redis of its own."""

    redis: Redis
    fleet: Fleet
    gateways: list[Server]

    def are_in_force(self, wanted: dict[str, float]) -> bool:
        """Whether every gateway divides its traffic so."""
        return all(shares(gateway, wanted) == wanted for gateway in self.gateways)

    def board_agrees(self, states: dict[str, Any]) -> bool:
        """Whether the board has what the store says."""
        kept = splits(self.fleet)
        return all(
            name in kept and generation_and_share(kept[name]) == generation_and_share(state)
            for name, state in states.items()
        )


@dataclass
class Aftermath:
    """What happened around one outage; the names of deployments are by what they are for."""

    answers: bool
    names: dict[str, str]
    load: Load = field(default_factory=Load)
    lowered_at: float = 0.0
    commands: dict[str, Answered] = field(default_factory=dict)
    converged_s: float = 0.0
    counted_s: float = 0.0
    evidence: dict[str, dict[str, int]] = field(default_factory=dict)
    logged: dict[str, dict[str, int]] = field(default_factory=dict)
    ids: dict[str, list[str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory, new_fleet: MakeFleet) -> Iterator[Production]:
    with (
        provided(Redis()) as redis,
        new_fleet(tmp_path_factory.mktemp("redis-outages"), SERINUS_REDIS_URL=redis.url()) as fleet,
    ):
        gateways = fleet.gateways(2)
        fleet.checker()
        fleet.register(gateways[0], models.Risk(), models.Risk())
        yield Production(redis, fleet, gateways)


@pytest.fixture(scope="module", params=OUTAGES)
def aftermath(request: pytest.FixtureRequest, production: Production) -> Aftermath:
    """Let an outage pass under load."""
    outage = OUTAGES[request.param]
    names = {what: f"{what}-{request.param}" for what in PACE_S}
    seen = Aftermath(outage.answers, names)
    first, second = production.gateways
    with first.client() as client, second.client() as other:
        _start_high(production, client, names)
        _lower(production, client, names)
        seen.lowered_at = time.monotonic()
        every_s = {names[what]: pace_s for what, pace_s in PACE_S.items()}
        with load([gateway.port for gateway in production.gateways], every_s) as seen.load:
            time.sleep(1.0)
            outage.begin(production.redis)
            time.sleep(0.3)
            seen.commands = _command(client, other, names)
            time.sleep(PROMPTLY_S + 1.0)  # so that it is not the end of the outage that brings them in force
            outage.end(production.redis)
            back_at = time.monotonic()
            assert eventually(lambda: _has_converged(production, client, names))
            seen.converged_s = time.monotonic() - back_at
            time.sleep(1.5)
        _count(production, client, seen, time.monotonic())
        for what in ("lowered", "silenced", "turned-down"):
            client.rollback(names[what])
    say(f"{request.param}: all agree {seen.converged_s:.2f} s after it is back")
    return seen


def _start_high(production: Production, client: DocumentClient, names: dict[str, str]) -> None:
    for name in names.values():
        client.deploy(name, STABLE, BY_HAND)
        client.start(name, 2, BEFORE)
    assert eventually(lambda: production.are_in_force(dict.fromkeys(names.values(), BEFORE)))
    production.redis.save()
    shutil.copy(production.redis.dump, _copy(production.redis))


def _lower(production: Production, client: DocumentClient, names: dict[str, str]) -> None:
    for what in ("lowered", "silenced"):
        client.set_weight(names[what], WATCHED[what])
    client.rollback(names["ended"])
    assert eventually(lambda: production.are_in_force({names[what]: weight for what, weight in WATCHED.items()}))


def _command(client: DocumentClient, other: DocumentClient, names: dict[str, str]) -> dict[str, Answered]:
    def answered(command: Callable[[], dict[str, Any]]) -> Answered:
        return Answered(command(), time.monotonic())

    with ThreadPoolExecutor() as both:
        rolling_back = both.submit(answered, lambda: client.rollback(names["rolled-back"]))
        turning_down = both.submit(answered, lambda: other.set_weight(names["turned-down"], COMMANDED["turned-down"]))
        return {"rolled-back": rolling_back.result(), "turned-down": turning_down.result()}


def _has_converged(production: Production, client: DocumentClient, names: dict[str, str]) -> bool:
    states = {state["name"]: state for state in client.deployments()["deployments"] if state["name"] in names.values()}
    wanted = {names[what]: weight for what, weight in (WATCHED | COMMANDED).items()}
    return production.board_agrees(states) and production.are_in_force(wanted)


def _count(production: Production, client: DocumentClient, seen: Aftermath, ended_at: float) -> None:
    """Compare the evidence with the log as soon as the log is whole."""
    assert eventually(lambda: waiting(production.gateways) == 0)
    for name in seen.names.values():
        rows, rollout = logged(production.fleet, name), f"{name}:1"
        seen.ids[name] = sorted(row.id for row in rows)
        seen.logged[name] = by_role(rows, rollout)

    def evidence() -> dict[str, dict[str, int]]:
        totals = {name: client.metrics(name) for name in seen.names.values()}
        return {
            name: {role: total[role]["requests"] for role in ("baseline", "canary")} for name, total in totals.items()
        }

    eventually(lambda: evidence() == seen.logged, patience_s=10.0)
    seen.counted_s, seen.evidence = time.monotonic() - ended_at, evidence()
    say(f"the evidence is whole {seen.counted_s:.2f} s after the last request")


# -------------------------------------------------------------------------------------- what must hold


def test_no_request_fails(aftermath: Aftermath) -> None:
    assert len(aftermath.load.answers) > 200
    assert {answer.status for answer in aftermath.load.answers} == {200}
    assert aftermath.load.lost == []


def test_no_canary_gets_more_than_its_last_share(aftermath: Aftermath) -> None:
    answers = aftermath.load.of(aftermath.names["lowered"], after=aftermath.lowered_at)
    highest = highest_share(answers)
    say(f"{len(answers)} requests, at most {highest:.0f} % of {WINDOW} in a row to the canary, which has 20 %")

    assert any(answer.is_canary for answer in answers)
    assert highest <= 100 * most(WINDOW, WATCHED["lowered"]) / WINDOW


@pytest.mark.parametrize("what", ["silenced", "ended"])
def test_a_canary_that_has_no_share_answers_nothing(aftermath: Aftermath, what: str) -> None:
    answers = aftermath.load.of(aftermath.names[what], after=aftermath.lowered_at)

    assert len(answers) > 50
    assert [answer for answer in answers if answer.is_canary] == []


def test_board_and_gateways_soon_agree_with_the_state(aftermath: Aftermath) -> None:
    assert aftermath.converged_s < PROMPTLY_S + SLACK_S


@pytest.mark.parametrize(("what", "weight"), COMMANDED.items())
def test_a_command_is_carried_out_with_a_warning(aftermath: Aftermath, what: str, weight: float) -> None:
    command = aftermath.commands[what].document

    assert command["recorded"] is True
    assert generation_and_share(command)[1] == weight
    assert bool(command["warnings"]) is not aftermath.answers


@pytest.mark.parametrize(("what", "weight"), COMMANDED.items())
def test_a_command_is_soon_in_force(aftermath: Aftermath, what: str, weight: float) -> None:
    name, answered_at = aftermath.names[what], aftermath.commands[what].at
    before = aftermath.load.of(name, before=answered_at)
    late = aftermath.load.of(name, after=answered_at + PROMPTLY_S)
    if not weight:
        last_s = aftermath.load.last_canary(name) - answered_at
        say(f"the last canary answer was asked for {last_s:+.2f} s after the command was answered")

    assert any(answer.is_canary for answer in before)
    assert len(late) > 20
    assert sum(answer.is_canary for answer in late) <= most(len(late), weight)


def test_every_answer_is_logged_once(aftermath: Aftermath) -> None:
    for name in aftermath.names.values():
        assert aftermath.ids[name] == sorted(answer.id for answer in aftermath.load.of(name))


def test_the_evidence_is_what_was_asked(aftermath: Aftermath) -> None:
    assert aftermath.evidence == aftermath.logged


# ----------------------------------------------------------------------------------------------- lease


LEASE_S = 2.0


def test_without_redis_a_canary_has_traffic_until_its_lease_ends_and_again_when_redis_is_back(
    tmp_path: Path, new_fleet: MakeFleet
) -> None:
    with (
        provided(Redis()) as redis,
        new_fleet(tmp_path, SERINUS_REDIS_URL=redis.url(), SERINUS_CANARY_LEASE=f"{LEASE_S:g}") as fleet,
    ):
        gateway = fleet.gateway()
        fleet.checker()
        fleet.register(gateway, models.Risk(), models.Risk())
        with gateway.client() as client:
            client.deploy("prod", STABLE, BY_HAND)
            client.start("prod", 2, BEFORE)
        with load([gateway.port], {"prod": 0.01}) as seen:
            assert eventually(lambda: any(answer.is_canary for answer in seen.of("prod")))
            killed_at = time.monotonic()
            redis.kill()
            gone_at = time.monotonic()
            time.sleep(LEASE_S + 1.5)
            started_at = time.monotonic()
            redis.start()
            assert eventually(lambda: seen.last_canary("prod") > started_at)
            back_at = time.monotonic()
    lasted_s = max(a.sent_at for a in seen.of("prod", before=started_at) if a.is_canary) - killed_at
    say(f"the canary went on for {lasted_s:.2f} s, and again {back_at - started_at:.2f} s after Redis was started")

    assert lasted_s > LEASE_S / 4
    assert not any(answer.is_canary for answer in seen.of("prod", after=gone_at + LEASE_S, before=started_at))
    assert len(seen.of("prod", after=gone_at + LEASE_S, before=started_at)) > 20
    assert {answer.status for answer in seen.answers} == {200}
