"""Rollbacks: the canary's traffic is taken away on the board before anything else, and that is recorded after."""

import asyncio
from dataclasses import replace
from datetime import datetime

from serinus.core.commands import Rollback
from serinus.core.deployment import Deployment, Phase
from serinus.core.errors import KeyReused, NotAllowed, SerinusError, StaleGeneration, Unavailable
from serinus.core.events import EventKind
from serinus.core.lifecycle import apply
from serinus.core.records import Once
from serinus.core.routing import Cut, Split, split_of
from serinus.engine.cuts import Cuts, on_record
from serinus.engine.done import Done, Given
from serinus.engine.record import TRIES, Record, check_generation
from serinus.patience import within
from serinus.ports import Board, Clock, Store

RECORD_TIMEOUT_S = 2.0
"""How long a rollback that is in force waits to be on record, before it is answered that the record follows."""
LOOK_TIMEOUT_S = 0.25
"""How long a rollback waits for the store to tell whether it was carried out before."""


class Rollbacks:
    """Carries out rollbacks."""

    def __init__(self, *, store: Store, board: Board, record: Record, cuts: Cuts, clock: Clock) -> None:
        self._store = store
        self._board = board
        self._record = record
        self._cuts = cuts
        self._clock = clock
        self._recordings: set[asyncio.Task[Done]] = set()

    async def carry_out(self, name: str, command: Rollback, given: Given) -> Done:
        """Roll back; see ``DeploymentEngine.execute``."""
        facts = next((each.data for each in given.after if each.kind is EventKind.AUTO_ROLLBACK_TRIGGERED), {})
        once = given.once or Once("", "")
        cut = Cut(self._clock.now().isoformat(), command.actor, command.reason, facts, once.key, once.fingerprint)
        split, board_trouble = await self._cut(name, cut, given)
        if split is not None and not cut.is_repeated_by(split.cut):
            raise _in_force(split)
        if split is None:
            try:
                async with self._record.turn(name):
                    state = await self._record.settled(await self._record.deployment(name), but_for=cut)
                    return await self._recorded(state, command, given, datetime.fromisoformat(cut.at))
            except Unavailable as trouble:
                if board_trouble is None:
                    raise
                raise Unavailable(
                    f"Neither the board nor the store answers. {board_trouble.message} {trouble.message}",
                    remedy="Without its lease the canary loses its traffic by itself, and gets it back with the two of "
                    "them: bring one back, and repeat the command at once.",
                ) from trouble
        work = asyncio.ensure_future(self._put_on_record(name, command, given, split))
        self._recordings.add(work)
        work.add_done_callback(self._recording_ended)
        await asyncio.wait({work}, timeout=RECORD_TIMEOUT_S)
        if not _is_told(work) and not await self._cuts.promise(split):
            # Something was written before it, and is up: the record says what.
            await asyncio.wait({work}, timeout=RECORD_TIMEOUT_S)
            if not _is_told(work):
                raise Unavailable(
                    f"It cannot be told whether {name!r} was rolled back: the store does not answer.",
                    remedy="Look at its state when the store is back, and repeat the command if you still want it.",
                )
        return work.result() if _is_told(work) else await self._in_force_unrecorded(name, split, work)

    async def outcome(self, once: Once | None) -> Done | None:
        """Ask whether this very rollback was carried out before, but not for long: a cut does not wait."""
        try:
            return await within(LOOK_TIMEOUT_S, self._record.outcome(once), "The store")
        except Unavailable:
            return None

    async def _cut(self, name: str, cut: Cut, given: Given) -> tuple[Split | None, SerinusError | None]:
        expected = given.expected_generation
        try:
            split = await self._cuts.make(name, cut, expected_generation=expected, term=given.term)
            newer = self._newer_than(split, name, expected)
            if newer is not None and await self._board.publish(replace(newer, cut=newer.cut or cut)):
                split = await self._cuts.make(name, cut, expected_generation=newer.generation, term=given.term)
        except Unavailable as trouble:
            return None, trouble
        return split, None

    def _newer_than(self, split: Split | None, name: str, expected: int | None) -> Split | None:
        """Give the split that a board should have which has none, or that of a canary before the one that runs."""
        known = self._record.seen(name)
        if known is None or known.active is None or expected not in {None, known.generation}:
            return None
        if split is not None and (split.rollout == known.active.id or split.generation >= known.generation):
            return None
        return self._record.split(known)

    async def _put_on_record(self, name: str, command: Rollback, given: Given, split: Split) -> Done:
        """Record a rollback that is in force; others may change the deployment meanwhile, but not take it back."""
        at = datetime.fromisoformat(split.cut.at) if split.cut else self._clock.now()
        for _ in range(TRIES):
            async with self._record.turn(name):
                state = await self._record.deployment(name)
                if await self._is_over(state, split, at):
                    return await self._recorded_before(state, split, at)
                if state.promoted == split.rollout:
                    undone = await self._record.gives_way(state)
                    if undone is not None:
                        return undone
                if state.rollout and state.rollout.id == split.rollout:
                    given = replace(given, expected_generation=None)  # the board has looked at it
                try:
                    return await self._recorded(state, command, given, at)
                except StaleGeneration:
                    if given.expected_generation is not None:
                        raise
                except KeyReused:  # by another process, for this very cut; or before, when nobody could look
                    given = replace(given, once=None)
        raise Unavailable(f"Deployment {name!r} keeps changing.", remedy="The record follows by itself.")

    async def _is_over(self, state: Deployment, split: Split, at: datetime) -> bool:
        """Whether another process has recorded this cut already, and perhaps another canary was started since."""
        rollout = state.rollout
        if rollout is None:
            return False
        if rollout.id != split.rollout:
            kept = await self._store.rollouts(state.name)
            rollout = next((each for each in kept if each.id == split.rollout), rollout)
        if rollout.id == split.rollout and rollout.phase is Phase.ROLLED_BACK and rollout.ended_at == at:
            return True
        # The board may have been behind, with the cut meant for a canary that runs since.
        return state.rollout is not None and state.rollout.id != split.rollout and state.rollout.started_at > at

    async def _recorded_before(self, state: Deployment, split: Split, at: datetime) -> Done:
        """Give the record that another process has made of a cut."""
        kinds = (EventKind.ROLLED_BACK, EventKind.AUTO_ROLLBACK_TRIGGERED)
        newest = await self._store.events(state.name, limit=2 * TRIES, newest_first=True, kinds=kinds)
        mine = [each for each in reversed(newest) if (each.event.rollout, each.event.at) == (split.rollout, at)]
        if not mine:
            raise StaleGeneration(
                f"The canary of {state.name!r} that was cut off is over, and another one was started since.",
                remedy="Look at its present state, and repeat the command if you still want it.",
            )
        behind, _ = await self._record.behind(split_of(state))
        return Done(state, tuple(mine), behind)

    async def _recorded(self, state: Deployment, command: Rollback, given: Given, at: datetime) -> Done:
        check_generation(state, given.expected_generation)
        new, events = apply(state, command, at)
        return await self._record.commit(new, state.generation, events, given)

    async def _in_force_unrecorded(self, name: str, split: Split, work: asyncio.Task[Done]) -> Done:
        trouble = work.exception() if work.done() else None
        why = str(trouble) if trouble else f"The store has not answered within {RECORD_TIMEOUT_S:g} s."
        state = self._record.seen(name)
        if state is None or state.rollout is None or state.rollout.id != split.rollout or split.cut is None:
            raise Unavailable(f"The canary of {name!r} gets no traffic any more. {why}", remedy="The record follows.")
        new, _ = on_record(state, split.cut) if state.active else (state, ())
        behind, silence = await self._record.behind(split)
        return Done(new, (), behind, unrecorded=f"{why} {silence}".rstrip())

    def _recording_ended(self, work: asyncio.Task[Done]) -> None:
        self._recordings.discard(work)
        if not work.cancelled():
            work.exception()  # whoever asked was told that the record follows; the reconciler sees to it


def _is_told(work: "asyncio.Task[Done]") -> bool:
    return work.done() and not isinstance(work.exception(), Unavailable)


def _in_force(split: Split) -> NotAllowed:
    cut = split.cut
    by = f" by {cut.actor} at {cut.at}" if cut else ""
    return NotAllowed(
        f"Deployment {split.deployment!r} is being rolled back already{by}: its canary gets no traffic.",
        state="stable",
        possible=("configure", "start"),
    )
