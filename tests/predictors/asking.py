"""Asking a predictor and waiting for what it says, as most tests want to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from tests import models

from serinus.core.answers import Answer
from serinus.core.names import VersionRef
from serinus.core.records import ModelVersion, Package, VersionDraft
from serinus.core.signature import Row, Signature
from serinus.ports import Predictor, Ticket
from serinus.predictors.orders import Allowed, Size
from serinus.predictors.processes import Artifact, Nursery, Room
from serinus.predictors.runners import RunnerPredictor, RunnerPredictors

LONG = 60.0
_NEEDED = ["tests.models", "skops.io", "sklearn.pipeline", "sklearn.compose", "sklearn.ensemble", "threadpoolctl"]
"""What the models of these tests need: imported once, each process begins with it."""


class Reply:
    """One request and, in time, what came of it."""

    def __init__(self, predictor: Predictor, rows: Sequence[Row], timeout_s: float) -> None:
        self.settled: asyncio.Future[Sequence[Answer] | Exception] = asyncio.get_running_loop().create_future()
        self.ticket: Ticket = predictor.ask(rows, timeout_s, self.settled.set_result)

    async def answers(self) -> list[Answer]:
        """Wait for the answers; raises why there are none."""
        outcome = await self.settled
        if isinstance(outcome, Exception):
            raise outcome
        return list(outcome)

    async def failure(self) -> Exception:
        """Wait for why there are no answers."""
        outcome = await self.settled
        assert isinstance(outcome, Exception), outcome
        return outcome


async def predict_rows(predictor: Predictor, rows: Sequence[Row], timeout_s: float = LONG) -> list[Answer]:
    """Ask for rows; who is cancelled meanwhile withdraws them."""
    reply = Reply(predictor, rows, timeout_s)
    try:
        return await reply.answers()
    except asyncio.CancelledError:
        reply.ticket.withdraw()
        raise


async def predict(predictor: Predictor, row: Row, timeout_s: float = LONG) -> Answer:
    """Ask for one row."""
    return (await predict_rows(predictor, [row], timeout_s))[0]


def version_of(package: Package) -> ModelVersion:
    """Give a version as the registry would have it."""
    draft = VersionDraft("risk", "sha256:0", len(package.data), package.format, package.signature, package.examples)
    return ModelVersion(VersionRef("risk", 3), draft, datetime(2026, 1, 1, tzinfo=UTC))


async def begun_nursery(room: Room | None = None) -> Nursery:
    """Begin a nursery that has imported what the models of these tests need."""
    nursery = Nursery(room or Room())
    artifact = Artifact(b"-")
    ended = asyncio.Event()
    runner = await nursery.begin(_NEEDED, artifact, lambda *_: None, lambda _: ended.set())
    nursery.end(runner)
    await ended.wait()
    artifact.close()
    return nursery


@asynccontextmanager
async def running(
    nursery: Nursery,
    model: object,
    signature: Signature = models.NUMBER,
    *,
    niceness: int = 10,
    one_core: bool = False,
    **size: int,
) -> AsyncIterator[RunnerPredictor]:
    """Run a model of ``tests.models`` in processes of its own."""
    made = by(nursery, Size(**size), niceness=niceness, one_core=one_core)
    predictor = await made.start(*started(model, signature))
    try:
        yield predictor
    finally:
        predictor.close()


def by(
    nursery: Nursery,
    size: Size | None = None,
    *,
    niceness: int = 10,
    one_core: bool = False,
    told: Callable[[str], None] = lambda _: None,
) -> RunnerPredictors:
    """Give what starts predictors."""
    allowed = Allowed(allow_pickle=True)
    return RunnerPredictors(nursery, allowed, size or Size(), niceness=niceness, one_core=one_core, on_trouble=told)


def started(model: object, signature: Signature = models.NUMBER) -> tuple[ModelVersion, bytes]:
    """Give what ``start`` takes."""
    package = models.pickled(model, signature)
    return version_of(package), package.data
