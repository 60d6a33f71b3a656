"""Whether what a server needs answers, asked in the background, so that a look at it never waits."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from serinus.core.errors import SerinusError
from serinus.patience import within

INTERVAL_S = 2.0
PATIENCE_S = 2.0
OK = "ok"

Ping = Callable[[], Awaitable[None]]


class Dependencies:
    """Pings each dependency again and again; none of them is needed to answer a prediction."""

    def __init__(self, pings: Mapping[str, Ping], on_trouble: Callable[[str], None]) -> None:
        self._pings = pings
        self._on_trouble = on_trouble
        self._states = dict.fromkeys(pings, OK)

    def states(self) -> dict[str, str]:
        """Give ``ok`` or what is wrong, by name."""
        return dict(self._states)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL_S)

    async def look(self) -> None:
        """Ask every dependency once."""
        await asyncio.gather(*(self._ask(name, ping) for name, ping in self._pings.items()))

    async def _ask(self, name: str, ping: Ping) -> None:
        try:
            await within(PATIENCE_S, ping(), f"The {name}")
            state = OK
        except SerinusError as trouble:
            state = str(trouble)
        except Exception as defect:  # noqa: BLE001 - a look at one must not end the looks at all
            state = f"{type(defect).__name__}: {defect}"
        before, self._states[name] = self._states[name], state
        if OK in {before, state} and before != state:
            self._on_trouble(f"the {name} answers again" if state == OK else f"the {name}: {state}")
