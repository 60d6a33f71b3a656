"""The prediction path: draw a role, ask its model, fail over to the baseline, count and log what happened."""

import asyncio
import json
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from serinus.asking import Arm, Outcome, ask
from serinus.core.deployment import Deployment
from serinus.core.errors import InvalidFeatures, ModelError, NotFound, SerinusError, Unavailable
from serinus.core.evidence import Evidence, Key
from serinus.core.ledger import Ledger, Tally, outside
from serinus.core.names import VersionRef
from serinus.core.records import PredictionRecord
from serinus.core.routing import Role, Split, assign, forced_role, sticky_point
from serinus.loaded import LoadedModels, cause_of
from serinus.ports import Board, Clock, EvidenceReport, Store
from serinus.predictions import Answered, PredictionLog


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the caller gets. ``failover``: the baseline answered for a canary that failed."""

    prediction_id: str
    model_role: Role
    prediction: bool | int | float | str
    prediction_class: str | None
    confidence: float | None
    latency_ms: float
    model_version: str
    failover: bool


@dataclass(frozen=True, slots=True)
class Served:
    """A deployment as this gateway serves it, replaced as a whole at each change.

    ``split`` is the one in force, None while it is missing, malformed, or of a rollout that is not known here: all
    to the baseline then.
    """

    state: Deployment
    baseline: Arm
    canary: Arm | None
    split: Split | None = None

    def draw(self, point: float) -> Role:
        """Draw a role; the baseline where no canary is ready here."""
        return Role.BASELINE if self.canary is None else assign(self.split, point)


@dataclass(slots=True)
class Totals:
    """What the gateway counts besides the evidence."""

    failovers: int = 0
    forced: int = 0


class Gateway:
    """Serves every deployment of the store by the splits on the board."""

    def __init__(  # noqa: PLR0913 - named parts, put together in one place
        self,
        name: str,
        boot: str,
        *,
        store: Store,
        board: Board,
        loaded: LoadedModels,
        log: PredictionLog,
        clock: Clock,
        timeout_s: float,
        evidence_interval_s: float,
        sticky_key: bytes,
        new_id: Callable[[], str],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.boot = boot
        self._store = store
        self._board = board
        self._loaded = loaded
        self._log = log
        self._clock = clock
        self._timeout_s = timeout_s
        self._evidence_interval_s = evidence_interval_s
        self._sticky_key = sticky_key
        self._new_id = new_id
        self._draw = draw
        self._served: dict[str, Served] = {}
        self._troubles: dict[str, str] = {}
        self._refreshing: dict[str, asyncio.Task[None]] = {}
        self._stale: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ledger = Ledger()
        self._totals: dict[str, Totals] = {}
        self.ready = False

    # ------------------------------------------------------------------------------------------ serving

    async def predict(
        self, deployment: str, features: object, entity_id: str | None = None, header: str | None = None
    ) -> Prediction:
        """Answer one request.

        Args:
            deployment: its name. features: an object of feature names and values, by the baseline's signature.
            entity_id: whom the request is about; routes a sticky deployment. header: ``X-Canary``, if sent.

        Raises:
            NotFound: no such deployment. InvalidFeatures: the caller's error.
            ModelError, ModelTimeout, BadOutput: the baseline failed (or the canary, with fail-over switched off).
            Overloaded, Unavailable: ours.
        """
        served = self._served.get(deployment)
        if served is None:
            raise self._absent(deployment)
        forced = forced_role(header, allowed=served.state.settings.allow_forced)
        role = forced if forced is not None else served.draw(self._point(served, entity_id))
        arm = served.canary if role is Role.CANARY and served.canary is not None else served.baseline
        tally = arm.tally if forced is None else Tally()
        if forced is not None:
            self._totals[deployment].forced += 1
        try:
            row = served.baseline.predictor.version.signature.row(features)
        except InvalidFeatures:
            tally.client_errors += 1
            raise
        spare = served.baseline if arm is served.canary and served.state.settings.failover else None
        started, at = self._clock.monotonic(), self._clock.now()
        outcome = await ask(arm, spare, row, self._timeout_s, self._clock.monotonic)
        _count(tally, outcome)
        record = self._record(served, arm, outcome, at, forced=forced is not None)
        self._log.append(Answered(record, served.baseline.predictor.version.signature.names, tuple(row), entity_id))
        if outcome.answer is None or outcome.answered_by is None:
            raise outcome.error or AssertionError("an outcome has an answer or an error")
        if outcome.failure is not None:
            self._totals[deployment].failovers += 1
        return Prediction(
            prediction_id=record.id,
            model_role=outcome.answered_by.role,
            prediction=outcome.answer.prediction,
            prediction_class=outcome.answer.prediction_class,
            confidence=outcome.answer.confidence,
            latency_ms=round((self._clock.monotonic() - started) * 1000.0, 3),
            model_version=outcome.answered_by.name,
            failover=outcome.failure is not None,
        )

    def _record(self, served: Served, arm: Arm, outcome: Outcome, at: datetime, *, forced: bool) -> PredictionRecord:
        split, answer, failure = served.split, outcome.answer, outcome.failure
        return PredictionRecord(
            id=self._new_id(),
            at=at,
            deployment=served.state.name,
            rollout=split.rollout if split else "",
            split_version=split.split_version if split else 0,
            role=arm.role,
            version=arm.name,
            answered_by=outcome.answered_by.name if outcome.answered_by else "",
            inputs_hmac="",
            key_id="",
            prediction=json.dumps(answer.prediction) if answer else "null",
            prediction_class=answer.prediction_class if answer else None,
            confidence=answer.confidence if answer else None,
            latency_ms=round(outcome.latency_ms, 3),
            error_kind=error_kind(failure),
            forced=forced,
        )

    def _point(self, served: Served, entity_id: str | None) -> float:
        split = served.split
        if split is not None and split.sticky and entity_id is not None:
            return sticky_point(self._sticky_key, split.rollout, entity_id)
        return self._draw()

    def _absent(self, deployment: str) -> SerinusError:
        trouble = self._troubles.get(deployment)
        if trouble is not None or not self.ready:
            return Unavailable(
                f"Deployment {deployment!r} cannot be served now: {trouble or 'models are being loaded'}.",
                remedy="Try again; GET /health/ready tells when all is well.",
            )
        return NotFound(
            f"There is no deployment {deployment!r}.",
            field="deployment",
            remedy="See the deployments with `canary status`, or make one with `canary deploy`.",
        )

    # ------------------------------------------------------------------------------- following the board

    async def start(self) -> None:
        """Load the models of all live deployments, then follow the board."""
        for state in await self._store.deployments():
            self._stale.add(state.name)
            self._refresh(state.name)
        await asyncio.gather(*self._refreshing.values())
        await self._board.join(self.name, self._on_split)
        await self._settled()
        self._spawn(self._report_evidence(), "evidence")
        self.ready = True

    async def stop(self) -> None:
        """Stop following, and put up the last evidence."""
        self.ready = False
        await self._board.leave(self.name)
        for task in [*self._tasks, *self._refreshing.values()]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._refreshing.values(), return_exceptions=True)
        await self._board.report(self._evidence_report())

    def troubles(self) -> dict[str, str]:
        """Say which deployments cannot be served as they should be, and why."""
        return dict(self._troubles)

    def retry_troubled(self) -> None:
        """Try again to load what could not be loaded."""
        for name in list(self._troubles):
            self._stale.add(name)
            self._refresh(name)

    def _on_split(self, deployment: str, raw: object) -> None:
        """Take a change on the board: less traffic at once, more when the model for it is here."""
        split = Split.decoded(raw)
        served = self._served.get(deployment)
        if served is not None:
            if split is not None and split.generation < served.state.generation:
                return
            self._served[deployment] = served = self._under(served, split)
            if split is not None and split.generation == served.state.generation:
                self._board.acknowledge(self.name, deployment, split.generation)
                return
        if split is not None:
            self._stale.add(deployment)
            self._refresh(deployment)

    def _refresh(self, deployment: str) -> None:
        if deployment not in self._refreshing:
            task = asyncio.create_task(self._catch_up(deployment), name=f"refresh {deployment}")
            self._refreshing[deployment] = task
            task.add_done_callback(lambda _: self._refreshing.pop(deployment, None))

    async def _settled(self) -> None:
        while self._refreshing:
            await asyncio.gather(*self._refreshing.values(), return_exceptions=True)

    async def _catch_up(self, deployment: str) -> None:
        while deployment in self._stale:
            self._stale.discard(deployment)
            try:
                state = await self._store.deployment(deployment)
                if state is None:
                    continue
                ready = await self._made_ready(state)
                split = Split.decoded(await self._board.split(deployment))
                self._serve(self._under(ready, split))
                self._acknowledge(deployment, split)
            except Exception as trouble:  # noqa: BLE001 - whatever keeps one deployment from being served stays with it
                self._troubles[deployment] = cause_of(trouble)

    def _acknowledge(self, deployment: str, split: Split | None) -> None:
        generation = self._served[deployment].state.generation
        if split is not None and split.generation > generation:
            self._stale.add(deployment)
        elif split is not None:
            self._board.acknowledge(self.name, deployment, generation)

    def _under(self, served: Served, split: Split | None) -> Served:
        """Serve by another split; from now on both roles are counted under it."""
        state, canary = served.state, served.canary
        if split is None or state.active is None or split.rollout != state.active.id:
            baseline = self._counted(served.baseline, outside(state.name), 0)
            return Served(state, baseline, canary)
        return Served(
            state,
            self._counted(served.baseline, split.rollout, split.split_version),
            canary and self._counted(canary, split.rollout, split.split_version),
            split,
        )

    def _counted(self, arm: Arm, rollout: str, split_version: int) -> Arm:
        return replace(arm, tally=self._ledger.tally(Key(rollout, arm.name, split_version, arm.role)))

    async def _made_ready(self, state: Deployment) -> Served:
        predictor = await self._loaded.get(state.baseline)
        baseline = Arm(Role.BASELINE, str(state.baseline), predictor, Tally())
        canary = None
        self._troubles.pop(state.name, None)
        if state.active is not None:
            ref = state.active.canary
            try:
                new = await self._loaded.get(ref)
            except SerinusError as trouble:
                self._troubles[state.name] = f"the canary {ref} gets no traffic: {cause_of(trouble)}"
            else:
                order = predictor.version.signature.reordering(new.version.signature)
                canary = Arm(Role.CANARY, str(ref), new, Tally(), order)
        for earlier in state.previous[-1:]:
            await self._keep_loaded(earlier)
        return Served(state, baseline, canary)

    async def _keep_loaded(self, earlier: VersionRef) -> None:
        try:
            await self._loaded.get(earlier)
        except SerinusError:
            return  # `undo` loads it again, and says then what is wrong with it

    def _serve(self, served: Served) -> None:
        state = served.state
        self._served[state.name] = served
        self._totals.setdefault(state.name, Totals())
        last = {state.rollout.id} if state.rollout else set()
        self._ledger.fold(state.name, frozenset(last | {outside(state.name)}))
        self._loaded.retain(ref for each in self._served.values() for ref in each.state.versions)

    # --------------------------------------------------------------------------------------- observation

    def evidence(self) -> Evidence:
        """Give what this process has counted since it started."""
        return self._ledger.evidence()

    def served(self) -> list[Served]:
        """Give the deployments as they are served now, by name."""
        return [self._served[name] for name in sorted(self._served)]

    def totals(self) -> dict[str, Totals]:
        """Give the further counts by deployment."""
        return self._totals

    async def _report_evidence(self) -> None:
        while True:
            await self._board.report(self._evidence_report())
            await asyncio.sleep(self._evidence_interval_s)

    def _evidence_report(self) -> EvidenceReport:
        return EvidenceReport(self.name, self.boot, self._ledger.evidence())

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def error_kind(failure: SerinusError | None) -> str:
    """Name how a request failed: "", a model error's kind, or ``platform``."""
    if failure is None:
        return ""
    return failure.kind if isinstance(failure, ModelError) else "platform"


def _count(tally: Tally, outcome: Outcome) -> None:
    kind = error_kind(outcome.failure)
    if kind == "platform":
        tally.platform_errors += 1
    else:
        tally.asked(outcome.latency_ms, kind)
