"""How a board is laid out in Redis: what its keys and channels are called, and how long things last there."""

from dataclasses import dataclass

LIVE_S = 3.0
"""How long a gateway counts as live that says so no more."""
KEEP_S = 86_400
"""How long what nobody renews is kept."""
KEEP_TERM_S = 3600
"""How long the newest term is remembered: if the store was put back in time, its terms count again after that."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of one board.

    | key | holds |
    |---|---|
    | ``splits`` | a hash: deployment to its split, as JSON |
    | ``gateways`` | a set of tokens |
    | ``gateway:TOKEN`` | a hash: the gateway's name, and the stamp it has acknowledged ``of`` each deployment |
    | ``lease`` | is there while canaries may have traffic |
    | ``term`` | the newest term of a checker that was seen |
    | ``evidence:ROLLOUT`` | a hash: gateway process to its evidence, as JSON |
    """

    prefix: str
    database: int

    def key(self, *parts: str) -> str:
        """Name a key."""
        return self.prefix + ":".join(parts)

    @property
    def changes(self) -> str:
        """The channel on which all boards hear of changes; unlike keys, channels are the same for all databases."""
        return f"{self.prefix}{self.database}:changes"


def milliseconds(seconds: float) -> str:
    """Write a duration as Redis takes it: whole milliseconds, one at least."""
    return str(max(int(seconds * 1000), 1))
