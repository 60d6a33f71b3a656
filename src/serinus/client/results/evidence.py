"""What is known of a canary, what was made of it, and what is to be expected."""

from datetime import datetime
from typing import Any

import msgspec

from serinus.client.results.deployments import Rollout
from serinus.client.results.values import Values


class ArmReport(msgspec.Struct, frozen=True, kw_only=True):
    """One arm as it was judged: requests, failed ones, their rate, and p95 latency in milliseconds."""

    requests: int = 0
    errors: int = 0
    error_rate: float | None = None
    p95_ms: float | None = None


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one metric of a canary, with a guarantee whenever it is looked at.

    ``baseline``, ``canary`` and ``difference`` are rates of errors or p95 latencies in milliseconds, ``low`` and
    ``high`` bound the difference. ``odds_against`` and ``odds_for`` are natural logarithms of the evidence that the
    canary is worse than tolerated, and better than the margin; ``since`` is when that against it began to grow, which a
    decision gives as ``worse_since_s``, in seconds after the first look.
    """

    name: str
    role: str = ""
    finding: str = ""
    baseline: float | None = None
    canary: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    tolerance: float | None = None
    margin: float | None = None
    odds_against: float = 0.0
    odds_for: float = 0.0
    alpha_spent: float = 0.0
    since: datetime | None = None
    worse_since_s: float | None = None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The newest verdict on the active or last rollout; ``health`` is None where there is none yet.

    ``health`` is healthy, degraded, critical or inconclusive, ``recommendation`` promote, continue, hold or rollback.
    ``waiting`` says what a plan or a bake waits for.
    """

    deployment: str
    status: str
    rollout: str | None = None
    health: str | None = None
    recommendation: str | None = None
    reason: str = ""
    action: str = ""
    checked_at: datetime | None = None
    baseline: ArmReport | None = None
    canary: ArmReport | None = None
    policy: Values = msgspec.field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    alarms: tuple[str, ...] = ()
    waiting: str = ""
    warnings: tuple[str, ...] = ()


class LatencyBucket(msgspec.Struct, frozen=True, kw_only=True):
    """So many requests took between so many milliseconds; the last bucket has no upper edge."""

    low_ms: float
    high_ms: float | None
    count: int


class ArmCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What one arm did in a rollout; latencies in milliseconds, None without requests."""

    version: str
    requests: int = 0
    model_errors: int = 0
    timeouts: int = 0
    client_errors: int = 0
    platform_errors: int = 0
    error_rate: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    mean_ms: float | None = None
    latency: tuple[LatencyBucket, ...] = ()


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What both arms did in the active or last rollout, or the baseline since the start where there was none."""

    deployment: str
    baseline: ArmCounts
    canary: ArmCounts | None = None
    rollout: str | None = None
    since: datetime | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision about a canary, with what it rested on; ``in_favour`` and ``against`` are sentences."""

    at: datetime
    kind: str
    actor: str = ""
    reason: str = ""
    generation: int = 0
    policy: Values | None = None
    policy_digest: str = ""
    baseline: ArmReport | None = None
    canary: ArmReport | None = None
    metrics: tuple[Metric, ...] = ()
    in_favour: tuple[str, ...] = msgspec.field(name="for", default=())
    against: tuple[str, ...] = ()


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a rollout came to what it came to: its decisions, oldest first."""

    deployment: str
    rollout: Rollout
    policy: Values | None = None
    decisions: tuple[Decision, ...] = ()


class HistoryPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One check of a rollout; ``weight`` is the canary's share then, in percent."""

    at: datetime
    weight: float = 0.0
    health: str | None = None
    reason: str = ""
    action: str = ""
    baseline: ArmReport | None = None
    canary: ArmReport | None = None
    metrics: tuple[Metric, ...] = ()


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout over time: its checks, oldest first, and what its evidence has to come to.

    ``thresholds`` has the odds (to one) of a rollback and of a promotion, ``last`` is the newest verdict.
    """

    rollout: Rollout
    policy: Values | None = None
    thresholds: Values | None = None
    points: tuple[HistoryPoint, ...] = ()
    last: Values | None = None


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One check of a rollout: what it took in (compact, as it is on record) and what came of it."""

    id: int
    at: datetime
    look: list[Any] | None = None
    verdict: Values | None = None
    policy: Values | None = None


class LooksPage(msgspec.Struct, frozen=True, kw_only=True):
    """Looks at a rollout, oldest first; ``next`` is what to pass as ``after``, None at the end."""

    rollout: str
    started_at: datetime | None = None
    looks: tuple[Look, ...] = ()
    next: int | None = None


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """When the evidence is enough; None beyond the horizon. ``limit``: canary requests that any valid test needs."""

    seconds: float | None = None
    canary_requests: int | None = None
    limit: int | None = None


class ShareAhead(msgspec.Struct, frozen=True, kw_only=True):
    """What a share in percent gives.

    ``found`` says when a canary is found that fails more, by how many points more; ``promoted`` is of a good one.
    """

    weight: float
    found: dict[str, Reached] = msgspec.field(default_factory=dict)
    promoted: Reached = msgspec.field(default_factory=Reached)


class PlanStep(msgspec.Struct, frozen=True, kw_only=True):
    """A share in percent and the seconds that are spent at it at least."""

    weight: float
    pause_s: float = 0.0


class PlanAhead(msgspec.Struct, frozen=True, kw_only=True):
    """How a good canary takes a plan: seconds until it is promoted, or None and the ``weight`` that it is still at."""

    steps: tuple[PlanStep, ...] = ()
    finished_s: float | None = None
    weight: float = 0.0


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be expected of canaries; ``rate`` in requests per second."""

    deployment: str
    rate: float
    baseline_error_rate: float = 0.0
    p95_ms: float | None = None
    policy: Values = msgspec.field(default_factory=dict)
    weights: tuple[ShareAhead, ...] = ()
    plan: PlanAhead | None = None
    warnings: tuple[str, ...] = ()
