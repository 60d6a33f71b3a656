"""What was answered is in the prediction log, once and in order, whatever ends in between.

Three ordeals, each under load: the server is killed (SIGKILL) again and again, and the next one goes on in its home;
PostgreSQL is stopped for a while; and it is stopped while the journal has little room, so that some is dropped, and
counted. An answer counts as given when its caller has all of it. What is logged besides was under way when a server was
killed.
"""

import argparse
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg
from bench.proof import NAME, PATH, RESULTS, Promise, begun, saved, services, serving, told
from bench.sender import ENDLESS, Order, Seen, bodies, sending
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tests import models
from tests.production.watching import readings
from tests.server import Server, eventually
from tests.service import free_ports
from tests.services import PostgreSQL

from serinus.core.names import VersionRef

CONNECTIONS = 32
LITTLE_ROOM = 200_000
OK = 200


@dataclass(frozen=True)
class Found:
    """What came of an ordeal, in predictions.

    ``unheard``: logged, while the caller has no whole answer; ``under_way``: requests without one. ``out_of_order``:
    those that stand in the log before one that the same connection had an answer to earlier.
    """

    name: str
    answered: int
    logged: int
    dropped: int
    missing: int
    twice: int
    unheard: int
    under_way: int
    out_of_order: int
    refused: int


def main() -> int:
    """Put the server through all of it, print, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--outage", type=float, default=60.0, help="seconds that PostgreSQL is stopped")
    parser.add_argument("--rate", type=float, default=150.0, help="requests a second")
    parser.add_argument("--to", type=Path, default=RESULTS / "lossless.json")
    asked = parser.parse_args()
    console = Console()
    found = []
    with tempfile.TemporaryDirectory() as folder, services(postgresql=True) as started:
        assert started.postgresql is not None
        found.append(_killed(Path(folder) / "killed", asked.kills, asked.rate, console))
        for name, room in (("PostgreSQL stopped", 0), ("little room besides", LITTLE_ROOM)):
            console.print(f"{name} for {asked.outage:g} s ...", style="dim")
            database = started.postgresql.create_database()
            settings = started.settings | {"SERINUS_DATABASE_URL": started.postgresql.url(database)}
            settings |= {"SERINUS_JOURNAL_BYTES": str(room)} if room else {}
            home = Path(folder) / database
            found.append(_without(started.postgresql, database, home, name, asked.outage, asked.rate, settings))
    _show(console, found)
    promises = [promise for each in found for promise in _promises(each)]
    saved(
        asked.to,
        promises,
        kills=asked.kills,
        outage_s=asked.outage,
        rate=asked.rate,
        ordeals=[asdict(each) for each in found],
    )
    return told(console, promises)


def _deploy(server: Server) -> None:
    with server.client() as client:
        for _ in range(2):
            models.register(client, "risk", models.Risk())
        client.deploy(NAME, VersionRef("risk", 1), {"auto_rollback": False, "auto_promote": False})
        client.start(NAME, 2, 20.0)


def _order(port: int, rate: float) -> Order:
    return Order(port, PATH, bodies([models.KNOWN]), [(rate, ENDLESS)], CONNECTIONS)


# ---------------------------------------------------------------------------------------------- ordeals


def _killed(home: Path, kills: int, rate: float, console: Console) -> Found:
    """Kill the server again and again while it answers."""
    (port,) = free_ports(1)
    server = begun(home, port)
    try:
        server.wait_until_ready()
        _deploy(server)
        with sending(_order(port, rate)) as sender:
            for _ in track(range(kills), "kills", console=console, disable=not sys.stdout.isatty()):
                time.sleep(1.0)
                server.kill()
                server = begun(home, port)
                server.wait_until_ready()
            time.sleep(1.0)
        _until_logged(server)
        # Journals that were left behind are taken over, one after the other.
        assert eventually(lambda: len(list((home / "journal").glob("*/*"))) == 1), "a journal is left"
    finally:
        server.terminate()
    with closing(sqlite3.connect(server.database)) as database:
        logged = database.execute("SELECT id, rowid FROM predictions").fetchall()
    return _found(f"killed {kills} times", sender.seen, logged, 0)


def _without(
    postgresql: PostgreSQL, database: str, home: Path, name: str, outage_s: float, rate: float, settings: dict[str, str]
) -> Found:
    """Stop PostgreSQL for a while."""
    with serving(home, **settings) as server:
        _deploy(server)
        with sending(_order(server.port, rate)) as sender:
            time.sleep(2.0)
            postgresql.stop("immediate")
            time.sleep(outage_s)
            postgresql.start()
            time.sleep(3.0)
        _until_logged(server)
        dropped = int(readings(server.url)["serinus_prediction_log_dropped_total"])
    with psycopg.connect(postgresql.url(database)) as connection:
        # In which order the rows of one transaction were written is not told: where they lie is where there was room.
        rows = connection.execute("SELECT id, xmin::text::bigint FROM predictions").fetchall()
    return _found(name, sender.seen, rows, dropped)


def _until_logged(server: Server) -> None:
    assert eventually(lambda: readings(server.url)["serinus_prediction_log_pending"] == 0), "predictions still wait"


# ----------------------------------------------------------------------------------------------- verdict


def _found(name: str, seen: Sequence[Seen], rows: Sequence[tuple[str, int]], dropped: int) -> Found:
    """Compare what callers have with rows of the log, each with a number that grows as it is written."""
    answered = [each for each in seen if each.status == OK]
    ids = {each.id for each in answered}
    logged = [identity for identity, _ in rows]
    there = set(logged)
    return Found(
        name=name,
        answered=len(answered),
        logged=len(logged),
        dropped=dropped,
        missing=len(ids - there),
        twice=sum(number - 1 for number in Counter(logged).values()),
        unheard=len(there - ids),
        under_way=sum(each.status == 0 for each in seen),
        out_of_order=_out_of_order(answered, dict(rows)),
        refused=sum(each.status not in {0, OK} for each in seen),
    )


def _out_of_order(answered: Sequence[Seen], places: Mapping[str, int]) -> int:
    """Count what is logged before what the same connection was answered earlier: it was sent after that."""
    last: dict[int, int] = {}
    wrong = 0
    for each in sorted(answered, key=lambda each: each.done):
        place = places.get(each.id)
        if place is not None:
            wrong += place < last.get(each.connection, -1)
            last[each.connection] = place
    return wrong


def _promises(found: Found) -> list[Promise]:
    name = found.name
    lost, unheard = f"{found.missing} of {found.answered}", f"{found.unheard}"
    return [
        Promise(f"{name}: answered, not logged", lost, f"{found.dropped} dropped", found.missing == found.dropped),
        Promise(f"{name}: logged twice", str(found.twice), "0", not found.twice),
        Promise(f"{name}: out of order", str(found.out_of_order), "0", not found.out_of_order),
        Promise(f"{name}: logged, not heard", unheard, f"<= {found.under_way}", found.unheard <= found.under_way),
        Promise(f"{name}: refused", str(found.refused), "0", not found.refused),
    ]


def _show(console: Console, found: Sequence[Found]) -> None:
    table = Table("ordeal", "answered", "logged", "dropped", "missing", "twice", "unheard", "under way", "disordered")
    for each in found:
        counts = (each.answered, each.logged, each.dropped, each.missing, each.twice, each.unheard, each.under_way)
        table.add_row(each.name, *map(str, counts), str(each.out_of_order))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
