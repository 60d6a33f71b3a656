"""Tells the targets of events: one process tells each of them, at least once of each event, in order per deployment."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

from serinus.core.errors import NotificationRefused, SerinusError, TargetGone, Unavailable
from serinus.core.records import Untold
from serinus.loaded import cause_of
from serinus.patience import within
from serinus.ports import Clock, Notifier, Outbox, Store

DEADLINE_S = 5.0
"""How long a target has to take an event."""
POLL_S = 0.5
"""How often a target's events are looked for."""
LEASE_S = 15.0
"""How long nobody else tells a target whose process was killed: longer than telling it of one event takes."""
RENEW_S = 5.0
"""How often the lease for a target is renewed, or asked for."""
RELEASE_S = 2.0
LONGEST_WAIT_S = 300.0
"""Between two tries of one event."""
LONGEST_PAUSE_S = 30.0
"""Between two tries of a target that takes nothing."""
LONGEST_ASKED_S = 3600.0
"""How long a target may ask to be left alone."""
TRIES = 10
"""An event is passed over when it was refused so often, or was tried so often and is older than ``GIVEN_UP_AFTER``."""
GIVEN_UP_AFTER = timedelta(days=3)
FORGOTTEN_AFTER = timedelta(days=1)
"""A target that no process has in its settings is forgotten then."""
TIDY_S = 600.0
"""How often what nobody is to be told any more is removed, whether or not there are targets."""

DELIVERED, FAILED, PASSED_OVER = "delivered", "failed", "passed_over"
"""How a try ends: one that failed is made again."""


@dataclass(slots=True)
class Told:
    """What this process has told a target: tries by how they ended, and how many events wait.

    ``waiting`` is None where another process tells it.
    """

    results: Counter[str] = field(default_factory=Counter)
    waiting: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """Tells targets of events as they come, until cancelled.

    ``outbox`` has what they are to be told; ``store`` keeps the leases by which one process, its ``holder``, tells each
    target. ``on_trouble`` and ``on_recovery`` are told when a target takes nothing, or not an event, and when it does
    again. ``chance`` gives numbers from 0 to 1: not all that failed at once is tried again at once. ``sleep`` lets
    seconds pass.
    """

    targets: Sequence[Notifier]
    outbox: Outbox
    store: Store
    holder: str
    clock: Clock
    on_trouble: Callable[[str], None]
    on_recovery: Callable[[str], None]
    chance: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    deadline_s: float = DEADLINE_S
    told: dict[str, Told] = field(default_factory=dict)

    async def run(self) -> None:
        """Tell all targets, none of which waits for another, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_tidy(), name="outbox")
            for target in self.targets:
                line = _Line(target, self, self.told.setdefault(target.name, Told()))
                group.create_task(line.run(), name=line.lease)

    async def tidy(self) -> None:
        """Forget the targets that are none any more, and the events that nobody is to be told of."""
        for target in self.targets:  # whatever waited for them while no server ran
            await self.outbox.enlist(target.name, self.clock.now())
        await self.outbox.forget(self.clock.now() - FORGOTTEN_AFTER)
        await self.outbox.spread()

    async def _keep_tidy(self) -> None:
        while True:
            try:
                await self.tidy()
            except Unavailable:  # of the store's, which is told elsewhere
                pass
            except Exception as trouble:  # noqa: BLE001 - it is tried again, whatever it is
                self.on_trouble(f"the outbox cannot be tidied: {cause_of(trouble)}")
            await self.sleep(TIDY_S)


@dataclass(slots=True)
class _Line:
    """The way to one target."""

    target: Notifier
    of: Dispatcher
    told: Told
    held_at: float | None = None
    """When the lease was taken or renewed; None while another process may have it."""
    failures: int = 0
    """In a row, of a target that takes nothing."""
    gone: bool = False
    unmarked: set[int] = field(default_factory=set)
    """Taken by the target, and not settled with the outbox."""
    trouble: str = ""

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def lease(self) -> str:
        return f"notifications {self.name}"

    async def run(self) -> None:
        """Tell, or wait to, until cancelled."""
        try:
            while True:
                await self.rest(await self.round())
        finally:
            if self.held_at is not None:
                with suppress(SerinusError):  # it runs out by itself
                    await within(RELEASE_S, self.of.store.release(self.lease, self.of.holder), "The store")

    async def round(self) -> float:
        """Tell what is due now; give the seconds until the next round."""
        try:
            if not await self._has_turn():
                return RENEW_S
            await self._settle()
            await self.of.outbox.spread()
            return await self._tell_what_is_due()
        except Unavailable:  # of the store's, which is told elsewhere
            return POLL_S
        except Exception as trouble:  # noqa: BLE001 - it goes on, whatever one round meets
            self._say(f"what {self.name} is to be told cannot be found out: {cause_of(trouble)}")
            return LONGEST_PAUSE_S

    async def rest(self, seconds: float) -> None:
        """Leave the target alone for so long, and see to it that no other process tells it meanwhile."""
        while seconds > RENEW_S:
            await self.of.sleep(RENEW_S)
            seconds -= RENEW_S
            with suppress(Exception):  # the next round meets it again
                await self._has_turn()
        await self.of.sleep(seconds)

    async def _has_turn(self) -> bool:
        """Say whether this process tells the target: take or renew the lease for it, if it is time to."""
        of, now = self.of, self.of.clock.monotonic()
        if self.held_at is not None and now - self.held_at < RENEW_S:
            return True
        self.held_at, self.told.waiting = None, None
        await of.outbox.enlist(self.name, of.clock.now())
        lease = await of.store.hold(self.lease, of.holder, LEASE_S, of.clock.now())
        if lease.holder != of.holder:
            return False
        self.held_at, self.told.waiting = now, await of.outbox.untold(self.name)
        return True

    async def _tell_what_is_due(self) -> float:
        found = await self.of.outbox.due(self.name, self.of.clock.now())
        wanted = [each for each in found if self._wants(each)]
        due = [each for each in wanted if not self._is_given_up(each)]
        await self._settle({each.id for each in found} - {each.id for each in due})
        self._count_given_up(len(wanted) - len(due))
        held_back: set[str] = set()
        pause_s = 0.0
        for untold in _fresh_first(due):
            if untold.deployment in held_back:
                continue
            if not await self._has_turn():
                return POLL_S
            taken, pause_s = await self._tell(untold)
            if not taken:
                held_back.add(untold.deployment)
            if pause_s:
                break
        if found:
            self.told.waiting = await self.of.outbox.untold(self.name)
        return pause_s or POLL_S

    def _wants(self, untold: Untold) -> bool:
        if self.gone:
            return False
        return untold.recorded is None or untold.recorded.event.kind in self.target.kinds

    def _is_given_up(self, untold: Untold) -> bool:
        """Say whether an event is old and its target takes nothing, for which no more and more is to wait."""
        return self.failures >= TRIES and self.of.clock.now() - untold.at > GIVEN_UP_AFTER

    def _count_given_up(self, events: int) -> None:
        if events:
            self.told.results[PASSED_OVER] += events
            self.of.on_trouble(f"{self.name} takes nothing, and is not told any more of {events} events of days ago")

    async def _tell(self, untold: Untold) -> tuple[bool, float]:
        """Tell of one event; say whether it is settled, and for how many seconds the target is to be left alone."""
        if untold.recorded is None:
            self._say(f"{self.name} is told of event {untold.id} by a newer version of Serinus, or not at all")
            return await self._failed(replace(untold, tries=untold.tries + 1)), 0.0
        try:
            await within(self.of.deadline_s, self.target.notify((untold.recorded,)), self.name)
        except TargetGone as gone:
            self.gone = True
            self._say(f"{self.name} wants no notifications any more: {gone}")
            await self._pass_over(untold)
            return True, POLL_S
        except NotificationRefused as refusal:
            self._say(f"{self.name} refuses event {untold.id} of {untold.deployment}: {refusal}")
            tried = replace(untold, tries=untold.tries + 1, refusals=untold.refusals + 1)
            return await self._failed(tried), 0.0
        except Exception as trouble:  # noqa: BLE001 - whatever it is, it may be over the next time
            self.failures += 1
            self._say(f"{self.name} takes no notifications: {cause_of(trouble)}")
            asked_s = trouble.details.get("retry_after_s") if isinstance(trouble, SerinusError) else None
            asked_s = min(LONGEST_ASKED_S, float(asked_s)) if isinstance(asked_s, int | float) else 0.0
            settled = await self._failed(replace(untold, tries=untold.tries + 1), asked_s)
            return settled, max(asked_s, min(LONGEST_PAUSE_S, self._back_off_s(self.failures)))
        self.unmarked.add(untold.id)
        self._recovered()
        self.told.results[DELIVERED] += 1
        await self._settle()
        return True, 0.0

    async def _failed(self, untold: Untold, asked_s: float = 0.0) -> bool:
        """Try an event again later, or never; say whether it is settled by that."""
        now = self.of.clock.now()
        if untold.refusals >= TRIES or (untold.tries >= TRIES and now - untold.at > GIVEN_UP_AFTER):
            which = f"event {untold.id} of {untold.deployment}"
            self.of.on_trouble(f"{self.name} is not told of {which}, after {untold.tries} tries")
            await self._pass_over(untold)
            return True
        self.told.results[FAILED] += 1
        wait_s = max(asked_s, self._back_off_s(untold.tries))
        await self.of.outbox.postpone(self.name, untold, now + timedelta(seconds=wait_s))
        return False

    async def _pass_over(self, untold: Untold) -> None:
        self.told.results[PASSED_OVER] += 1
        await self.of.outbox.settle(self.name, {untold.id})

    async def _settle(self, unwanted: set[int] | None = None) -> None:
        """Have the outbox forget what was taken, and what is not wanted; what cannot be now is the next time."""
        if done := self.unmarked | (unwanted or set()):
            await self.of.outbox.settle(self.name, done)
            self.unmarked.clear()

    def _back_off_s(self, tries: int) -> float:
        """Wait twice as long after each try, and by chance a little less."""
        return float(min(LONGEST_WAIT_S, 2.0 ** min(tries - 1, 30)) * (1.0 - self.of.chance() / 2))

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.of.on_trouble(trouble)
        self.trouble = trouble

    def _recovered(self) -> None:
        self.failures = 0
        if self.trouble:
            self.of.on_recovery(f"{self.name} takes notifications again")
        self.trouble = ""


def _fresh_first(due: Sequence[Untold]) -> list[Untold]:
    """Put deployments whose next event was tried less before the others: one that is never taken is in nobody's way."""
    tries: dict[str, int] = {}
    for untold in due:
        tries.setdefault(untold.deployment, untold.tries)
    return sorted(due, key=lambda untold: (tries[untold.deployment], untold.id))
