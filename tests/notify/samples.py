"""Events to tell of."""

from datetime import UTC, datetime
from typing import Any

from serinus.core.decide import ACTOR
from serinus.core.events import Event, EventKind
from serinus.core.records import RecordedEvent

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
IDENTITY = "0f9f1c04-5b1c-4b0e-9f5e-6f8f3a0d2f11"
SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAAAA"


def recorded(
    kind: EventKind, number: int = 7, *, actor: str = "ada", reason: str = "", **data: object
) -> RecordedEvent:
    return RecordedEvent(number, Event("heart-prod", 3, kind, NOW, actor, reason, "heart-prod:2", data))


def rolled_back(number: int = 7, *, actor: str = ACTOR) -> RecordedEvent:
    reason = "canary errors 15.2 % against 0.0 %: odds 3324 to 1 against 'within 0.5 points'"
    facts: dict[str, Any] = {"canary": "heart@2", "baseline": "heart@1", "weight": 20.0}
    return recorded(EventKind.ROLLED_BACK, number, actor=actor, reason=reason, **facts)
