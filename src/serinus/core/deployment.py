"""What a deployment and a rollout are, as frozen values."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from serinus.core.advance import Progress
from serinus.core.names import VersionRef
from serinus.core.plan import Plan, StepKind, own_policy
from serinus.core.policy import Policy, Settings

ALL = 100.0
"""A weight: the share in percent that is all of the traffic."""


class Phase(StrEnum):
    """Where a rollout stands; it ends once, as promoted or rolled back.

    While it bakes, its canary has been promoted, and the version before keeps a holdback share to be compared with.
    """

    RUNNING = "running"
    PAUSED = "paused"
    BAKING = "baking"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


ENDED = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK})


@dataclass(frozen=True, slots=True)
class Rollout:
    """One canary's life. ``weight`` is its share in percent; ``split_version`` grows with every change of it.

    ``weights`` are the shares under the last splits, the newest last. ``plan`` is what it follows, if it follows one,
    ``progress`` where it stands in it; ``bake_until`` when it has baked.
    """

    id: str
    canary: VersionRef
    baseline: VersionRef
    weight: float
    phase: Phase
    split_version: int
    started_at: datetime
    ended_at: datetime | None = None
    reason: str = ""
    weights: tuple[float, ...] = field(default=(), compare=False)
    plan: Plan | None = None
    progress: Progress | None = None
    bake_until: datetime | None = None

    @property
    def waits_for_approval(self) -> bool:
        """Whether its plan goes on only with a person's word, which has not been given."""
        plan, progress = self.plan, self.progress
        if self.phase is not Phase.RUNNING or plan is None or progress is None or progress.step >= len(plan.steps):
            return False
        return plan.steps[progress.step].kind is StepKind.APPROVAL and not progress.approved

    def weight_of(self, split_version: int) -> float | None:
        """Give the share under an earlier split, in percent; None where it is not known any more."""
        if split_version == self.split_version:
            return self.weight
        place = len(self.weights) - 1 - (self.split_version - split_version)
        return self.weights[place] if split_version > 0 and 0 <= place < len(self.weights) else None


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
        """``stable``, ``canary``, ``paused`` or ``baking``."""
        active = self.active
        if active is None:
            return "stable"
        return "canary" if active.phase is Phase.RUNNING else active.phase.value

    @property
    def reference(self) -> VersionRef:
        """The version in the role of the baseline: after a promotion, for as long as it bakes, the one before."""
        return self.active.baseline if self.active else self.baseline

    @property
    def policy(self) -> Policy:
        """The policy that judges: that of the plan which is followed, if it has one, else the deployment's."""
        active = self.active
        own = own_policy(active.plan) if active and active.plan else None
        return own or self.settings.policy

    @property
    def versions(self) -> tuple[VersionRef, ...]:
        """The versions that must be ready to serve: baseline, canary, and the one that ``undo`` returns to."""
        canary = (self.active.canary,) if self.active else ()
        return tuple(dict.fromkeys((self.reference, *canary, self.baseline, *self.previous[-1:])))
