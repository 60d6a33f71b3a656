"""The board of a single process: nothing to install, nothing between a change and the next request."""

import asyncio
import time
from collections.abc import Callable

from serinus.boards.changes import cut_off, deposed, promised, published
from serinus.core.records import EvidenceReport
from serinus.core.routing import Cut, Split
from serinus.ports import OnSplit


class MemoryBoard:
    """Keeps splits and evidence in this process's memory, for one event loop.

    Splits are kept encoded, as any board keeps them, and may be replaced by hand with ``put`` in a test of what happens
    then. ``monotonic`` is the clock that the lease runs out by.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._splits: dict[str, object] = {}
        self._gateways: dict[str, OnSplit] = {}
        self._acknowledged: dict[tuple[str, str], int] = {}
        self._acknowledgement = asyncio.Event()
        self._reports: dict[tuple[str, str], EvidenceReport] = {}
        self._term = 0
        self._leased_until = float("-inf")

    async def publish(self, split: Split, *, promoted: str = "") -> bool:
        return self._change(split.deployment, lambda present: published(present, split, promoted)) is not None

    async def cut(
        self, deployment: str, cut: Cut, *, expected_generation: int | None = None, term: int | None = None
    ) -> Split | None:
        if term is not None:
            self._check_term(term)
        return self._change(deployment, lambda present: cut_off(present, cut, expected_generation))

    async def promise(self, deployment: str, cut: Cut) -> Split | None:
        return self._change(deployment, lambda present: promised(present, cut))

    def _change(self, deployment: str, change: Callable[[object], Split | None]) -> Split | None:
        present = self._splits.get(deployment)
        wanted = change(present)
        if wanted is not None and wanted != Split.decoded(present):
            self.put(deployment, wanted.encoded())
        return wanted

    def put(self, deployment: str, raw: object) -> None:
        """Keep whatever is given for a deployment (None removes it) and tell every gateway."""
        if raw is None:
            self._splits.pop(deployment, None)
        else:
            self._splits[deployment] = raw
        for on_split in list(self._gateways.values()):
            on_split(deployment, raw)

    async def split(self, deployment: str) -> object:
        return self._splits.get(deployment)

    async def splits(self) -> dict[str, object]:
        return dict(self._splits)

    async def join(self, gateway: str, on_split: OnSplit) -> None:
        self._gateways[gateway] = on_split
        for deployment, raw in list(self._splits.items()):
            on_split(deployment, raw)

    async def leave(self, gateway: str) -> None:
        self._gateways.pop(gateway, None)
        for key in [key for key in self._acknowledged if key[0] == gateway]:
            del self._acknowledged[key]
        self._announce()

    def acknowledge(self, gateway: str, deployment: str, stamp: int) -> None:
        key = (gateway, deployment)
        self._acknowledged[key] = max(stamp, self._acknowledged.get(key, 0))
        self._announce()

    async def unacknowledged(self, deployment: str, stamp: int, timeout_s: float) -> list[str]:
        try:
            async with asyncio.timeout(timeout_s):
                while self._behind(deployment, stamp):
                    await self._acknowledgement.wait()
        except TimeoutError:
            pass
        return self._behind(deployment, stamp)

    def _behind(self, deployment: str, stamp: int) -> list[str]:
        return [g for g in self._gateways if self._acknowledged.get((g, deployment), 0) < stamp]

    def gone(self) -> list[str]:
        return []  # they are of this process, and go with it

    def _announce(self) -> None:
        self._acknowledgement.set()
        self._acknowledgement = asyncio.Event()

    async def renew(self, term: int, ttl_s: float) -> None:
        self._check_term(term)
        self._leased_until = self._monotonic() + ttl_s

    def leased(self) -> bool:
        return self._monotonic() < self._leased_until

    def _check_term(self, term: int) -> None:
        if term < self._term:
            raise deposed(term, self._term)
        self._term = term

    async def report(self, report: EvidenceReport) -> None:
        self._reports[report.gateway, report.boot] = report

    async def reports(self, rollout: str) -> list[EvidenceReport]:
        of_rollout = (
            EvidenceReport(r.gateway, r.boot, {k: c for k, c in r.evidence.items() if k.rollout == rollout})
            for r in self._reports.values()
        )
        return [report for report in of_rollout if report.evidence]

    async def ping(self) -> None:
        """Return: it is here."""

    async def close(self) -> None:
        self._gateways.clear()
