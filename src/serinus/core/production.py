"""What was in production at an instant: told by the events of a deployment alone."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from serinus.core.deployment import ALL, Phase
from serinus.core.events import TRANSITIONS, Event, EventKind
from serinus.core.records import RecordedEvent

STABLE, RUNNING = "stable", "canary"


@dataclass(frozen=True, slots=True)
class Production:
    """Which versions had a deployment's traffic, and how much of it.

    ``baseline`` is the version in the role of the baseline, ``canary`` the one beside it ("" if there was none), and
    ``weight`` the canary's share in percent; while a promotion bakes, the canary is what was promoted. ``status`` is
    ``stable``, ``canary``, ``paused`` or ``baking``. ``event`` is the one by which the traffic came to be split so, and
    ``generation`` that of the deployment, which counts what moved no traffic as well.
    """

    deployment: str
    baseline: str
    canary: str
    weight: float
    status: str
    rollout: str
    generation: int
    event: RecordedEvent

    @property
    def since(self) -> datetime:
        """Since when the traffic was split so."""
        return self.event.event.at


Change = Callable[[Production | None, RecordedEvent], Production | None]


def production(events: Iterable[RecordedEvent]) -> Production | None:
    """Replay a deployment's events up to an instant, oldest first; None where it did not exist yet.

    Those from the last of ``BEGINNINGS`` on are enough.
    """
    known: Production | None = None
    for recorded in events:
        event = recorded.event
        if event.kind in _CHANGES:
            known = _CHANGES[event.kind](known, recorded)
        if known is not None and event.kind in TRANSITIONS:
            known = replace(known, generation=event.generation)
    return known


def share_of(event: Event) -> float:
    """Give the share in percent that a canary has after an event of ``SHARES``."""
    if event.kind is EventKind.PROMOTED:
        return round(ALL - _share(event.data.get("holdback", 0.0)), 2)
    return _share(event.data["weight" if event.kind is EventKind.CANARY_STARTED else "to"])


def _alone(name: str) -> Change:
    """Give all of the traffic to the version that an event names so."""
    return lambda _, recorded: _of(recorded, baseline=str(recorded.event.data[name]))


def _started(_: Production | None, recorded: RecordedEvent) -> Production:
    data = recorded.event.data
    return _of(
        recorded,
        baseline=str(data["baseline"]),
        canary=str(data["canary"]),
        weight=share_of(recorded.event),
        status=RUNNING,
    )


def _promoted(_: Production | None, recorded: RecordedEvent) -> Production:
    data = recorded.event.data
    if not data.get("holdback"):
        return _of(recorded, baseline=str(data["to"]))
    return _of(
        recorded,
        baseline=str(data["from"]),
        canary=str(data["to"]),
        weight=share_of(recorded.event),
        status=Phase.BAKING.value,
    )


def _adjusted(known: Production | None, recorded: RecordedEvent) -> Production | None:
    if known is None:
        return None
    status = Phase.PAUSED.value if recorded.event.data.get("paused") else known.status
    return replace(known, weight=share_of(recorded.event), status=status, event=recorded)


def _in_status(status: str) -> Change:
    """Change how a rollout stands, which moves no traffic."""
    return lambda known, _: known and replace(known, status=status)


def _of(
    recorded: RecordedEvent, *, baseline: str, canary: str = "", weight: float = 0.0, status: str = STABLE
) -> Production:
    event = recorded.event
    return Production(
        deployment=event.deployment,
        baseline=baseline,
        canary=canary,
        weight=weight,
        status=status,
        rollout=event.rollout if canary else "",
        generation=event.generation,
        event=recorded,
    )


def _share(value: object) -> float:
    return float(str(value))


SHARES = frozenset({EventKind.CANARY_STARTED, EventKind.TRAFFIC_ADJUSTED, EventKind.PROMOTED})
"""Kinds of events that set a canary's share."""
BEGINNINGS: Mapping[EventKind, Change] = {
    EventKind.DEPLOYMENT_CREATED: _alone("baseline"),
    EventKind.CANARY_STARTED: _started,
    EventKind.PROMOTED: _promoted,
    EventKind.BAKE_ENDED: _alone("to"),
    EventKind.ROLLED_BACK: _alone("baseline"),
    EventKind.PROMOTION_UNDONE: _alone("to"),
}
"""Kinds of events that say by themselves what is in production, whatever was before."""
_CHANGES = {
    **BEGINNINGS,
    EventKind.TRAFFIC_ADJUSTED: _adjusted,
    EventKind.PAUSED: _in_status(Phase.PAUSED.value),
    EventKind.RESUMED: _in_status(RUNNING),
}
