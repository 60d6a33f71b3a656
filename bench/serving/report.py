"""The results as tables."""

from typing import Any

from bench import way
from bench.parts import parts
from rich.console import Console
from rich.table import Table

Server = dict[str, Any]
MEASURES = ("per_second", "p50_ms", "p99_ms", "cpu_us")
NOISY = 0.05
"""The part of the server's core that others had, from which a number is marked."""


def show(console: Console, results: dict[str, Any]) -> None:
    """Print every server's numbers, the ratios, and what failed."""
    for model in models_of(results):
        servers = [server for server in results["servers"] if server["model"] == model]
        console.print(_throughput(model, servers))
        console.print(_latency(model, servers))
        if any(server["kind"] == "serinus" for server in servers):
            console.print(_ratios(model, servers))
    if any(_is_noisy(load) for server in results["servers"] for load in server["loads"].values()):
        console.print(f"~ others had more than {NOISY:.0%} of the server's core meanwhile: measure again when idle")
    console.print("loop, ms: what a loop of additions took on the server's core: the more, the slower it was just then")
    for failure in results["failed"]:
        console.print(f"{failure['name']}, {failure['model']}: {failure['reason']}", style="red", markup=False)


def show_parts(console: Console) -> None:
    """Print what each part of Serinus costs."""
    table = Table("part of Serinus", title="The cost of each part, in one process")
    table.add_column("µs a call", justify="right")
    for name, cost in (parts() | way.steps()).items():
        table.add_row(name, f"{cost:.2f}")
    table.add_row("all that is ours, on the way of a request, without HTTP, model and runner", f"{way.whole():.2f}")
    console.print(table)


def in_short(server: Server) -> str:
    """Give a line."""
    loads = server["loads"]
    rates = " / ".join(f"{loads[connections]['per_second']:.0f}" for connections in loads)
    return f"{rates} requests/s over {' / '.join(loads)} connections"


def models_of(results: dict[str, Any]) -> list[str]:
    """Give the forms of the model that were measured."""
    return list(dict.fromkeys(server["model"] for server in results["servers"]))


def against(servers: list[Server], connections: str) -> list[tuple[str, Server]]:
    """Give whom Serinus is held against: the peer with the most requests a second, and each bare server."""
    peers = [server for server in servers if server["kind"] == "peer"]
    best = sorted(peers, key=lambda server: -server["loads"][connections]["per_second"])[:1]
    bare = [server for server in servers if server["kind"] == "bare"]
    return [("best peer", server) for server in best] + [("limit", server) for server in bare]


def _throughput(model: str, servers: list[Server]) -> Table:
    connections = list(servers[0]["loads"])
    table = Table(title=f"Requests a second over {_or(connections)} connections, {model}")
    table.add_column("server")
    costs = f"CPU µs each, {connections[-1]}"
    for name in (*connections, costs, "MiB", "processes", "first answer, s", "loop, ms"):
        table.add_column(name, justify="right")
    for server in servers:
        loads = server["loads"]
        rates = (f"{'~' * _is_noisy(loads[each])}{loads[each]['per_second']:.0f}" for each in connections)
        cost = f"{loads[connections[-1]]['cpu_us']:.0f}"
        speed = max(load.get("core_ms", 0.0) for load in loads.values())
        rest = (cost, f"{server['pss_mib']:.0f}", str(server["processes"]), f"{server['start_s']:.1f}")
        rest = (*rest, f"{speed:.0f}" if speed else "")
        table.add_row(server["title"], *rates, *rest, style=_style(server))
    return table


def _latency(model: str, servers: list[Server]) -> Table:
    connections = list(servers[0]["loads"])
    table = Table(title=f"Milliseconds over {_or(connections)} connections, {model}")
    table.add_column("server")
    for name in ("p50", "p99"):
        for each in connections:
            table.add_column(f"{name}, {each}", justify="right")
    for server in servers:
        loads = server["loads"]
        times = (f"{loads[each][name]:.2f}" for name in ("p50_ms", "p99_ms") for each in connections)
        table.add_row(server["title"], *times, style=_style(server))
    return table


def _ratios(model: str, servers: list[Server]) -> Table:
    table = Table("", "over", "whose", title=f"Serinus over others, {model}")
    for name in ("connections", "requests/s", "p50", "p99", "CPU each"):
        table.add_column(name, justify="right")
    for mine in (server for server in servers if server["kind"] == "serinus"):
        for connections, load in mine["loads"].items():
            for says, rival in against(servers, connections):
                theirs = rival["loads"][connections]
                ratios = (f"{load[each] / theirs[each]:.2f}" for each in MEASURES)
                table.add_row(mine["title"], says, rival["title"], connections, *ratios)
    return table


def _is_noisy(load: dict[str, Any]) -> bool:
    return bool(load["others"] > NOISY)


def _style(server: Server) -> str:
    return {"serinus": "bold", "bare": "dim"}.get(server["kind"], "")


def _or(connections: list[str]) -> str:
    return f"{', '.join(connections[:-1])} or {connections[-1]}"
