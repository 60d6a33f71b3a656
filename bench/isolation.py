"""What a canary that does harm costs the requests that the baseline was drawn for: nothing, or nearly nothing.

A server, a baseline of about a millisecond, and 200 requests a second at their time, from a process of its own. Each
canary has 20 % of them and is told of in three parts: without a canary, with it and rollbacks left to a human (so that
there is something to measure), and once more as by default, until it is rolled back. Repeats go through all canaries
in turn, for what else the machine does to hit all alike; medians over the repeats are what is judged.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench.proof import NAME, PATH, RESULTS, Promise, begun, quantile, saved, services, told
from bench.sender import ENDLESS, Order, Seen, bodies, sending
from bench.tree import pss_mib
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from tests import harmful, models
from tests.server import Server, eventually

from serinus.client import DocumentClient
from serinus.core.errors import SerinusError
from serinus.core.names import VersionRef

BASELINE = harmful.Works(seconds=0.001)
SHARE = 20.0
RATIO = 1.3
RATIO_OF_PROCESSOR = 1.5
MEMORY = 0.2
GRACE_S = 8.0
"""After how long the memory of a canary that was rolled back has to be given back."""
ROLLBACK_S = 60.0
GIB = str(2**30)


@dataclass(frozen=True)
class Harm:
    """A canary, the settings of its server, and how much slower the baseline may be beside it.

    One that is not ``bad`` is there to compare with: what it costs is what any second model and this machine do.
    """

    name: str
    model: object
    ratio: float = RATIO
    settings: tuple[tuple[str, str], ...] = ()
    bad: bool = True


SMALL = (("SERINUS_RUNNER_MEMORY", GIB),)
HARMS = (
    Harm("the same model", BASELINE, bad=False),
    Harm("sleeps 300 ms", models.Risk(seconds=0.3)),
    Harm("spins 300 ms", harmful.Spins(0.3), RATIO_OF_PROCESSOR),
    Harm("holds the lock 300 ms", harmful.HoldsLock(), RATIO_OF_PROCESSOR),
    Harm("allocates 8 GB", harmful.Allocates(8 * 1024)),
    Harm("allocates 8 GB, of 1", harmful.Allocates(8 * 1024), RATIO, SMALL),
    Harm("leaks 50 MB a request", harmful.Leaks(50)),
    Harm("leaks 50 MB, of 1 GB", harmful.Leaks(50), RATIO, SMALL),
    Harm("SIGSEGV", harmful.ReadsNothing()),
    Harm("os._exit(3)", harmful.Exits()),
    Harm("answers NaN", models.Answers(np.array([np.nan]))),
)
"""Processor and memory are not had for nothing: what spins has cores that others want, so it may cost a little more."""


@dataclass(frozen=True)
class Run:
    """One canary, once.

    ``alone`` and ``beside`` are the milliseconds of requests that the baseline was drawn for, without it and with it;
    ``saved`` of those that failed over. ``rollback_s``: until it was rolled back by itself, nan if it was not.
    """

    alone: list[float]
    beside: list[float]
    saved: list[float]
    statuses: Counter[int]
    rollback_s: float
    mib_before: float
    mib_after: float

    def ratio(self, share: float) -> float:
        """How much slower a quantile was beside the canary."""
        return quantile(self.beside, share) / quantile(self.alone, share)


@dataclass(frozen=True)
class Found:
    """What came of all runs of one canary: medians; ``strange`` counts the callers who were not answered with 200."""

    name: str
    alone_p50_ms: float
    alone_p99_ms: float
    beside_p50_ms: float
    beside_p99_ms: float
    p50_ratio: float
    p99_ratio: float
    ratios: list[float]
    saved_p99_ms: float
    requests: int
    strange: int
    rollback_s: float
    memory_ratio: float


def main() -> int:
    """Measure, print, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each part")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--only", default="", help="canaries whose names hold this")
    parser.add_argument("--postgresql", action="store_true", help="keep state in PostgreSQL")
    parser.add_argument("--to", type=Path, default=RESULTS / "isolation.json")
    asked = parser.parse_args()
    console = Console()
    chosen = [harm for harm in HARMS if asked.only in harm.name]
    runs: dict[str, list[Run]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory() as folder,
        services(postgresql=asked.postgresql) as started,
        Progress(console=console, disable=not sys.stdout.isatty()) as bar,
    ):
        task = bar.add_task("canaries", total=asked.repeats * len(chosen))
        for repeat in range(asked.repeats):
            for number, harm in enumerate(chosen):
                home = Path(folder) / f"{repeat}-{number}"
                run = _run(home, harm, asked.rate, asked.seconds, started.settings)
                runs[harm.name].append(run)
                ended = f"out after {run.rollback_s:.1f} s, p99 x {run.ratio(0.99):.2f}, {dict(run.statuses)}"
                console.print(f"{repeat + 1}/{asked.repeats} {harm.name}: {ended}", style="dim")
                bar.advance(task)
    found = [_found(name, several) for name, several in runs.items()]
    promises = _promises(chosen, found)
    _show(console, found)
    saved(
        asked.to,
        promises,
        rate=asked.rate,
        share=SHARE,
        seconds=asked.seconds,
        repeats=asked.repeats,
        store="PostgreSQL" if asked.postgresql else "embedded",
        canaries=[asdict(each) for each in found],
    )
    return told(console, promises)


def _run(home: Path, harm: Harm, rate: float, seconds: float, settings: dict[str, str]) -> Run:
    """Measure one canary once, on a server of its own."""
    name = f"risk-{home.name}"  # a database is used by one server after the other
    deployment = f"{NAME}-{home.name}"
    order = Order(0, f"{PATH}-{home.name}", bodies([models.KNOWN]), [(rate, ENDLESS)])
    server = begun(home, **settings, **dict(harm.settings))
    try:
        server.wait_until_ready()
        order.port = server.port
        with server.client() as client:
            for model in (BASELINE, harm.model):
                models.register(client, name, model)
            client.deploy(deployment, VersionRef(name, 1), {"auto_rollback": False, "auto_promote": False})
            return _measured(server, client, deployment, order, seconds, bad=harm.bad)
    finally:
        server.terminate()


def _measured(
    server: Server, client: DocumentClient, deployment: str, order: Order, seconds: float, *, bad: bool
) -> Run:
    with sending(order) as sender:
        time.sleep(2.0)
        before, begins = pss_mib(server.pid), time.monotonic()
        time.sleep(seconds)
        ends = time.monotonic()
        client.start(deployment, 2, SHARE)
        began = time.monotonic()
        time.sleep(seconds)
        until = time.monotonic()
        client.rollback(deployment, reason="measured")
        time.sleep(1.0)
        rollback_s = _until_rolled_back(client, deployment) if bad else 0.0
        _wait_for(lambda: pss_mib(server.pid) < before * (1.0 + MEMORY), GRACE_S)
        after = pss_mib(server.pid)
    seen = sender.seen
    return Run(
        alone=_latencies(seen, begins, ends, lambda each: not each.drawn),
        beside=_latencies(seen, began, until, lambda each: not each.drawn),
        saved=_latencies(seen, began, until, lambda each: each.failover),
        statuses=Counter(each.status for each in seen),
        rollback_s=rollback_s,
        mib_before=before,
        mib_after=after,
    )


def _until_rolled_back(client: DocumentClient, deployment: str) -> float:
    """Start the canary as by default, and say after how long it was rolled back."""
    client.configure(deployment, {"auto_rollback": True})
    client.start(deployment, 2, SHARE)
    began = time.monotonic()

    def ended() -> bool:
        with suppress(SerinusError):
            state: dict[str, Any] = client.deployment(deployment)
            return state["status"] == "stable"
        return False

    if eventually(ended, ROLLBACK_S, every_s=0.05):
        return time.monotonic() - began
    client.rollback(deployment, reason="it was not rolled back by itself")
    return float("nan")


def _wait_for(holds: Callable[[], bool], patience_s: float) -> None:
    eventually(holds, patience_s, every_s=0.25)


def _latencies(seen: Sequence[Seen], begin: float, end: float, wanted: Callable[[Seen], bool]) -> list[float]:
    return [each.ms for each in seen if begin <= each.sent < end and wanted(each)]


def _found(name: str, runs: Sequence[Run]) -> Found:
    def median(value: Callable[[Run], float]) -> float:
        return statistics.median(value(run) for run in runs)

    return Found(
        name=name,
        alone_p50_ms=median(lambda run: quantile(run.alone, 0.5)),
        alone_p99_ms=median(lambda run: quantile(run.alone, 0.99)),
        beside_p50_ms=median(lambda run: quantile(run.beside, 0.5)),
        beside_p99_ms=median(lambda run: quantile(run.beside, 0.99)),
        p50_ratio=median(lambda run: run.ratio(0.5)),
        p99_ratio=median(lambda run: run.ratio(0.99)),
        ratios=[round(run.ratio(0.99), 3) for run in runs],
        saved_p99_ms=median(lambda run: quantile(run.saved, 0.99)),
        requests=sum(run.statuses.total() for run in runs),
        strange=sum(run.statuses.total() - run.statuses[200] for run in runs),
        rollback_s=median(lambda run: run.rollback_s),
        memory_ratio=median(lambda run: run.mib_after / run.mib_before),
    )


def _promises(harms: Sequence[Harm], found: Sequence[Found]) -> list[Promise]:
    promises = []
    for harm, each in zip(harms, found, strict=True):
        ratio, callers = each.p99_ratio, f"{each.strange} of {each.requests}"
        out, memory = each.rollback_s, each.memory_ratio - 1.0
        promises += [
            Promise(f"{harm.name}: p99 of the baseline", f"x {ratio:.2f}", f"x {harm.ratio:g}", ratio <= harm.ratio),
            Promise(f"{harm.name}: callers without a 200", callers, "0", not each.strange),
            Promise(f"{harm.name}: memory afterwards", f"{memory:+.0%}", f"{MEMORY:+.0%}", memory <= MEMORY),
        ]
        if harm.bad:
            ended = Promise(f"{harm.name}: out by itself", f"{out:.1f} s", f"{ROLLBACK_S:g} s", out <= ROLLBACK_S)
            promises.append(ended)
    return promises


def _show(console: Console, found: Sequence[Found]) -> None:
    table = Table("canary", "p50 ms", "beside", "p99 ms", "beside", "ratio", "failed over p99", "out after s")
    for each in found:
        numbers = (
            *(each.alone_p50_ms, each.beside_p50_ms, each.alone_p99_ms, each.beside_p99_ms),
            *(each.p99_ratio, each.saved_p99_ms, each.rollback_s),
        )
        table.add_row(each.name, *(f"{number:.2f}" for number in numbers))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
