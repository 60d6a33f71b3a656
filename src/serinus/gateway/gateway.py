"""The prediction path: draw a role, ask its model, fail over to the baseline, count and log what happened."""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import msgspec

from serinus.core.answers import Answer
from serinus.core.deployment import Deployment
from serinus.core.errors import InvalidFeatures, InvalidInput, SerinusError, Unavailable, no_deployment
from serinus.core.evidence import Evidence
from serinus.core.ledger import Ledger, owner
from serinus.core.policy import SequentialPolicy
from serinus.core.records import EvidenceReport
from serinus.core.routing import Role, Split, assign, forced_role, sticky_point
from serinus.core.signature import Row, Signature
from serinus.gateway.arms import Arm
from serinus.gateway.asking import Manner, Outcome
from serinus.gateway.following import RETRY_S, Following
from serinus.gateway.looking_up import with_features
from serinus.gateway.pinning import pinned
from serinus.gateway.records import Records
from serinus.gateway.requests import Desk, Log, Request, Totals
from serinus.gateway.served import Served, Way
from serinus.gateway.touched import Touched
from serinus.hashing import HashKey
from serinus.loaded import LoadedModels, cause_of
from serinus.ports import Board, Clock, FeatureSource, Store

PATIENCE_S = 2.0
"""How long a request may be pending, at least, and hold back the evidence of those that started after it."""
MAX_ROWS = 1000
"""How many rows a request may have."""

Rows = Callable[[Signature], Iterable[Row]]
"""Reads the rows of a request by the baseline's signature, one by one; InvalidInput for what does not fit."""


class Prediction(msgspec.Struct, gc=False):
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
class Predictions:
    """What the caller of several rows gets: an answer to each of them, all of the same model.

    ``prediction_id`` is under which the first row is logged; the k-th after it is ``<prediction_id>-<k>``.
    """

    prediction_id: str
    answered_by: Arm
    answers: Sequence[Answer]
    latency_ms: float
    failover: bool


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
        log: Log,
        key: HashKey,
        clock: Clock,
        timeout_s: float,
        evidence_interval_s: float,
        new_id: Callable[[], str],
        on_trouble: Callable[[str], None],
        on_state: Callable[[Deployment], None] = lambda _: None,
        on_cut: Callable[[Split], None] = lambda _: None,
        draw: Callable[[], float] = random.random,
        retry_interval_s: float = RETRY_S,
        max_rows: int = MAX_ROWS,
        features: FeatureSource | None = None,
    ) -> None:
        self.name = name
        self.boot = boot
        self._board = board
        self._clock = clock
        self._evidence_interval_s = evidence_interval_s
        self._sticky_key = key.secret
        self._on_trouble = on_trouble
        self._draw = draw
        self._max_rows = max_rows
        self._features = features
        self._ledger = Ledger(max(PATIENCE_S, 2.0 * timeout_s))
        self._touched: dict[str, Touched | None] = {}
        self._desk = Desk(
            Manner(timeout_s, clock.monotonic),
            self._ledger,
            Records(key),
            log,
            new_id,
            self._is_new,
            clock.microseconds,
        )
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
        self.find = self._following.served.get
        """Gives a deployment, by its name, as it is served now; None where ``serving`` says why it is not."""
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
        served = self.serving(deployment)
        if served.state.settings.feature_service:
            features = await self.with_features(deployment, features, entity_id)
            served = self.serving(deployment)  # it may have changed meanwhile
        request = await self._done(served, lambda signature: [signature.row(features)], entity_id, header, None)
        return prediction_of(request)

    def begin(
        self,
        served: Served,
        row: Row,
        entity_id: str | None,
        header: str | None,
        settle: Callable[[Request], None],
    ) -> None:
        """Answer one request whose row is read already, in the order of the baseline's signature.

        ``settle`` is told of it when it is on record; its outcome has an answer or an error, as ``predict`` raises it.
        """
        way = self._drawn(served, entity_id) if header is None else self._way(served, entity_id, header, None)
        Request(self._desk, served, way, entity_id, settle).ask((row,))

    async def with_features(self, deployment: str, features: object, entity_id: str | None) -> object:
        """Give a request's features, looked up where it brings an entity in their place; nothing is drawn or counted.

        Raises:
            NotFound, Unavailable: as ``predict``; and what ``looking_up.with_features`` raises.
        """
        served = self.serving(deployment)
        signature = served.baseline.predictor.version.signature
        return await with_features(self._features, served.state.settings, signature, features, entity_id)

    async def predict_rows(
        self,
        deployment: str,
        rows: Rows,
        entity_id: str | None = None,
        header: str | None = None,
        version: str | None = None,
    ) -> Predictions:
        """Answer one request of any number of rows: drawn once, asked of a model at once, counted once.

        Every row is logged; if one of them has no usable answer, none has. ``version``, by its number or as
        ``model@number``, pins one: no draw, no evidence, no other one where it fails.

        Raises:
            NotFound: no such deployment, or it does not serve that version. Conflict: the version may not be chosen.
            InvalidInput: the caller's error; and what ``predict`` raises.
        """
        request = await self._done(
            self.serving(deployment), lambda signature: self._taken(rows(signature)), entity_id, header, version
        )
        outcome, arm = answered(request)
        return Predictions(request.identity, arm, outcome.answers, request.latency_ms, outcome.failure is not None)

    async def _done(
        self,
        served: Served,
        read: Callable[[Signature], Sequence[Row]],
        entity_id: str | None,
        header: str | None,
        version: str | None,
    ) -> Request:
        """Carry a request out, whatever its rows: choose an arm, ask it, count, log; raise where there is no answer."""
        done: asyncio.Future[Request] = asyncio.get_running_loop().create_future()
        way = self._way(served, entity_id, header, version)
        request = Request(self._desk, served, way, entity_id, partial(_resolve, done))
        try:
            rows = read(served.baseline.predictor.version.signature)
        except InvalidInput:
            request.refuse()
            raise
        except BaseException:
            request.withdraw()
            raise
        request.ask(rows)
        try:
            await done
        finally:
            request.withdraw()  # where nobody waits for it any more
        answered(request)
        return request

    def serving(self, deployment: str) -> Served:
        """Give a deployment as it is served now.

        Raises:
            NotFound: no such deployment. Unavailable: it cannot be served now.
        """
        served = self._following.served.get(deployment)
        if served is None:
            raise self._absent(deployment)
        return served

    def _way(self, served: Served, entity_id: str | None, header: str | None, version: str | None) -> Way:
        settings = served.state.settings
        if version is not None:
            arm = pinned(served, version)
            self._desk.totals[served.state.name].forced += 1
            return Way(arm, None, forced=True, drawn=False)
        forced = forced_role(header, allowed=settings.allow_forced) if header is not None else None
        if forced is None:
            return self._drawn(served, entity_id)
        self._desk.totals[served.state.name].forced += 1
        return served.way(forced, forced=True)

    def check_rows(self, count: int, field: str = "body") -> None:
        """Raise InvalidInput where a request has too many rows; who knows before they are read saves their reading."""
        if count > self._max_rows:
            raise InvalidInput(
                f"The request has more than {self._max_rows} rows.",
                field=field,
                remedy="Send it in parts; SERINUS_MAX_ROWS sets the limit.",
            )

    def _taken(self, rows: Iterable[Row]) -> Sequence[Row]:
        taken = list(islice(rows, self._max_rows + 1))
        self.check_rows(len(taken))
        if not taken:
            raise InvalidFeatures("The request has no rows.", field="body", remedy="Send one row at least.")
        return taken

    def _drawn(self, served: Served, entity_id: str | None) -> Way:
        """Draw a role; a canary that is not loaded here, or that nobody judges, gets nothing."""
        split = served.divides
        if split is None or not self._board.leased():
            return served.undrawn
        if not split.sticky or entity_id is None:
            return served.drawn(assign(split, self._draw()))
        point = sticky_point(self._sticky_key, split.rollout, entity_id)
        return served.drawn(assign(split, point))._replace(point=point)

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
        return {name: self._desk.totals[name] for name in self._following.served}

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


def prediction_of(request: Request) -> Prediction:
    """Give what the caller of one row gets; raises why there is none."""
    outcome, arm = answered(request)
    prediction, prediction_class, confidence = outcome.answers[0]
    return Prediction(
        request.identity,
        arm.role,
        prediction,
        prediction_class,
        confidence,
        request.latency_ms,
        arm.name,
        outcome.failure is not None,
    )


def answered(request: Request) -> tuple[Outcome, Arm]:
    """Give what came of a request, and who answered it; raises why it has no answer."""
    outcome = request.outcome
    if outcome is None or outcome.answered_by is None:
        raise (outcome and outcome.error) or AssertionError("an outcome has answers or an error")
    return outcome, outcome.answered_by


def _resolve(done: "asyncio.Future[Request]", request: Request) -> None:
    if not done.done():
        done.set_result(request)
