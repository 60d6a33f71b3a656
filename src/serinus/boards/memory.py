"""The board of a single process: nothing to install, nothing between a change and the next request."""

import asyncio

from serinus.core.routing import Split
from serinus.ports import EvidenceReport, OnSplit


class MemoryBoard:
    """Keeps splits and evidence in this process's memory, for one event loop.

    Splits are kept encoded, as any board keeps them, and may be replaced by hand with ``put`` in a test of what happens
    then.
    """

    def __init__(self) -> None:
        self._splits: dict[str, object] = {}
        self._gateways: dict[str, OnSplit] = {}
        self._acknowledged: dict[tuple[str, str], int] = {}
        self._acknowledgement = asyncio.Event()
        self._reports: dict[str, EvidenceReport] = {}

    async def publish(self, split: Split) -> bool:
        present = Split.decoded(self._splits.get(split.deployment))
        if present is not None and present.generation > split.generation:
            return False
        self.put(split.deployment, split.encoded())
        return True

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

    async def join(self, gateway: str, on_split: OnSplit) -> None:
        self._gateways[gateway] = on_split
        for deployment, raw in list(self._splits.items()):
            on_split(deployment, raw)

    async def leave(self, gateway: str) -> None:
        self._gateways.pop(gateway, None)
        for key in [key for key in self._acknowledged if key[0] == gateway]:
            del self._acknowledged[key]
        self._announce()

    def acknowledge(self, gateway: str, deployment: str, generation: int) -> None:
        key = (gateway, deployment)
        self._acknowledged[key] = max(generation, self._acknowledged.get(key, 0))
        self._announce()

    async def unacknowledged(self, deployment: str, generation: int, timeout_s: float) -> list[str]:
        try:
            async with asyncio.timeout(timeout_s):
                while self._behind(deployment, generation):
                    await self._acknowledgement.wait()
        except TimeoutError:
            pass
        return self._behind(deployment, generation)

    def _behind(self, deployment: str, generation: int) -> list[str]:
        return [g for g in self._gateways if self._acknowledged.get((g, deployment), 0) < generation]

    def _announce(self) -> None:
        self._acknowledgement.set()
        self._acknowledgement = asyncio.Event()

    async def report(self, report: EvidenceReport) -> None:
        self._reports[report.gateway] = report

    async def reports(self, rollout: str) -> list[EvidenceReport]:
        return [
            EvidenceReport(r.gateway, r.boot, {k: c for k, c in r.evidence.items() if k.rollout == rollout})
            for r in self._reports.values()
        ]

    async def close(self) -> None:
        self._gateways.clear()
