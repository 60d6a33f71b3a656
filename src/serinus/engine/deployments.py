"""Carries out commands: prepare, write state and event as one, publish the split, wait until every gateway has it.

A rollback takes the canary's traffic away on the board before anything else, and is recorded after.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace

from serinus.core.commands import Command, Configure, Create, Promote, Rollback, StartCanary, Undo
from serinus.core.deployment import Deployment, Phase
from serinus.core.errors import Conflict, SerinusError
from serinus.core.events import Event, EventKind
from serinus.core.lifecycle import apply
from serinus.core.policy import Settings
from serinus.core.records import Once
from serinus.engine.cuts import Cuts
from serinus.engine.done import NOTHING, Done, Given, Rehearsed
from serinus.engine.reconciler import Reconciler
from serinus.engine.record import Record, check_generation
from serinus.engine.rollbacks import Rollbacks
from serinus.loaded import LoadedModels, cause_of
from serinus.ports import Board, Clock, Store


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
        self._loaded = loaded
        self._clock = clock
        self.cuts = cuts = Cuts(board, clock)
        self.record = Record(
            store=store,
            board=board,
            cuts=cuts,
            clock=clock,
            acknowledgement_timeout_s=acknowledgement_timeout_s,
            loading_timeout_s=loading_timeout_s,
        )
        self._rollbacks = Rollbacks(store=store, board=board, record=self.record, cuts=cuts, clock=clock)
        self._reconciler = Reconciler(store=store, board=board, record=self.record, cuts=cuts)

    async def deployment(self, name: str) -> Deployment:
        """Give a deployment's state, or raise NotFound."""
        return await self.record.deployment(name)

    async def create(self, command: Create, once: Once | None = None) -> Done:
        """Make a deployment; its baseline is loaded and has answered its examples before the first request."""
        return await self._once(once, self.record.outcome, lambda: self._created(command, once))

    async def execute(self, name: str, command: Command, given: Given = NOTHING) -> Done:
        """Carry out a command on a deployment.

        Raises:
            NotFound, NotAllowed, InvalidInput, StaleGeneration, Deposed, KeyReused: nothing was changed.
            ContractBroken and what loading raises: a canary that may not start; the refusal is an event.
            Unavailable: the store does not answer (and, for a rollback, neither does the board); nothing was changed.
        """
        if isinstance(command, Rollback):
            return await self._once(
                given.once, self._rollbacks.outcome, lambda: self._rollbacks.carry_out(name, command, given)
            )
        if isinstance(command, StartCanary) and command.replace:
            return await self._once(given.once, self.record.outcome, lambda: self._replaced(name, command, given))
        return await self._once(given.once, self.record.outcome, lambda: self._carry_out(name, command, given))

    async def rehearse(self, name: str, command: StartCanary, expected_generation: int | None = None) -> Rehearsed:
        """Do all that comes before the start of a canary, loading and checking it too, and change nothing.

        Raises what ``execute`` would; a refusal is no event.
        """
        state = self.record.in_force(await self.record.deployment(name))
        check_generation(state, expected_generation)
        now, free = self._clock.now(), state
        if command.replace and state.active is not None and state.active.phase is not Phase.BAKING:
            free, _ = apply(state, Rollback(actor=command.actor, reason=_why_replaced(command)), now)
        new, _ = apply(free, command, now)
        async with self._loaded.holding(*new.versions):
            warnings = await self._loaded.prepare(command.canary, state.baseline)
        ended = state.active.id if state.active else ""
        return Rehearsed(new, ended, warnings)

    async def configure(
        self, name: str, settings: Settings, *, actor: str, expected_generation: int | None = None
    ) -> Done:
        """Replace a deployment's settings."""
        command = Configure(settings=settings, actor=actor)
        return await self.execute(name, command, Given(expected_generation))

    async def reconcile(self, *, at_once: bool = False) -> list[str]:
        """Make the board agree with the state; see ``Reconciler.reconcile``."""
        return await self._reconciler.reconcile(at_once=at_once)

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
        behind, silence = await self.record.behind(self.record.split(earlier.state))
        return replace(earlier, unacknowledged=behind, unpublished=silence)

    async def _created(self, command: Create, once: Once | None) -> Done:
        async with self.record.turn(command.name), self._loaded.holding(command.baseline):
            present = await self._store.deployment(command.name)
            apply(present, command, self._clock.now())  # what cannot be is refused before anything is loaded
            await self._loaded.get(command.baseline)
            new, events = apply(present, command, self._clock.now())
            return await self.record.commit(new, 0, events, Given(once=once))

    async def _carry_out(self, name: str, command: Command, given: Given) -> Done:
        async with self.record.turn(name):
            state = await self.record.settled(await self.record.deployment(name), sure=isinstance(command, Promote))
            check_generation(state, given.expected_generation)
            new, events = apply(state, command, self._clock.now())
            if not events:
                return await self._unchanged(state, given)
            return await self._changed_by(command, state, new, given)

    async def _replaced(self, name: str, command: StartCanary, given: Given) -> Done:
        """Roll back the canary under way, if there is one, once its successor has proved that it can be started."""
        state = await self.record.deployment(name)
        check_generation(state, given.expected_generation)
        if state.active is None or state.active.phase is Phase.BAKING:  # that would undo a promotion: it is refused
            return await self._carry_out(name, command, given)
        rollback, now = Rollback(actor=command.actor, reason=_why_replaced(command)), self._clock.now()
        apply(apply(state, rollback, now)[0], command, now)  # what cannot be replaces nothing
        async with self._loaded.holding(command.canary):
            await self._prepared(state, command, given.term)
            await self._rollbacks.carry_out(
                name, rollback, Given(expected_generation=state.generation, term=given.term)
            )
            return await self._carry_out(name, command, replace(given, expected_generation=None))

    async def _unchanged(self, state: Deployment, given: Given) -> Done:
        """Answer a command that changes nothing, the same whenever it comes again."""
        if given.once is None:
            return Done(state)
        return await self.record.outcome(given.once) or await self.record.commit(state, state.generation, (), given)

    async def _changed_by(self, command: Command, state: Deployment, new: Deployment, given: Given) -> Done:
        async with self._held(command, new):
            warnings = await self._prepared(state, command, given.term)
            # A rollout begins when its model is ready: loading it took its time.
            new, events = apply(state, command, self._clock.now())
            events = tuple(_with_warnings(each, warnings) for each in events)
            return await self.record.commit(new, state.generation, events, given)

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


def _why_replaced(command: StartCanary) -> str:
    return f"replaced by {command.canary}" + (f": {command.reason}" if command.reason else "")


def _with_warnings(event: Event, warnings: Sequence[str]) -> Event:
    return replace(event, data={**event.data, "warnings": list(warnings)}) if warnings else event
