"""Carries out commands: prepare, write state and event as one, publish the split, wait until every gateway has it."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from serinus.core.commands import Command, Configure, Create, StartCanary, Undo
from serinus.core.deployment import Deployment
from serinus.core.errors import SerinusError, StaleGeneration, no_deployment
from serinus.core.events import Event, EventKind
from serinus.core.lifecycle import apply
from serinus.core.policy import Settings
from serinus.core.records import RecordedEvent
from serinus.core.routing import Split, split_of
from serinus.loaded import LoadedModels, cause_of
from serinus.ports import Board, Clock, Store


@dataclass(frozen=True, slots=True)
class Done:
    """A command carried out; ``unacknowledged`` names the gateways that do not route by the new split yet."""

    state: Deployment
    events: tuple[RecordedEvent, ...] = ()
    unacknowledged: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the owner should know although it did not stop the command."""
        return tuple(str(each) for recorded in self.events for each in _listed(recorded.event.data.get("warnings")))


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
    ) -> None:
        self._store = store
        self._board = board
        self._loaded = loaded
        self._clock = clock
        self._acknowledgement_timeout_s = acknowledgement_timeout_s
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def deployment(self, name: str) -> Deployment:
        """Give a deployment's state, or raise NotFound."""
        state = await self._store.deployment(name)
        if state is None:
            raise no_deployment(name)
        return state

    async def create(self, command: Create) -> Done:
        """Make a deployment; its baseline is loaded and has answered its examples before the first request."""
        async with self._turn(command.name), self._loaded.holding(command.baseline):
            present = await self._store.deployment(command.name)
            apply(present, command, self._clock.now())  # what cannot be is refused before anything is loaded
            await self._loaded.get(command.baseline)
            new, events = apply(present, command, self._clock.now())
            return await self._commit(new, 0, events)

    async def execute(
        self,
        name: str,
        command: Command,
        *,
        expected_generation: int | None = None,
        before: Sequence[Event] = (),
        after: Sequence[Event] = (),
    ) -> Done:
        """Carry out a command on a deployment.

        Args:
            name, command: what to do to which. expected_generation: refuse if the deployment has changed since.
            before, after: events of the same decision, recorded in the same transaction around the command's own.

        Raises:
            NotFound, NotAllowed, InvalidInput, StaleGeneration: nothing was changed.
            ContractBroken and what loading raises: a canary that may not start; the refusal is an event.
        """
        async with self._turn(name):
            state = await self.deployment(name)
            _check_generation(state, expected_generation)
            new, events = apply(state, command, self._clock.now())
            if not events:
                return Done(state)
            async with self._held(command, new):
                warnings = await self._prepared(state, command)
                # A rollout begins when its model is ready: loading it took its time.
                new, events = apply(state, command, self._clock.now())
                done_at = events[-1].at
                sequence = [
                    *before,
                    *(_with_warnings(each, warnings) for each in events),
                    *(replace(each, at=done_at) for each in after),
                ]
                return await self._commit(
                    new, state.generation, [replace(each, generation=new.generation) for each in sequence]
                )

    async def configure(
        self, name: str, settings: Settings, *, actor: str, expected_generation: int | None = None
    ) -> Done:
        """Replace a deployment's settings."""
        command = Configure(settings=settings, actor=actor)
        return await self.execute(name, command, expected_generation=expected_generation)

    async def reconcile(self) -> list[str]:
        """Make the board agree with the state, whatever happened in between; name the deployments that did not."""
        repaired = []
        for state in await self._store.deployments():
            wanted = split_of(state)
            if Split.decoded(await self._board.split(state.name)) != wanted and await self._board.publish(wanted):
                repaired.append(state.name)
        return repaired

    def _turn(self, name: str) -> asyncio.Lock:
        """Give the lock of a deployment; it goes when nobody holds it or waits for it."""
        return self._turns.setdefault(name, asyncio.Lock())

    def _held(self, command: Command, new: Deployment) -> AbstractAsyncContextManager[None]:
        return self._loaded.holding(*new.versions) if isinstance(command, StartCanary | Undo) else nullcontext()

    async def _prepared(self, state: Deployment, command: Command) -> tuple[str, ...]:
        """Load what the command will serve; give the warnings of a canary's contract."""
        if isinstance(command, Undo):
            await self._loaded.get(state.previous[-1])
        if not isinstance(command, StartCanary):
            return ()
        try:
            return await self._loaded.prepare(command.canary, state.baseline)
        except SerinusError as refusal:
            await self._record_refusal(state, command, refusal)
            raise

    async def _record_refusal(self, state: Deployment, command: StartCanary, refusal: SerinusError) -> None:
        event = Event(
            deployment=state.name,
            generation=state.generation,
            kind=EventKind.CANARY_REFUSED,
            at=self._clock.now(),
            actor=command.actor,
            reason=cause_of(refusal),
            data={"canary": str(command.canary), "weight": command.weight, "code": refusal.code},
        )
        await self._store.record([event])

    async def _commit(self, new: Deployment, expected_generation: int, events: Sequence[Event]) -> Done:
        """Save and publish, even if the caller goes away: no state that was written stays unpublished.

        The caller's cancellation waits too, so that the next command on the deployment finds this one ended.
        """
        work = asyncio.ensure_future(self._save_and_publish(new, expected_generation, events))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait({work})
            raise

    async def _save_and_publish(self, new: Deployment, expected_generation: int, events: Sequence[Event]) -> Done:
        recorded = await self._store.save(new, expected_generation, events)
        await self._board.publish(split_of(new))
        behind = await self._board.unacknowledged(new.name, new.generation, self._acknowledgement_timeout_s)
        return Done(new, tuple(recorded), tuple(behind))


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _with_warnings(event: Event, warnings: Sequence[str]) -> Event:
    return replace(event, data={**event.data, "warnings": list(warnings)}) if warnings else event


def _check_generation(state: Deployment, expected: int | None) -> None:
    if expected is not None and expected != state.generation:
        raise StaleGeneration(
            f"Deployment {state.name!r} is at generation {state.generation}, not {expected}: it has changed meanwhile.",
            field="expected_generation",
            remedy="Look at its present state, and repeat the command if you still want it.",
            expected=expected,
            actual=state.generation,
        )
