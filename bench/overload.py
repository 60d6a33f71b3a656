"""What becomes of three times more than a server can do: the excess is refused at once, and the rest is answered.

The capacity is what 64 connections reach in a closed loop. Where a model takes 5 ms for each request it is what limits:
requests come at their time, whatever the answers: a third of the capacity, three times the capacity, and a third again.
Beside a model that takes next to nothing the server itself limits. What it has not read it cannot refuse, so nobody can
offer more than it reads: 800 connections at once do, each with its next request as soon as it can (wrk), while a few
callers at their time see how they fare. It has the last core for itself and its model, the load has the others: what
load takes of its core would look like lost answers.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.proof import NAME, PATH, RESULTS, Promise, quantile, saved, services, serving, told
from bench.sender import ENDLESS, Order, Seen, bodies, sending
from bench.serving import wrk
from rich.console import Console
from rich.table import Table
from tests import models

from serinus.core.names import VersionRef

OK, REFUSED = 200, 503
OVER = 2
"""The part of a schedule that is too much."""
CONNECTIONS = 64
MOST_CONNECTIONS = 4000
TIMES = 3.0
CALM = 1 / 3
GOODPUT = 0.9
CALM_AGAIN_S = 1.0
CALM_AGAIN = 2.0
"""How many times as slow the 99th percentile may be then: both are of a few seconds, on a machine that others use."""
AT_ONCE_MS = 100.0
WITHIN_MS = 1000.0
"""The deadline of a prediction, by default."""
MANY = 800
PROBING = 50.0
BY_MODEL, BY_SERVER = "limited by the model", "limited by the server"


@dataclass(frozen=True)
class Found:
    """What came of one model.

    Rates are a second; milliseconds are those of answers, of refusals, and of answers a second after the overload.
    """

    name: str
    capacity: float
    offered: float
    good: float
    refused: float
    good_p99_ms: float
    refused_p50_ms: float
    refused_p99_ms: float
    calm_p99_ms: float
    again_p99_ms: float
    others: dict[str, int]
    without_retry_after: int


def main() -> int:
    """Measure, print, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="of overload")
    parser.add_argument("--only", default="", help="models whose names hold this")
    parser.add_argument("--postgresql", action="store_true", help="keep state in PostgreSQL")
    parser.add_argument("--to", type=Path, default=RESULTS / "overload.json")
    asked = parser.parse_args()
    console = Console()
    found = []
    with tempfile.TemporaryDirectory() as folder, services(postgresql=asked.postgresql) as started:
        settings = started.settings | {"SERINUS_ARTIFACTS_URL": f"file://{folder}/artifacts"}  # of one store, both
        for name, measured in ((BY_MODEL, _by_model), (BY_SERVER, _by_server)):
            if asked.only in name:
                console.print(f"measuring: {name}", style="dim")
                found.append(measured(Path(folder), asked.seconds, settings))
    _show(console, found)
    promises = [promise for each in found for promise in _promises(each)]
    saved(asked.to, promises, times=TIMES, seconds=asked.seconds, models=[asdict(each) for each in found])
    return told(console, promises)


def _by_model(folder: Path, seconds: float, settings: dict[str, str]) -> Found:
    with _deployed(folder / "model", models.Risk(seconds=0.005), SERINUS_RUNNER_BATCH="1", **settings) as (port, path):
        asked = bodies([models.KNOWN])
        order = Order(port, path, asked, [(0, 1.0), (0, 4.0)], CONNECTIONS)
        capacity = _rate([each for each in _sent(order) if each.part == 1], 4.0)
        calm = (capacity * CALM, 5.0)
        schedule = [(capacity * CALM, 1.0), calm, (capacity * TIMES, seconds), calm]
        seen = _sent(Order(port, path, asked, schedule, MOST_CONNECTIONS))
    over = [each for each in seen if each.part == OVER]
    first, last = min(each.sent for each in over), max(each.sent for each in over)
    # What is answered before the overload ends: the rest of what it has begun is no throughput under it.
    good = sum(each.status == OK and each.done <= last for each in over) / (last - first)
    refused = sum(each.status == REFUSED for each in over) / seconds
    return _found(BY_MODEL, (capacity, len(over) / seconds, good, refused), seen, last)


def _by_server(folder: Path, seconds: float, settings: dict[str, str]) -> Found:
    file = folder / "bodies"
    file.write_text("\n".join(bodies([models.KNOWN])) + "\n")
    own, *others = sorted(os.sched_getaffinity(0), reverse=True)
    with ExitStack() as stack:
        with _on({own}):  # it and its runners go on there
            port, path = stack.enter_context(_deployed(folder / "server", models.Risk(), **settings))
        stack.enter_context(_on({*others} or {own}))
        url = f"http://127.0.0.1:{port}{path}"
        wrk.counted(url, file, CONNECTIONS, 1)
        result = wrk.counted(url, file, CONNECTIONS, 4)
        capacity = result["requests"] / result["seconds"]
        with sending(Order(port, path, bodies([models.KNOWN]), [(PROBING, ENDLESS)], MOST_CONNECTIONS)) as sender:
            time.sleep(6.0)
            begun = time.monotonic()
            result = wrk.counted(url, file, MANY, int(seconds))
            ended = time.monotonic()
            time.sleep(6.0)
    parts = {0: begun - 5.0, 1: begun, 2: ended}
    for each in sender.seen:
        each.part = sum(each.sent >= at for at in parts.values())
    good = (result["requests"] - result["status"]) / result["seconds"]
    refused = result["status"] / result["seconds"]
    return _found(BY_SERVER, (capacity, good + refused, good, refused), sender.seen, ended)


@contextmanager
def _on(cores: set[int]) -> Iterator[None]:
    """Run on these cores for a while, and what is begun meanwhile for as long as it runs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _deployed(home: Path, model: object, **settings: str) -> Iterator[tuple[int, str]]:
    """Serve a model, and give the port and the path."""
    with serving(home, **settings) as server:
        risk, deployment = f"risk-{home.name}", f"{NAME}-{home.name}"
        with server.client() as client:
            models.register(client, risk, model)
            client.deploy(deployment, VersionRef(risk, 1))
        yield server.port, f"{PATH}-{home.name}"


def _sent(order: Order) -> list[Seen]:
    with sending(order) as sender:
        sender.wait(sum(seconds for _, seconds in order.schedule))
    return sender.seen


def _rate(seen: Sequence[Seen], seconds: float) -> float:
    return sum(each.status == OK for each in seen) / seconds


def _found(name: str, rates: tuple[float, float, float, float], seen: Sequence[Seen], ended: float) -> Found:
    """Sum up what callers saw in their parts: 1 is calm, 2 the overload, 3 is calm again."""

    def ms(part: int, status: int, since: float = 0.0) -> list[float]:
        return [each.ms for each in seen if each.part == part and each.status == status and each.sent >= since]

    capacity, offered, good, refused = rates
    others = Counter(each.status for each in seen if each.status not in {OK, REFUSED})
    return Found(
        name=name,
        capacity=capacity,
        offered=offered,
        good=good,
        refused=refused,
        good_p99_ms=quantile(ms(OVER, OK), 0.99),
        refused_p50_ms=quantile(ms(OVER, REFUSED), 0.5),
        refused_p99_ms=quantile(ms(OVER, REFUSED), 0.99),
        calm_p99_ms=quantile(ms(1, OK), 0.99),
        again_p99_ms=quantile(ms(3, OK, ended + CALM_AGAIN_S), 0.99),
        others={str(status): number for status, number in others.items()},
        without_retry_after=sum(not each.retry_after for each in seen if each.status == REFUSED),
    )


def _promises(found: Found) -> list[Promise]:
    good, name = found.good / found.capacity, found.name
    again = found.again_p99_ms / found.calm_p99_ms
    untold, wait = found.without_retry_after, found.good_p99_ms
    promises = [
        Promise(f"{name}: goodput of the capacity", f"{good:.0%}", f"{GOODPUT:.0%}", good >= GOODPUT),
        Promise(f"{name}: neither 200 nor 503", str(found.others), "{}", not found.others),
        Promise(f"{name}: 503 without Retry-After: 1", str(untold), "0", not untold),
        Promise(f"{name}: p99 of an answer", f"{wait:.0f} ms", f"{WITHIN_MS:g} ms", wait <= WITHIN_MS),
        Promise(f"{name}: p99 a second after", f"x {again:.2f}", f"x {CALM_AGAIN:g}", again <= CALM_AGAIN),
    ]
    if name == BY_MODEL:
        times, late = found.offered / found.capacity, found.refused_p99_ms
        promises += [
            Promise(f"{name}: offered", f"x {times:.2f}", f"x {TIMES:g}", times > TIMES * 0.9),
            Promise(f"{name}: p99 of a refusal", f"{late:.1f} ms", f"{AT_ONCE_MS:g} ms", late <= AT_ONCE_MS),
        ]
    return promises


def _show(console: Console, found: Sequence[Found]) -> None:
    columns = ("capacity/s", "offered/s", "200/s", "503/s", "200 p99 ms", "503 p50", "503 p99", "calm p99", "after")
    table = Table("model", *columns)
    for each in found:
        rates = (each.capacity, each.offered, each.good, each.refused)
        waits = (each.good_p99_ms, each.refused_p50_ms, each.refused_p99_ms, each.calm_p99_ms, each.again_p99_ms)
        table.add_row(each.name, *(f"{rate:.0f}" for rate in rates), *(f"{wait:.1f}" for wait in waits))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
