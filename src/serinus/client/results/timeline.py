"""What happened, and what was in production."""

from datetime import datetime

import msgspec

from serinus.client.results.values import Values


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the timeline; ids grow with time, ``generation`` is the deployment's after it."""

    id: int
    at: datetime
    kind: str
    deployment: str = ""
    actor: str = ""
    reason: str = ""
    rollout: str | None = None
    generation: int = 0
    data: Values = msgspec.field(default_factory=dict)


class EventsPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the timeline; ``next`` is what to pass as ``after``, None at the end."""

    events: tuple[Event, ...] = ()
    next: int | None = None


class Production(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions had a deployment's traffic, since when, and by which event.

    ``canary`` and its ``weight`` (percent) are None where the baseline was alone; ``status`` is stable, canary, paused
    or baking.
    """

    baseline: str
    since: datetime
    event: Event
    canary: str | None = None
    weight: float | None = None
    status: str = ""
    rollout: str | None = None
    generation: int = 0


class ProductionAt(msgspec.Struct, frozen=True, kw_only=True):
    """What one deployment had in production at an instant."""

    deployment: str
    at: datetime
    production: Production


class ProductionOf(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment had in production; None where it did not exist yet."""

    deployment: str
    production: Production | None = None


class ProductionEverywhere(msgspec.Struct, frozen=True, kw_only=True):
    """What every deployment had in production at an instant, by name."""

    at: datetime
    deployments: tuple[ProductionOf, ...] = ()
