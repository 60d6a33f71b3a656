"""What the proofs have in common: a server as it is, promises that are kept or broken, results on disk."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from tests.server import Server, environment
from tests.services import PostgreSQL, Redis

RESULTS = Path(__file__).with_name("results")
NAME = "prod"
PATH = f"/predict/{NAME}"


@dataclass(frozen=True)
class Promise:
    """Something that was promised, and whether it was kept."""

    what: str
    measured: str
    wanted: str
    kept: bool


@dataclass(frozen=True)
class Services:
    """The servers of others that a proof has started, where it did, and the settings that name them."""

    settings: dict[str, str]
    postgresql: PostgreSQL | None = None
    redis: Redis | None = None


@contextmanager
def services(*, postgresql: bool = False, redis: bool = False) -> Iterator[Services]:
    """Start PostgreSQL and Redis where they are asked for."""
    with ExitStack() as stack:
        database = stack.enter_context(PostgreSQL(durable=True)) if postgresql else None
        board = stack.enter_context(Redis()) if redis else None
        settings = {"SERINUS_HASH_KEY": "no secret at all, but long enough for a key"}
        if database is not None:
            settings["SERINUS_DATABASE_URL"] = database.url(database.create_database())
        if board is not None:
            settings["SERINUS_REDIS_URL"] = board.url()
        yield Services(settings, database, board)


def begun(home: Path, port: int = 0, **settings: str) -> Server:
    """Start a server as a user does, and give it at once."""
    home.parent.mkdir(parents=True, exist_ok=True)
    log = home.parent / f"{home.name}.log"
    command = [sys.executable, "-m", "serinus", "serve", "--home", str(home), "--port", str(port)]
    # Libraries' threads are left as they are by default, and models of the tests' modules can be loaded.
    asked = {"SERINUS_ALLOW_PICKLE": "true", "SERINUS_LOG_FORMAT": "json"} | settings
    inherited = {name: value for name, value in environment(**asked).items() if not name.endswith("_NUM_THREADS")}
    with log.open("ab") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr, env=inherited)
    return Server(process, home, log)


@contextmanager
def serving(home: Path, port: int = 0, **settings: str) -> Iterator[Server]:
    """Run a server until the block ends."""
    server = begun(home, port, **settings)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.kill()


def quantile(values: Sequence[float], share: float) -> float:
    """Give a quantile of some values; of none, nan."""
    return float(np.quantile(np.asarray(values), share)) if values else float("nan")


def told(console: Console, promises: Sequence[Promise]) -> int:
    """Show what was promised and what is; give the exit code."""
    table = Table("promise", "measured", "promised", "", title="Promises")
    for each in promises:
        verdict = "[green]kept[/]" if each.kept else "[red]broken[/]"
        table.add_row(each.what, each.measured, each.wanted, verdict)
    console.print(table)
    return int(not all(each.kept for each in promises))


def saved(to: Path, promises: Sequence[Promise], **results: Any) -> None:
    """Write results; what was not measured is null."""
    to.parent.mkdir(parents=True, exist_ok=True)
    document = {"cores": os.cpu_count(), **results, "promises": [asdict(each) for each in promises]}
    to.write_text(json.dumps(_numbered(document), indent=1, allow_nan=False) + "\n")


def _numbered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _numbered(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_numbered(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
