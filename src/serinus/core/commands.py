"""What can be done to a deployment, as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from serinus.core.names import VersionRef
from serinus.core.plan import Plan
from serinus.core.policy import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something an actor wants done, and why."""

    actor: str = "unknown"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(Command):
    """Serve ``baseline`` under a new name."""

    name: str
    baseline: VersionRef
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Configure(Command):
    """Replace the deployment's settings."""

    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class StartCanary(Command):
    """Begin a rollout of ``canary`` at ``weight`` percent, or by a plan, whose first weight it is then.

    ``replace``: roll back the canary that is under way, if there is one, instead of being refused for it.
    """

    canary: VersionRef
    weight: float
    plan: Plan | None = None
    replace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetWeight(Command):
    """Give the canary ``weight`` percent of the traffic."""

    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance(Command):
    """Go on to a step of the plan, with ``weight`` percent of the traffic from now on (None: as before).

    ``samples`` are the canary's requests so far; ``evidence`` is what it rests on, kept with the event.
    """

    step: int
    weight: float | None = None
    samples: int = 0
    evidence: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve(Command):
    """Give a person's word for the step that the plan waits at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndBake(Command):
    """Give all of the traffic to the version that was promoted, which has baked; ``evidence`` is kept with it."""

    evidence: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(Command):
    """Hold the rollout where it is: no promotion and no greater share until it is resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(Command):
    """Let a paused rollout go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promote(Command):
    """Make the canary the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback(Command):
    """End the rollout with all traffic on the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo(Command):
    """Return to the version before the last promotion."""
