"""One request, from the draw of its role to the answer: counted once, on record before it is answered."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from serinus.core import log_rows
from serinus.core.answers import Answer
from serinus.core.errors import ModelError, SerinusError
from serinus.core.ledger import Batch, Ledger
from serinus.core.signature import Row
from serinus.gateway.arms import Arm, Served
from serinus.gateway.asking import Asking, Manner, Outcome
from serinus.hashing import HashKey, InputHasher

_What = TypeVar("_What")
_Made = TypeVar("_Made")
_MOST_KEPT = 1024
"""Encoded parts of records that are kept for the next one; there are few in use at a time."""


class Log(Protocol):
    """Where what was answered is kept before it is told."""

    def keep(self, row: bytes, at_us: int, deliver: Callable[[], None]) -> None:
        """Keep a row, and then, kept or not, call ``deliver``."""
        ...

    def keep_many(self, rows: Sequence[bytes], at_us: int, deliver: Callable[[], None]) -> None:
        """Likewise for the rows of one request."""
        ...


@dataclass(slots=True)
class Totals:
    """What the gateway counts besides the evidence."""

    failovers: int = 0
    forced: int = 0


class Way(NamedTuple):
    """Where a request goes.

    ``arm`` is asked, and ``spare``, if any, where that fails. ``forced``: the caller chose, which is no evidence.
    ``drawn``: the split decided. ``point``: where in the split an entity is.
    """

    arm: Arm
    spare: Arm | None
    forced: bool
    drawn: bool
    point: float | None = None


class _Page:
    """What the records of a deployment have in common for as long as it is served in the same way."""

    def __init__(self, served: Served, key: HashKey) -> None:
        self.served = served
        self.hasher = InputHasher(key, served.baseline.predictor.version.signature.names)
        self._key_id = key.id
        self._commons: dict[tuple[bool, str, str, bool], bytes] = {}

    def common(self, way: Way, by: Arm | None, failure: str) -> bytes:
        """Give the fields that do not differ from request to request."""
        arm = way.arm
        what = (arm is self.served.canary, "" if by is None else by.name, failure, way.forced)
        known = self._commons.get(what)
        return known if known is not None else _kept(self._commons, what, self._encoded(arm, *what[1:]))

    def _encoded(self, arm: Arm, answered_by: str, failure: str, forced: bool) -> bytes:  # noqa: FBT001 - as in a record
        split = self.served.split
        return log_rows.constant_part(
            deployment=self.served.state.name,
            rollout=split.rollout if split else "",
            split_version=split.split_version if split else 0,
            role=arm.role,
            version=arm.name,
            answered_by=answered_by,
            key_id=self._key_id,
            error_kind=failure,
            forced=forced,
        )


class Records:
    """Writes records of requests as rows of the log; what many have in common is encoded once.

    Args:
        key: hashes inputs and entities.
    """

    def __init__(self, key: HashKey) -> None:
        self.key = key
        self._pages: dict[str, _Page] = {}
        self._answers: dict[tuple[object, ...], bytes] = {}

    def rows(self, request: "Request", outcome: Outcome) -> list[bytes]:
        """Give a row for each row of a request: the first under its id, the k-th after it under ``<id>-<k>``."""
        served, by = request.served, outcome.answered_by
        failure = error_kind(outcome.failure) if outcome.failure is not None else ""
        page = self._pages.get(served.state.name)
        if page is None or page.served is not served:
            page = _kept(self._pages, served.state.name, _Page(served, self.key))
        common = page.common(request.way, by, failure)
        hashed = page.hasher
        latency_ms, identity = round(outcome.latency_ms, 3), request.identity
        entity = self.key.of_entity(request.entity_id) if request.entity_id else ""
        written = []
        for index, values in enumerate(request.rows):
            answer = outcome.answers[index] if by is not None else None
            written.append(
                log_rows.row(
                    f"{identity}-{index}" if index else identity,
                    request.at_us,
                    latency_ms,
                    hashed(values),
                    None if answer is None else answer.confidence,
                    common,
                    _NO_ANSWER if answer is None else self._answer(answer),
                    entity,
                )
            )
        return written

    def _answer(self, answer: Answer) -> bytes:
        prediction = answer.prediction
        if answer.prediction_class is None:
            return log_rows.answer_part(json.dumps(prediction), None)
        what = (type(prediction), prediction, answer.prediction_class)
        known = self._answers.get(what)
        if known is None:
            part = log_rows.answer_part(json.dumps(prediction), answer.prediction_class)
            known = _kept(self._answers, what, part)
        return known


_NO_ANSWER = log_rows.answer_part("null", None)


@dataclass(slots=True)
class Desk:
    """What the requests of a gateway are worked on with."""

    manner: Manner
    ledger: Ledger
    records: Records
    log: Log
    new_id: Callable[[], str]
    is_new: Callable[[Served, str, float, str], bool]
    """Whether an entity is a new one to a test: of a deployment, under a rollout, at a point, by how it ended."""
    microseconds: Callable[[], int]
    totals: defaultdict[str, Totals] = field(default_factory=lambda: defaultdict(Totals))


class Request:
    """One request under way. ``settle`` is told of its end once: of an answer when that is on record."""

    __slots__ = (
        "_asking",
        "_batch",
        "_desk",
        "_settle",
        "_started",
        "at_us",
        "entity_id",
        "identity",
        "outcome",
        "rows",
        "served",
        "way",
    )

    def __init__(
        self, desk: Desk, served: Served, way: Way, entity_id: str | None, settle: "Callable[[Request], None]"
    ) -> None:
        self._desk = desk
        self._settle = settle
        self.served = served
        self.way = way
        self.entity_id = entity_id
        self.rows: Sequence[Row] = ()
        self.identity = ""
        self.outcome: Outcome | None = None
        self.at_us = desk.microseconds() - log_rows.EPOCH_US
        self._started = desk.manner.monotonic()
        self._batch: Batch | None = None if way.forced else desk.ledger.begin(self._started)
        self._asking: Asking | None = None

    @property
    def latency_ms(self) -> float:
        """How long it has been under way, milliseconds."""
        return round((self._desk.manner.monotonic() - self._started) * 1000.0, 3)

    def ask(self, rows: Sequence[Row]) -> None:
        """Ask for rows in the baseline's order."""
        self.rows = rows
        way = self.way
        self._asking = Asking(way.arm, way.spare, rows, self._desk.manner, self._answered)
        self._asking.begin()

    def refuse(self) -> None:
        """Count it as the caller's error."""
        self._count("client", 0.0)

    def withdraw(self) -> None:
        """Forget it, wherever it stands: nobody waits for it any more."""
        if self._batch is not None:
            self._desk.ledger.drop(self._batch)
            self._batch = None
        if self._asking is not None and not self._asking.over:
            self._asking.withdraw()

    def _answered(self, outcome: Outcome) -> None:
        self._asking = None  # they know each other: what is over is freed at once, and not when cycles are looked for
        self._count(error_kind(outcome.failure), outcome.latency_ms)
        desk = self._desk
        self.identity = desk.new_id()
        self.outcome = outcome
        if outcome.failure is not None and outcome.answered_by is not None:
            desk.totals[self.served.state.name].failovers += 1
        rows = desk.records.rows(self, outcome)
        if len(rows) == 1:
            desk.log.keep(rows[0], self.at_us, self._deliver)
        else:
            desk.log.keep_many(rows, self.at_us, self._deliver)

    def _deliver(self) -> None:
        self._settle(self)

    def _count(self, failure: str, latency_ms: float) -> None:
        if self._batch is None:
            return  # it was forced, and is no evidence
        way, desk = self.way, self._desk
        compared = way.drawn and (
            way.point is None or desk.is_new(self.served, way.arm.key.rollout, way.point, failure)
        )
        desk.ledger.end(self._batch, way.arm.key if compared else way.arm.aside, failure, latency_ms)
        self._batch = None


def error_kind(failure: SerinusError | None) -> str:
    """Name how a request failed: "", a model error's kind, or ``platform``."""
    if failure is None:
        return ""
    return failure.kind if isinstance(failure, ModelError) else "platform"


def _kept(known: dict[_What, _Made], what: _What, made: _Made) -> _Made:
    if len(known) >= _MOST_KEPT:
        known.clear()
    known[what] = made
    return made
