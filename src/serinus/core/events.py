"""The events of a deployment's timeline, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class EventKind(StrEnum):
    """What an event records."""

    DEPLOYMENT_CREATED = "deployment_created"
    CONFIGURED = "configured"
    CANARY_REFUSED = "canary_refused"
    CANARY_STARTED = "canary_started"
    TRAFFIC_ADJUSTED = "traffic_adjusted"
    PAUSED = "paused"
    RESUMED = "resumed"
    STEP_REACHED = "step_reached"
    APPROVED = "approved"
    PROMOTED = "promoted"
    BAKE_ENDED = "bake_ended"
    ROLLED_BACK = "rolled_back"
    PROMOTION_UNDONE = "promotion_undone"
    HEALTH_CHECK_PASSED = "health_check_passed"
    HEALTH_CHECK_FAILED = "health_check_failed"
    HEALTH_CHECK_INCONCLUSIVE = "health_check_inconclusive"
    HEALTH_CHECK_ERROR = "health_check_error"
    AUTO_ROLLBACK_TRIGGERED = "auto_rollback_triggered"
    AUTO_PROMOTION_TRIGGERED = "auto_promotion_triggered"
    ROLLBACK_RECOMMENDED = "rollback_recommended"
    PROMOTION_RECOMMENDED = "promotion_recommended"
    HOLDING = "holding"
    PROGRESS_OVERDUE = "progress_overdue"


TRANSITIONS = frozenset(
    {
        EventKind.DEPLOYMENT_CREATED,
        EventKind.CONFIGURED,
        EventKind.CANARY_STARTED,
        EventKind.TRAFFIC_ADJUSTED,
        EventKind.PAUSED,
        EventKind.RESUMED,
        EventKind.STEP_REACHED,
        EventKind.APPROVED,
        EventKind.PROMOTED,
        EventKind.BAKE_ENDED,
        EventKind.ROLLED_BACK,
        EventKind.PROMOTION_UNDONE,
    }
)
"""Kinds that change the state: a deployment of generation n has exactly n of them."""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the append-only timeline.

    ``generation`` is the deployment's after the event; ``data`` holds JSON values only.
    """

    deployment: str
    generation: int
    kind: EventKind
    at: datetime
    actor: str
    reason: str = ""
    rollout: str = ""
    data: Mapping[str, object] = field(default_factory=dict)
