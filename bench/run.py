"""`make bench`: what Serinus adds to a prediction, against the bare server with the same model, in one run.

Server and load share this machine's cores, so only the ratios mean something.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
from bench.load import Load
from bench.parts import FEATURES, INPUTS, SIGNATURE, parts
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression

from serinus.client import DocumentClient
from serinus.core.names import VersionRef
from serinus.core.signature import Signature
from serinus.formats.packing import pack

BODY = json.dumps({"features": INPUTS})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of load, each")
    asked = parser.parse_args()
    console = Console()
    costs = Table("part", "microseconds a call", title="Parts, in one process")
    for name, cost in parts().items():
        costs.add_row(name, f"{cost:.2f}")
    console.print(costs)
    with tempfile.TemporaryDirectory() as folder:
        table = serving(Path(folder), asked.seconds, console)
    console.print(table)


def serving(folder: Path, seconds: float, console: Console) -> Table:
    """Measure the bare server, Serinus with a baseline alone, and Serinus with a canary at 20 %."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(300, FEATURES))
    model = LogisticRegression().fit(X, (X[:, 0] > 0).astype(int))
    package = pack(model, signature=Signature(SIGNATURE.features, SIGNATURE.output))
    artifact = folder / "model.skops"
    artifact.write_bytes(package.data)
    table = Table("server", "connections", "req/s", "p50 ms", "p99 ms", "rate over bare", title="Over HTTP")
    bare_rates: dict[int, float] = {}
    port = free_port()
    signature = json.dumps(package.signature.encoded())
    with started([sys.executable, "-m", "bench.bare", str(artifact), signature, str(port)]):
        until_answers(port, "/predict/bench")
        for connections in (1, 8, 64):
            load = loaded(port, connections, seconds)
            bare_rates[connections] = load.per_second
            row(table, "bare uvicorn + model", connections, load, 1.0)
    port = free_port()
    with started([sys.executable, "-m", "serinus", "serve", "--port", str(port), "--home", str(folder / "home")]):
        until_answers(port, "/health/ready", "GET")
        client = DocumentClient(f"http://127.0.0.1:{port}")
        for _ in range(2):
            client.register_package("bench", package)
        client.deploy("bench", VersionRef("bench", 1), {"auto_promote": False, "auto_rollback": False})
        for name, weight in (("Serinus, baseline alone", None), ("Serinus, canary at 20 %", 20)):
            if weight is not None:
                client.start("bench", 2, weight)
            for connections in (1, 8, 64):
                load = loaded(port, connections, seconds)
                row(table, name, connections, load, load.per_second / bare_rates[connections])
                console.print(f"measured: {name}, {connections} connection(s)", style="dim")
    return table


def loaded(port: int, connections: int, seconds: float) -> Load:
    """Run the load generator in a process of its own; any failed request ends the benchmark."""
    order = {"port": port, "path": "/predict/bench", "body": BODY, "connections": connections, "seconds": seconds}
    ran = subprocess.run(
        [sys.executable, "-m", "bench.load", json.dumps(order)], check=True, capture_output=True, text=True
    )
    load = Load(**json.loads(ran.stdout))
    assert load.failed == 0, f"{load.failed} requests failed"
    return load


def row(table: Table, server: str, connections: int, load: Load, ratio: float) -> None:
    """Add a line."""
    table.add_row(
        server, str(connections), f"{load.per_second:.0f}", f"{load.p50_ms:.2f}", f"{load.p99_ms:.2f}", f"{ratio:.2f}"
    )


@contextmanager
def started(command: list[str]) -> Iterator[None]:
    """Run a sub-process that is ended with its block."""
    environment = {**os.environ, "SERINUS_LOG_FORMAT": "json"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    """Find a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def until_answers(port: int, path: str, method: str = "POST") -> None:
    """Wait until the server answers 200."""
    for _ in range(600):
        try:
            answer = httpx2.request(
                method, f"http://127.0.0.1:{port}{path}", content=BODY if method == "POST" else None
            )
        except httpx2.TransportError:
            answer = None
        if answer is not None and answer.is_success:
            return
        time.sleep(0.1)
    raise TimeoutError(f"nothing answers at port {port}")


if __name__ == "__main__":
    main()
