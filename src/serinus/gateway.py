"""The prediction path: draw a role, ask its model, fail over to the baseline, count and log what happened."""

import asyncio
import json
import random
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from serinus.arms import Arm, Served, arm_of, as_baseline
from serinus.asking import Outcome, ask
from serinus.core.deployment import Deployment
from serinus.core.errors import InvalidFeatures, ModelError, SerinusError, Unavailable, no_deployment
from serinus.core.evidence import Evidence, Key
from serinus.core.ledger import Ledger, Tally, outside
from serinus.core.records import EvidenceReport, PredictionRecord
from serinus.core.routing import Role, Split, forced_role, sticky_point
from serinus.loaded import LoadedModels, cause_of
from serinus.ports import Board, Clock, Store
from serinus.predictions import Answered, PredictionLog

RETRY_S = 5.0
"""How often what could not be loaded is tried again."""


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
        on_trouble: Callable[[str], None],
        on_state: Callable[[Deployment], None] = lambda _: None,
        draw: Callable[[], float] = random.random,
        retry_interval_s: float = RETRY_S,
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
        self._on_trouble = on_trouble
        self._on_state = on_state
        self._draw = draw
        self._retry_interval_s = retry_interval_s
        self._served: dict[str, Served] = {}
        self._told: dict[str, Split | None] = {}
        self._newest: dict[str, Split] = {}
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
        role = forced if forced is not None else self._drawn(served, entity_id)
        arm = served.canary if role is Role.CANARY and served.canary is not None else served.baseline
        if forced is not None:
            self._totals[deployment].forced += 1
        signature = served.baseline.predictor.version.signature
        try:
            row = signature.row(features)
        except InvalidFeatures:
            self._tally(arm, forced=forced is not None).client_errors += 1
            raise
        spare = served.baseline if arm is served.canary and served.state.settings.failover else None
        started, at = self._clock.monotonic(), self._clock.now()
        outcome = await ask(arm, spare, row, self._timeout_s, self._clock.monotonic)
        _count(self._tally(arm, forced=forced is not None), outcome)
        record = self._record(served, arm, outcome, at, forced=forced is not None)
        self._log.append(Answered(record, signature.names, tuple(row), entity_id))
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

    def _tally(self, arm: Arm, *, forced: bool) -> Tally:
        """Give where a request is counted: under the split it was drawn under, and nowhere if it was forced.

        The ledger is asked only when there is something to count: it may have put an earlier tally away meanwhile.
        """
        return Tally() if forced else self._ledger.tally(arm.key)

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

    def _drawn(self, served: Served, entity_id: str | None) -> Role:
        """Draw a role; a canary that nobody judges gets nothing."""
        role = served.draw(self._point(served, entity_id))
        return role if role is Role.BASELINE or self._board.leased() else Role.BASELINE

    def _point(self, served: Served, entity_id: str | None) -> float:
        split = served.split
        if split is not None and split.sticky and entity_id is not None:
            return sticky_point(self._sticky_key, split.rollout, entity_id)
        return self._draw()

    def _absent(self, deployment: str) -> SerinusError:
        trouble = self._troubles.get(deployment)
        coming = deployment in self._refreshing or self._told.get(deployment) is not None
        if trouble is not None or coming or not self.ready:
            return Unavailable(
                f"Deployment {deployment!r} cannot be served now: {trouble or 'models are being loaded'}.",
                remedy="Try again; GET /health/ready tells when all is well.",
            )
        return no_deployment(deployment)

    # ------------------------------------------------------------------------------- following the board

    async def start(self) -> None:
        """Load the models of all live deployments, then follow the board."""
        for state in await self._store.deployments():
            self._refresh(state.name)
        await self._settled()
        await self._board.join(self.name, self._on_split)
        await self._settled()
        self._spawn(self._report_evidence(), "evidence")
        self._spawn(self._keep_retrying(), "retry")
        self.ready = True

    async def stop(self) -> None:
        """Stop following, and put up the last evidence; Unavailable if the board does not take it."""
        self.ready = False
        tasks = [*self._tasks, *self._refreshing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._board.report(self._evidence_report())
        finally:
            await self._board.leave(self.name)

    def notice(self, states: Iterable[Deployment]) -> None:
        """Take up what the store knows and the board has not told of."""
        for state in states:
            served = self._served.get(state.name)
            busy = state.name in self._refreshing or state.name in self._troubles  # these are tried again anyway
            if not busy and (served is None or served.state.generation < state.generation):
                self._refresh(state.name)

    def troubles(self) -> dict[str, str]:
        """Say which deployments cannot be served as they should be, and why."""
        return dict(self._troubles)

    def retry_troubled(self) -> None:
        """Try again to load what could not be loaded."""
        for name in self._troubles.keys() - self._refreshing.keys():
            self._refresh(name)

    async def _keep_retrying(self) -> None:
        while True:
            await asyncio.sleep(self._retry_interval_s)
            self.retry_troubled()

    def _on_split(self, deployment: str, raw: object) -> None:
        """Take a change on the board: less traffic at once, more when the model for it is here."""
        split, newest = Split.decoded(raw), self._newest.get(deployment)
        if split is not None and newest is not None:
            if split.generation < newest.generation:
                return  # of a board that has lost what was newer
            if split.cut is None and split.rollout == newest.rollout:
                split = replace(split, cut=newest.cut)  # likewise
        self._told[deployment] = split
        if split is not None:
            self._newest[deployment] = split
        served = self._served.get(deployment)
        if served is not None:
            self._follow(served)
        if split is not None and (served is None or split.generation > served.state.generation):
            self._refresh(deployment)

    def _follow(self, served: Served) -> None:
        """Serve by the newest split the board has told of, unless it is older than what is served."""
        state, split = served.state, self._told.get(served.state.name)
        if split is not None and split.generation < state.generation:
            split = None
        self._served[state.name] = self._under(served, split)
        if split is not None and (split.generation == state.generation or _is_another_share(state, split)):
            self._board.acknowledge(self.name, state.name, split.stamp)

    def _refresh(self, deployment: str) -> None:
        self._stale.add(deployment)
        if deployment not in self._refreshing:
            self._refreshing[deployment] = asyncio.create_task(self._catch_up(deployment), name=f"refresh {deployment}")

    async def _settled(self) -> None:
        while self._refreshing:
            await asyncio.gather(*self._refreshing.values(), return_exceptions=True)

    async def _catch_up(self, deployment: str) -> None:
        try:
            while deployment in self._stale:
                self._stale.discard(deployment)
                try:
                    trouble = await self._bring_up_to_date(deployment)
                except Exception as failure:  # noqa: BLE001 - what keeps one deployment from being served stays with it
                    trouble = cause_of(failure)
                if deployment not in self._stale:
                    self._note(deployment, trouble)
        finally:
            # In the same step as the last look at what is stale, so that no change falls between the two.
            del self._refreshing[deployment]

    def _note(self, deployment: str, trouble: str) -> None:
        if trouble and trouble != self._troubles.get(deployment):
            self._on_trouble(f"{deployment}: {trouble}")
        if trouble:
            self._troubles[deployment] = trouble
        else:
            self._troubles.pop(deployment, None)

    async def _bring_up_to_date(self, deployment: str) -> str:
        """Serve a deployment by its state in the store; give what is wrong with it, "" if nothing is."""
        state = await self._store.deployment(deployment)
        if state is None:
            return ""
        self._on_state(state)
        async with self._loaded.holding(*state.versions):  # others may finish first, and release what none serves yet
            ready, trouble = await self._made_ready(state)
            self._serve(ready)
        told = self._told.get(deployment)
        if told is not None and told.generation > state.generation:
            return f"the board is at generation {told.generation}, the store at {state.generation}"
        return trouble

    def _under(self, served: Served, split: Split | None) -> Served:
        """Serve by another split; from now on both roles are counted under it."""
        state, canary = served.state, served.canary
        if split is None or state.active is None or split.rollout != state.active.id:
            # A split of the state's own generation that says otherwise than the state is no promotion.
            newer = split is not None and split.generation > state.generation and not split.rollout
            if canary is not None and split is not None and newer and split.baseline == canary.name:
                # It goes on, without a request going back to the old baseline.
                return Served(state, self._counted(as_baseline(canary), outside(state.name), 0), None)
            return Served(state, self._counted(served.baseline, outside(state.name), 0), canary)
        if split.cut is not None:
            return Served(state, self._counted(served.baseline, split.rollout, split.split_version), None, split)
        return Served(
            state,
            self._counted(served.baseline, split.rollout, split.split_version),
            canary and self._counted(canary, split.rollout, split.split_version),
            split,
        )

    def _counted(self, arm: Arm, rollout: str, split_version: int) -> Arm:
        counted = replace(arm, key=Key(rollout, arm.name, split_version, arm.role))
        self._ledger.tally(counted.key)  # at zero, so that the first request is not the first that is seen
        return counted

    async def _made_ready(self, state: Deployment) -> tuple[Served, str]:
        predictor = await self._loaded.get(state.baseline)
        baseline = arm_of(state, Role.BASELINE, state.baseline, predictor)
        canary, trouble = None, ""
        if state.active is not None:
            ref = state.active.canary
            try:
                new = await self._loaded.get(ref)
            except Exception as failure:  # noqa: BLE001 - nothing about a canary may keep the baseline from being served
                trouble = f"the canary {ref} gets no traffic: {cause_of(failure)}"
            else:
                order = predictor.version.signature.reordering(new.version.signature)
                canary = replace(arm_of(state, Role.CANARY, ref, new), order=order)
        for earlier in state.previous[-1:]:
            with suppress(Exception):  # `undo` loads it again, and says then what is wrong with it
                await self._loaded.get(earlier)
        return Served(state, baseline, canary), trouble

    def _serve(self, served: Served) -> None:
        state = served.state
        self._totals.setdefault(state.name, Totals())
        self._follow(served)
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
        troubled = False
        while True:
            try:
                await self._board.report(self._evidence_report())
                troubled = False
            except Exception as trouble:  # noqa: BLE001 - without evidence nothing can be judged: go on trying
                if not troubled:
                    self._on_trouble(f"the evidence cannot be put up: {cause_of(trouble)}")
                troubled = True
            await asyncio.sleep(self._evidence_interval_s)

    def _evidence_report(self) -> EvidenceReport:
        return EvidenceReport(self.name, self.boot, self._ledger.evidence())

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_another_share(state: Deployment, split: Split) -> bool:
    """Whether a split newer than the state only gives the canary another share: then it is in force without a look."""
    rollout = state.active
    if rollout is None or split.rollout != rollout.id:
        return False
    next_share = (split.generation, split.split_version) == (state.generation + 1, rollout.split_version + 1)
    return next_share or split.cut is not None


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
