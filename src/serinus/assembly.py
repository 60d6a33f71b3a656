"""The one place that names concrete adapters and puts a server together."""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from serinus.artifacts import open_artifacts
from serinus.asking import MODEL_SHARE
from serinus.boards.memory import MemoryBoard
from serinus.checker import HealthChecker
from serinus.core.errors import InvalidInput
from serinus.engine import DeploymentEngine
from serinus.formats import Formats
from serinus.gateway import Gateway
from serinus.home import Home
from serinus.loaded import GRACE_S, LoadedModels
from serinus.ports import Artifacts, Board, Store
from serinus.predictions import HashKey, PredictionLog
from serinus.predictors.threads import ThreadPredictors
from serinus.registry import Registry
from serinus.settings import ServerSettings
from serinus.stores.sql import open_store
from serinus.telemetry import Readings, ServedArm, Telemetry

logger = structlog.get_logger("serinus")


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class System:
    """A running server's parts."""

    settings: ServerSettings
    home: Home
    store: Store
    board: Board
    artifacts: Artifacts
    registry: Registry
    engine: DeploymentEngine
    checker: HealthChecker
    gateway: Gateway
    log: PredictionLog
    telemetry: Telemetry
    started_at: datetime
    now: Callable[[], datetime]


@asynccontextmanager
async def assembled(settings: ServerSettings, home: Home) -> AsyncIterator[System]:
    """Put a server together on its (already taken) home, run it, and take it apart without losing anything.

    Raises:
        InvalidInput: a setting that cannot be. Unavailable: something it needs does not answer.
    """
    _check_urls(settings)
    clock = SystemClock()
    store = await open_store(settings.database)
    board = MemoryBoard()
    artifacts = open_artifacts(settings.artifacts)
    formats = Formats(allow_pickle=settings.allow_pickle, trusted_types=settings.trusted_types)
    factory = ThreadPredictors(formats, threads=settings.predictor_threads, queue=settings.predictor_queue)
    loaded = LoadedModels(
        store,
        artifacts,
        factory,
        deadline_s=settings.predict_timeout * MODEL_SHARE,
        grace_s=settings.predict_timeout + GRACE_S,
    )
    secret = settings.hash_key.get_secret_value().encode() or home.hash_key()
    log = PredictionLog(
        store, HashKey(secret), interval_s=settings.log_interval, limit=settings.log_limit, on_trouble=_warn
    )
    engine = DeploymentEngine(
        store=store,
        board=board,
        loaded=loaded,
        clock=clock,
        acknowledgement_timeout_s=settings.acknowledge_timeout,
    )
    gateway = Gateway(
        f"{socket.gethostname()}:{os.getpid()}",
        uuid.uuid4().hex,
        store=store,
        board=board,
        loaded=loaded,
        log=log,
        clock=clock,
        timeout_s=settings.predict_timeout,
        evidence_interval_s=settings.evidence_interval,
        sticky_key=secret,
        new_id=lambda: uuid.uuid4().hex,
        on_trouble=_warn,
    )
    checker = HealthChecker(
        store=store,
        board=board,
        engine=engine,
        clock=clock,
        interval_s=settings.check_interval,
        on_trouble=_warn,
    )
    system = System(
        settings=settings,
        home=home,
        store=store,
        board=board,
        artifacts=artifacts,
        registry=Registry(store=store, artifacts=artifacts, loader=formats, clock=clock),
        engine=engine,
        checker=checker,
        gateway=gateway,
        log=log,
        telemetry=Telemetry(lambda: read(gateway, log)),
        started_at=clock.now(),
        now=clock.now,
    )
    try:
        log.start()
        await engine.reconcile()
        await gateway.start()
        async with _in_background(checker.run(), "health checker"):
            yield system
    finally:
        await gateway.stop()
        await _quietly(checker.save(), "the last evidence could not be saved")
        await log.close()
        await loaded.close()
        await board.close()
        await store.close()


def read(gateway: Gateway, log: PredictionLog) -> Readings:
    """Read what a gateway and its log show at this moment."""
    served = gateway.served()
    arms = [
        ServedArm(each.state.name, arm.name, arm.role, arm.predictor.version.draft.metrics.get("accuracy"))
        for each in served
        for arm in (each.baseline, each.canary)
        if arm is not None
    ]
    totals = gateway.totals()
    return Readings(
        evidence=gateway.evidence(),
        arms=tuple(arms),
        weights={each.state.name: each.split.weight if each.split else 0.0 for each in served},
        failovers={name: each.failovers for name, each in totals.items()},
        forced={name: each.forced for name, each in totals.items()},
        log_pending=log.pending,
        log_written=log.written,
        log_dropped=log.dropped,
    )


@asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _check_urls(settings: ServerSettings) -> None:
    if not settings.database.startswith("sqlite:///"):
        raise InvalidInput(
            f"SERINUS_DATABASE_URL is {settings.database.split('://')[0]!r}://…, which this release cannot use.",
            field="SERINUS_DATABASE_URL",
            remedy="Give sqlite:///PATH, or leave it unset for SQLite in the home folder.",
        )
    if "://" in settings.artifacts and not settings.artifacts.startswith("file://"):
        raise InvalidInput(
            f"SERINUS_ARTIFACTS_URL is {settings.artifacts.split('://')[0]!r}://…, which this release cannot use.",
            field="SERINUS_ARTIFACTS_URL",
            remedy="Give a folder, or leave it unset for a folder in the home.",
        )


async def _quietly(work: Coroutine[Any, Any, None], what: str) -> None:
    try:
        await work
    except Exception as trouble:  # noqa: BLE001 - taking a server apart goes on to the end
        _warn(f"{what}: {trouble}")


def _warn(message: str) -> None:
    logger.warning(message)
