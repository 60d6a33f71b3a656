"""Prometheus metrics, read from the evidence when they are asked for; nothing is counted twice or on the way."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from serinus.core.evidence import ARTICLE_EDGES_MS, Counts, Evidence, article_buckets
from serinus.core.ledger import by_version
from serinus.core.routing import Role
from serinus.core.work import Work

ARM = ["deployment", "model_version", "model_role"]
_EDGES = [*(f"{edge:g}" for edge in ARTICLE_EDGES_MS), "+Inf"]


@dataclass(frozen=True, slots=True)
class ServedArm:
    """A version in service, with the accuracy it was registered with (None if none was)."""

    deployment: str
    model_version: str
    model_role: Role
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class CheckerReading:
    """A checker: whether it leads, when its last round ended (None before), and how many rounds or checks failed.

    ``alarmed``: the deployments whose canary does not get the share that was set.
    """

    leads: bool
    ticked_at: datetime | None
    failures: int
    alarmed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetReading:
    """What a notification target was told: tries by how they ended, and how many events wait for it.

    ``waiting`` is None where another process tells it.
    """

    results: Mapping[str, int]
    waiting: int | None


@dataclass(frozen=True, slots=True)
class Readings:
    """What a server shows of itself at one moment.

    ``weights``: percent to the canary, by deployment. ``leased``: whether canaries may have traffic. ``rollouts``:
    since when the active one is as it is, by deployment, None where none is active. ``dependencies``: whether each
    answers.
    ``checker``: None in a process that checks nothing. ``work``: what each version did, by its name.
    """

    evidence: Evidence
    arms: tuple[ServedArm, ...]
    weights: Mapping[str, float]
    failovers: Mapping[str, int]
    forced: Mapping[str, int]
    log_pending: int
    log_written: int
    log_dropped: int
    journal_bytes: int
    leased: bool
    rollouts: Mapping[str, datetime | None]
    dependencies: Mapping[str, bool]
    checker: CheckerReading | None
    targets: Mapping[str, TargetReading] = field(default_factory=dict)
    work: Mapping[str, Work] = field(default_factory=dict)


class Telemetry(Collector):
    """The families of one gateway."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, read: Callable[[], Readings]) -> None:
        self._read = read
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def exposition(self) -> bytes:
        """Give all families in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Name no families ahead of time: they are read, not declared."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read everything once and yield the families."""
        readings = self._read()
        arms = by_version(readings.evidence)
        for served in readings.arms:
            arms.setdefault((served.deployment, served.model_version, served.model_role), Counts())
        yield from _request_families(arms)
        yield from _rollout_families(readings)
        yield from _work_families(readings.work)
        yield from _log_families(readings)
        yield from _operation_families(readings)


def _request_families(arms: Mapping[tuple[str, str, Role], Counts]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "prediction_requests", "Requests by the role first drawn and how they ended.", labels=[*ARM, "status"]
    )
    latency = HistogramMetricFamily(
        "prediction_latency_ms", "Model latency in milliseconds, failures included.", labels=ARM
    )
    for labels, counts in sorted(arms.items()):
        statuses = {
            "success": counts.requests - counts.failed,
            "error": counts.model_errors,
            "timeout": counts.timeouts,
            "client_error": counts.client_errors,
            "platform_error": counts.platform_errors,
        }
        for status, number in statuses.items():
            requests.add_metric([*labels, status], number)
        buckets = list(zip(_EDGES, article_buckets(counts.latency), strict=True))
        latency.add_metric(list(labels), buckets=buckets, sum_value=counts.latency_sum_ms)
    yield requests
    yield latency


def _rollout_families(readings: Readings) -> Iterator[Metric]:
    yield _by_deployment(
        GaugeMetricFamily("canary_traffic_pct", "Share of traffic for the canary, percent.", labels=["deployment"]),
        readings.weights,
    )
    accuracy = GaugeMetricFamily("model_accuracy", "Accuracy a version was registered with.", labels=ARM)
    for arm in readings.arms:
        if arm.accuracy is not None:
            accuracy.add_metric([arm.deployment, arm.model_version, arm.model_role], arm.accuracy)
    yield accuracy
    yield _by_deployment(
        CounterMetricFamily(
            "serinus_failovers", "Requests the baseline answered for a failed canary.", labels=["deployment"]
        ),
        readings.failovers,
    )
    yield _by_deployment(
        CounterMetricFamily(
            "serinus_forced_requests", "Requests routed by X-Canary; they are not evidence.", labels=["deployment"]
        ),
        readings.forced,
    )


def _work_families(done: Mapping[str, Work]) -> Iterator[Metric]:
    """Tell the models' own time from the time that requests wait for them."""
    for name, text, read in (
        ("requests", "Requests handed to a model.", attrgetter("requests")),
        ("batches", "Batches in which a model was asked.", attrgetter("batches")),
        ("queue_seconds", "Time that requests waited for their model.", attrgetter("waited_s")),
        ("seconds", "Time that the model itself took, for whole batches.", attrgetter("took_s")),
        ("process_ends", "Processes of a model that ended by themselves and were begun again.", attrgetter("ends")),
    ):
        family = CounterMetricFamily(f"serinus_model_{name}", text, labels=["model_version"])
        for version, work in sorted(done.items()):
            family.add_metric([version], read(work))
        yield family


def _log_families(readings: Readings) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "serinus_prediction_log_pending", "Logged predictions not written yet.", readings.log_pending
    )
    yield CounterMetricFamily("serinus_prediction_log_written", "Logged predictions written.", readings.log_written)
    yield CounterMetricFamily(
        "serinus_prediction_log_dropped", "Answered predictions that are not logged.", readings.log_dropped
    )
    yield GaugeMetricFamily(
        "serinus_journal_bytes", "Bytes of logged predictions that wait on disk.", readings.journal_bytes
    )


def _operation_families(readings: Readings) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "serinus_canary_leased", "Whether canaries may have traffic: somebody judges them.", int(readings.leased)
    )
    active = {name: float(since is not None) for name, since in readings.rollouts.items()}
    changed = {name: since.timestamp() for name, since in readings.rollouts.items() if since is not None}
    yield _by_deployment(
        GaugeMetricFamily("serinus_rollout_active", "Whether a canary is running.", labels=["deployment"]), active
    )
    yield _by_deployment(
        GaugeMetricFamily(
            "serinus_rollout_changed_timestamp_seconds",
            "When the deployment last changed while a canary is running.",
            labels=["deployment"],
        ),
        changed,
    )
    dependencies = GaugeMetricFamily(
        "serinus_dependency_up", "Whether what the server needs answers.", labels=["dependency"]
    )
    for name, answers in sorted(readings.dependencies.items()):
        dependencies.add_metric([name], int(answers))
    yield dependencies
    yield from _notification_families(readings.targets)
    if readings.checker is not None:
        yield from _checker_families(readings.checker)
        alarmed = {name: float(name in readings.checker.alarmed) for name, now in active.items() if now}
        yield _by_deployment(
            GaugeMetricFamily(
                "serinus_split_alarm", "Whether a canary does not get the share that was set.", labels=["deployment"]
            ),
            alarmed,
        )


def _notification_families(targets: Mapping[str, TargetReading]) -> Iterator[Metric]:
    notifications = CounterMetricFamily(
        "serinus_notifications", "Events a target was told of, by how that ended.", labels=["target", "result"]
    )
    waiting = GaugeMetricFamily(
        "serinus_notifications_pending", "Events a target has yet to be told of.", labels=["target"]
    )
    for name, reading in sorted(targets.items()):
        for result, number in sorted(reading.results.items()):
            notifications.add_metric([name, result], number)
        if reading.waiting is not None:
            waiting.add_metric([name], reading.waiting)
    yield notifications
    yield waiting


def _checker_families(checker: CheckerReading) -> Iterator[Metric]:
    ticked_at = checker.ticked_at.timestamp() if checker.ticked_at else 0.0
    yield GaugeMetricFamily("serinus_checker_leading", "Whether this checker is the one that acts.", int(checker.leads))
    yield GaugeMetricFamily(
        "serinus_checker_round_timestamp_seconds", "When the last round of checks ended.", ticked_at
    )
    yield CounterMetricFamily("serinus_checker_failures", "Rounds or checks that failed.", checker.failures)


def _by_deployment(
    family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float]
) -> GaugeMetricFamily | CounterMetricFamily:
    for deployment, value in sorted(values.items()):
        family.add_metric([deployment], value)
    return family
