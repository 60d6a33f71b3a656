"""Rollbacks that are in force on the board before they are on record: made, remembered, put back, and carried over."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from serinus.core.commands import Rollback
from serinus.core.deployment import Deployment
from serinus.core.events import Event, EventKind
from serinus.core.lifecycle import Applied, apply
from serinus.core.routing import Cut, Split
from serinus.ports import Board, Clock

RECORD_AFTER_S = 2.0
"""How long whoever made a cut has to record it before another process does."""


class Cuts:
    """What this process knows of cuts, so that a board that loses one gets it back."""

    def __init__(self, board: Board, clock: Clock) -> None:
        self._board = board
        self._clock = clock
        self._known: dict[str, tuple[Split, float]] = {}

    async def make(
        self, deployment: str, cut: Cut, *, expected_generation: int | None, term: int | None
    ) -> Split | None:
        """Cut on the board; see ``Board.cut``."""
        split = await self._board.cut(deployment, cut, expected_generation=expected_generation, term=term)
        if split is not None:
            self._remember(split)
        return split

    async def promise(self, split: Split) -> bool:
        """Mark a cut on the board as promised; False where it has been replaced meanwhile."""
        if split.cut is None:
            return False
        kept = await self._board.promise(split.deployment, split.cut)
        if kept is not None:
            self._remember(kept)
        return kept is not None

    def see(self, on_board: Mapping[str, object]) -> None:
        """Remember the cuts that are up."""
        for raw in on_board.values():
            split = Split.decoded(raw)
            if split is not None:
                self.note(split)

    def note(self, split: Split) -> None:
        """Remember the cut of a split that was up, if it has one."""
        if split.rollout and split.cut is not None:
            self._remember(split)

    def of(self, state: Deployment) -> Cut | None:
        """Give the cut of a deployment's active rollout, if one is known; one of an ended rollout is forgotten."""
        self._forget_others(state)
        known = self._known.get(state.active.id) if state.active else None
        return known[0].cut if known else None

    def promised(self, state: Deployment) -> Cut | None:
        """Give the promised cut of the rollout whose promotion is in force, if one is known."""
        known = self._known.get(state.promoted)
        cut = known[0].cut if known else None
        return cut if cut is not None and cut.promised else None

    def _forget_others(self, state: Deployment) -> None:
        present = {state.active.id if state.active else "", state.promoted}
        for rollout, (split, _) in list(self._known.items()):
            if split.deployment == state.name and rollout not in present and split.generation < state.generation:
                del self._known[rollout]

    def is_due(self, rollout: str) -> bool:
        """Say whether a cut has been known for so long that whoever made it will not record it any more."""
        known = self._known.get(rollout)
        return known is not None and self._clock.monotonic() - known[1] >= RECORD_AFTER_S

    def _remember(self, split: Split) -> None:
        # By rollout: an old copy of the board may show the cut of an earlier one.
        known = self._known.get(split.rollout)
        if known is not None and split.cut is not None and known[0].cut is not None and known[0].cut.promised:
            split = replace(split, cut=replace(split.cut, promised=True))
        self._known[split.rollout] = (split, known[1] if known else self._clock.monotonic())


def on_record(state: Deployment, cut: Cut) -> Applied:
    """Give the state and the events that put a cut on record, at the time it was made."""
    rollout, at = state.active, datetime.fromisoformat(cut.at)
    new, events = apply(state, Rollback(actor=cut.actor, reason=cut.reason), at)
    if cut.facts and rollout is not None:
        automatic = Event(
            deployment=state.name,
            generation=new.generation,
            kind=EventKind.AUTO_ROLLBACK_TRIGGERED,
            at=at,
            actor=cut.actor,
            reason=cut.reason,
            rollout=rollout.id,
            data=cut.facts,
        )
        events = (*events, automatic)
    return new, tuple(replace(event, generation=new.generation) for event in events)
