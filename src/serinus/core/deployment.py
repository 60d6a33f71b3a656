"""What a deployment and a rollout are, as frozen values."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from serinus.core.names import VersionRef
from serinus.core.policy import Settings

ALL = 100.0
"""A weight: the share in percent that is all of the traffic."""


class Phase(StrEnum):
    """Where a rollout stands; it ends once, as promoted or rolled back."""

    RUNNING = "running"
    PAUSED = "paused"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


ENDED = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK})


@dataclass(frozen=True, slots=True)
class Rollout:
    """One canary's life. ``weight`` is its share in percent; ``split_version`` grows with every change of it."""

    id: str
    canary: VersionRef
    baseline: VersionRef
    weight: float
    phase: Phase
    split_version: int
    started_at: datetime
    ended_at: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What production serves under one name.

    ``rollout`` is the active one or the last that ended; ``previous`` holds the baselines before each promotion,
    oldest first; ``generation`` counts transitions; ``rollouts`` counts rollouts ever started.
    """

    name: str
    baseline: VersionRef
    settings: Settings
    generation: int
    created_at: datetime
    rollout: Rollout | None = None
    rollouts: int = 0
    previous: tuple[VersionRef, ...] = ()

    @property
    def promoted(self) -> str:
        """The rollout whose promotion is in force, "" if none is."""
        last = self.rollout
        return last.id if last and last.phase is Phase.PROMOTED and last.canary == self.baseline else ""

    @property
    def active(self) -> Rollout | None:
        """The rollout under way, if any."""
        return self.rollout if self.rollout is not None and self.rollout.phase not in ENDED else None

    @property
    def status(self) -> str:
        """``stable``, ``canary`` or ``paused``."""
        active = self.active
        if active is None:
            return "stable"
        return "paused" if active.phase is Phase.PAUSED else "canary"

    @property
    def versions(self) -> tuple[VersionRef, ...]:
        """The versions that must be ready to serve: baseline, canary, and the one that ``undo`` returns to."""
        canary = (self.active.canary,) if self.active else ()
        return tuple(dict.fromkeys((self.baseline, *canary, *self.previous[-1:])))
