"""What can be done to a deployment, as frozen values."""

from dataclasses import dataclass

from serinus.core.names import VersionRef
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
    """Begin a rollout of ``canary`` at ``weight`` percent."""

    canary: VersionRef
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SetWeight(Command):
    """Give the canary ``weight`` percent of the traffic."""

    weight: float


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
