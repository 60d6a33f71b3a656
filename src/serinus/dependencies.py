"""Whether what a server needs answers, asked in the background, so that a look at it never waits."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

from serinus.core.errors import SerinusError
from serinus.patience import within

INTERVAL_S = 2.0
GLANCE_S = 2.0
"""How long a look waits; what is slower answers a later one."""
PATIENCE_S = 15.0
"""How long a ping may take: more than any gives itself, so that only one that knows no end is given up."""
OK = "ok"
UNKNOWN = "It has not answered yet."

Ping = Callable[[], Awaitable[None]]


class Dependencies:
    """Pings each dependency again and again; none of them is needed to answer a prediction.

    Args:
        pings: by name. Each ends by itself when it has waited long enough for its dependency, and knows best why.
        on_trouble: told when a dependency is gone. on_recovery: told when it is back, if not the same.
        told_elsewhere: names of those that tell of themselves when they are gone and back; nothing is told of them
            here.
    """

    def __init__(
        self,
        pings: Mapping[str, Ping],
        on_trouble: Callable[[str], None],
        on_recovery: Callable[[str], None] | None = None,
        *,
        told_elsewhere: Collection[str] = (),
    ) -> None:
        self._pings = pings
        self._on_trouble = on_trouble
        self._on_recovery = on_recovery or on_trouble
        self._told_elsewhere = frozenset(told_elsewhere)
        self._states = dict.fromkeys(pings, UNKNOWN)
        self._asking: dict[str, asyncio.Task[None]] = {}

    def states(self) -> dict[str, str]:
        """Give ``ok`` or what is wrong, by name, as the newest answers have it."""
        return dict(self._states)

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(INTERVAL_S)
        finally:
            await self._give_up()

    async def look(self) -> None:
        """Ask every dependency that is not being asked already; one that is slow keeps no other from being seen."""
        for name, ping in self._pings.items():
            if name not in self._asking or self._asking[name].done():
                self._asking[name] = asyncio.create_task(self._ask(name, ping), name=f"ping of the {name}")
        await asyncio.wait(self._asking.values(), timeout=GLANCE_S)

    async def _give_up(self) -> None:
        for asking in self._asking.values():
            asking.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _ask(self, name: str, ping: Ping) -> None:
        try:
            await within(PATIENCE_S, ping(), "It")
            state = OK
        except SerinusError as trouble:
            state = str(trouble)
        except Exception as defect:  # noqa: BLE001 - a look at one must not end the looks at all
            state = f"{type(defect).__name__}: {defect}"
        before, self._states[name] = self._states[name], state
        if name in self._told_elsewhere:
            return
        if state == OK and before not in {OK, UNKNOWN}:
            self._on_recovery(f"The {name} answers again.")
        elif state != OK and before in {OK, UNKNOWN}:
            self._on_trouble(f"the {name}: {state}")
