"""What becomes of three times more than a server can do: the excess is refused at once, and the rest is answered.

The capacity is what 64 connections reach in a closed loop. Then requests come at their time, whatever the answers: a
third of the capacity, three times the capacity, and a third again. One model takes 5 ms for each request, so that it
is what limits; one takes next to nothing, so that the server itself is.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.proof import NAME, PATH, RESULTS, Promise, quantile, saved, services, serving, told
from bench.sender import Order, Seen, bodies, sending
from rich.console import Console
from rich.table import Table
from tests import models

from serinus.core.names import VersionRef

CONNECTIONS = 64
MOST_CONNECTIONS = 4000
TIMES = 3.0
CALM = 1 / 3
GOODPUT = 0.9
CALM_AGAIN_S = 1.0
CALM_AGAIN = 2.0
"""How many times as slow the 99th percentile may be a second after, in two short windows of a machine that others use."""
AT_ONCE_MS = 100.0
MODELS = {
    "limited by the model": (models.Risk(seconds=0.005), {"SERINUS_RUNNER_BATCH": "1"}),
    "limited by the server": (models.Risk(), {}),
}


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
        for number, (name, (model, settings)) in enumerate(MODELS.items()):
            if asked.only in name:
                console.print(f"measuring: {name}", style="dim")
                home = Path(folder) / str(number)
                found.append(_measured(home, name, model, asked.seconds, settings | started.settings))
    _show(console, found)
    promises = [promise for each in found for promise in _promises(each)]
    saved(asked.to, promises, times=TIMES, seconds=asked.seconds, models=[asdict(each) for each in found])
    return told(console, promises)


def _measured(home: Path, name: str, model: object, seconds: float, settings: dict[str, str]) -> Found:
    with serving(home, **settings) as server:
        risk, deployment = f"risk-{home.name}", f"{NAME}-{home.name}"
        with server.client() as client:
            models.register(client, risk, model)
            client.deploy(deployment, VersionRef(risk, 1))
        path, asked = f"{PATH}-{home.name}", bodies([models.KNOWN])
        order = Order(server.port, path, asked, [(0, 1.0), (0, 4.0)], CONNECTIONS)
        capacity = _rate([each for each in _sent(order) if each.part == 1], 4.0)
        calm = (capacity * CALM, 5.0)
        schedule = [(capacity * CALM, 1.0), calm, (capacity * TIMES, seconds), calm]
        order = Order(server.port, path, asked, schedule, MOST_CONNECTIONS)
        return _found(name, capacity, seconds, _sent(order))


def _sent(order: Order) -> list[Seen]:
    with sending(order) as sender:
        sender.wait(sum(seconds for _, seconds in order.schedule))
    return sender.seen


def _rate(seen: Sequence[Seen], seconds: float) -> float:
    return sum(each.status == 200 for each in seen) / seconds  # noqa: PLR2004 - HTTP's


def _found(name: str, capacity: float, seconds: float, seen: Sequence[Seen]) -> Found:
    def of(part: int, *statuses: int) -> list[Seen]:
        return [each for each in seen if each.part == part and (each.status in statuses or not statuses)]

    def ms(several: Sequence[Seen]) -> list[float]:
        return [each.ms for each in several]

    over, refused = of(2), of(2, 503)
    last = max(each.sent for each in over)
    first = min(each.sent for each in over)
    # What is answered before the overload ends: the rest of what it has begun is no throughput under it.
    good = [each for each in of(2, 200) if each.done <= last]
    again = [each for each in of(3, 200) if each.sent >= last + CALM_AGAIN_S]
    others = sorted({each.status for each in seen} - {200, 503})
    return Found(
        name=name,
        capacity=capacity,
        offered=len(over) / seconds,
        good=len(good) / (last - first),
        refused=len(refused) / seconds,
        good_p99_ms=quantile(ms(of(2, 200)), 0.99),
        refused_p50_ms=quantile(ms(refused), 0.5),
        refused_p99_ms=quantile(ms(refused), 0.99),
        calm_p99_ms=quantile(ms(of(1, 200)), 0.99),
        again_p99_ms=quantile(ms(again), 0.99),
        others={str(status): sum(each.status == status for each in seen) for status in others},
        without_retry_after=sum(not each.retry_after for each in seen if each.status == 503),  # noqa: PLR2004
    )


def _promises(found: Found) -> list[Promise]:
    good, name = found.good / found.capacity, found.name
    again = found.again_p99_ms / found.calm_p99_ms
    offered = found.offered / found.capacity
    wait = found.refused_p99_ms
    return [
        Promise(f"{name}: offered", f"x {offered:.2f}", f"x {TIMES:g}", offered > TIMES * 0.9),
        Promise(f"{name}: goodput of the capacity", f"{good:.0%}", f"{GOODPUT:.0%}", good >= GOODPUT),
        Promise(f"{name}: neither 200 nor 503", str(found.others), "{}", not found.others),
        Promise(
            f"{name}: 503 without Retry-After: 1", str(found.without_retry_after), "0", not found.without_retry_after
        ),
        Promise(f"{name}: p99 of a refusal", f"{wait:.1f} ms", f"{AT_ONCE_MS:g} ms", wait <= AT_ONCE_MS),
        Promise(f"{name}: p99 a second after", f"x {again:.2f}", f"x {CALM_AGAIN:g}", again <= CALM_AGAIN),
    ]


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
