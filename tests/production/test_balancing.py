"""Three gateways behind the load balancer that Serinus ships a configuration for."""

import asyncio
import csv
import math
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import httpx2
import pytest
from tests import models
from tests.e2e.load import Connection, Lost, Reply
from tests.models import KNOWN, STABLE
from tests.production.balancing import balanced, ports_of
from tests.production.conftest import MakeFleet
from tests.production.fleet import Fleet
from tests.server import Server, eventually, start
from tests.services import HAProxy, provided

from serinus.client import DocumentClient

DRAIN_S = 2.0
"""Longer than the load balancer takes to see that a gateway is not ready."""
CONNECTIONS = 6
PAUSE_S = 0.02


@dataclass
class Balanced:
    """Gateways on ports of their own, and the load balancer in front of them."""

    fleet: Fleet
    gateways: list[Server]
    ports: list[int]
    balancer: HAProxy

    def client(self) -> DocumentClient:
        return DocumentClient(self.balancer.url, timeout=60.0)

    def settled(self) -> None:
        """Wait until the load balancer sends requests to every gateway."""
        assert eventually(lambda: self.up() == len(self.gateways)), self.balancer.say("show stat")

    def up(self) -> int:
        with suppress(OSError):
            rows = csv.DictReader(self.balancer.say("show stat").splitlines())
            return sum(
                row["# pxname"] == "gateways" and row["svname"].startswith("gateway-") and row["status"] == "UP"
                for row in rows
            )
        return 0


@pytest.fixture(scope="module")
def system(new_fleet: MakeFleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balanced]:
    with new_fleet(tmp_path_factory.mktemp("balanced"), SERINUS_DRAIN_DELAY=str(DRAIN_S)) as fleet:
        gateways = fleet.gateways(3, "--insecure")
        fleet.checker()
        stats = 'global\n  stats socket "${STATS_SOCKET}" level admin\n'
        config = balanced(*ports_of(*gateways)).replace("global\n", stats, 1)
        with provided(HAProxy(config)) as balancer:
            system = Balanced(fleet, gateways, ports_of(*gateways), balancer)
            system.settled()
            fleet.register(gateways[0], models.Risk(), models.Risk())
            yield system


@dataclass
class Load:
    """Callers who ask without pause until they are told to stop."""

    port: int
    deployment: str
    replies: list[Reply] = field(default_factory=list)
    lost: list[Exception] = field(default_factory=list)
    """Why connections gave nothing, or what is no answer, as a page of the load balancer's own."""
    replied: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False

    async def run(self) -> None:
        await asyncio.gather(*(self._ask() for _ in range(CONNECTIONS)))

    async def _ask(self) -> None:
        connection = Connection(self.port)
        while not self.stopped:
            try:
                self.replies.append(await connection.predict(self.deployment, {"features": KNOWN}))
                self.replied.set()
            except (Lost, ValueError) as lost:
                self.lost.append(lost)
                await connection.close()
            await asyncio.sleep(PAUSE_S)
        await connection.close()

    @property
    def failed(self) -> list[int]:
        return [reply.status for reply in self.replies if reply.status != 200]


async def enough(load: Load, more: int = 200) -> None:
    """Wait for further answers."""
    wanted = len(load.replies) + more
    while len(load.replies) < wanted:
        load.replied.clear()
        await load.replied.wait()


def test_the_observed_share_is_the_commanded_one(system: Balanced) -> None:
    with system.client() as client:
        client.deploy("share", STABLE, {"auto_promote": False, "auto_rollback": False})
        client.start("share", 2, 20.0)
    asked, share = 3000, 0.20

    async def ask() -> Counter[str]:
        connections = [Connection(system.balancer.port) for _ in range(CONNECTIONS)]

        async def each(connection: Connection) -> list[str]:
            replies = [await connection.predict("share", {"features": KNOWN}) for _ in range(asked // CONNECTIONS)]
            await connection.close()
            assert {reply.status for reply in replies} == {200}
            return [reply.document["model_role"] for reply in replies]

        roles = await asyncio.gather(*(each(connection) for connection in connections))
        return Counter(role for some in roles for role in some)

    drawn = asyncio.run(ask())
    assert abs(drawn["canary"] - asked * share) <= 4 * math.sqrt(asked * share * (1 - share)), drawn
    assert all(answered(gateway, "share") > 0 for gateway in system.gateways)


def test_an_entity_stays_with_its_version_whichever_gateway_it_meets(system: Balanced) -> None:
    with system.client() as client:
        client.deploy("sticky", STABLE, {"sticky": True, "auto_promote": False, "auto_rollback": False})
        client.start("sticky", 2, 40.0)
    seen: dict[int, set[str]] = {}
    for gateway in system.gateways:
        with gateway.http() as http:
            for entity in range(150):
                body = {"features": KNOWN, "entity_id": entity}
                seen.setdefault(entity, set()).add(http.post("/predict/sticky", json=body).json()["model_role"])

    assert all(len(roles) == 1 for roles in seen.values())
    canaries = sum(roles == {"canary"} for roles in seen.values())
    assert abs(canaries - 60) <= 4 * math.sqrt(150 * 0.4 * 0.6)


async def test_a_gateway_that_is_killed_takes_only_what_it_was_answering_with_it(system: Balanced) -> None:
    with system.client() as client:
        await asyncio.to_thread(client.deploy, "killed", STABLE)
    load = Load(system.balancer.port, "killed")
    asking = asyncio.ensure_future(load.run())
    await enough(load)
    before = len(load.replies)

    victim = system.gateways[-1]
    victim.process.send_signal(signal.SIGKILL)
    await enough(load, 600)
    load.stopped = True
    await asking

    # Each caller has one request under way at most; the load balancer answers 502 for what it had passed on.
    assert len(load.failed) + len(load.lost) <= CONNECTIONS, (load.failed, len(load.lost))
    assert len(load.replies) - before >= 600
    await asyncio.to_thread(replaced, system, len(system.gateways) - 1)


async def test_a_rolling_restart_fails_no_request(system: Balanced) -> None:
    with system.client() as client:
        await asyncio.to_thread(client.deploy, "rolling", STABLE, {"auto_promote": False})
        await asyncio.to_thread(client.start, "rolling", 2, 30.0)
    load = Load(system.balancer.port, "rolling")
    asking = asyncio.ensure_future(load.run())
    await enough(load)

    for number, gateway in enumerate(list(system.gateways)):
        code = await asyncio.to_thread(gateway.terminate)
        assert code == 0, gateway.stderr
        await asyncio.to_thread(replaced, system, number)
        await enough(load)
    load.stopped = True
    await asking

    assert load.failed == []
    assert load.lost == []
    assert len(load.replies) > 800


def replaced(system: Balanced, number: int) -> None:
    """Start a gateway anew where another one was, and wait until it is asked."""
    old = system.gateways[number]
    options = ("--no-checker", "--insecure", "--port", str(system.ports[number]))
    server = start(old.home, *options, **system.fleet.settings)
    system.fleet.servers.append(server)
    system.gateways[number] = server
    server.wait_until_ready()
    system.settled()


def answered(gateway: Server, deployment: str) -> float:
    lines = httpx2.get(f"{gateway.url}/metrics", trust_env=False).text.splitlines()
    begin = f'prediction_requests_total{{deployment="{deployment}"'
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(begin))
