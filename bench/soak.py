"""Whether anything grows while canaries come and go all the while: memory, descriptors, processes, latency.

A server under steady traffic; every few seconds a canary is started, and taken out or promoted: good ones, ones that
raise, ones that end their process. The first half of the time is for everything to have happened once; what grows in
the second one would go on growing.
"""

import argparse
import itertools
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from bench.proof import NAME, PATH, RESULTS, Promise, quantile, saved, services, serving, told
from bench.sender import ENDLESS, Order, Seen, bodies, sending
from bench.tree import Use, uses
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tests import harmful, models
from tests.server import Server

from serinus.client import DocumentClient
from serinus.core.errors import SerinusError
from serinus.core.names import VersionRef

EACH_S = 2.0
GROWTH = 0.05
SLOWER = 2.0
OK = 200
SETTLED_S = 8.0
"""How long the last canary's process may stay once it is out."""
IMAGES = Path(__file__).parents[1] / "docs" / "images"
GOOD, ALSO_GOOD, RAISES, CRASHES = 1, 2, 3, 4
MODELS = (models.Risk(), models.Risk(), models.Raises(), harmful.ReadsNothing())


@dataclass(frozen=True)
class Sample:
    """What a server used at a time, seconds since the beginning; the gateway is its first process."""

    at: float
    pss_mib: float
    gateway_mib: float
    descriptors: int
    gateway_descriptors: int
    processes: int
    threads: int


@dataclass(frozen=True)
class Window:
    """How a part of the traffic was answered."""

    at: float
    p50_ms: float
    p99_ms: float


def main() -> int:
    """Soak, print, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=150.0, help="requests a second")
    parser.add_argument("--production", action="store_true", help="on PostgreSQL and Redis")
    parser.add_argument("--to", type=Path, default=RESULTS / "soak.json")
    parser.add_argument("--picture", type=Path, default=IMAGES / "soak.png")
    asked = parser.parse_args()
    console = Console()
    with (
        tempfile.TemporaryDirectory() as folder,
        services(postgresql=asked.production, redis=asked.production) as started,
        serving(Path(folder) / "home", **started.settings) as server,
    ):
        began, samples, seen, done = _soaked(server, asked.minutes * 60.0, asked.rate, console)
    windows = _windows(began, seen)
    promises = _promises(samples, windows, seen)
    _show(console, samples, windows, done)
    saved(
        asked.to,
        promises,
        minutes=asked.minutes,
        rate=asked.rate,
        on="PostgreSQL and Redis" if asked.production else "embedded",
        rollouts=done,
        mib_per_minute=_slope(samples),
        samples=[asdict(each) for each in samples],
        windows=[asdict(each) for each in windows],
    )
    _draw(asked.picture, samples, windows)
    return told(console, promises)


# ------------------------------------------------------------------------------------------------ soaking


def _soaked(
    server: Server, seconds: float, rate: float, console: Console
) -> tuple[float, list[Sample], list[Seen], Counter[str]]:
    with server.client() as client:
        for model in MODELS:
            models.register(client, "risk", model)
        client.deploy(NAME, VersionRef("risk", GOOD), {"auto_promote": False})
    over, done = threading.Event(), Counter[str]()
    releasing = threading.Thread(target=_release, args=(server, over, done))
    samples = []
    with sending(Order(server.port, PATH, bodies([models.KNOWN]), [(rate, ENDLESS)])) as sender:
        began = time.monotonic()
        releasing.start()
        for _ in track(range(int(seconds / EACH_S)), "soaking", console=console, disable=not sys.stdout.isatty()):
            time.sleep(EACH_S)
            samples.append(_sample(time.monotonic() - began, server.pid))
        over.set()
        releasing.join()
        time.sleep(SETTLED_S)
        samples.append(_sample(time.monotonic() - began, server.pid))
    return began, samples, sender.seen, done


def _release(server: Server, over: threading.Event, done: Counter[str]) -> None:
    """Start one canary after the other, and take it out, promote it, or let it be rolled back by itself."""
    with server.client() as client:
        for bad in itertools.cycle((RAISES, None, CRASHES, None)):
            if over.is_set():
                break
            with suppress(SerinusError):  # whatever is under way: the next one is tried
                done[_rollout(client, bad, over)] += 1
        with suppress(SerinusError):
            client.rollback(NAME, reason="the end")


def _rollout(client: DocumentClient, bad: int | None, over: threading.Event) -> str:
    baseline = VersionRef.parse(client.deployment(NAME)["baseline"]).version
    canary = bad or (ALSO_GOOD if baseline == GOOD else GOOD)
    client.start(NAME, canary, 20.0)
    over.wait(3.0)
    if client.deployment(NAME)["status"] == "stable":
        return "rolled back by itself"
    if bad is None and sum(map(ord, str(time.monotonic()))) % 2:
        client.promote(NAME, reason="soaking")
        return "promoted"
    client.rollback(NAME, reason="soaking")
    return "rolled back by hand"


def _sample(at: float, root: int) -> Sample:
    used = uses(root)
    gateway = used.get(root, Use("gateway", 0.0, 0, 0))
    return Sample(
        at=at,
        pss_mib=sum(each.pss_mib for each in used.values()),
        gateway_mib=gateway.pss_mib,
        descriptors=sum(each.descriptors for each in used.values()),
        gateway_descriptors=gateway.descriptors,
        processes=len(used),
        threads=sum(each.threads for each in used.values()),
    )


# ----------------------------------------------------------------------------------------------- verdict


def _windows(began: float, seen: Sequence[Seen]) -> list[Window]:
    found = []
    for number, several in itertools.groupby(seen, key=lambda each: int((each.sent - began) // EACH_S)):
        took = [each.ms for each in several]
        found.append(Window(number * EACH_S, quantile(took, 0.5), quantile(took, 0.99)))
    return found


def _slope(samples: Sequence[Sample]) -> float:
    """Give how much memory grows over the second half, MiB a minute, by least squares."""
    half = samples[len(samples) // 2 :]
    slope, _ = np.polyfit([each.at / 60.0 for each in half], [each.pss_mib for each in half], 1)
    return float(slope)


def _quarter(values: Sequence[float], number: int) -> float:
    """Give the median over a quarter, counted from 0."""
    quarter = len(values) // 4
    return quantile(values[number * quarter : (number + 1) * quarter], 0.5)


def _promises(samples: Sequence[Sample], windows: Sequence[Window], seen: Sequence[Seen]) -> list[Promise]:
    minutes = (samples[-1].at - samples[len(samples) // 2].at) / 60.0
    memory = [each.pss_mib for each in samples]
    growth = _slope(samples) * minutes / _quarter(memory, 2)
    p99 = [each.p99_ms for each in windows]
    slower = _quarter(p99, 3) / _quarter(p99, 1)
    failed = sum(each.status != OK for each in seen)
    descriptors = [float(each.gateway_descriptors) for each in samples]
    processes = [float(each.processes) for each in samples]
    return [
        Promise("memory over the second half", f"{growth:+.1%}", f"{GROWTH:+.0%}", growth <= GROWTH),
        _steady("descriptors of the gateway", descriptors, 2.0),
        _steady("processes", processes, 0.0),
        Promise("p99, last quarter to second", f"x {slower:.2f}", f"x {SLOWER:g}", slower <= SLOWER),
        Promise("requests that failed", f"{failed} of {len(seen)}", "0", not failed),
    ]


def _steady(what: str, values: Sequence[float], slack: float) -> Promise:
    """Promise that something does not grow from the second quarter to the last one."""
    before, after = _quarter(values, 1), _quarter(values, 3)
    return Promise(what, f"{before:g} to {after:g}", "no growth", after <= before + slack)


def _show(console: Console, samples: Sequence[Sample], windows: Sequence[Window], done: Counter[str]) -> None:
    table = Table("", "first quarter", "second", "third", "last")
    rows = {
        "PSS of all, MiB": [each.pss_mib for each in samples],
        "PSS of the gateway, MiB": [each.gateway_mib for each in samples],
        "descriptors of the gateway": [float(each.gateway_descriptors) for each in samples],
        "processes": [float(each.processes) for each in samples],
        "threads": [float(each.threads) for each in samples],
        "p50 ms": [each.p50_ms for each in windows],
        "p99 ms": [each.p99_ms for each in windows],
    }
    for name, values in rows.items():
        table.add_row(name, *(f"{_quarter(values, number):.1f}" for number in range(4)))
    console.print(table)
    console.print(f"Rollouts: {dict(done)}; memory: {_slope(samples):+.2f} MiB a minute over the second half.")


def _draw(picture: Path, samples: Sequence[Sample], windows: Sequence[Window]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (memory, counts, latency) = plt.subplots(3, 1, figsize=(9, 7.5), sharex=True, layout="constrained")
    at = [each.at / 60.0 for each in samples]
    memory.plot(at, [each.pss_mib for each in samples], label="all processes")
    memory.plot(at, [each.gateway_mib for each in samples], label="the gateway")
    memory.set(ylabel="memory (PSS), MiB", ylim=(0, None))
    counts.plot(at, [each.gateway_descriptors for each in samples], label="open descriptors of the gateway")
    counts.plot(at, [each.threads for each in samples], label="threads")
    counts.plot(at, [each.processes for each in samples], label="processes")
    counts.set(ylabel="number", ylim=(0, None))
    when = [each.at / 60.0 for each in windows]
    latency.plot(when, [each.p99_ms for each in windows], label="p99")
    latency.plot(when, [each.p50_ms for each in windows], label="p50")
    latency.set(ylabel="latency, ms", yscale="log", xlabel="minutes")
    for axes in (memory, counts, latency):
        axes.legend(loc="upper right", frameon=False)
        axes.grid(alpha=0.3)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
