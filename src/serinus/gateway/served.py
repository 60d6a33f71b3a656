"""A deployment as a gateway serves it, and the ways that its requests may go."""

from dataclasses import dataclass, field
from typing import NamedTuple

from serinus.core.deployment import Deployment
from serinus.core.routing import Role, Split
from serinus.gateway.arms import Arm


class Way(NamedTuple):
    """Where a request goes.

    ``arm`` is asked, and ``spare``, if any, where that fails. ``forced``: the caller chose, which is no evidence.
    ``drawn``: the split decided. ``point``: where in the split an entity is.
    """

    arm: Arm
    spare: Arm | None
    forced: bool
    drawn: bool
    point: float | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """A deployment as this gateway serves it, replaced as a whole at each change.

    ``split`` is the one in force, None while it is missing, malformed, older than ``state``, or of a rollout that is
    not known here: all to the baseline then.
    """

    state: Deployment
    baseline: Arm
    canary: Arm | None
    split: Split | None = None
    divides: Split | None = field(init=False, compare=False, repr=False)
    """The split, if there is a canary here that gets a part by it."""
    undrawn: Way = field(init=False, compare=False, repr=False)
    """To the baseline, since there is nothing to draw."""
    _to_baseline: Way = field(init=False, compare=False, repr=False)
    _to_canary: Way = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Lay out the ways, which are the same for most requests."""
        split = self.split
        divides = split if split is not None and self.canary is not None and split.share else None
        object.__setattr__(self, "divides", divides)
        object.__setattr__(self, "undrawn", self.way(Role.BASELINE))
        object.__setattr__(self, "_to_baseline", self.way(Role.BASELINE, drawn=True))
        object.__setattr__(self, "_to_canary", self.way(Role.CANARY, drawn=True))

    def drawn(self, role: Role) -> Way:
        """Give the way of a request whose role the split decided."""
        return self._to_canary if role is Role.CANARY else self._to_baseline

    def way(self, role: Role, *, forced: bool = False, drawn: bool = False) -> Way:
        """Give the way to a role, which is the baseline where there is no canary."""
        canary = self.canary
        if role is Role.BASELINE or canary is None:
            return Way(self.baseline, None, forced, drawn)
        return Way(canary, self.baseline if self.state.settings.failover else None, forced, drawn)
