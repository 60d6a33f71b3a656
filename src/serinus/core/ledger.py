"""The running counts of one gateway: written once per request, read as evidence."""

from serinus.core.evidence import Counts, Evidence, Key, bucket_of
from serinus.core.routing import Role


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

    def asked(self, latency_ms: float, failure: str = "") -> None:
        """Count a request that a model was asked for; ``failure`` is "" or a ModelError's kind."""
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


class Ledger:
    """All tallies of one gateway since it started."""

    def __init__(self) -> None:
        self._tallies: dict[Key, Tally] = {}
        self._folded: dict[Key, Counts] = {}

    def tally(self, key: Key) -> Tally:
        """Give the tally of a key, at zero when first asked for."""
        return self._tallies.setdefault(key, Tally())

    def evidence(self) -> Evidence:
        """Give everything counted so far."""
        total = dict(self._folded)
        for key, tally in self._tallies.items():
            counts = tally.counts()
            total[key] = total[key] + counts if key in total else counts
        return total

    def fold(self, deployment: str, keep: frozenset[str]) -> None:
        """Add the tallies of a deployment's rollouts that are not in ``keep`` to those outside of any rollout.

        Totals stay as they are; what an ended rollout holds in memory no longer grows with their number.
        """
        for key in [key for key in self._tallies if owner(key.rollout) == deployment and key.rollout not in keep]:
            target = Key(outside(deployment), key.version, 0, key.role)
            counts = self._tallies.pop(key).counts()
            self._folded[target] = self._folded[target] + counts if target in self._folded else counts


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
