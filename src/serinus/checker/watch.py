"""What the checker remembers of a rollout from one check to the next."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from serinus.core.evidence import Evidence
from serinus.core.judge import Health
from serinus.core.looks import Tested
from serinus.core.records import HealthSnapshot

KEPT_IN_MEMORY = 256
"""How many past checks of a rollout are kept in memory, for when the store does not answer; older ones are thinned."""
WITHHELD = "withheld: "
"""How a snapshot's action begins where something was recommended and not done."""


@dataclass(slots=True)
class Watch:
    """What the checker remembers of a rollout; its past checks are on record, and read when they are wanted.

    ``past`` is what is left of them while the store does not answer. ``tested`` is how far a sequential test has come
    on record: without the store each look takes in all that came since. ``unsure``: the last look may be on record, or
    not. ``told_at`` is when the timeline last heard of the rollout.
    """

    past: deque[tuple[datetime, Evidence]] = field(default_factory=deque)
    checked_at: datetime | None = None
    health: Health | None = None
    withheld: str = ""
    told_at: datetime | None = None
    tested: Tested | None = None
    unsure: bool = False

    def remember(self, at: datetime, evidence: Evidence, begin: datetime) -> None:
        """Add a check; of those before ``begin`` only the last is kept, of too many every second of the older ones."""
        self.past.append((at, evidence))
        while len(self.past) > 1 and self.past[1][0] <= begin:
            self.past.popleft()
        if len(self.past) > KEPT_IN_MEMORY:
            older, newer = list(self.past)[: KEPT_IN_MEMORY // 2], list(self.past)[KEPT_IN_MEMORY // 2 :]
            self.past = deque([*older[::2], *newer])

    def evidence_at(self, instant: datetime) -> Evidence:
        """Give the evidence at the last check until an instant, or else at the oldest that is remembered."""
        oldest = self.past[0][1] if self.past else {}
        return next((evidence for at, evidence in reversed(self.past) if at <= instant), oldest)

    @classmethod
    def of(cls, past: list[HealthSnapshot], tested: Tested | None) -> "Watch":
        """Remember what is on record, the newest snapshot first."""
        if not past:
            return cls(tested=tested)
        newest, judged = past[0], next((each for each in past if each.verdict), None)
        return cls(
            past=deque((each.at, each.evidence) for each in reversed(past)),
            checked_at=newest.at,
            health=judged.verdict.health if judged and judged.verdict else None,
            withheld=judged.action.removeprefix(WITHHELD) if judged and judged.action.startswith(WITHHELD) else "",
            tested=tested,
        )
