"""The results as tables."""

from collections.abc import Iterable
from typing import Any

from bench.parts import parts
from rich.console import Console
from rich.table import Table

Server = dict[str, Any]
NOISY = 0.05
"""The part of the server's core that others had, from which a number is marked."""


def show(console: Console, results: dict[str, Any]) -> None:
    """Print every server's numbers, the ratios, and what failed."""
    for kind in dict.fromkeys(server["model"] for server in results["servers"]):
        servers = [server for server in results["servers"] if server["model"] == kind]
        console.print(_numbers(kind, servers))
        console.print(_ratios(kind, servers))
    for failure in results["failed"]:
        console.print(f"{failure['name']}, {failure['model']}: {failure['reason']}", style="red", markup=False)


def show_parts(console: Console) -> None:
    """Print what each part of Serinus costs."""
    table = Table("part of Serinus", "µs a call", title="The cost of each part, in one process")
    for name, cost in parts().items():
        table.add_row(name, f"{cost:.2f}")
    console.print(table)


def in_short(server: Server) -> str:
    """Give a line."""
    loads = server["loads"]
    rates = " / ".join(f"{loads[connections]['per_second']:.0f}" for connections in loads)
    return f"{rates} requests/s over {' / '.join(loads)} connections"


def _numbers(kind: str, servers: list[Server]) -> Table:
    connections = list(servers[0]["loads"])
    wide = " / ".join(connections)
    table = Table(title=f"Model: {kind}. Requests over {wide} connections; ~: others had some of the core")
    for column in ("server", "requests/s", "p50 ms", "p99 ms", "CPU µs each", "MiB", "start s"):
        table.add_column(column, justify="left" if column == "server" else "right")
    for server in servers:
        loads = [server["loads"][each] for each in connections]
        noisy = "~" if any(load["others"] > NOISY for load in loads) else ""
        table.add_row(
            server["title"],
            noisy + _joined(f"{load['per_second']:.0f}" for load in loads),
            _joined(f"{load['p50_ms']:.2f}" for load in loads),
            _joined(f"{load['p99_ms']:.2f}" for load in loads),
            _joined(f"{load['cpu_us']:.0f}" for load in loads),
            f"{server['pss_mib']:.0f}",
            f"{server['start_s']:.1f}",
        )
    return table


def _ratios(kind: str, servers: list[Server]) -> Table:
    table = Table("Serinus over", "connections", "whose", "requests/s", "p50", "p99", title=f"Ratios, {kind}")
    serinus = [server for server in servers if server["kind"] == "serinus"]
    for mine in serinus:
        for connections, load in mine["loads"].items():
            for says, rivals in against(servers, connections):
                theirs = rivals["loads"][connections]
                ratios = (f"{load[each] / theirs[each]:.2f}" for each in ("per_second", "p50_ms", "p99_ms"))
                table.add_row(says, connections, rivals["title"], *ratios)
    return table


def against(servers: list[Server], connections: str) -> list[tuple[str, Server]]:
    """Give whom Serinus is held against: the peer with the most requests a second, and each bare server."""
    peers = [server for server in servers if server["kind"] == "peer"]
    best = sorted(peers, key=lambda server: -server["loads"][connections]["per_second"])[:1]
    bare = [server for server in servers if server["kind"] == "bare"]
    return [("best peer", server) for server in best] + [("bare", server) for server in bare]


def _joined(numbers: Iterable[str]) -> str:
    return " / ".join(numbers)
