"""The one place that puts a server together."""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from serinus.accord import kept
from serinus.adapters import artifacts_for, board_for, common_board, common_key, features_for, journals_for
from serinus.checker import HealthChecker
from serinus.core.endpoint import parsed_tokens
from serinus.core.errors import Unavailable
from serinus.dependencies import OK, Dependencies
from serinus.dispatch import Dispatcher
from serinus.engine import DeploymentEngine
from serinus.formats import Formats
from serinus.gateway import Gateway
from serinus.gateway.asking import MODEL_SHARE
from serinus.gathering import Gatherer
from serinus.hashing import HashKey
from serinus.home import Home
from serinus.leadership import Leadership
from serinus.loaded import GRACE_S, LoadedModels, cause_of
from serinus.patience import within
from serinus.ports import Artifacts, Board, Clock, FeatureSource, Journals, Notifier, Store
from serinus.predictions import PredictionLog
from serinus.predictors import Predictors
from serinus.predictors.inline import InlinePredictors
from serinus.predictors.isolation import has_one_core
from serinus.predictors.orders import Allowed, Size
from serinus.predictors.processes import Nursery, Room
from serinus.predictors.remote import RemotePredictors
from serinus.predictors.runners import RunnerPredictors
from serinus.registry import Registry
from serinus.settings import ServerSettings
from serinus.siblings import Siblings
from serinus.stores.sql import SqlStore, open_store
from serinus.targets import opened_targets
from serinus.telemetry import CheckerReading, Readings, ServedArm, TargetReading, Telemetry

logger = structlog.get_logger("serinus")

SETTLE_S = 3.0
"""How long a server that ends waits for the store to take what is in force and not on record."""
RECONCILE_S = 0.5
"""How often the board is made to agree with the store."""


_IDS = 256
"""How many ids are made at a time."""


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    monotonic = staticmethod(time.monotonic)

    def microseconds(self) -> int:
        return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class System:
    """A running server's parts; ``gateway`` is None where it serves nothing, ``checker`` where it judges nothing."""

    settings: ServerSettings
    home: Home
    store: Store
    board: Board
    artifacts: Artifacts
    registry: Registry
    engine: DeploymentEngine
    gatherer: Gatherer
    checker: HealthChecker | None
    gateway: Gateway | None
    log: PredictionLog
    loaded: LoadedModels
    dispatcher: Dispatcher
    dependencies: Dependencies
    siblings: Siblings | None
    telemetry: Telemetry
    started_at: datetime
    now: Callable[[], datetime]


@asynccontextmanager
async def assembled(
    settings: ServerSettings,
    home: Home,
    *,
    serves: bool = True,
    checks: bool = True,
    siblings: Path | None = None,
) -> AsyncIterator[System]:
    """Put a server together on its (already taken) home, run it, and take it apart without losing anything.

    Args:
        settings, home: of the server. serves: answer predictions. checks: judge canaries.
        siblings: a folder that it shares with the other workers of its server, to show their metrics as one.

    Raises:
        InvalidInput: a setting that cannot be. Unavailable: something it needs does not answer.
    """
    clock, boot = SystemClock(), uuid.uuid4().hex
    name = f"{socket.gethostname()}:{os.getpid()}:{boot[:6]}"
    async with AsyncExitStack() as stack:
        store = await open_store(settings.database)
        stack.push_async_callback(store.close)
        await stack.enter_async_context(kept(common_board(settings), store, clock, _warn))
        if serves and not settings.is_embedded:
            await stack.enter_async_context(kept(common_key(settings), store, clock, _warn))
        board = board_for(settings, on_trouble=_warn, on_recovery=_inform)
        stack.push_async_callback(board.close)
        shown_with = None if siblings is None else Siblings(siblings, boot)
        targets = await stack.enter_async_context(opened_targets(settings, store.outbox.identity, store.version))
        features = features_for(settings) if serves else None
        if features is not None:
            stack.push_async_callback(features.close)
        journals = journals_for(settings, await store.outbox.identity(), boot, on_trouble=_warn)
        outside = _Outside(
            settings,
            home,
            store,
            board,
            artifacts_for(settings, on_trouble=_warn),
            clock,
            name,
            boot,
            shown_with,
            targets,
            features,
            journals,
        )
        system, loaded, nursery = _put_together(outside, serves=serves, checks=checks)
        await _run(stack, system, loaded, nursery)
        yield system


@dataclass(frozen=True, slots=True)
class _Outside:
    """What all parts of a server share: where things are, the time, and who this process is."""

    settings: ServerSettings
    home: Home
    store: SqlStore
    board: Board
    artifacts: Artifacts
    clock: Clock
    name: str
    boot: str
    siblings: Siblings | None
    targets: Sequence[Notifier]
    features: FeatureSource | None
    journals: Journals


def _put_together(outside: _Outside, *, serves: bool, checks: bool) -> tuple[System, LoadedModels, Nursery]:
    settings, home, clock = outside.settings, outside.home, outside.clock
    store, board, artifacts = outside.store, outside.board, outside.artifacts
    formats = Formats(
        allow_pickle=settings.allow_pickle,
        trusted_types=settings.trusted_types,
        allow_torchscript=settings.allow_torchscript,
    )
    nursery = Nursery(Room(settings.runner_memory, settings.runner_threads, settings.runner_network))
    loaded = LoadedModels(
        store,
        artifacts,
        Predictors(
            RunnerPredictors(
                nursery,
                Allowed(settings.allow_pickle, settings.trusted_types, settings.allow_torchscript),
                Size(settings.runners, settings.predictor_queue, settings.runner_batch),
                niceness=settings.canary_niceness,
                one_core=has_one_core(),
                on_trouble=_warn,
            ),
            RemotePredictors(
                settings.remote_models,
                settings.remote_concurrency,
                settings.predictor_queue,
                tokens=parsed_tokens(settings.remote_tokens.get_secret_value()),
            ),
            InlinePredictors(formats, settings.predictor_queue, settings.runner_batch)
            if settings.inline_onnx
            else None,
        ),
        deadline_s=settings.predict_timeout * MODEL_SHARE,
        grace_s=settings.predict_timeout + GRACE_S,
    )
    secret = settings.hash_key.get_secret_value().encode() or home.hash_key()
    log = PredictionLog(
        store,
        outside.journals,
        interval_s=settings.log_interval,
        on_trouble=_warn,
        durable=settings.journal_fsync,
    )
    engine = DeploymentEngine(
        store=store,
        board=board,
        loaded=loaded,
        clock=clock,
        acknowledgement_timeout_s=settings.acknowledge_timeout,
        loading_timeout_s=settings.load_timeout,
    )
    gatherer = Gatherer(store, board)
    gateway = Gateway(
        outside.name,
        outside.boot,
        store=store,
        board=board,
        loaded=loaded,
        log=log,
        key=HashKey(secret),
        clock=clock,
        timeout_s=settings.predict_timeout,
        evidence_interval_s=settings.evidence_interval,
        new_id=_ids(),
        on_trouble=_warn,
        on_state=engine.record.note,
        on_cut=engine.cuts.note,
        max_rows=settings.max_rows,
        features=outside.features,
    )
    # The embedded board's only process leads as soon as it starts, whoever led before it.
    holder = f"embedded on {socket.gethostname()}:{home.folder.absolute()}" if settings.is_embedded else outside.name
    checker = HealthChecker(
        store=store,
        board=board,
        engine=engine,
        gatherer=gatherer,
        leadership=Leadership(store, holder, clock, _warn),
        clock=clock,
        interval_s=settings.check_interval,
        lease_s=settings.canary_lease,
        on_trouble=_warn,
    )
    dispatcher = Dispatcher(
        targets=outside.targets,
        outbox=outside.store.outbox,
        store=store,
        holder=holder,
        clock=clock,
        on_trouble=_warn,
        on_recovery=_inform,
    )
    pings = {"store": store.ping, "board": board.ping, "artifacts": artifacts.ping}
    dependencies = Dependencies(pings, _warn, _inform, told_elsewhere={"board"})
    system = System(
        settings=settings,
        home=home,
        store=store,
        board=board,
        artifacts=artifacts,
        registry=Registry(
            store=store, artifacts=artifacts, loader=formats, clock=clock, remote_models=settings.remote_models
        ),
        engine=engine,
        gatherer=gatherer,
        checker=checker if checks else None,
        gateway=gateway if serves else None,
        log=log,
        loaded=loaded,
        dispatcher=dispatcher,
        dependencies=dependencies,
        siblings=outside.siblings,
        telemetry=Telemetry(lambda: read(system)),
        started_at=clock.now(),
        now=clock.now,
    )
    return system, loaded, nursery


def _ids() -> Callable[[], str]:
    """Give what makes ids of 128 random bits, as hex digits: many at a time, so that one costs next to nothing."""

    def made() -> Iterator[str]:
        while True:
            digits = os.urandom(16 * _IDS).hex()
            yield from [digits[place : place + 32] for place in range(0, len(digits), 32)]

    return made().__next__


async def _run(stack: AsyncExitStack, system: System, loaded: LoadedModels, nursery: Nursery) -> None:
    """Start a system's parts; the stack ends them in the opposite order."""
    if system.siblings is not None:  # to the very end: the others go on showing what this one has counted
        keep = system.siblings.keep(lambda: _own_readings(system))
        await stack.enter_async_context(_in_background(keep, "metrics"))
    stack.callback(nursery.close)
    stack.push_async_callback(_quietly, loaded.close, "the models could not be given back")
    if system.gateway is not None:
        system.log.start()
        stack.push_async_callback(_quietly, system.log.close, "the prediction log could not be closed")
    if system.checker is not None:
        stack.push_async_callback(_quietly, system.checker.stop, "the last evidence could not be saved")
    await _reconciled(system)
    stack.push_async_callback(_quietly, lambda: _settled(system), "a rollback in force could not be recorded")
    if system.gateway is not None:
        stack.push_async_callback(_quietly, system.gateway.stop, "the last evidence could not be put up")
        await system.gateway.start()
    await system.dependencies.look()
    await stack.enter_async_context(_in_background(_keep_reconciled(system), "reconciler"))
    await stack.enter_async_context(_in_background(system.dependencies.run(), "dependencies"))
    if system.checker is not None:
        await stack.enter_async_context(_in_background(system.checker.run(), "health checker"))
    await stack.enter_async_context(_in_background(system.dispatcher.run(), "notifications"))


# ----------------------------------------------------------------------------------------- agreement


async def _reconciled(system: System) -> None:
    """Make the board agree with the store once; a board that does not answer agrees later."""
    try:
        await system.engine.reconcile()
    except Unavailable:  # of the board's, it tells itself
        await system.store.ping()  # without the store nobody knows what to serve


async def _settled(system: System) -> None:
    """Put on record at the end what is in force and is not: the board may end with this process."""
    await within(SETTLE_S, system.engine.reconcile(at_once=True), "The store")


async def _keep_reconciled(system: System) -> None:
    before = ""
    while True:
        await asyncio.sleep(RECONCILE_S)
        try:
            for name in await system.engine.reconcile():
                logger.info("the board was made to agree with the store", deployment=name)
            trouble = ""
        except Unavailable:  # the store's is told of by ``dependencies``, the board's by itself
            trouble = ""
        except Exception as failure:  # noqa: BLE001 - it goes on, whatever one round meets
            trouble = cause_of(failure)
        if trouble and trouble != before:
            _warn(f"the board and the store cannot be made to agree: {trouble}")
        before = trouble
        if system.gateway is not None:
            system.gateway.notice(system.engine.record.last_seen())


# ---------------------------------------------------------------------------------------- observation


def read(system: System) -> Readings:
    """Read what a server shows at this moment, all of its workers together."""
    own = _own_readings(system)
    return own if system.siblings is None else system.siblings.together(own)


def _own_readings(system: System) -> Readings:
    gateway, checker, log = system.gateway, system.checker, system.log
    served = gateway.served() if gateway else []
    totals = gateway.totals() if gateway else {}
    leased = system.board.leased()
    return Readings(
        evidence=gateway.evidence() if gateway else {},
        arms=tuple(
            ServedArm(each.state.name, arm.name, arm.role, arm.predictor.version.draft.metrics.get("accuracy"))
            for each in served
            for arm in (each.baseline, each.canary)
            if arm is not None
        ),
        weights={each.state.name: each.split.share if each.split and leased else 0.0 for each in served},
        failovers={name: each.failovers for name, each in totals.items()},
        forced={name: each.forced for name, each in totals.items()},
        log_pending=log.pending,
        log_written=log.written,
        log_dropped=log.dropped,
        journal_bytes=log.journal_bytes,
        leased=leased,
        rollouts={state.name: system.engine.record.changed_at(state) for state in system.engine.record.last_seen()},
        dependencies={name: state == OK for name, state in system.dependencies.states().items()},
        checker=CheckerReading(checker.leads, checker.ticked_at, checker.failures, tuple(sorted(checker.alarmed)))
        if checker
        else None,
        work={str(ref): work for ref, work in system.loaded.work().items()},
        targets={name: TargetReading(told.results, told.waiting) for name, told in system.dispatcher.told.items()},
    )


@asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _quietly(work: Callable[[], Coroutine[Any, Any, None]], what: str) -> None:
    try:
        await work()
    except Exception as trouble:  # noqa: BLE001 - taking a server apart goes on to the end
        _warn(f"{what}: {trouble}")


def _warn(message: str) -> None:
    logger.warning(message)


def _inform(message: str) -> None:
    logger.info(message)
