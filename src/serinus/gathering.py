"""Evidence from wherever it is: the board has what gateways report, the store what they had reported before."""

from serinus.core.errors import Unavailable
from serinus.core.evidence import Counts, Key, merged
from serinus.core.records import EvidenceReport
from serinus.patience import within
from serinus.ports import Board, Store

PATIENCE_S = 2.0
"""How long the store may take to answer before what was last read from it has to do."""

REMEMBERED = 64
"""How many rollouts' reports are kept in memory for as long as the store does not answer."""


class Gatherer:
    """Gives the cumulative evidence of a rollout over all gateway processes, of ended ones too.

    Every process counts for itself from zero, under a name of its own (its boot), so that adding up the newest report
    of each gives the whole, however often, in which order and by whom they are read.
    """

    def __init__(self, store: Store, board: Board) -> None:
        self._store = store
        self._board = board
        self._last: dict[str, dict[str, EvidenceReport]] = {}

    async def reports(self, rollout: str) -> list[EvidenceReport]:
        """Give the newest report of each gateway process.

        Unavailable where the board does not answer, or the store does not and never did for this rollout.
        """
        newest = await self._kept(rollout)
        on_board = await self._board.reports(rollout)
        for report in [*self._last.get(rollout, {}).values(), *on_board]:
            known = newest.get(report.boot)
            # A board that was restored from an old copy shows less than was seen before.
            if known is None or known.size <= report.size:
                newest[report.boot] = report
        self._remember(rollout, newest)
        return list(newest.values())

    async def totals(self, rollout: str) -> dict[Key, Counts]:
        """Add the reports up."""
        return merged(report.evidence for report in await self.reports(rollout))

    async def _kept(self, rollout: str) -> dict[str, EvidenceReport]:
        try:
            kept = await within(PATIENCE_S, self._store.kept_reports(rollout), "The store")
        except Unavailable:
            if rollout not in self._last:
                raise  # of processes that have ended, nobody knows how much is missing
            return dict(self._last[rollout])
        return {report.boot: report for report in kept}

    def _remember(self, rollout: str, newest: dict[str, EvidenceReport]) -> None:
        self._last.pop(rollout, None)
        self._last[rollout] = newest
        while len(self._last) > REMEMBERED:
            del self._last[next(iter(self._last))]
