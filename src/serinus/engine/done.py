"""What comes with a command, and what comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from serinus.core.deployment import Deployment
from serinus.core.events import Event
from serinus.core.records import Once, RecordedEvent


@dataclass(frozen=True, slots=True)
class Given:
    """What comes with a command.

    ``expected_generation``: refuse if the deployment has changed since. ``before``, ``after``: events of the same
    decision, recorded in the same transaction around the command's own. ``term``: of the checker that commands; a
    deposed one is refused. ``once``: carry it out once, however often it is sent.
    """

    expected_generation: int | None = None
    before: Sequence[Event] = ()
    after: Sequence[Event] = ()
    term: int | None = None
    once: Once | None = None


NOTHING = Given()


@dataclass(frozen=True, slots=True)
class Done:
    """A command carried out.

    ``unacknowledged`` names the gateways that do not route by the new split yet. ``unrecorded`` says why a rollback
    that is in force is not on record yet; ``unpublished`` why the change is not on the board yet. Both follow by
    themselves.
    """

    state: Deployment
    events: tuple[RecordedEvent, ...] = ()
    unacknowledged: tuple[str, ...] = ()
    unrecorded: str = ""
    unpublished: str = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the owner should know although it did not stop the command."""
        told = [str(each) for recorded in self.events for each in _listed(recorded.event.data.get("warnings"))]
        if self.unrecorded:
            told.append(f"The canary gets no traffic any more; the record follows. {self.unrecorded}")
        if self.unpublished:
            until = "The change is on record; until the board is back, gateways give the canary no traffic."
            told.append(f"{until} {self.unpublished}")
        return tuple(told)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What the start of a canary would come to: the state after it, and the rollout it would end ("" if none)."""

    state: Deployment
    replaces: str = ""
    warnings: tuple[str, ...] = ()


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
