"""The record of deployments: as last seen, the next state written and published, and who has taken it over."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from weakref import WeakValueDictionary

from serinus.core.commands import Undo
from serinus.core.deployment import Deployment
from serinus.core.errors import (
    KeyReused,
    NotAllowed,
    SerinusError,
    StaleGeneration,
    Unavailable,
    key_reused,
    no_deployment,
)
from serinus.core.events import Event, EventKind
from serinus.core.lifecycle import apply, possible
from serinus.core.records import Once
from serinus.core.routing import Cut, Split, split_of
from serinus.engine.cuts import Cuts, on_record
from serinus.engine.done import NOTHING, Done, Given
from serinus.ports import Board, Clock, Store

_LOADING = frozenset({EventKind.DEPLOYMENT_CREATED, EventKind.CANARY_STARTED, EventKind.PROMOTION_UNDONE})
"""Changes after which every gateway has a model to load before it can acknowledge them."""

TRIES = 5
"""How often what is in force is tried to be recorded because the deployment changed meanwhile."""


class Record:
    """Every change of a deployment is written, published and waited for here."""

    def __init__(
        self,
        *,
        store: Store,
        board: Board,
        cuts: Cuts,
        clock: Clock,
        acknowledgement_timeout_s: float,
        loading_timeout_s: float,
    ) -> None:
        self._store = store
        self._board = board
        self._cuts = cuts
        self._clock = clock
        self._acknowledgement_timeout_s = acknowledgement_timeout_s
        self._loading_timeout_s = max(loading_timeout_s, acknowledgement_timeout_s)
        self._last_seen: dict[str, Deployment] = {}
        self._changed: dict[str, tuple[int, datetime]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def deployment(self, name: str) -> Deployment:
        """Give a deployment's state, or raise NotFound."""
        state = await self._store.deployment(name)
        if state is None:
            raise no_deployment(name)
        self.note(state)
        return state

    def note(self, state: Deployment) -> None:
        """Remember a state that was read from the store, unless a newer one is known."""
        known = self._last_seen.get(state.name)
        if known is None or known.generation <= state.generation:
            self._last_seen[state.name] = state

    def changed_at(self, state: Deployment) -> datetime | None:
        """Give since when this process has seen an active rollout as it is, None where none is active."""
        if state.active is None:
            return None
        known = self._changed.get(state.name)
        if known is None or known[0] != state.generation:
            at = state.active.started_at if known is None else self._clock.now()
            known = self._changed[state.name] = (state.generation, at)
        return known[1]

    def seen(self, name: str) -> Deployment | None:
        """Give a deployment as this process last saw it."""
        return self._last_seen.get(name)

    def forget_all_but(self, names: Collection[str]) -> None:
        """Forget the deployments that are gone."""
        for gone in self._last_seen.keys() - set(names):
            del self._last_seen[gone]

    def last_seen(self) -> list[Deployment]:
        """Give the deployments as this process last saw them, by name: what is left to go by without the store."""
        return [self._last_seen[name] for name in sorted(self._last_seen)]

    def turn(self, name: str) -> asyncio.Lock:
        """Give the lock of a deployment; it goes when nobody holds it or waits for it."""
        return self._turns.setdefault(name, asyncio.Lock())

    async def outcome(self, once: Once | None) -> Done | None:
        """Give what came of the same command before; KeyReused where its key was another command's."""
        found = await self._store.outcome(once.key) if once else None
        if once is None or found is None:
            return None
        if found.fingerprint != once.fingerprint or found.state is None:
            raise key_reused(once.key)
        return Done(found.state, found.events)

    async def commit(self, new: Deployment, expected_generation: int, events: Sequence[Event], given: Given) -> Done:
        """Save a state with the events of its decision, and publish its split, even if the caller goes away.

        No state that was written stays unpublished. The caller's cancellation waits too, so that the next command on
        the deployment finds this one ended.
        """
        work = asyncio.ensure_future(self._save_and_publish(new, expected_generation, events, given))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait({work})
            raise

    async def _save_and_publish(
        self, new: Deployment, expected_generation: int, events: Sequence[Event], given: Given
    ) -> Done:
        events = _sequence(new, events, given)
        recorded = await self._store.save(new, expected_generation, events, term=given.term, once=given.once)
        self.note(new)
        try:
            await self.publish(new)
            loads = any(each.kind in _LOADING for each in events)
            behind = await self._acknowledged(self.split(new), loads=loads)
        except NotAllowed:
            raise
        except SerinusError as trouble:  # the state is changed all the same, and the board will agree with it
            return Done(new, tuple(recorded), unpublished=str(trouble))
        return Done(new, tuple(recorded), tuple(behind))

    async def publish(self, state: Deployment) -> bool:
        """Put up the split of a state; False where a newer one is up.

        NotAllowed where it is that of a promotion that came too late, and has been undone.
        """
        if await self._board.publish(self.split(state), promoted=state.promoted):
            return True
        undone = await self.gives_way(state)
        if undone is not None:
            raise NotAllowed(
                f"{state.name!r} was rolled back while its promotion was being written: the promotion was undone.",
                state=undone.state.status,
                possible=possible(undone.state),
            )
        return False

    async def gives_way(self, state: Deployment) -> Done | None:
        """Undo a promotion that was written although a rollback of its canary had been promised, if that is so."""
        if not state.promoted:
            return None
        with suppress(SerinusError):  # without the board, by the cuts that are known
            self._cuts.see({state.name: await self._board.split(state.name)})
        cut = self._cuts.promised(state)
        if cut is None:
            return None
        new, events = apply(state, Undo(actor=cut.actor, reason=cut.reason), self._clock.now())
        try:
            return await self.commit(new, state.generation, events, NOTHING)
        except StaleGeneration:
            return Done(await self.deployment(state.name))

    def split(self, state: Deployment) -> Split:
        """Give the split that a state asks for, cut where that is known of its rollout."""
        return replace(split_of(state), cut=self._cuts.of(state))

    def in_force(self, state: Deployment) -> Deployment:
        """Give a state as it is in force: rolled back where that is known, and not on record yet."""
        cut = self._cuts.of(state)
        return state if cut is None else on_record(state, cut)[0]

    async def _acknowledged(self, split: Split, *, loads: bool = False) -> list[str]:
        timeout_s = self._loading_timeout_s if loads else self._acknowledgement_timeout_s
        return await self._board.unacknowledged(split.deployment, split.stamp, timeout_s)

    async def behind(self, split: Split) -> tuple[tuple[str, ...], str]:
        """Name the gateways that have not taken over a split that is up, or say why nobody can tell."""
        try:
            return tuple(await self._acknowledged(split)), ""
        except SerinusError as silence:
            return (), str(silence)

    async def settled(self, state: Deployment, *, but_for: Cut | None = None, sure: bool = False) -> Deployment:
        """Put a cut of the deployment's rollout on record, if there is another one; give the state to go on from.

        Raises:
            Unavailable: the board does not answer, and the caller has to be ``sure`` that there is no cut; or the
                deployment keeps changing.
        """
        for _ in range(TRIES):
            if state.active is None:
                undone = await self.gives_way(state)
                return undone.state if undone else state
            try:
                self._cuts.see({state.name: await self._board.split(state.name)})
            except SerinusError:  # by the cuts that are known
                if sure and self._cuts.of(state) is None:
                    raise
            cut = self._cuts.of(state)
            if cut is None or cut.is_repeated_by(but_for):
                return state
            new, events = on_record(state, cut)
            try:
                return (await self._commit_once(new, state.generation, events, cut)).state
            except StaleGeneration:
                state = await self.deployment(state.name)
        raise Unavailable(f"Deployment {state.name!r} keeps changing.", remedy="Try again.")

    async def _commit_once(self, new: Deployment, expected_generation: int, events: Sequence[Event], cut: Cut) -> Done:
        """Record a cut with the key of its command; without it if the key turns out to be another command's."""
        if cut.key:
            with suppress(KeyReused):
                given = Given(once=Once(cut.key, cut.fingerprint))
                return await self.commit(new, expected_generation, events, given)
        return await self.commit(new, expected_generation, events, NOTHING)


def _sequence(new: Deployment, events: Sequence[Event], given: Given) -> list[Event]:
    """Put the events of one decision in order, all of the new generation."""
    if not events:
        return []
    done_at = events[-1].at
    sequence = [*given.before, *events, *(replace(each, at=done_at) for each in given.after)]
    return [replace(each, generation=new.generation) for each in sequence]


def check_generation(state: Deployment, expected: int | None) -> None:
    """Raise StaleGeneration for a deployment that has changed since it was looked at."""
    if expected is not None and expected != state.generation:
        raise StaleGeneration(
            f"Deployment {state.name!r} is at generation {state.generation}, not {expected}: it has changed meanwhile.",
            field="expected_generation",
            remedy="Look at its present state, and repeat the command if you still want it.",
            expected=expected,
            actual=state.generation,
        )
