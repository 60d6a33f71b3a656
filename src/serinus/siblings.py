"""The workers of one server show their metrics as one, whichever of them is asked."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from serinus.core.evidence import merged
from serinus.core.records import decoded_evidence, encoded_evidence
from serinus.core.work import Work
from serinus.telemetry import Readings, TargetReading

INTERVAL_S = 1.0
"""How old what one worker shows of another may be."""
SILENT_S = 5.0
"""How long a worker that shows nothing more may still have something to write to the log."""


class Siblings:
    """Keeps a worker's counts in a folder that its siblings read; what one counted stays when it has ended.

    Args:
        folder: shared by the workers of one server, and gone with it. boot: names this worker.
    """

    def __init__(self, folder: Path, boot: str) -> None:
        self._folder = folder
        self._own = folder / f"{boot}.json"

    async def keep(self, read: Callable[[], Readings]) -> None:
        """Show this worker's counts to the others until cancelled, and a last time then."""
        try:
            while True:
                self._write(read())
                await asyncio.sleep(INTERVAL_S)
        finally:
            self._write(read())

    def together(self, own: Readings) -> Readings:
        """Add the counts of the other workers to this one's.

        What is shown is kept first: whoever is asked next shows no less.
        """
        self._write(own)
        others = [kept for path in self._folder.glob("*.json") if path != self._own and (kept := _read(path))]
        living = [each for each in others if each.at > time.time() - SILENT_S]
        return replace(
            own,
            evidence=merged([own.evidence, *(decoded_evidence(each.evidence) for each in others)]),
            failovers=_added(own.failovers, (each.failovers for each in others)),
            forced=_added(own.forced, (each.forced for each in others)),
            log_pending=own.log_pending + sum(each.log_pending for each in living),
            journal_bytes=own.journal_bytes + sum(each.journal_bytes for each in living),
            log_written=own.log_written + sum(each.log_written for each in others),
            log_dropped=own.log_dropped + sum(each.log_dropped for each in others),
            targets=_all_told(own.targets, others),
            work=_all_done(own.work, others),
        )

    def _write(self, readings: Readings) -> None:
        counts = Counts(
            time.time(),
            encoded_evidence(readings.evidence),
            dict(readings.failovers),
            dict(readings.forced),
            readings.log_pending,
            readings.log_written,
            readings.log_dropped,
            readings.journal_bytes,
            dict(readings.targets),
            dict(readings.work),
        )
        fresh = self._own.with_suffix(".new")
        with suppress(OSError):  # of a disk that is full for a while: the next time shows it
            fresh.write_bytes(msgspec.json.encode(counts))
            fresh.replace(self._own)


@dataclass(frozen=True, slots=True)
class Counts:
    """What a worker has counted since it started, at an instant in seconds since the epoch."""

    at: float
    evidence: list[list[object]]
    failovers: dict[str, int]
    forced: dict[str, int]
    log_pending: int
    log_written: int
    log_dropped: int
    journal_bytes: int
    targets: dict[str, TargetReading]
    work: dict[str, Work]


def _read(path: Path) -> Counts | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Counts)
    except (OSError, ValueError):
        return None


def _added(own: Mapping[str, int], others: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total = Counter(own)
    for each in others:
        total.update(each)
    return dict(total)


def _all_done(own: Mapping[str, Work], others: Iterable[Counts]) -> dict[str, Work]:
    total = dict(own)
    for each in others:
        for version, work in each.work.items():
            total[version] = total.get(version, Work()) + work
    return total


def _all_told(own: Mapping[str, TargetReading], others: Iterable[Counts]) -> dict[str, TargetReading]:
    """Add up what each target was told; what waits for it is what the one worker says that tells it."""
    total = dict(own)
    for each in others:
        lives = each.at > time.time() - SILENT_S
        for name, theirs in each.targets.items():
            before = total.get(name, TargetReading({}, None))
            waiting = theirs.waiting if lives and before.waiting is None else before.waiting
            total[name] = TargetReading(_added(before.results, [theirs.results]), waiting)
    return total
