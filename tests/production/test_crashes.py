"""Kill -9 between any two steps of a command: after a restart the state, the events and the board agree.

What is real: PostgreSQL, Redis and S3; in the killed processes everything of a server but its socket, its gateway and
its background work (see faults.py); and the server that is started afterwards, which is a `canary serve` with nothing
left out. The processes are killed one after the other, each in the middle of a command on a deployment of its own, and
then the one server makes good what all of them have left.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx2
import pytest
from redis.asyncio import Redis
from tests.e2e.reporting import say
from tests.models import KNOWN
from tests.production.conftest import MakeFleet
from tests.production.faults import NAME, Call, Order, Report, key_of
from tests.production.fleet import Fleet
from tests.server import PATIENCE_S, Server, environment

from serinus.core.deployment import Deployment
from serinus.core.events import TRANSITIONS, EventKind
from serinus.core.routing import Split, split_of
from serinus.stores.sql import SqlStore, open_store

pytestmark = pytest.mark.timeout(300)  # a hundred and eighty processes are killed before the first test

NEVER, SOON = {"policy": {"interval_s": 86_400}}, {"policy": {"interval_s": 0.1}}
CREATE = Call("POST", "/deployments", {"name": NAME, "model": "risk", "version": 1, "settings": NEVER})
CREATE_JUDGED = Call("POST", "/deployments", {"name": NAME, "model": "risk", "version": 1, "settings": SOON})
START = Call("POST", f"/deployments/{NAME}/canary", {"version": 2, "weight": 100})
START_AT_ZERO = Call("POST", f"/deployments/{NAME}/canary", {"version": 2, "weight": 0})
RAISE = Call("PATCH", f"/deployments/{NAME}/traffic", {"weight": 100})
CONFIGURE = Call("PATCH", f"/deployments/{NAME}", {"settings": {"auto_promote": False}})
PAUSE, PROMOTE, ROLLBACK, UNDO = (
    Call("POST", f"/deployments/{NAME}/{verb}") for verb in ("pause", "promote", "rollback", "undo")
)
COMMANDS: dict[str, tuple[Order, EventKind]] = {
    "create": (Order((), CREATE), EventKind.DEPLOYMENT_CREATED),
    "configure": (Order((CREATE,), CONFIGURE), EventKind.CONFIGURED),
    "start": (Order((CREATE,), START), EventKind.CANARY_STARTED),
    "set-weight": (Order((CREATE, START_AT_ZERO), RAISE), EventKind.TRAFFIC_ADJUSTED),
    "pause": (Order((CREATE, START), PAUSE), EventKind.PAUSED),
    "promote": (Order((CREATE, START), PROMOTE), EventKind.PROMOTED),
    "rollback": (Order((CREATE, START), ROLLBACK), EventKind.ROLLED_BACK),
    "undo": (Order((CREATE, START, PROMOTE), UNDO), EventKind.PROMOTION_UNDONE),
}
"""What is carried out, and its event. A canary has all of the traffic or nothing, so that a role is no chance."""
REPEATED, CHECK = "repeated", "check"
ORDERS = {name: order for name, (order, _) in COMMANDS.items()} | {
    REPEATED: Order((CREATE, START), ROLLBACK, again=True),
    CHECK: Order((CREATE_JUDGED, START), None),
}


@dataclass(frozen=True)
class Aftermath:
    """A server that was started after many others had been killed, and what these had done."""

    fleet: Fleet
    server: Server
    reports: dict[str, list[Report]]

    def names(self, kind: str) -> list[str]:
        return [f"{kind}-{number}" for number in range(len(self.reports[kind]))]


@pytest.fixture(scope="module")
def aftermath(new_fleet: MakeFleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    with new_fleet(tmp_path_factory.mktemp("crashes")) as fleet:
        began = time.monotonic()
        reports = crash(fleet)
        say(f"{sum(map(len, reports.values()))} processes in {time.monotonic() - began:.1f} s")
        yield Aftermath(fleet, fleet.whole(), reports)


def crash(fleet: Fleet) -> dict[str, list[Report]]:
    wanted = {"versions": 2, "orders": {kind: asdict(order) for kind, order in ORDERS.items()}}
    done = subprocess.run(
        [sys.executable, "-m", "tests.production.faults"],
        input=json.dumps(wanted),
        stdout=subprocess.PIPE,
        text=True,
        timeout=250,
        check=True,
        env=environment(SERINUS_HOME=str(fleet.folder / "killed"), **fleet.settings),
    )
    return {kind: [Report.decoded(each) for each in found] for kind, found in json.loads(done.stdout).items()}


@dataclass
class Seen:
    """What is in the database and on the board, looked at past the server, and what the server says."""

    store: SqlStore
    redis: "Redis[str]"
    prefix: str
    http: httpx2.AsyncClient
    agreed_after: list[float] = field(default_factory=list)

    async def split(self, name: str) -> Split | None:
        text = await self.redis.hget(f"{self.prefix}splits", name)  # type: ignore[misc]  # as the library types it
        return Split.decoded(json.loads(text)) if text else None

    async def changes(self, name: str) -> list[EventKind]:
        return [each.event.kind for each in await self.store.events(name) if each.event.kind in TRANSITIONS]

    async def agree(self, name: str) -> bool:
        """Say whether state, events, rollouts and the board say the same of a deployment."""
        state, split = await self.store.deployment(name), await self.split(name)
        recorded = [each.event for each in await self.store.events(name)]
        generations = [event.generation for event in recorded if event.kind in TRANSITIONS]
        if state is None:
            return split is None and recorded == []
        rollouts = await self.store.rollouts(name)
        return (
            generations == list(range(1, state.generation + 1))
            and split == split_of(state)
            and rollouts[:1] == ([state.rollout] if state.rollout else [])
        )

    async def agree_in_time(self, names: list[str]) -> None:
        """Wait until all of it agrees."""
        began = time.monotonic()
        for name in names:
            while not await self.agree(name):
                state, split = await self.store.deployment(name), await self.split(name)
                assert time.monotonic() < began + PATIENCE_S, (name, state, split, await self.changes(name))
                await asyncio.sleep(0.05)
        self.agreed_after.append(time.monotonic() - began)

    async def serves(self, name: str) -> None:
        """Wait until the server answers by the state on record: a canary has all of the traffic, or none."""
        state, deadline = await self.store.deployment(name), time.monotonic() + PATIENCE_S
        wanted = {"status": 200, "model_version": by_record(state)} if state else {"status": 404, "model_version": None}
        while True:
            answer = await self.http.post(f"/predict/{name}", json={"features": KNOWN})
            found = {"status": answer.status_code, "model_version": answer.json().get("model_version")}
            if found == wanted:
                return
            assert found["status"] == wanted["status"], answer.text
            assert time.monotonic() < deadline, (name, found, wanted)
            await asyncio.sleep(0.05)

    async def repeat(self, name: str, call: Call) -> dict[str, Any]:
        """Send the command again, as somebody would who never had an answer."""
        call = call.of(name)
        headers = {"Idempotency-Key": key_of(name)}
        answer = await self.http.request(call.method, call.path, json=dict(call.body), headers=headers)
        assert answer.status_code in {200, 201}, answer.text
        document: dict[str, Any] = answer.json()
        return document


def by_record(state: Deployment) -> str:
    split = split_of(state)
    return str(state.active.canary if state.active and split.share else state.baseline)


@pytest.fixture
async def seen(aftermath: Aftermath) -> AsyncIterator[Seen]:
    settings = aftermath.fleet.settings
    store = await open_store(settings["SERINUS_DATABASE_URL"])
    async with (
        Redis.from_url(settings["SERINUS_REDIS_URL"], decode_responses=True) as redis,
        httpx2.AsyncClient(base_url=aftermath.server.url, trust_env=False, timeout=PATIENCE_S) as http,
    ):
        yield Seen(store, redis, settings["SERINUS_REDIS_PREFIX"], http)
    await store.close()


@pytest.mark.parametrize("kind", ORDERS)
def test_a_process_is_killed_before_each_step_of_a_command(kind: str, aftermath: Aftermath) -> None:
    undisturbed, *others = aftermath.reports[kind]

    assert undisturbed.exit_code == 0
    assert [len(report.steps) for report in others[:-1]] == list(range(len(others) - 1))
    assert [report.was_killed for report in others] == [True] * (len(others) - 1) + [False]
    assert {"SQL: commit", "the answer"} <= set(undisturbed.steps)
    assert sum(step.startswith("Redis: a script on") for step in undisturbed.steps) >= 2


@pytest.mark.parametrize("kind", COMMANDS)
async def test_a_command_whose_process_was_killed_has_happened_entirely_or_not_at_all_and_happens_once_if_repeated(
    kind: str, aftermath: Aftermath, seen: Seen
) -> None:
    order, event = COMMANDS[kind]
    names = aftermath.names(kind)
    assert order.call is not None

    await seen.agree_in_time(names)
    before = await seen.changes(f"{kind}-1")
    happened = [await seen.changes(name) == [*before, event] for name in names]
    assert [await seen.changes(name) for name in names] == [before + [event] * each for each in happened]
    assert happened[0]
    assert happened[1:] == sorted(happened[1:])  # before the step that decides it never, after it always
    assert set(happened[1:]) == {True, False}
    for name in names:
        await seen.serves(name)

    answers = [await seen.repeat(name, order.call) for name in names]

    assert {answer["generation"] for answer in answers} == {len(before) + 1}
    await seen.agree_in_time(names)
    assert [await seen.changes(name) for name in names] == [[*before, event]] * len(names)
    for name, answer in zip(names, answers, strict=True):
        await seen.serves(name)
        assert (await seen.repeat(name, order.call))["rollout"] == answer["rollout"]
    say(f"{kind}: {happened.count(False)} times not at all, agreed after {seen.agreed_after[0]:.2f} s")


async def test_a_rollback_that_another_process_repeats_at_once_happens_once(aftermath: Aftermath, seen: Seen) -> None:
    names = aftermath.names(REPEATED)

    assert {report.repeated for report in aftermath.reports[REPEATED][1:]} == {200}
    await seen.agree_in_time(names)
    expected = [EventKind.DEPLOYMENT_CREATED, EventKind.CANARY_STARTED, EventKind.ROLLED_BACK]
    assert [await seen.changes(name) for name in names] == [expected] * len(names)
    for name in names:
        await seen.serves(name)


async def test_a_rollback_of_a_checker_that_was_killed_on_it_happens_once(aftermath: Aftermath, seen: Seen) -> None:
    names = aftermath.names(CHECK)

    for name in names:
        while len(await seen.changes(name)) < 3:  # one that had not begun is the next checker's
            await asyncio.sleep(0.05)
    await seen.agree_in_time(names)
    for name in names:
        recorded = [each.event for each in await seen.store.events(name)]
        kinds = [event.kind for event in recorded]
        assert kinds[:2] == [EventKind.DEPLOYMENT_CREATED, EventKind.CANARY_STARTED]
        assert kinds[-2:] == [EventKind.ROLLED_BACK, EventKind.AUTO_ROLLBACK_TRIGGERED]
        assert kinds[2:-2] in ([], [EventKind.HEALTH_CHECK_FAILED])
        assert {event.actor for event in recorded[2:]} == {"health-checker"}
        assert recorded[-1].data["canary"]["errors"] == 100  # type: ignore[index]  # JSON
        await seen.serves(name)
