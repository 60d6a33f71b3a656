"""Requests and errors a second of each role, from the differences of the totals that a visitor has seen."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from serinus.dashboard.charts import ROLES
from serinus.words import mapped, number

SPAN_S = 120.0
"""Seconds that are shown."""
SMOOTH_S = 3.0
"""Seconds over which a rate is taken: gateways report by the second, not each at the same moment."""
MOST = 400
"""Samples that are kept at most."""

Totals = Mapping[str, tuple[float, float]]
"""By role: requests, and those of them that the model failed."""


@dataclass(frozen=True, slots=True)
class Rate:
    """One role's requests and errors a second at a moment."""

    at: datetime
    role: str
    requests: float
    errors: float


@dataclass(slots=True)
class Series:
    """The totals of one rollout as they were seen, oldest first."""

    of: object = None
    samples: deque[tuple[datetime, Totals]] = field(default_factory=lambda: deque(maxlen=MOST))

    def add(self, of: object, at: datetime, metrics: Mapping[str, Any]) -> None:
        """Take in a document of metrics; another rollout, or totals that fell, begin anew."""
        totals = {role: _totals(metrics.get(role)) for role in ROLES if metrics.get(role)}
        if of != self.of or self._fell(totals):
            self.of = of
            self.samples.clear()
        self.samples.append((at, totals))
        while (at - self.samples[0][0]).total_seconds() > SPAN_S + SMOOTH_S:
            self.samples.popleft()

    def rates(self) -> Iterator[Rate]:
        """Give the rates, oldest first."""
        past: deque[tuple[datetime, Totals]] = deque()
        for at, totals in self.samples:
            while len(past) > 1 and (at - past[1][0]).total_seconds() >= SMOOTH_S:
                past.popleft()
            if past:
                yield from _between(past[0], (at, totals))
            past.append((at, totals))

    def columns(self) -> dict[str, list[Any]]:
        """Give the rates as columns, the time axis as long as what is shown from the first one on."""
        rates = list(self.rates())
        end = self.samples[-1][0] if self.samples else datetime.now().astimezone()
        start = [Rate(end - timedelta(seconds=SPAN_S), role, float("nan"), float("nan")) for role in ROLES]
        shown = [*start, *(each for each in rates if each.at >= start[0].at)]
        return {name: [getattr(each, name) for each in shown] for name in ("at", "role", "requests", "errors")}

    def latest(self) -> dict[str, Rate]:
        """Give the newest rate of each role."""
        return {each.role: each for each in self.rates()}

    def _fell(self, totals: Totals) -> bool:
        if not self.samples:
            return False
        before = self.samples[-1][1]
        return any(totals[role][0] < before[role][0] for role in totals.keys() & before.keys())


def _between(then: tuple[datetime, Totals], now: tuple[datetime, Totals]) -> Iterator[Rate]:
    passed_s = (now[0] - then[0]).total_seconds()
    if passed_s <= 0:
        return
    for role, (requests, errors) in now[1].items():
        earlier = then[1].get(role)
        if earlier is not None:
            yield Rate(now[0], role, (requests - earlier[0]) / passed_s, max(0.0, errors - earlier[1]) / passed_s)


def _totals(counts: object) -> tuple[float, float]:
    names = ("requests", "model_errors", "timeouts")
    requests, errors, timeouts = (number(mapped(counts).get(name)) or 0.0 for name in names)
    return requests, errors + timeouts
