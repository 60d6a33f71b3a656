"""Carries out commands: prepare, write state and event as one, publish the split, wait until every gateway has it.

A rollback takes the canary's traffic away on the board before anything else, and is recorded after.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar
from weakref import WeakValueDictionary

from serinus.core.commands import Command, Configure, Create, Rollback, StartCanary, Undo
from serinus.core.deployment import Deployment, Phase
from serinus.core.errors import (
    Conflict,
    KeyReused,
    NotAllowed,
    SerinusError,
    StaleGeneration,
    Unavailable,
    key_reused,
    no_deployment,
)
from serinus.core.events import Event, EventKind
from serinus.core.lifecycle import apply
from serinus.core.policy import Settings
from serinus.core.records import Once, RecordedEvent
from serinus.core.routing import Cut, Split, split_of
from serinus.cuts import Cuts, on_record
from serinus.loaded import LoadedModels, cause_of
from serinus.patience import within
from serinus.ports import Board, Clock, Store

T = TypeVar("T")

RECORD_TIMEOUT_S = 2.0
"""How long a rollback that is in force waits to be on record, before it is answered that the record follows."""
LOOK_TIMEOUT_S = 0.25
"""How long a rollback waits for the store to tell whether it was carried out before."""
TRIES = 5
"""How often a rollback that is in force starts over because the deployment changed meanwhile."""

_LOADING = frozenset({EventKind.DEPLOYMENT_CREATED, EventKind.CANARY_STARTED, EventKind.PROMOTION_UNDONE})
"""Changes after which every gateway has a model to load before it can acknowledge them."""


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
            told.append(
                f"The change is on record; the gateways take it over when the board answers. {self.unpublished}"
            )
        return tuple(told)


class DeploymentEngine:
    """The one way in which a deployment changes."""

    def __init__(
        self,
        *,
        store: Store,
        board: Board,
        loaded: LoadedModels,
        clock: Clock,
        acknowledgement_timeout_s: float,
        loading_timeout_s: float = 0.0,
    ) -> None:
        self._store = store
        self._board = board
        self._loaded = loaded
        self._clock = clock
        self._acknowledgement_timeout_s = acknowledgement_timeout_s
        self._loading_timeout_s = max(loading_timeout_s, acknowledgement_timeout_s)
        self._cuts = Cuts(board, clock)
        self._last_seen: dict[str, Deployment] = {}
        self._changed: dict[str, tuple[int, datetime]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._recordings: set[asyncio.Task[Done]] = set()

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

    def last_seen(self) -> list[Deployment]:
        """Give the deployments as this process last saw them, by name: what is left to go by without the store."""
        return [self._last_seen[name] for name in sorted(self._last_seen)]

    async def create(self, command: Create, once: Once | None = None) -> Done:
        """Make a deployment; its baseline is loaded and has answered its examples before the first request."""
        return await self._once(once, self._outcome, lambda: self._created(command, once))

    async def execute(self, name: str, command: Command, given: Given = NOTHING) -> Done:
        """Carry out a command on a deployment.

        Raises:
            NotFound, NotAllowed, InvalidInput, StaleGeneration, Deposed, KeyReused: nothing was changed.
            ContractBroken and what loading raises: a canary that may not start; the refusal is an event.
            Unavailable: the store does not answer (and, for a rollback, neither does the board); nothing was changed.
        """
        if isinstance(command, Rollback):
            return await self._once(given.once, self._quick_outcome, lambda: self._roll_back(name, command, given))
        return await self._once(given.once, self._outcome, lambda: self._carry_out(name, command, given))

    async def configure(
        self, name: str, settings: Settings, *, actor: str, expected_generation: int | None = None
    ) -> Done:
        """Replace a deployment's settings."""
        command = Configure(settings=settings, actor=actor)
        return await self.execute(name, command, Given(expected_generation))

    # ---------------------------------------------------------------------------------------- in order

    async def _once(
        self,
        once: Once | None,
        outcome: Callable[[Once | None], Awaitable[Done | None]],
        carry_out: Callable[[], Awaitable[Done]],
    ) -> Done:
        """Carry out a command, unless it was before; the same one may come twice at the same time."""
        earlier = await outcome(once)
        if earlier is None:
            try:
                return await carry_out()
            except Conflict:
                earlier = await outcome(once)
                if earlier is None:
                    raise
        # If whoever saved it was cut short, the reconciler publishes it.
        behind, silence = await self._behind(self._split(earlier.state))
        return replace(earlier, unacknowledged=behind, unpublished=silence)

    async def _created(self, command: Create, once: Once | None) -> Done:
        async with self._turn(command.name), self._loaded.holding(command.baseline):
            present = await self._store.deployment(command.name)
            apply(present, command, self._clock.now())  # what cannot be is refused before anything is loaded
            await self._loaded.get(command.baseline)
            new, events = apply(present, command, self._clock.now())
            return await self._commit(new, 0, events, Given(once=once))

    async def _carry_out(self, name: str, command: Command, given: Given) -> Done:
        async with self._turn(name):
            state = await self._settled(await self.deployment(name))
            _check_generation(state, given.expected_generation)
            new, events = apply(state, command, self._clock.now())
            if not events:
                return await self._outcome(given.once) or Done(state)
            return await self._changed_by(command, state, new, given)

    async def _changed_by(self, command: Command, state: Deployment, new: Deployment, given: Given) -> Done:
        async with self._held(command, new):
            warnings = await self._prepared(state, command, given.term)
            # A rollout begins when its model is ready: loading it took its time.
            new, events = apply(state, command, self._clock.now())
            events = tuple(_with_warnings(each, warnings) for each in events)
            return await self._commit(new, state.generation, _sequence(new, events, given), given)

    def _turn(self, name: str) -> asyncio.Lock:
        """Give the lock of a deployment; it goes when nobody holds it or waits for it."""
        return self._turns.setdefault(name, asyncio.Lock())

    def _held(self, command: Command, new: Deployment) -> AbstractAsyncContextManager[None]:
        return self._loaded.holding(*new.versions) if isinstance(command, StartCanary | Undo) else nullcontext()

    async def _prepared(self, state: Deployment, command: Command, term: int | None) -> tuple[str, ...]:
        """Load what the command will serve; give the warnings of a canary's contract."""
        if isinstance(command, Undo):
            await self._loaded.get(state.previous[-1])
        if not isinstance(command, StartCanary):
            return ()
        try:
            return await self._loaded.prepare(command.canary, state.baseline)
        except SerinusError as refusal:
            await self._record_refusal(state, command, refusal, term)
            raise

    async def _record_refusal(
        self, state: Deployment, command: StartCanary, refusal: SerinusError, term: int | None
    ) -> None:
        event = Event(
            deployment=state.name,
            generation=state.generation,
            kind=EventKind.CANARY_REFUSED,
            at=self._clock.now(),
            actor=command.actor,
            reason=cause_of(refusal),
            data={"canary": str(command.canary), "weight": command.weight, "code": refusal.code},
        )
        await self._store.record([event], term=term)

    async def _outcome(self, once: Once | None) -> Done | None:
        """Give what came of the same command before; KeyReused where its key was another command's."""
        found = await self._store.outcome(once.key) if once else None
        if once is None or found is None:
            return None
        if found.fingerprint != once.fingerprint or found.state is None:
            raise key_reused(once.key)
        return Done(found.state, found.events)

    async def _commit(self, new: Deployment, expected_generation: int, events: Sequence[Event], given: Given) -> Done:
        """Save and publish, even if the caller goes away: no state that was written stays unpublished.

        The caller's cancellation waits too, so that the next command on the deployment finds this one ended.
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
        recorded = await self._store.save(new, expected_generation, events, term=given.term, once=given.once)
        self.note(new)
        try:
            await self._board.publish(self._split(new))
            loads = any(each.kind in _LOADING for each in events)
            behind = await self._acknowledged(self._split(new), loads=loads)
        except SerinusError as trouble:  # the state is changed all the same, and the board will agree with it
            return Done(new, tuple(recorded), unpublished=str(trouble))
        return Done(new, tuple(recorded), tuple(behind))

    def _split(self, state: Deployment) -> Split:
        """Give the split that a state asks for, cut where that is known of its rollout."""
        return replace(split_of(state), cut=self._cuts.of(state))

    async def _acknowledged(self, split: Split, *, loads: bool = False) -> list[str]:
        timeout_s = self._loading_timeout_s if loads else self._acknowledgement_timeout_s
        return await self._board.unacknowledged(split.deployment, split.stamp, timeout_s)

    async def _behind(self, split: Split) -> tuple[tuple[str, ...], str]:
        """Name the gateways that have not taken over a split that is up, or say why nobody can tell."""
        try:
            return tuple(await self._acknowledged(split)), ""
        except SerinusError as silence:
            return (), str(silence)

    # -------------------------------------------------------------------------------------- cut first

    async def _roll_back(self, name: str, command: Rollback, given: Given) -> Done:
        facts = next((each.data for each in given.after if each.kind is EventKind.AUTO_ROLLBACK_TRIGGERED), {})
        once = given.once or Once("", "")
        cut = Cut(self._clock.now().isoformat(), command.actor, command.reason, facts, once.key, once.fingerprint)
        split, board_trouble = await self._cut(name, cut, given)
        if split is not None and not cut.is_repeated_by(split.cut):
            raise _in_force(split)
        if split is None:
            try:
                async with self._turn(name):
                    state = await self._settled(await self.deployment(name), but_for=cut)
                    return await self._recorded(state, command, given, datetime.fromisoformat(cut.at))
            except Unavailable as trouble:
                if board_trouble is None:
                    raise
                raise Unavailable(
                    f"Neither the board nor the store answers. {board_trouble.message} {trouble.message}",
                    remedy="Without its lease the canary loses its traffic by itself. Bring one of the two back and "
                    "repeat the command.",
                ) from trouble
        work = asyncio.ensure_future(self._put_on_record(name, command, given, split))
        self._recordings.add(work)
        work.add_done_callback(self._recording_ended)
        await asyncio.wait({work}, timeout=RECORD_TIMEOUT_S)
        if work.done() and not isinstance(work.exception(), Unavailable):
            return work.result()
        return await self._in_force_unrecorded(name, split, work)

    async def _quick_outcome(self, once: Once | None) -> Done | None:
        """Ask whether this very rollback was carried out before, but not for long: a cut does not wait."""
        try:
            return await within(LOOK_TIMEOUT_S, self._outcome(once), "The store")
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
        known = self._last_seen.get(name)
        if known is None or known.active is None or expected not in {None, known.generation}:
            return None
        if split is not None and (split.rollout == known.active.id or split.generation >= known.generation):
            return None
        return self._split(known)

    async def _put_on_record(self, name: str, command: Rollback, given: Given, split: Split) -> Done:
        """Record a rollback that is in force; others may change the deployment meanwhile, but not take it back."""
        at = datetime.fromisoformat(split.cut.at) if split.cut else self._clock.now()
        for _ in range(TRIES):
            async with self._turn(name):
                state = await self.deployment(name)
                if _is_over(state, split, at):
                    return await self._recorded_before(state, split, at)
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
        behind, _ = await self._behind(split_of(state))
        return Done(state, tuple(mine), behind)

    async def _recorded(self, state: Deployment, command: Rollback, given: Given, at: datetime) -> Done:
        _check_generation(state, given.expected_generation)
        new, events = apply(state, command, at)
        return await self._commit(new, state.generation, _sequence(new, events, given), given)

    async def _in_force_unrecorded(self, name: str, split: Split, work: asyncio.Task[Done]) -> Done:
        trouble = work.exception() if work.done() else None
        why = str(trouble) if trouble else f"The store has not answered within {RECORD_TIMEOUT_S:g} s."
        state = self._last_seen.get(name)
        if state is None or state.rollout is None or state.rollout.id != split.rollout or split.cut is None:
            raise Unavailable(f"The canary of {name!r} gets no traffic any more. {why}", remedy="The record follows.")
        new, _ = on_record(state, split.cut) if state.active else (state, ())
        behind, silence = await self._behind(split)
        return Done(new, (), behind, unrecorded=f"{why} {silence}".rstrip())

    def _recording_ended(self, work: asyncio.Task[Done]) -> None:
        self._recordings.discard(work)
        if not work.cancelled():
            work.exception()  # whoever asked was told that the record follows; the reconciler sees to it

    # ---------------------------------------------------------------------------------------- agreement

    async def reconcile(self) -> list[str]:
        """Make the board agree with the state, whatever happened in between, and record cuts that nobody has.

        Gives the names of the deployments that did not agree. Each side is looked at although the other is gone.
        """
        on_board = await _or_trouble(self._board.splits())
        if not isinstance(on_board, SerinusError):
            self._cuts.see(on_board)
        states = await self._store.deployments()
        present = {state.name for state in states}
        for gone in self._last_seen.keys() - present:
            del self._last_seen[gone]
        for state in states:
            self.note(state)
        repaired = []
        troubles: list[Exception] = [on_board] if isinstance(on_board, SerinusError) else []
        for state in states:
            try:
                if not isinstance(on_board, SerinusError) and await self._agreed(state, on_board.get(state.name)):
                    repaired.append(state.name)
                if state.active and self._cuts.of(state) is not None and self._cuts.is_due(state.active.id):
                    await self._settled(state)
            except Exception as trouble:  # noqa: BLE001 - the others are seen to all the same
                troubles.append(trouble)
        if troubles:
            raise troubles[0]
        return repaired

    async def _agreed(self, state: Deployment, raw: object) -> bool:
        """Publish what the board should have and has not; say whether that was needed."""
        present, wanted = Split.decoded(raw), self._split(state)
        return present != wanted and await self._board.publish(wanted)

    async def _settled(self, state: Deployment, *, but_for: Cut | None = None) -> Deployment:
        """Put a cut of the deployment's rollout on record, if there is another one; give the state to go on from."""
        if state.active is None:
            return state
        raw = await _or_trouble(self._board.split(state.name))
        if not isinstance(raw, SerinusError):
            self._cuts.see({state.name: raw})
        cut = self._cuts.of(state)
        if cut is None or cut.is_repeated_by(but_for):
            return state
        new, events = on_record(state, cut)
        try:
            return (await self._commit_once(new, state.generation, events, cut)).state
        except StaleGeneration:
            return await self.deployment(state.name)

    async def _commit_once(self, new: Deployment, expected_generation: int, events: Sequence[Event], cut: Cut) -> Done:
        """Record a cut with the key of its command; without it if the key turns out to be another command's."""
        if cut.key:
            with suppress(KeyReused):
                given = Given(once=Once(cut.key, cut.fingerprint))
                return await self._commit(new, expected_generation, events, given)
        return await self._commit(new, expected_generation, events, NOTHING)


async def _or_trouble(work: Awaitable[T]) -> T | SerinusError:
    """Give what comes of some work, or why nothing does."""
    try:
        return await work
    except SerinusError as trouble:
        return trouble


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _sequence(new: Deployment, events: Sequence[Event], given: Given) -> list[Event]:
    """Put the events of one decision in order, all of the new generation."""
    done_at = events[-1].at
    sequence = [*given.before, *events, *(replace(each, at=done_at) for each in given.after)]
    return [replace(each, generation=new.generation) for each in sequence]


def _with_warnings(event: Event, warnings: Sequence[str]) -> Event:
    return replace(event, data={**event.data, "warnings": list(warnings)}) if warnings else event


def _is_over(state: Deployment, split: Split, at: datetime) -> bool:
    """Whether another process has recorded this cut already, and perhaps another canary was started since."""
    rollout = state.rollout
    if rollout is None:
        return False
    if rollout.id == split.rollout:
        return rollout.phase is Phase.ROLLED_BACK and rollout.ended_at == at
    return rollout.started_at > at


def _in_force(split: Split) -> NotAllowed:
    cut = split.cut
    by = f" by {cut.actor} at {cut.at}" if cut else ""
    return NotAllowed(
        f"Deployment {split.deployment!r} is being rolled back already{by}: its canary gets no traffic.",
        state="stable",
        possible=("configure", "start"),
    )


def _check_generation(state: Deployment, expected: int | None) -> None:
    if expected is not None and expected != state.generation:
        raise StaleGeneration(
            f"Deployment {state.name!r} is at generation {state.generation}, not {expected}: it has changed meanwhile.",
            field="expected_generation",
            remedy="Look at its present state, and repeat the command if you still want it.",
            expected=expected,
            actual=state.generation,
        )
