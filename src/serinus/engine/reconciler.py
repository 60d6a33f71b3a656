"""Makes the board agree with the store, whatever happened in between."""

from collections.abc import Mapping
from contextlib import suppress

from serinus.core.deployment import Deployment
from serinus.core.errors import NotAllowed, SerinusError
from serinus.core.routing import Split
from serinus.engine.cuts import Cuts
from serinus.engine.record import Record
from serinus.ports import Board, Store


class Reconciler:
    """Looks at both sides, publishes what is missing and records cuts that nobody has."""

    def __init__(self, *, store: Store, board: Board, record: Record, cuts: Cuts) -> None:
        self._store = store
        self._board = board
        self._record = record
        self._cuts = cuts

    async def reconcile(self, *, at_once: bool = False) -> list[str]:
        """Make the board agree with the state, whatever happened in between, and record cuts that nobody has.

        Gives the names of the deployments that did not agree. Each side is looked at although the other is gone.
        ``at_once``: leave no time to whoever made a cut.
        """
        on_board, silence = await self._on_board()
        states = await self._store.deployments()
        self._record.forget_all_but([state.name for state in states])
        for state in states:
            self._record.note(state)
        repaired = []
        troubles: list[Exception] = [silence] if silence else []
        for state in states:
            try:
                if not silence and await self._agreed(state, on_board.get(state.name)):
                    repaired.append(state.name)
                due = at_once or (state.active is not None and self._cuts.is_due(state.active.id))
                if due and self._cuts.of(state) is not None:
                    await self._record.settled(state)
            except Exception as trouble:  # noqa: BLE001 - the others are seen to all the same
                troubles.append(trouble)
        if troubles:
            raise troubles[0]
        return repaired

    async def _on_board(self) -> tuple[Mapping[str, object], SerinusError | None]:
        """Give what the board has, and remember its cuts; or why it tells nothing."""
        try:
            on_board = await self._board.splits()
        except SerinusError as silence:
            return {}, silence
        self._cuts.see(on_board)
        return on_board, None

    async def _agreed(self, state: Deployment, raw: object) -> bool:
        """Publish what the board should have and has not; say whether that was needed."""
        present, wanted = Split.decoded(raw), self._record.split(state)
        with suppress(NotAllowed):  # a promotion gave way to a rollback
            return present != wanted and await self._record.publish(state)
        return True
