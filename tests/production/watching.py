"""What a test sees of a fleet from outside: metrics, the prediction log, how each gateway divides its traffic."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from tests.production.fleet import Fleet
from tests.server import Server


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


def metric(server: Server, series: str) -> float:
    """Read one series of a server's /metrics, written as it stands there; 0 if there is none."""
    with server.http() as http:
        lines = http.get("/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == series), 0.0)


def share(server: Server, deployment: str) -> float:
    """Give the percentage that a gateway gives to the canary at this moment."""
    return metric(server, f'canary_traffic_pct{{deployment="{deployment}"}}')


def waiting(servers: Iterable[Server]) -> float:
    """Count the predictions that are not in the log yet."""
    return sum(metric(server, "serinus_prediction_log_pending") for server in servers)
