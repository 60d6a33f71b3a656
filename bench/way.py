"""What the whole way of a prediction costs that is Serinus' own, without HTTP and without a model, in CPU time.

A real system (embedded, its journal on disk) is asked through the short way's own entry, by a model that answers at
once. What a step costs is what a call of it takes alone; what is left over is what connects them.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from bench.parts import INPUTS, SIGNATURE, microseconds

from serinus.assembly import System, assembled
from serinus.core import log_rows
from serinus.core.answers import Answer
from serinus.core.commands import Create, StartCanary
from serinus.core.log_frames import framed
from serinus.core.names import VersionRef
from serinus.core.policy import Settings
from serinus.core.records import ModelVersion, Package
from serinus.core.routing import Role
from serinus.core.signature import Row
from serinus.core.work import Work
from serinus.gateway import Request, prediction_of
from serinus.hashing import HashKey, InputHasher
from serinus.home import Home
from serinus.http.hot import HotRoute
from serinus.http.hot_plan import Plan
from serinus.predictors import frames
from serinus.settings import read_settings

BODY = msgspec.json.encode({"features": INPUTS})
URL = b"/predict/bench"
TURN = 64
"""Requests that come in one turn of the event loop."""
ANSWER = (Answer(1, "1", 0.875),)
_encode = msgspec.json.Encoder().encode


class _Instant:
    """A predictor that answers at once."""

    def __init__(self, version: ModelVersion) -> None:
        self.version = version
        self.work = Work()

    def ask(self, rows: Sequence[Row], timeout_s: float, settle: Callable[..., None]) -> "_Instant":
        settle(ANSWER)
        return self

    def withdraw(self) -> None:
        """Nothing is under way."""

    def yield_to_others(self, yes: bool) -> None:  # noqa: FBT001 - the port's one question
        """It has no process."""

    def close(self) -> None:
        """It holds nothing."""


class _Instants:
    async def start(self, version: ModelVersion, artifact: bytes) -> _Instant:
        return _Instant(version)


def whole(requests: int = 60_000) -> float:
    """Give the microseconds of CPU that a request costs, evidence and journal included; shipping is not."""
    return asyncio.run(_measured(requests))


async def _measured(requests: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        settings = read_settings(
            home=Path(folder) / "home", check_interval=3600, canary_lease=86_400, log_interval=60, allow_pickle=True
        )
        with Home(settings.home) as home:
            async with assembled(settings, home) as system:
                system.loaded._factory = _Instants()  # noqa: SLF001 - nothing else is to be measured
                return await _asked(system, requests)


async def _asked(system: System, requests: int) -> float:
    assert system.gateway is not None
    package = Package(b"nothing", "pickle", SIGNATURE)
    for _ in range(2):
        await system.registry.register(package, "bench")
    await system.engine.create(
        Create(name="bench", baseline=VersionRef("bench", 1), settings=Settings(auto_promote=False))
    )
    await system.engine.execute("bench", StartCanary(canary=VersionRef("bench", 2), weight=20))
    route = HotRoute(system.gateway, 1 << 20, loopback_only=False)
    assert route.takes(URL, [])
    answered = 0

    def settle(request: Request) -> None:
        nonlocal answered
        _encode(prediction_of(request))
        answered += 1

    begun = 0.0
    for number in range(-2000, requests, TURN):
        if number >= 0 and not begun:
            answered, begun = 0, time.process_time()
        for _ in range(TURN):
            assert route.begin(URL, BODY, None, settle)
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    return (time.process_time() - begun) / answered * 1e6


def steps() -> dict[str, float]:
    """Give what single steps take, in microseconds a call."""
    plan, hasher = Plan(SIGNATURE), InputHasher(HashKey(b"0123456789abcdef0123456789abcdef"), SIGNATURE.names).of
    row, _ = plan.read(BODY)
    at = log_rows.microseconds(datetime.now(UTC))
    common = log_rows.constant_part(
        deployment="bench",
        rollout="bench:1",
        split_version=1,
        role=Role.BASELINE,
        version="bench@1",
        answered_by="bench@1",
        key_id="12345678",
    )
    hashed, answer = hasher(row), log_rows.answer_part("1", "1")
    line = log_rows.row("0" * 32, at, 1.25, hashed, 0.875, common, answer)
    packer = frames.Packer(len(SIGNATURE.features), as_matrix=True)
    batch = [(row,)] * TURN
    columns = frames.frame(1, frames.ANSWERS, frames.Answers(1, [1] * TURN, ["1"] * TURN, [0.875] * TURN))[16:]
    lines = [line] * TURN
    return {
        "read the body, check 13 features": microseconds(lambda: plan.read(BODY)),
        "hash the inputs": microseconds(lambda: hasher(row)),
        "write the record": microseconds(lambda: log_rows.row("0" * 32, at, 1.25, hashed, 0.875, common, answer)),
        f"frame records for the journal (of {TURN}, each)": microseconds(
            lambda: framed(b"".join(lines), TURN, at, at), calls=2000
        )
        / TURN,
        f"rows to the runner (of {TURN}, each)": microseconds(lambda: packer.batch(1, batch), calls=2000) / TURN,
        f"answers from the runner (of {TURN}, each)": microseconds(
            lambda: frames.answered(memoryview(columns), TURN), calls=2000
        )
        / TURN,
    }


if __name__ == "__main__":
    for name, cost in steps().items():
        print(f"{cost:8.2f}  {name}")
    print(f"{whole():8.2f}  all of it")
