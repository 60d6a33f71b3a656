"""One request, from the draw of its role to the answer: counted once, on record before it is answered."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from serinus.core import log_rows
from serinus.core.ledger import Batch, Ledger
from serinus.core.signature import Row
from serinus.gateway.asking import Asking, Manner, Outcome, ask_alone, error_kind, to_microseconds
from serinus.gateway.records import Records
from serinus.gateway.served import Served, Way
from serinus.ports import Ticket


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
        "_batch",
        "_desk",
        "_over",
        "_settle",
        "_started",
        "_under_way",
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
        self._under_way: Ticket | None = None
        self._over = False

    @property
    def latency_ms(self) -> float:
        """How long it has been under way, milliseconds."""
        return to_microseconds((self._desk.manner.monotonic() - self._started) * 1000.0)

    def ask(self, rows: Sequence[Row]) -> None:
        """Ask for rows in the baseline's order."""
        self.rows = rows
        arm, spare, manner = self.way.arm, self.way.spare, self._desk.manner
        if spare is not None:
            asking = self._under_way = Asking(arm, spare, rows, manner, self._answered)
            asking.begin()
            return
        ticket = ask_alone(arm, rows, manner, self._answered)
        if not self._over:
            self._under_way = ticket

    def refuse(self) -> None:
        """Count it as the caller's error."""
        self._count("client", 0.0)

    def withdraw(self) -> None:
        """Forget it, wherever it stands: nobody waits for it any more."""
        self._over = True
        if self._batch is not None:
            self._desk.ledger.drop(self._batch)
            self._batch = None
        if self._under_way is not None:
            self._under_way.withdraw()

    def _answered(self, outcome: Outcome) -> None:
        if self._over:
            return
        self._over = True
        self._under_way = None  # they know each other: so it is freed at once, and not when cycles are looked for
        desk, failure = self._desk, outcome.failure
        self._count("" if failure is None else error_kind(failure), outcome.latency_ms)
        self.identity = desk.new_id()
        self.outcome = outcome
        if failure is not None and outcome.answered_by is not None:
            desk.totals[self.served.state.name].failovers += 1
        rows = desk.records.rows(self.served, self.way, outcome, self.identity, self.at_us, self.rows, self.entity_id)
        if len(rows) == 1:
            desk.log.keep(rows[0], self.at_us, self._deliver)
        else:
            desk.log.keep_many(rows, self.at_us, self._deliver)

    def _deliver(self) -> None:
        self._settle(self)

    def _count(self, failure: str, latency_ms: float) -> None:
        batch = self._batch
        if batch is None:
            return  # it was forced, and is no evidence
        self._batch = None
        way, desk = self.way, self._desk
        compared = way.drawn and (
            way.point is None or desk.is_new(self.served, way.arm.key.rollout, way.point, failure)
        )
        desk.ledger.end(batch, way.arm.key if compared else way.arm.aside, failure, latency_ms)
