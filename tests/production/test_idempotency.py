"""A command with an `Idempotency-Key` happens once, however often it is sent, to which gateway, and before what ends.

What is real: two gateways, each a `canary serve`, on a PostgreSQL of their own, Redis and S3; all over HTTP.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx2
import pytest
from tests import models
from tests.production.agreement import record_of
from tests.production.conftest import MakeFleet
from tests.production.fleet import Fleet
from tests.server import PATIENCE_S, Server
from tests.services import PostgreSQL, provided

from serinus.core.events import EventKind

Request = tuple[str, str, Mapping[str, Any]]
"""Method, path and body."""

NAME = "<name>"
"""Stands for the deployment's name."""
START: Request = ("POST", f"/deployments/{NAME}/canary", {"version": 2, "weight": 20})
CREATE: Request = ("POST", "/deployments", {"name": NAME, "model": "risk", "version": 1})
PROMOTE: Request = ("POST", f"/deployments/{NAME}/promote", {})
PAUSE: Request = ("POST", f"/deployments/{NAME}/pause", {})
ROLLBACK: Request = ("POST", f"/deployments/{NAME}/rollback", {"reason": "complaints"})
_numbers = count(1)


@dataclass(frozen=True)
class Command:
    """A request that changes a deployment, what comes before it, and what else could be asked in its place."""

    request: Request
    otherwise: Mapping[str, Any]
    kind: EventKind
    before: tuple[Request, ...] = (CREATE, START)


COMMANDS = {
    "create": Command(CREATE, {"name": NAME, "model": "risk", "version": 2}, EventKind.DEPLOYMENT_CREATED, ()),
    "configure": Command(
        ("PATCH", f"/deployments/{NAME}", {"settings": {"dry_run": True}}),
        {"settings": {"failover": False}},
        EventKind.CONFIGURED,
        (CREATE,),
    ),
    "start": Command(START, {"version": 2, "weight": 30}, EventKind.CANARY_STARTED, (CREATE,)),
    "set weight": Command(
        ("PATCH", f"/deployments/{NAME}/traffic", {"weight": 30}), {"weight": 40}, EventKind.TRAFFIC_ADJUSTED
    ),
    "pause": Command(PAUSE, {"reason": "lunch"}, EventKind.PAUSED),
    "resume": Command(
        ("POST", f"/deployments/{NAME}/resume", {}), {"reason": "done"}, EventKind.RESUMED, (CREATE, START, PAUSE)
    ),
    "promote": Command(PROMOTE, {"reason": "good"}, EventKind.PROMOTED),
    "rollback": Command(ROLLBACK, {"reason": "other complaints"}, EventKind.ROLLED_BACK),
    "undo": Command(
        ("POST", f"/deployments/{NAME}/undo", {}),
        {"reason": "not so good"},
        EventKind.PROMOTION_UNDONE,
        (CREATE, START, PROMOTE),
    ),
}


@dataclass
class Production:
    """Two gateways on a PostgreSQL of their own."""

    postgresql: PostgreSQL
    fleet: Fleet
    gateways: list[Server]


@pytest.fixture(scope="module")
def production(new_fleet: MakeFleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    with provided(PostgreSQL()) as postgresql:
        settings = {
            "SERINUS_DATABASE_URL": postgresql.url(postgresql.create_database()),
            "SERINUS_ACKNOWLEDGE_TIMEOUT": "30",
        }
        with new_fleet(tmp_path_factory.mktemp("idempotency"), **settings) as fleet:
            gateways = fleet.gateways(2)
            fleet.register(gateways[0], models.Risk(), models.Risk())
            yield Production(postgresql, fleet, gateways)


@dataclass
class Caller:
    """Speaks to a gateway about one deployment."""

    http: httpx2.AsyncClient
    name: str

    async def send(self, request: Request, key: str = "", body: Mapping[str, Any] | None = None) -> httpx2.Response:
        method, path, usual = request
        wanted = {
            field: self.name if value == NAME else value for field, value in (usual if body is None else body).items()
        }
        headers = {"Idempotency-Key": key} if key else {}
        return await self.http.request(method, path.replace(NAME, self.name), json=wanted, headers=headers)

    async def prepare(self, command: Command) -> None:
        for request in command.before:
            assert (await self.send(request)).status_code in {200, 201}


@dataclass
class Callers:
    """Gives callers, each with connections of its own."""

    stack: AsyncExitStack
    name: str = field(default_factory=lambda: f"prod-{next(_numbers)}")

    async def at(self, server: Server) -> Caller:
        http = httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=PATIENCE_S)
        return Caller(await self.stack.enter_async_context(http), self.name)


@pytest.fixture
async def callers() -> AsyncIterator[Callers]:
    async with AsyncExitStack() as stack:
        yield Callers(stack)


@pytest.fixture
async def two(production: Production, callers: Callers) -> tuple[Caller, Caller]:
    """Two who speak about the same deployment, each to a gateway of their own."""
    first, second = [await callers.at(gateway) for gateway in production.gateways]
    return first, second


def status_of(command: Command) -> int:
    return 201 if command.kind in {EventKind.DEPLOYMENT_CREATED, EventKind.CANARY_STARTED} else 200


# ------------------------------------------------------------------------------------------- deployments


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
async def test_the_same_command_gets_the_same_answer_from_either_gateway_and_happens_once(
    production: Production, two: tuple[Caller, Caller], command: Command
) -> None:
    await two[0].prepare(command)
    key = f"same-{two[0].name}"

    answers = [await caller.send(command.request, key) for caller in (*two, *two)]

    assert {answer.status_code for answer in answers} == {status_of(command)}
    assert [answer.json() for answer in answers] == [answers[0].json()] * 4
    record = await record_of(production.fleet, two[0].name)
    assert len(record.changes) == len(command.before) + 1
    assert record.changes[-1] is command.kind


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
async def test_the_same_command_at_once_through_two_gateways_happens_once(
    production: Production, two: tuple[Caller, Caller], command: Command
) -> None:
    await two[0].prepare(command)
    key = f"at-once-{two[0].name}"

    answers = await asyncio.gather(*(caller.send(command.request, key) for caller in two))

    assert [answer.status_code for answer in answers] == [status_of(command)] * 2, [each.text for each in answers]
    assert answers[0].json() == answers[1].json()
    record = await record_of(production.fleet, two[0].name)
    assert len(record.changes) == len(command.before) + 1
    assert record.changes[-1] is command.kind


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
async def test_a_key_of_another_command_is_refused(
    production: Production, two: tuple[Caller, Caller], command: Command
) -> None:
    await two[0].prepare(command)
    key = f"other-{two[0].name}"
    assert (await two[0].send(command.request, key)).status_code == status_of(command)
    before = await record_of(production.fleet, two[0].name)

    elsewhere: Request = (command.request[0], command.request[1].replace(NAME, f"{NAME}-b"), command.request[2])
    refused = [await caller.send(command.request, key, command.otherwise) for caller in two]
    refused += [await caller.send(("POST", "/deployments", {**CREATE[2], "version": 3}), key) for caller in two]
    if elsewhere != command.request:
        assert (await two[0].send(CREATE, body={**CREATE[2], "name": f"{two[0].name}-b"})).status_code == 201
        refused += [await caller.send(elsewhere, key) for caller in two]

    assert {answer.status_code for answer in refused} == {409}
    assert {answer.json()["code"] for answer in refused} == {"SERINUS-KEY-REUSED"}
    after = await record_of(production.fleet, two[0].name)
    assert (after.state, after.events) == (before.state, before.events)


async def test_a_gateway_that_was_started_afterwards_gives_the_answer_of_the_one_that_was_killed(
    production: Production, callers: Callers
) -> None:
    doomed = production.fleet.gateway()
    given: list[tuple[Command, str, httpx2.Response]] = []
    for number, command in enumerate(COMMANDS.values()):
        caller = await callers.at(doomed)
        caller.name = f"{callers.name}-{number}"
        await caller.prepare(command)
        given.append((command, caller.name, await caller.send(command.request, f"restart-{caller.name}")))

    doomed.kill()
    successor = await callers.at(production.fleet.gateway(home=doomed.home))

    for command, name, answer in given:
        successor.name = name
        again = await successor.send(command.request, f"restart-{name}")
        assert answer.status_code == again.status_code == status_of(command)
        assert again.json()["rollout"] == answer.json()["rollout"]
        assert again.json()["generation"] == answer.json()["generation"]
        assert (await record_of(production.fleet, name)).changes.count(command.kind) == 1


# ------------------------------------------------------------------------------------------------ models


async def test_a_version_is_registered_once(two: tuple[Caller, Caller]) -> None:
    ready = models.pickled(models.Risk())

    async def digest() -> str:
        version = (await two[0].http.get("/models/risk/versions/1")).json()
        return str(version["digest"])

    body = {
        "artifact": {"digest": await digest(), "format": "pickle"},
        "signature": ready.signature.encoded(),
        "description": "mine",
    }
    model = two[0].name
    register = ("POST", f"/models/{model}/versions", body)

    one_by_one = [await caller.send(register, f"r1-{model}") for caller in (*two, *two)]
    at_once = await asyncio.gather(*(caller.send(register, f"r2-{model}") for caller in (*two, *two)))
    other = [await caller.send(register, f"r1-{model}", {**body, "description": "yours"}) for caller in two]

    assert {answer.status_code for answer in (*one_by_one, *at_once)} == {201}
    assert {answer.json()["version"] for answer in one_by_one} == {1}
    assert {answer.json()["version"] for answer in at_once} == {2}
    assert [answer.json() for answer in one_by_one] == [one_by_one[0].json()] * 4
    assert {answer.json()["code"] for answer in other} == {"SERINUS-KEY-REUSED"}
    versions = (await two[1].http.get(f"/models/{model}/versions")).json()["versions"]
    assert [version["version"] for version in versions] == [1, 2]


# --------------------------------------------------------------------------------------- without PostgreSQL


async def test_a_rollback_that_is_repeated_while_postgresql_is_down_and_afterwards_happens_once(
    production: Production, two: tuple[Caller, Caller]
) -> None:
    await two[0].prepare(COMMANDS["rollback"])
    key = f"outage-{two[0].name}"

    production.postgresql.stop("immediate")
    try:
        meanwhile = [await two[0].send(ROLLBACK, key)]
        meanwhile += await asyncio.gather(*(caller.send(ROLLBACK, key) for caller in (*two, *two)))
        other = [await caller.send(ROLLBACK, key, {"reason": "other complaints"}) for caller in two]
        refused = await two[1].send(PAUSE, f"pause-{two[0].name}")
    finally:
        production.postgresql.start()
    record = await record_of(production.fleet, two[0].name)
    afterwards = [await caller.send(ROLLBACK, key) for caller in (*two, *two)]

    assert {answer.status_code for answer in meanwhile} == {202}
    assert not any(answer.json()["recorded"] for answer in meanwhile)
    assert {answer.status_code for answer in other} == {409}
    assert refused.status_code == 503
    assert record.changes == [EventKind.DEPLOYMENT_CREATED, EventKind.CANARY_STARTED, EventKind.ROLLED_BACK]
    assert {answer.status_code for answer in afterwards} == {200}
    assert all(answer.json()["recorded"] for answer in afterwards)
    told = [(answer.json()["generation"], answer.json()["rollout"]) for answer in (*meanwhile, *afterwards)]
    assert told == [told[0]] * len(told)
    assert (await record_of(production.fleet, two[0].name)).events == record.events
