"""How long it takes until a change of share is in force everywhere: three gateways on PostgreSQL and Redis.

Two times are measured: of commands, until each was answered (state and event saved, published, acknowledged by all
gateways); and of splits that a process of its own publishes on the same board, until all gateways have acknowledged
each. Servers and services share this machine's cores with what measures them.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table
from tests import models
from tests.production.fleet import Fleet, closing
from tests.services import PostgreSQL, Redis, SeaweedFS

from serinus.boards.redis import open_board
from serinus.client import DocumentClient
from serinus.core.names import VersionRef
from serinus.core.routing import Cut, Split

DEPLOYMENT = "bench"
CUT = Cut(at="2026-01-01T00:00:00+00:00", actor="bench")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--gateways", type=int, default=3)
    asked = parser.parse_args()
    console = Console()
    with (
        tempfile.TemporaryDirectory() as folder,
        PostgreSQL(durable=True) as postgresql,
        Redis() as redis,
        SeaweedFS() as seaweedfs,
    ):
        database = postgresql.url(postgresql.create_database())
        fleet = Fleet.on(Path(folder), database=database, redis=redis.url(), s3=seaweedfs.s3("bench"))
        with closing(fleet):
            commands = commanded(fleet, asked.gateways, asked.changes, console)
            published = asyncio.run(acknowledged(redis.url(), asked.changes))
    table = Table("from", "to", "p50 ms", "p99 ms", "most ms", title=f"{asked.changes} changes of share")
    for begin, end, seconds in (
        ("command sent", "answered: on record, and acknowledged by all", commands),
        ("published on the board", "acknowledged by all", published),
    ):
        table.add_row(begin, end, *(f"{1000 * quantile(seconds, q):.2f}" for q in (0.5, 0.99, 1.0)))
    console.print(table)
    return 0


def commanded(fleet: Fleet, gateways: int, changes: int, console: Console) -> list[float]:
    """Change the share by commands to one gateway; give the seconds that each took."""
    first, *_ = fleet.gateways(gateways)
    fleet.checker()
    fleet.register(first, models.Risk(), models.Risk())
    seconds = []
    with DocumentClient(first.url) as client:
        client.deploy(DEPLOYMENT, VersionRef("risk", 1), {"auto_promote": False, "auto_rollback": False})
        client.start(DEPLOYMENT, 2, 1.0)
        for number in track(range(changes), "changing the share", console=console, disable=not sys.stdout.isatty()):
            began = time.perf_counter()
            done = client.set_weight(DEPLOYMENT, 1.0 + (number + 1) / 100)
            seconds.append(time.perf_counter() - began)
            assert done["unacknowledged"] == [], done
    return seconds


async def acknowledged(redis_url: str, changes: int) -> list[float]:
    """Publish further splits past the store; give the seconds until all gateways have acknowledged each.

    A cut is acknowledged whatever generation the gateways have read from the store, so each is one.
    """
    board = open_board(redis_url, prefix="serinus:", on_trouble=print)
    seconds = []
    try:
        split = Split.decoded(await board.split(DEPLOYMENT))
        assert split is not None
        for number in range(1, changes + 1):
            following = replace(split, generation=split.generation + number, cut=CUT)
            began = time.perf_counter()
            await board.publish(following)
            behind = await board.unacknowledged(DEPLOYMENT, following.stamp, 2.0)
            seconds.append(time.perf_counter() - began)
            assert behind == [], behind
    finally:
        await board.close()
    return seconds


def quantile(seconds: list[float], q: float) -> float:
    """Give a quantile as one of the times measured."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


if __name__ == "__main__":
    sys.exit(main())
