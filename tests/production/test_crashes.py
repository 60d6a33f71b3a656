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
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import httpx2
import pytest
from tests.e2e.reporting import say
from tests.models import KNOWN
from tests.production.agreement import Record, Records, records_of
from tests.production.conftest import MakeFleet
from tests.production.faults import BAD_REQUESTS, NAME, Call, Order, Report, key_of
from tests.production.fleet import Fleet
from tests.server import PATIENCE_S, Server, environment

from serinus.core.events import EventKind

pytestmark = pytest.mark.timeout(600)  # some two hundred processes are killed before the first test

CREATE = Call(
    "POST",
    "/deployments",
    {"name": NAME, "model": "risk", "version": 1, "settings": {"policy": {"name": "threshold", "interval_s": 86_400}}},
)
START = Call("POST", f"/deployments/{NAME}/canary", {"version": 2, "weight": 100})
RAISE = Call("PATCH", f"/deployments/{NAME}/traffic", {"weight": 100})
CONFIGURE = Call("PATCH", f"/deployments/{NAME}", {"settings": {"auto_promote": False}})
PAUSE, PROMOTE, ROLLBACK, UNDO = (
    Call("POST", f"/deployments/{NAME}/{verb}") for verb in ("pause", "promote", "rollback", "undo")
)
COMMANDS: dict[str, tuple[Order, EventKind]] = {
    "create": (Order((), CREATE), EventKind.DEPLOYMENT_CREATED),
    "configure": (Order(("create",), CONFIGURE), EventKind.CONFIGURED),
    "start": (Order(("create",), START), EventKind.CANARY_STARTED),
    "set-weight": (Order(("create", "start at zero"), RAISE), EventKind.TRAFFIC_ADJUSTED),
    "pause": (Order(("create", "start"), PAUSE), EventKind.PAUSED),
    "promote": (Order(("create", "start"), PROMOTE), EventKind.PROMOTED),
    "rollback": (Order(("create", "start"), ROLLBACK), EventKind.ROLLED_BACK),
    "undo": (Order(("create", "start", "promote"), UNDO), EventKind.PROMOTION_UNDONE),
}
"""What is carried out, and its event."""
REPEATED, CHECK = "repeated", "check"
ORDERS = {kind: order for kind, (order, _) in COMMANDS.items()} | {
    REPEATED: Order(("create", "start"), ROLLBACK, again=True),
    CHECK: Order(("create, judged soon", "start"), None),
}
ENDED = [EventKind.DEPLOYMENT_CREATED, EventKind.CANARY_STARTED, EventKind.ROLLED_BACK]


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
        ended = time.monotonic()
        server = fleet.whole()
        number = sum(map(len, reports.values()))
        say(f"{number} processes in {ended - began:.1f} s, the server after {time.monotonic() - ended:.1f} s more")
        yield Aftermath(fleet, server, reports)


def crash(fleet: Fleet) -> dict[str, list[Report]]:
    wanted = {"versions": 2, "orders": {kind: asdict(order) for kind, order in ORDERS.items()}}
    done = subprocess.run(
        [sys.executable, "-m", "tests.production.faults"],
        input=json.dumps(wanted),
        stdout=subprocess.PIPE,
        text=True,
        timeout=550,
        check=True,
        env=environment(SERINUS_HOME=str(fleet.folder / "killed"), **fleet.settings),
    )
    return {kind: [Report.decoded(each) for each in found] for kind, found in json.loads(done.stdout).items()}


@dataclass(frozen=True)
class Caller:
    """Asks the server that was started afterwards."""

    http: httpx2.AsyncClient

    async def serves_as(self, names: Iterable[str], records: Iterable[Record]) -> None:
        """Wait until the server answers by what is on record."""
        deadline = time.monotonic() + PATIENCE_S
        for name, record in zip(names, records, strict=True):
            while (found := await self.served(name)) != record.served:
                assert found[0] == record.served[0]
                assert time.monotonic() < deadline, (name, found, record)
                await asyncio.sleep(0.05)

    async def served(self, name: str) -> tuple[int, str | None]:
        answer = await self.http.post(f"/predict/{name}", json={"features": KNOWN})
        return answer.status_code, answer.json().get("model_version")

    async def repeated(self, name: str, call: Call) -> dict[str, Any]:
        """Send the command again, as somebody would who never had an answer."""
        call, headers = call.of(name), {"Idempotency-Key": key_of(name)}
        answer = await self.http.request(call.method, call.path, json=dict(call.body), headers=headers)
        assert answer.status_code in {200, 201}, answer.text
        document: dict[str, Any] = answer.json()
        return document


@pytest.fixture
async def records(aftermath: Aftermath) -> AsyncIterator[Records]:
    async with records_of(aftermath.fleet) as records:
        yield records


@pytest.fixture
async def caller(aftermath: Aftermath) -> AsyncIterator[Caller]:
    async with httpx2.AsyncClient(base_url=aftermath.server.url, trust_env=False, timeout=PATIENCE_S) as http:
        yield Caller(http)


@pytest.mark.parametrize("kind", ORDERS)
def test_a_process_is_killed_before_each_step_of_a_command(kind: str, aftermath: Aftermath) -> None:
    undisturbed, *others = aftermath.reports[kind]

    assert undisturbed.exit_code == 0
    assert [report.was_killed for report in others] == [True] * (len(others) - 1) + [False]
    assert [len(report.steps) for report in others[:-1]] == list(range(len(others) - 1))
    assert {"SQL: commit", "the answer"} <= set(undisturbed.steps)
    assert sum(step.startswith("Redis: a script on") for step in undisturbed.steps) >= 2


@pytest.mark.parametrize("kind", COMMANDS)
async def test_a_command_whose_process_was_killed_has_happened_entirely_or_not_at_all_and_happens_once_if_repeated(
    kind: str, aftermath: Aftermath, records: Records, caller: Caller
) -> None:
    (order, event), names = COMMANDS[kind], aftermath.names(kind)
    assert order.call is not None

    found = await records.agreeing(names)
    once = found[0].changes  # nobody disturbed the first one
    happened = [record.changes == once for record in found]
    assert once[-1] is event
    assert len(once) == len(order.before) + 1
    assert [record.changes for record in found] == [once if each else once[:-1] for each in happened]
    assert happened[1:] == sorted(happened[1:])  # before the step that decides it never, after it always
    assert set(happened[1:]) == {True, False}
    await caller.serves_as(names, found)

    answers = [await caller.repeated(name, order.call) for name in names]

    assert {answer["generation"] for answer in answers} == {len(once)}
    after = await records.agreeing(names)
    assert [record.changes for record in after] == [once] * len(names)
    await caller.serves_as(names, after)
    assert await caller.repeated(names[-1], order.call) == answers[-1]
    say(f"{kind}: {happened.count(False)} times not at all, {happened.count(True)} times entirely")


async def test_a_rollback_that_another_process_repeats_at_once_happens_once(
    aftermath: Aftermath, records: Records, caller: Caller
) -> None:
    names = aftermath.names(REPEATED)

    found = await records.agreeing(names)

    assert [report.repeated for report in aftermath.reports[REPEATED][1:]] == [200] * (len(names) - 1)
    assert [record.changes for record in found] == [ENDED] * len(names)
    await caller.serves_as(names, found)


async def test_a_rollback_of_a_checker_that_was_killed_on_it_happens_once(
    aftermath: Aftermath, records: Records, caller: Caller
) -> None:
    names, deadline = aftermath.names(CHECK), time.monotonic() + PATIENCE_S

    found = await records.agreeing(names)
    while any(record.changes != ENDED for record in found):  # one that had not begun is the next checker's
        assert time.monotonic() < deadline, found
        found = await records.agreeing(names)

    for record in found:
        (triggered,) = [event for event in record.events if event.kind is EventKind.AUTO_ROLLBACK_TRIGGERED]
        assert record.kinds.count(EventKind.HEALTH_CHECK_FAILED) <= 1
        assert {event.actor for event in record.events[2:]} == {"health-checker"}
        assert triggered.data["canary"]["errors"] == BAD_REQUESTS  # type: ignore[index]  # JSON
    await caller.serves_as(names, found)
