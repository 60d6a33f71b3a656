"""The prediction path: draw a role, ask its model, fail over to the baseline, count and log what happened."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from serinus.core.deployment import Deployment
from serinus.core.errors import InvalidFeatures, ModelError, SerinusError, Unavailable, no_deployment
from serinus.core.evidence import Evidence
from serinus.core.ledger import Ledger, owner
from serinus.core.policy import SequentialPolicy
from serinus.core.records import EvidenceReport, PredictionRecord
from serinus.core.routing import Role, Split, assign, forced_role, sticky_point
from serinus.gateway.arms import Arm, Served
from serinus.gateway.asking import Outcome, ask
from serinus.gateway.following import RETRY_S, Following
from serinus.gateway.touched import Touched
from serinus.loaded import LoadedModels, cause_of
from serinus.ports import Board, Clock, Store
from serinus.predictions import Answered, PredictionLog

PATIENCE_S = 2.0
"""How long a request may be pending, at least, and hold back the evidence of those that started after it."""


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
        on_cut: Callable[[Split], None] = lambda _: None,
        draw: Callable[[], float] = random.random,
        retry_interval_s: float = RETRY_S,
    ) -> None:
        self.name = name
        self.boot = boot
        self._board = board
        self._log = log
        self._clock = clock
        self._timeout_s = timeout_s
        self._evidence_interval_s = evidence_interval_s
        self._sticky_key = sticky_key
        self._new_id = new_id
        self._on_trouble = on_trouble
        self._draw = draw
        self._ledger = Ledger(max(PATIENCE_S, 2.0 * timeout_s))
        self._touched: dict[str, Touched | None] = {}
        self._totals: defaultdict[str, Totals] = defaultdict(Totals)
        self._following = Following(
            name,
            store=store,
            board=board,
            loaded=loaded,
            ledger=self._ledger,
            on_trouble=on_trouble,
            on_state=on_state,
            on_cut=on_cut,
            retry_interval_s=retry_interval_s,
        )
        self._reporting: asyncio.Task[None] | None = None
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
        served = self._following.served.get(deployment)
        if served is None:
            raise self._absent(deployment)
        forced = forced_role(header, allowed=served.state.settings.allow_forced)
        role, drawn, point = (forced, False, None) if forced is not None else self._drawn(served, entity_id)
        arm = served.canary if role is Role.CANARY and served.canary is not None else served.baseline
        if forced is not None:
            self._totals[deployment].forced += 1
        signature = served.baseline.predictor.version.signature
        spare = served.baseline if arm is served.canary and served.state.settings.failover else None
        started, at = self._clock.monotonic(), self._clock.now()
        batch, ended = self._ledger.begin(started) if forced is None else None, None
        try:
            row = signature.row(features)
            outcome = await ask(arm, spare, row, self._timeout_s, self._clock.monotonic)
            ended = error_kind(outcome.failure), outcome.latency_ms
        except InvalidFeatures:
            ended = "client", 0.0
            raise
        finally:
            if batch is None:
                pass  # it was forced, and is no evidence
            elif ended is None:  # nobody waits for it any more
                self._ledger.drop(batch)
            else:
                compared = drawn and (point is None or self._is_new(served, arm.key.rollout, point, ended[0]))
                self._ledger.end(batch, arm.key if compared else arm.aside, *ended)
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

    def _drawn(self, served: Served, entity_id: str | None) -> tuple[Role, bool, float | None]:
        """Draw a role, and say whether it was the split that decided, and at which point an entity is.

        A canary that is not loaded here, or that nobody judges, gets nothing.
        """
        split = served.split
        if split is None or served.canary is None or not split.share or not self._board.leased():
            return Role.BASELINE, False, None
        if not split.sticky or entity_id is None:
            return assign(split, self._draw()), True, None
        point = sticky_point(self._sticky_key, split.rollout, entity_id)
        return assign(split, point), True, point

    def _is_new(self, served: Served, rollout: str, point: float, kind: str) -> bool:
        """Whether an entity is a new one to a sequential test; the rule of thresholds counts requests."""
        if kind in {"client", "platform"}:  # no model was asked
            return False
        if rollout not in self._touched:
            for ended in [known for known in self._touched if owner(known) == served.state.name]:
                del self._touched[ended]
            self._touched[rollout] = Touched() if isinstance(served.state.policy, SequentialPolicy) else None
        touched = self._touched[rollout]
        return touched is None or touched.first(point)

    def _absent(self, deployment: str) -> SerinusError:
        trouble = self._following.troubles().get(deployment)
        if trouble is not None or self._following.knows(deployment) or not self.ready:
            return Unavailable(
                f"Deployment {deployment!r} cannot be served now: {trouble or 'models are being loaded'}.",
                remedy="Try again; GET /health/ready tells when all is well.",
            )
        return no_deployment(deployment)

    # -------------------------------------------------------------------------------------- its lifetime

    async def start(self) -> None:
        """Load the models of all live deployments, follow the board, and put up evidence."""
        await self._following.start()
        self._reporting = asyncio.create_task(self._report_evidence(), name="evidence")
        self.ready = True

    async def stop(self) -> None:
        """Stop following, and put up the last evidence; Unavailable if the board does not take it."""
        self.ready = False
        if self._reporting is not None:
            self._reporting.cancel()
            await asyncio.wait({self._reporting})
        await self._following.stop()
        try:
            await self._board.report(EvidenceReport(self.name, self.boot, self._ledger.evidence()))
        finally:
            await self._board.leave(self.name)

    def notice(self, states: Iterable[Deployment]) -> None:
        """Take up what the store knows and the board has not told of."""
        self._following.notice(states)

    def retry_troubled(self) -> None:
        """Try again to load what could not be loaded."""
        self._following.retry_troubled()

    # --------------------------------------------------------------------------------------- observation

    def evidence(self) -> Evidence:
        """Give what this process has counted since it started."""
        return self._ledger.evidence()

    def served(self) -> list[Served]:
        """Give the deployments as they are served now, by name."""
        return [self._following.served[name] for name in sorted(self._following.served)]

    def troubles(self) -> dict[str, str]:
        """Say which deployments cannot be served as they should be, and why."""
        return self._following.troubles()

    def totals(self) -> dict[str, Totals]:
        """Give the further counts by deployment."""
        return {name: self._totals[name] for name in self._following.served}

    async def _report_evidence(self) -> None:
        troubled = False
        while True:
            try:
                await self._board.report(self._evidence_report())
                troubled = False
            except Unavailable:
                troubled = False  # the board tells of itself that it does not answer
            except Exception as trouble:  # noqa: BLE001 - without evidence nothing can be judged: go on trying
                if not troubled:
                    self._on_trouble(f"the evidence cannot be put up: {cause_of(trouble)}")
                troubled = True
            await asyncio.sleep(self._evidence_interval_s)

    def _evidence_report(self) -> EvidenceReport:
        return EvidenceReport(self.name, self.boot, self._ledger.settled(self._clock.monotonic()))


def error_kind(failure: SerinusError | None) -> str:
    """Name how a request failed: "", a model error's kind, or ``platform``."""
    if failure is None:
        return ""
    return failure.kind if isinstance(failure, ModelError) else "platform"
