"""Why a rollout came to what it came to: each decision with its evidence, and with what spoke against it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from serinus.core.events import Event, EventKind
from serinus.core.judge import odds

Document = dict[str, object]

DECISIONS = frozenset(
    {
        EventKind.CANARY_STARTED,
        EventKind.TRAFFIC_ADJUSTED,
        EventKind.STEP_REACHED,
        EventKind.APPROVED,
        EventKind.PAUSED,
        EventKind.RESUMED,
        EventKind.PROMOTED,
        EventKind.BAKE_ENDED,
        EventKind.ROLLED_BACK,
        EventKind.PROMOTION_UNDONE,
        EventKind.AUTO_ROLLBACK_TRIGGERED,
        EventKind.AUTO_PROMOTION_TRIGGERED,
        EventKind.ROLLBACK_RECOMMENDED,
        EventKind.PROMOTION_RECOMMENDED,
        EventKind.HEALTH_CHECK_PASSED,
        EventKind.HEALTH_CHECK_FAILED,
        EventKind.HEALTH_CHECK_INCONCLUSIVE,
        EventKind.PROGRESS_OVERDUE,
        EventKind.HOLDING,
    }
)
"""What is explained of a timeline."""
_AGAINST_IT = frozenset(
    {
        EventKind.ROLLED_BACK,
        EventKind.AUTO_ROLLBACK_TRIGGERED,
        EventKind.ROLLBACK_RECOMMENDED,
        EventKind.HEALTH_CHECK_FAILED,
        EventKind.PROGRESS_OVERDUE,
    }
)
_FEW = 100
_NAMES = {"errors": "errors", "p95": "p95 latency"}


def explained(events: Iterable[Event]) -> list[Document]:
    """Explain the decisions of a rollout, oldest first; ``for`` and ``against`` are sentences, as far as is known."""
    return [_explained(each) for each in events if each.kind in DECISIONS]


def _explained(event: Event) -> Document:
    data = event.data
    metrics = [each for each in _listed(data.get("metrics")) if isinstance(each, Mapping)]
    bad = event.kind in _AGAINST_IT
    worse, better = _sentences(metrics, "against"), _sentences(metrics, "for")
    few = _few(data)
    return {
        "at": event.at.isoformat(),
        "kind": event.kind.value,
        "actor": event.actor,
        "reason": event.reason,
        "generation": event.generation,
        "policy": data.get("rule"),
        "policy_digest": data.get("policy_digest", ""),
        "baseline": data.get("baseline") if isinstance(data.get("baseline"), Mapping) else None,
        "canary": data.get("canary") if isinstance(data.get("canary"), Mapping) else None,
        "metrics": metrics,
        "for": worse if bad else better,
        "against": [*(better if bad else worse), *few],
    }


def _sentences(metrics: Sequence[Mapping[str, Any]], side: Literal["against", "for"]) -> list[str]:
    """Say how strongly each metric speaks against the canary, or for it."""
    said = []
    for metric in metrics:
        log = metric.get("odds_against" if side == "against" else "odds_for")
        if not isinstance(log, int | float) or log <= 0.0:
            continue
        name = _NAMES.get(str(metric.get("name")), str(metric.get("name")))
        claim = _limit(metric, "tolerance") if side == "against" else _limit(metric, "margin")
        worse = f"worse than {claim}" if side == "against" else f"better than {claim}"
        said.append(f"{name}: odds {odds(log)} that the canary is {worse}{_bounds(metric)}")
    return said


def _limit(metric: Mapping[str, Any], name: str) -> str:
    value = metric.get(name)
    if not isinstance(value, int | float):
        return f"the {name}"
    return f"{value * 100:g} points more" if metric.get("name") == "errors" else f"{value:g} ms slower"


def _bounds(metric: Mapping[str, Any]) -> str:
    low, high = metric.get("low"), metric.get("high")
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return ""
    if metric.get("name") == "errors":
        return f" (difference between {low * 100:.1f} and {high * 100:.1f} points)"
    return f" (difference between {low:.0f} and {high:.0f} ms)"


def _few(data: Mapping[str, object]) -> list[str]:
    canary = data.get("canary")
    requests = canary.get("requests") if isinstance(canary, Mapping) else None
    if not isinstance(requests, int) or requests >= _FEW:
        return []
    return [f"only {requests} canary requests were seen"]


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
