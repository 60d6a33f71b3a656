"""What the numbers have to be, and whether they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.decisions.scenarios import SHARES, Row

Results = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class Aim:
    """One aim with what was measured."""

    says: str
    measured: float
    limit: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.measured <= self.limit


def aims(results: Results) -> list[Aim]:
    """Give all aims; each is an upper limit."""
    null = [*results["identical"], *results["not-worse"]]
    errors = [row for row in results["found"] if "points" in row["case"]]
    latency = [row for row in results["found"] if "ms" in row["case"]]
    good = [row for row in results["promoted"] if row["case"] == "+0 points"]
    bad = [row for row in results["promoted"] if row["case"] == "+6 points"]
    touched = [row for row in results["sticky"] if row["case"].startswith("first")]
    totals = [row for row in errors if row["case"] == "+95 points"]
    at_20 = [row for row in errors if row["case"] == "+19 points" and row["share"] == SHARES[1]]
    ratios, slow = [row["ratio"] for row in errors], [row["ratio"] for row in latency]
    return [
        Aim("false rollbacks, any cell", max(_share(row, "rolled_back") for row in null), 1.0, " %"),
        Aim("false rollbacks, all cells together", _pooled(null, "rolled_back"), 0.2, " %"),
        Aim("errors: canary requests over the limit, mean", sum(ratios) / len(ratios), 1.6, "x"),
        Aim("errors: canary requests over the limit, worst", max(ratios), 1.9, "x"),
        Aim("+95 points: canary requests on average", _mean(totals, "canary_requests"), 5.0),
        Aim(
            "+95 points at 20 %: canary requests",
            _mean([r for r in totals if r["share"] == SHARES[1]], "canary_requests"),
            5.0,
        ),
        Aim("+19 points at 20 %: canary requests", max(row["canary_requests"] for row in at_20), 40.0),
        Aim("latency: canary requests over the limit, mean", sum(slow) / len(slow), 2.0, "x"),
        Aim("good canaries not promoted, any cell", max(100.0 - _share(row, "promoted") for row in good), 1.0, " %"),
        Aim("good canaries: canary requests over the limit, worst", max(row["ratio"] for row in good), 1.4, "x"),
        Aim("+6 points: promoted, any cell", max(_share(row, "promoted") for row in bad), 1.0, " %"),
        Aim(
            "late breaks: delay over a fresh one's, worst",
            max(row.get("ratio", 0.0) for row in results["late"]),
            2.6,
            "x",
        ),
        Aim("sticky bursts: false rollbacks", max(_share(row, "rolled_back") for row in touched), 1.0, " %"),
    ]


def _share(row: Row, name: str) -> float:
    return float(100.0 * row[name] / row["rollouts"])


def _pooled(rows: Sequence[Row], name: str) -> float:
    return float(100.0 * sum(row[name] for row in rows) / sum(row["rollouts"] for row in rows))


def _mean(rows: Sequence[Row], name: str) -> float:
    return float(sum(row[name] for row in rows) / len(rows))
