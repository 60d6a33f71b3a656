"""Numbers for people; `pytest -rP` shows them."""

import sys


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def milliseconds(seconds: list[float]) -> str:
    """Sum up latencies."""
    ordered = sorted(seconds)
    quantiles = {name: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for name, share in SHARES.items()}
    shown = ", ".join(f"{name} {value * 1000:.1f}" for name, value in quantiles.items())
    return f"{len(ordered)} requests, ms: {shown}, max {ordered[-1] * 1000:.1f}"


SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
