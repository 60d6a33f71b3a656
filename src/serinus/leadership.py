"""One checker leads: it holds a lease of the store, and what it writes carries the lease's term."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from serinus.core.errors import Unavailable
from serinus.loaded import cause_of
from serinus.ports import CHECKER, Clock, Store

LEASE_S = 4.0
"""How long a leader that says nothing more still leads."""
RENEW_S = 0.5
"""How often the lease is renewed, or asked for."""


class Leadership:
    """Whether this process leads. It goes on leading while the store does not answer, since nobody else can take over.

    A leader that was paused for longer than its lease learns by the next renewal, or by a write that is refused, that
    another one leads.
    """

    def __init__(
        self,
        store: Store,
        holder: str,
        clock: Clock,
        on_trouble: Callable[[str], None],
        *,
        lease_s: float = LEASE_S,
        renew_s: float = RENEW_S,
    ) -> None:
        self.holder = holder
        self.leader = ""
        self._store = store
        self._clock = clock
        self._on_trouble = on_trouble
        self._lease_s = lease_s
        self._renew_s = renew_s
        self._term: int | None = None
        self._troubled = False

    @property
    def term(self) -> int | None:
        """The term in which this process leads; None while it does not."""
        return self._term

    def step_down(self) -> None:
        """Lead no more: a write was refused because another one does."""
        self._term = None

    async def run(self) -> None:
        """Lead, or wait to, until cancelled."""
        while True:
            await self.renew()
            await asyncio.sleep(self._renew_s)

    async def renew(self) -> None:
        """Take or renew the lease if nobody else holds it."""
        try:
            async with asyncio.timeout(self._lease_s):
                lease = await self._store.hold(CHECKER, self.holder, self._lease_s, self._clock.now())
        except Exception as trouble:  # noqa: BLE001 - whatever it meets, it asks again
            if not self._troubled:
                self._on_trouble(f"the lease of the leading checker could not be renewed: {cause_of(trouble)}")
            self._troubled = True
            return
        self._troubled = False
        self.leader = lease.holder
        self._term = lease.term if lease.holder == self.holder else None

    async def release(self) -> None:
        """Let another one lead at once."""
        if self._term is None:
            return
        self._term = None
        with suppress(Unavailable):
            await self._store.release(CHECKER, self.holder)
