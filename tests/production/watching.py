"""What a test sees of a fleet from outside: metrics, the prediction log, how each gateway divides its traffic."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.request import ProxyHandler, build_opener

import psycopg
from redis import Redis
from tests.production.fleet import Fleet
from tests.server import PATIENCE_S, Server

_DIRECT = build_opener(ProxyHandler({}))  # which costs less than a client that is made for each look


@dataclass(frozen=True, slots=True)
class Logged:
    """A row of the prediction log."""

    id: str
    rollout: str
    role: str


def logged(fleet: Fleet, deployment: str) -> list[Logged]:
    """Read the prediction log of a deployment, oldest first."""
    with psycopg.connect(fleet.settings["SERINUS_DATABASE_URL"]) as connection:
        rows = connection.execute(
            "SELECT id, rollout, role FROM predictions WHERE deployment = %s ORDER BY at, id", [deployment]
        )
        return [Logged(*row) for row in rows]


def by_role(rows: Iterable[Logged], rollout: str) -> dict[str, int]:
    """Count what was asked in a rollout."""
    counts = Counter(row.role for row in rows if row.rollout == rollout)
    return {role: counts[role] for role in ("baseline", "canary")}


def readings(url: str) -> dict[str, float]:
    """Read a server's /metrics: values by series, as those are written there."""
    with _DIRECT.open(f"{url}/metrics", timeout=PATIENCE_S) as answer:
        lines = answer.read().decode().splitlines()
    return {series: float(value) for series, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def shares(server: Server, deployments: Iterable[str]) -> dict[str, float]:
    """Give the percentage that a gateway gives to each canary at this moment."""
    found = readings(server.url)
    return {name: found.get(f'canary_traffic_pct{{deployment="{name}"}}', 0.0) for name in deployments}


def waiting(servers: Iterable[Server]) -> float:
    """Count the predictions that are not in the log yet."""
    return sum(readings(server.url)["serinus_prediction_log_pending"] for server in servers)


def splits(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """Read what the board keeps for each deployment."""
    with Redis.from_url(fleet.settings["SERINUS_REDIS_URL"], decode_responses=True) as board:
        kept: dict[str, str] = board.hgetall(f"{fleet.settings['SERINUS_REDIS_PREFIX']}splits")
    return {name: json.loads(text) for name, text in kept.items()}


def generation_and_share(document: Mapping[str, Any]) -> tuple[int, float]:
    """Give the two of a split on the board, or of a deployment as the API describes it."""
    if "cut" in document:
        return document["generation"], document["weight"] if document["cut"] is None else 0.0
    return document["generation"], 0.0 if document["status"] == "stable" else document["rollout"]["weight"]
