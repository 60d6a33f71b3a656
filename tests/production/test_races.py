"""Two who change one deployment at the same moment, each through a process of their own: one wins, the other is told.

What is real: PostgreSQL, Redis and S3, two gateways and a checker, all of them `canary` processes. The requests are of
entities whose place in the split is known, so that one answer too many is seen, and not only a share that is too high.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx2
import pytest
from tests import models
from tests.e2e.load import Connection, Reply
from tests.e2e.reporting import say
from tests.models import KNOWN
from tests.production.agreement import Records, records_of
from tests.production.conftest import MakeFleet
from tests.production.fleet import Fleet
from tests.production.rivals import rolled_back_by_two
from tests.server import PATIENCE_S, Server

from serinus.core.events import EventKind
from serinus.core.routing import Role, sticky_point

ROUNDS = 20
WEIGHT = 50.0
ENTITIES = 40
APART_S = 0.002
"""How much more one of the two is behind the other, or ahead of it, from round to round."""
LATER_S = 0.05
BREATH_S = 0.003
"""How long a caller waits before it asks again, so that two cores are not all its own."""
Name = str


@dataclass(frozen=True)
class Production:
    """Two gateways and a checker, that all take their time where the machine needs it."""

    fleet: Fleet
    gateways: list[Server]


@pytest.fixture(scope="module")
def production(new_fleet: MakeFleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    patient = {"SERINUS_ACKNOWLEDGE_TIMEOUT": "30", "SERINUS_CANARY_LEASE": "60", "SERINUS_PREDICT_TIMEOUT": "20"}
    with new_fleet(tmp_path_factory.mktemp("races"), **patient) as fleet:
        gateways = fleet.gateways(2)
        fleet.register(gateways[0], models.Risk(), models.Risk())
        fleet.checker()
        yield Production(fleet, gateways)


@dataclass
class Commanded:
    """A share of a rollout that was commanded, and from when until when a canary may have had it."""

    rollout: str
    share: float
    since: float
    until: float = math.inf


@dataclass
class Traffic:
    """Requests to both gateways that never stop, and the shares that there may have been."""

    key: bytes
    replies: list[tuple[str, Reply]] = field(default_factory=list)
    commanded: list[Commanded] = field(default_factory=list)

    def above(self) -> list[tuple[str, Reply]]:
        """Give the answers of a canary that no share commanded at that time gives it."""
        return [each for each in self.replies if each[1].document["model_role"] == Role.CANARY and not self._may(*each)]

    def _may(self, entity: str, reply: Reply) -> bool:
        began, ended = reply.sent_at, reply.sent_at + reply.seconds
        return any(
            sticky_point(self.key, each.rollout, entity) * 100.0 < each.share
            for each in self.commanded
            if each.since <= ended and began <= each.until
        )

    def end_all(self, at: float) -> None:
        """Note that what was commanded so far is over."""
        for each in self.commanded:
            each.until = min(each.until, at)


@asynccontextmanager
async def traffic(production: Production, name: Name) -> AsyncIterator[Traffic]:
    """Ask both gateways, until the block ends."""
    traffic = Traffic(production.fleet.settings["SERINUS_HASH_KEY"].encode())
    ended = asyncio.Event()

    async def ask(port: int) -> None:
        connection = Connection(port)
        for number in count():
            if ended.is_set():
                break
            entity = f"entity-{number % ENTITIES}"
            reply = await connection.predict(name, {"features": KNOWN, "entity_id": entity})
            traffic.replies.append((entity, reply))
            await asyncio.sleep(BREATH_S)
        await connection.close()

    async with asyncio.TaskGroup() as group:
        for gateway in production.gateways:
            group.create_task(ask(gateway.port))
        try:
            yield traffic
        finally:
            ended.set()


@dataclass(frozen=True)
class Rivals:
    """Two operators, each at a gateway of their own."""

    clients: tuple[httpx2.AsyncClient, httpx2.AsyncClient]
    name: Name

    async def done(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """Carry out a command that nobody disputes."""
        answer = await self.clients[0].request(method, path, json=body)
        assert answer.status_code in {200, 201}, answer.text
        document: dict[str, Any] = answer.json()
        assert document["unacknowledged"] == []
        return document

    async def at_once(self, number: int, *commands: tuple[str, str, dict[str, Any]]) -> list[httpx2.Response]:
        """Send two commands, hardly one after the other: which one is first, and by how much, depends on the round."""

        async def send(index: int) -> httpx2.Response:
            method, path, body = commands[index]
            apart = (number - ROUNDS // 2) * APART_S
            await asyncio.sleep(max(0.0, apart if index else -apart))
            return await self.clients[index].request(method, f"/deployments/{self.name}{path}", json=body)

        return list(await asyncio.gather(send(0), send(1)))


@asynccontextmanager
async def rivals(production: Production, name: Name) -> AsyncIterator[Rivals]:
    """Two operators, at work on a new deployment whose entities stay where they are."""
    a, b = (httpx2.AsyncClient(base_url=each.url, trust_env=False, timeout=PATIENCE_S) for each in production.gateways)
    settings = {"sticky": True, "auto_promote": False, "auto_rollback": False}
    async with a, b:
        rivals = Rivals((a, b), name)
        await rivals.done("POST", "/deployments", name=name, model="risk", version=1, settings=settings)
        yield rivals


def winner_of(answers: list[httpx2.Response]) -> int:
    """Give which of two commands was carried out; the other one was refused."""
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) in ([200, 409], [202, 409]), [answer.text for answer in answers]
    (refusal,) = (answer.json() for answer in answers if answer.status_code == 409)
    assert refusal["code"] in {"SERINUS-NOT-ALLOWED", "SERINUS-STALE-GENERATION"}
    return statuses.index(409) ^ 1


@pytest.fixture
async def records(production: Production) -> AsyncIterator[Records]:
    async with records_of(production.fleet) as records:
        yield records


async def started(rivals: Rivals, traffic: Traffic, version: int) -> dict[str, Any]:
    since = time.monotonic()
    document = await rivals.done("POST", f"/deployments/{rivals.name}/canary", version=version, weight=WEIGHT)
    traffic.commanded.append(Commanded(document["rollout"]["id"], WEIGHT, since))
    return document


async def rolled_back(rivals: Rivals, traffic: Traffic) -> None:
    await rivals.done("POST", f"/deployments/{rivals.name}/rollback")
    traffic.end_all(time.monotonic())


async def versions_asked(rivals: Rivals) -> set[str]:
    """Give the versions by which both gateways answer now."""
    body = {"features": KNOWN}
    answers = [await each.post(f"/predict/{rivals.name}", json=body) for each in rivals.clients for _ in range(5)]
    return {answer.json()["model_version"] for answer in answers}


async def test_of_a_promotion_and_a_rollback_at_once_one_wins(production: Production, records: Records) -> None:
    won: list[EventKind] = []
    async with rivals(production, "promoted") as two, traffic(production, two.name) as asked:
        for number in range(ROUNDS):
            before = await started(two, asked, 2 if won.count(EventKind.PROMOTED) % 2 == 0 else 1)

            answers = await two.at_once(number, ("POST", "/promote", {}), ("POST", "/rollback", {}))

            asked.end_all(time.monotonic())
            won.append([EventKind.PROMOTED, EventKind.ROLLED_BACK][winner_of(answers)])
            (record,) = await records.agreeing([two.name])
            assert record.state is not None
            assert record.state.generation == before["generation"] + 1
            assert record.changes[-1] is won[-1]
            expected = before["rollout"]["canary"] if won[-1] is EventKind.PROMOTED else before["baseline"]
            assert str(record.state.baseline) == expected
            assert await versions_asked(two) == {expected}

    assert asked.above() == []
    assert {reply.status for _, reply in asked.replies} == {200}
    say(f"{won.count(EventKind.PROMOTED)} of {ROUNDS} promoted, {len(asked.replies)} requests meanwhile")


async def test_of_two_rollbacks_at_once_one_wins(production: Production, records: Records) -> None:
    won: list[str] = []
    async with rivals(production, "rolled-back") as two, traffic(production, two.name) as asked:
        for number in range(ROUNDS):
            before = await started(two, asked, 2)

            answers = await two.at_once(
                number, ("POST", "/rollback", {"reason": "ada"}), ("POST", "/rollback", {"reason": "bob"})
            )

            asked.end_all(time.monotonic())
            won.append(["ada", "bob"][winner_of(answers)])
            assert await versions_asked(two) == {"risk@1"}
            (record,) = await records.agreeing([two.name])
            assert record.state is not None
            assert record.state.generation == before["generation"] + 1
            assert (record.events[-1].kind, record.events[-1].reason) == (EventKind.ROLLED_BACK, won[-1])

    assert asked.above() == []
    assert {reply.status for _, reply in asked.replies} == {200}
    say(f"{won.count('ada')} of {ROUNDS} by the first, {len(asked.replies)} requests meanwhile")


async def test_of_two_shares_of_one_generation_one_is_set(production: Production, records: Records) -> None:
    won: list[float] = []
    async with rivals(production, "shared") as two, traffic(production, two.name) as asked:
        for number in range(ROUNDS):
            before = await started(two, asked, 2)
            generation, rollout = before["generation"], before["rollout"]["id"]
            since, wanted = time.monotonic(), (10.0, 90.0)
            asked.commanded += [Commanded(rollout, weight, since) for weight in wanted]

            answers = await two.at_once(
                number,
                *(("PATCH", "/traffic", {"weight": each, "expected_generation": generation}) for each in wanted),
            )

            won.append(wanted[winner_of(answers)])
            for each in asked.commanded:
                if (each.rollout, each.share) != (rollout, won[-1]):
                    each.until = min(each.until, time.monotonic())
            (record,) = await records.agreeing([two.name])
            assert record.state is not None
            assert record.state.active is not None
            assert (record.state.generation, record.state.active.weight) == (generation + 1, won[-1])
            assert record.changes[-1] is EventKind.TRAFFIC_ADJUSTED
            await asyncio.sleep(LATER_S)  # in which the share is looked at
            await rolled_back(two, asked)

    assert asked.above() == []
    roles = {reply.document["model_role"] for _, reply in asked.replies}
    assert roles == {Role.BASELINE, Role.CANARY}
    say(f"{won.count(10.0)} of {ROUNDS} lowered, {len(asked.replies)} requests meanwhile")


@pytest.fixture
def no_other_checker(production: Production) -> Iterator[None]:
    """Without a leader, until the test has ended."""
    for server in production.fleet.servers:
        if server not in production.gateways:
            server.terminate()
    yield
    production.fleet.checker()


async def test_of_two_checkers_that_both_believe_that_they_lead_one_is_refused(
    production: Production, records: Records, no_other_checker: None
) -> None:
    names = [f"checked-{number}" for number in range(ROUNDS)]
    settings = {"policy": {"interval_s": 0.1}}
    client = httpx2.AsyncClient(base_url=production.gateways[0].url, trust_env=False, timeout=PATIENCE_S)
    async with client:
        for name in names:
            made = {"name": name, "model": "risk", "version": 1, "settings": settings}
            assert (await client.post("/deployments", json=made)).status_code == 201
            start = {"version": 2, "weight": 100}
            assert (await client.post(f"/deployments/{name}/canary", json=start)).status_code == 201
        environment = production.fleet.settings | {"SERINUS_HOME": str(production.fleet.folder / "rivals")}

        first, second = await asyncio.to_thread(rolled_back_by_two, environment, names)

        roles = {
            (await client.post(f"/predict/{name}", json={"features": KNOWN})).json()["model_role"] for name in names
        }
    assert first == ["deposed"] * ROUNDS
    assert second == ["checked"] * ROUNDS
    assert roles == {Role.BASELINE}
    for record in await records.agreeing(names):
        assert record.changes[-1] is EventKind.ROLLED_BACK
        assert record.kinds.count(EventKind.ROLLED_BACK) == 1
        assert record.kinds.count(EventKind.AUTO_ROLLBACK_TRIGGERED) == 1
        assert record.kinds.count(EventKind.HEALTH_CHECK_FAILED) <= 1
