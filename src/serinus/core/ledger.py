"""The running counts of one gateway: written once per request, read as evidence.

What is put up as evidence is a whole prefix of the requests in the order of their starts: one that is still pending
holds back all that started after it. So a canary that fails fast while the baseline fails slowly does not look worse
for as long as the slow failures take (Lindon and Kallus, arXiv 2603.25971).
"""

from collections import deque
from itertools import groupby
from operator import itemgetter

from serinus.core.evidence import Counts, Evidence, Key, bucket_of, merged
from serinus.core.routing import Role

BATCH_S = 0.02
"""Requests that start within so many seconds are waited for together."""


class Tally:
    """The counts of one key as they grow."""

    __slots__ = (
        "client_errors",
        "latency",
        "latency_sum_ms",
        "model_errors",
        "platform_errors",
        "requests",
        "timeouts",
    )

    def __init__(self) -> None:
        self.requests = 0
        self.model_errors = 0
        self.timeouts = 0
        self.client_errors = 0
        self.platform_errors = 0
        self.latency: dict[int, int] = {}
        self.latency_sum_ms = 0.0

    def count(self, failure: str, latency_ms: float) -> None:
        """Count a request.

        Args:
            failure: "" or a ModelError's kind where a model was asked; ``client`` or ``platform`` where it was not.
            latency_ms: how long the model took; of no account where none was asked.
        """
        if failure == "client":
            self.client_errors += 1
        elif failure == "platform":
            self.platform_errors += 1
        else:
            self.requests += 1
            if failure == "timeout":
                self.timeouts += 1
            elif failure:
                self.model_errors += 1
            index = bucket_of(latency_ms)
            self.latency[index] = self.latency.get(index, 0) + 1
            self.latency_sum_ms += latency_ms

    def counts(self) -> Counts:
        """Give the counts so far."""
        return Counts(
            self.requests,
            self.model_errors,
            self.timeouts,
            self.client_errors,
            self.platform_errors,
            dict(self.latency),
            self.latency_sum_ms,
        )


Ended = tuple[Key, str, float]
"""A request that has ended: under which key it is counted, and how it ended; see ``Tally.count``."""


class Batch:
    """Requests that started at about the same time: how many are pending, and what came of the others."""

    __slots__ = ("ended", "pending", "settled", "started")

    def __init__(self, started: float) -> None:
        self.started = started
        self.pending = 0
        self.ended: list[Ended] = []
        self.settled = False


class Ledger:
    """All tallies of one gateway since it started.

    ``patience_s``: a request that is pending for longer holds back nothing any more.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._tallies: dict[Key, Tally] = {}
        self._folded: dict[Key, Counts] = {}
        self._current = Batch(0.0)
        self._waiting: deque[Batch] = deque([self._current])

    def begin(self, now: float) -> Batch:
        """Note that a request starts, at a monotonic time in seconds; give it back to ``end`` or ``drop``."""
        batch = self._current
        if now - batch.started >= BATCH_S or batch.settled:
            self._settle(now)  # a little at a time, and not all at once that came between two reports
            batch = self._current = Batch(now)
            self._waiting.append(batch)
        batch.pending += 1
        return batch

    def end(self, batch: Batch, key: Key, failure: str, latency_ms: float) -> None:
        """Count a request that began in a batch."""
        batch.pending -= 1
        home = self._waiting[0] if batch.settled and self._waiting else batch
        if home.settled:
            self.tally(key).count(failure, latency_ms)
        else:
            home.ended.append((key, failure, latency_ms))

    def drop(self, batch: Batch) -> None:
        """Forget a request: it is no evidence, or nobody waited for its end."""
        batch.pending -= 1

    def tally(self, key: Key) -> Tally:
        """Give the tally of a key, at zero when first asked for."""
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally()
        return tally

    def settled(self, now: float) -> Evidence:
        """Give the counts of all requests that started before the first that is pending, at a monotonic time."""
        self._settle(now)
        return self._settled()

    def evidence(self) -> Evidence:
        """Give everything counted so far."""
        pending: dict[Key, Tally] = {}
        for batch in self._waiting:
            for key, failure, latency_ms in batch.ended:
                pending.setdefault(key, Tally()).count(failure, latency_ms)
        return merged([self._settled(), {key: tally.counts() for key, tally in pending.items()}])

    def fold(self, deployment: str, keep: frozenset[str]) -> None:
        """Add the tallies of a deployment's rollouts that are not in ``keep`` to those outside of any rollout.

        Totals stay as they are; what an ended rollout holds in memory no longer grows with their number.
        """
        for key in [key for key in self._tallies if owner(key.rollout) == deployment and key.rollout not in keep]:
            target = Key(outside(deployment), key.version, 0, key.role)
            counts = self._tallies.pop(key).counts()
            self._folded[target] = self._folded[target] + counts if target in self._folded else counts

    def _settle(self, now: float) -> None:
        """Count what came of the first batches, up to one of which a request is pending."""
        while self._waiting and (not self._waiting[0].pending or now - self._waiting[0].started > self._patience_s):
            batch = self._waiting.popleft()
            batch.settled = True
            for key, ended in groupby(batch.ended, itemgetter(0)):  # most are of the baseline
                tally = self.tally(key)
                for _, failure, latency_ms in ended:
                    tally.count(failure, latency_ms)
            batch.ended.clear()

    def _settled(self) -> dict[Key, Counts]:
        total = dict(self._folded)
        for key, tally in self._tallies.items():
            counts = tally.counts()
            total[key] = total[key] + counts if key in total else counts
        return total


def outside(deployment: str) -> str:
    """Name the counts of a deployment outside of any rollout."""
    return f"{deployment}:0"


def owner(rollout: str) -> str:
    """Name the deployment that a rollout is of."""
    return rollout.rpartition(":")[0]


def by_version(evidence: Evidence) -> dict[tuple[str, str, Role], Counts]:
    """Add up over rollouts and splits: counts by (deployment, version, role)."""
    total: dict[tuple[str, str, Role], Counts] = {}
    for key, counts in evidence.items():
        arm = (owner(key.rollout), key.version, key.role)
        total[arm] = total[arm] + counts if arm in total else counts
    return total
