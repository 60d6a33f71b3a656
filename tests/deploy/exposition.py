"""What a server shows Prometheus, on a good day and on a bad one, served over HTTP as a server does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from serinus.core.evidence import Counts, Evidence, Key, bucket_of
from serinus.core.routing import Role
from serinus.telemetry import CheckerReading, Readings, ServedArm, TargetReading, Telemetry


@dataclass
class Day:
    """How a server does. Its counts grow with each look at them."""

    is_good: bool
    leads: bool = True
    looks: int = 0

    def readings(self) -> Readings:
        self.looks += 1
        now = datetime.now(UTC)
        good = Readings(
            evidence=self._evidence(),
            arms=(
                ServedArm("fraud", "risk@1", Role.BASELINE, 0.91),
                ServedArm("fraud", "risk@2", Role.CANARY, 0.92),
            ),
            weights={"fraud": 20.0},
            failovers={"fraud": self.looks},
            forced={"fraud": 2 * self.looks},
            log_pending=7,
            log_written=100 * self.looks,
            log_dropped=0,
            journal_bytes=2000,
            leased=True,
            rollouts={"fraud": now - timedelta(minutes=5), "spam": None},
            dependencies={"store": True, "board": True, "artifacts": True},
            checker=CheckerReading(self.leads, now, 0),
            targets={"webhook:chat": TargetReading({"delivered": self.looks}, 0)},
        )
        if self.is_good:
            return good
        return replace(
            good,
            log_pending=5000,
            log_dropped=3 * self.looks,
            leased=False,
            rollouts={"fraud": now - timedelta(days=2)},
            dependencies={"store": False, "board": True, "artifacts": True},
            checker=CheckerReading(self.leads, now - timedelta(minutes=2), 10 * self.looks, ("fraud",)),
            targets={"webhook:chat": TargetReading({"failed": self.looks}, 3)},
        )

    def _evidence(self) -> Evidence:
        failures = 1 if self.is_good else 40 * self.looks
        requests = 100 * self.looks
        latency = {bucket_of(4.0): requests // 2, bucket_of(40.0): requests - requests // 2}
        asked = Counts(requests, failures, failures, 3 * self.looks, failures, latency, 22.0 * requests)
        silent = Counts() if not self.is_good else asked
        return {
            Key("fraud:1", "risk@1", 1, Role.BASELINE): asked,
            Key("fraud:1", "risk@2", 1, Role.CANARY): silent,
        }


@contextmanager
def shown(day: Day) -> Iterator[str]:
    """Serve a day's metrics at a port of this machine; gives HOST:PORT."""
    telemetry = Telemetry(day.readings)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = telemetry.exposition()
            self.send_response(200)
            self.send_header("Content-Type", telemetry.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
