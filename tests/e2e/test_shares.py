"""The canary gets its share: exactly none, exactly all, and else what chance allows; from the next request on."""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests import models
from tests.e2e.load import ask_at_once
from tests.e2e.reporting import say
from tests.models import KNOWN, STABLE
from tests.server import Server

from serinus.assembly import assembled
from serinus.client import DocumentClient
from serinus.core.answers import Answer
from serinus.core.commands import Create, SetWeight, StartCanary
from serinus.core.names import VersionRef
from serinus.core.policy import Settings
from serinus.core.records import ModelVersion
from serinus.core.signature import Row
from serinus.core.work import Work
from serinus.home import Home
from serinus.ports import Settle
from serinus.settings import read_settings

DRAWS = 100_000
AT_ONCE = 100
"""Requests of one turn of the event loop, which are logged together."""


class Instant:
    """A predictor that answers at once, so that only the gateway's own work is done."""

    def __init__(self, version: ModelVersion) -> None:
        self.version = version
        self.work = Work()

    def ask(self, rows: Sequence[Row], timeout_s: float, settle: Settle) -> "Instant":
        settle([Answer(0.5)] * len(rows))
        return self

    def withdraw(self) -> None:
        """Nothing waits."""

    def yield_to_others(self, yes: bool) -> None:  # noqa: FBT001 - the port's one question
        """Nothing takes time."""

    def close(self) -> None:
        """Nothing is held."""


class Instants:
    def __init__(self, *_: object, **__: object) -> None:
        """Take what any factory takes, and need none of it."""

    async def start(self, version: ModelVersion, artifact: bytes) -> Instant:
        return Instant(version)


def allowed_error(weight: float, draws: int) -> float:
    """Four standard errors of a share, in draws: chance exceeds them once in 16,000 runs."""
    share = weight / 100
    return 4 * math.sqrt(draws * share * (1 - share))


def check(drawn: Counter[str], weight: float) -> None:
    draws = drawn.total()
    expected = draws * weight / 100
    say(f"{weight:g} %: {drawn['canary']} of {draws} to the canary, {allowed_error(weight, draws):.0f} off allowed")
    assert abs(drawn["canary"] - expected) <= allowed_error(weight, draws)


async def test_of_a_hundred_thousand_requests_each_share_goes_to_the_canary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serinus.assembly.RunnerPredictors", Instants)
    # The log takes some and drops the others, which would take their time.
    settings = read_settings(
        home=tmp_path, allow_pickle=True, check_interval=3600, canary_lease=86_400, log_interval=60, journal_bytes=4096
    )
    with Home(tmp_path) as home:
        async with assembled(settings, home) as system:
            assert system.gateway is not None
            for _ in range(2):
                await system.registry.register(models.pickled(models.Risk()), "risk")
            # With fail-over each canary's answer would take a turn of the event loop.
            await system.engine.create(Create(name="prod", baseline=STABLE, settings=Settings(failover=False)))
            await system.engine.execute("prod", StartCanary(canary=VersionRef("risk", 2), weight=1))

            for weight in (0, 20, 50, 100):
                done = await system.engine.execute("prod", SetWeight(weight=weight))
                assert done.unacknowledged == ()
                drawn = Counter[str]()
                for _ in range(DRAWS // AT_ONCE):
                    asked = (system.gateway.predict("prod", KNOWN) for _ in range(AT_ONCE))
                    drawn.update(answer.model_role for answer in await asyncio.gather(*asked))
                check(drawn, weight)

            evidence = system.gateway.evidence()
            assert sum(counts.requests for counts in evidence.values()) == 4 * DRAWS


async def test_a_share_is_in_force_for_the_next_request_after_the_command(
    server: Server, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE, {"auto_promote": False, "auto_rollback": False})
    client.start(name, 2, 1)

    for weight in (0, 100, 0, 50, 100):
        assert client.set_weight(name, weight)["unacknowledged"] == []
        replies = await ask_at_once(server.port, name, 1000, {"features": KNOWN}, connections=8)
        assert {reply.status for reply in replies} == {200}
        check(Counter(reply.document["model_role"] for reply in replies), weight)


@pytest.mark.parametrize(
    ("end", "role", "version"), [("promote", "baseline", "risk@2"), ("rollback", "baseline", "risk@1")]
)
async def test_the_end_of_a_rollout_is_in_force_for_the_next_request(
    server: Server, client: DocumentClient, name: str, end: str, role: str, version: str
) -> None:
    client.deploy(name, STABLE)
    client.start(name, 2, 50)

    getattr(client, end)(name)

    replies = await ask_at_once(server.port, name, 200, {"features": KNOWN}, connections=8)
    assert {(reply.document["model_role"], reply.document["model_version"]) for reply in replies} == {(role, version)}


async def test_no_request_fails_while_the_share_changes_and_rollouts_come_and_go(
    server: Server, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE, {"auto_promote": False, "auto_rollback": False})

    def steer() -> None:
        for _ in range(6):
            client.start(name, 2, 30)
            client.set_weight(name, 80)
            client.promote(name)
            client.undo(name)

    replies, _ = await asyncio.gather(
        ask_at_once(server.port, name, 3000, {"features": KNOWN}, connections=8), asyncio.to_thread(steer)
    )

    assert Counter(reply.status for reply in replies) == {200: 3000}
