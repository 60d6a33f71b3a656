"""Runs wrk, the one generator of load, and refuses a measurement in which anything failed."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("post.lua")
ERRORS = ("connect", "read", "write", "timeout", "status")
PATIENCE_S = 60


class Failed(RuntimeError):
    """What was measured is not worth a number; the message says why."""


@dataclass(frozen=True)
class Load:
    """What came of a run: answers a second, and milliseconds at the 50th and the 99th percentile."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float


def run(url: str, bodies: Path, connections: int, seconds: int) -> Load:
    """Post the bodies in turn, each connection its next one when it has the answer to the last.

    Raises:
        Failed: A connection failed, an answer was late or was none of success, or there were none at all.
    """
    result = counted(url, bodies, connections, seconds)
    wrong = {kind: result[kind] for kind in ERRORS if result[kind]}
    if wrong or not result["requests"]:
        raise Failed(f"of {result['requests']} requests over {connections} connection(s) some failed: {wrong}")
    per_second = result["requests"] / result["seconds"]
    return Load(int(result["requests"]), per_second, result["p50_ms"], result["p99_ms"])


def counted(url: str, bodies: Path, connections: int, seconds: int) -> dict[str, float]:
    """Do the same, and give what the script counts, whatever failed.

    Raises:
        Failed: wrk is not there, or did not come to its end.
    """
    program = shutil.which("wrk")
    if program is None:
        raise Failed("wrk is not installed. On Debian or Ubuntu: sudo apt-get install wrk")
    shape = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "10s"]
    command = [program, *shape, "--latency", "--script", str(SCRIPT), url, "--", str(bodies)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=seconds + PATIENCE_S, check=False)
    said = [line for line in ran.stdout.splitlines() if line.startswith("RESULT ")]
    if ran.returncode != 0 or not said:
        raise Failed(f"wrk ended with {ran.returncode}: {(ran.stderr or ran.stdout)[-500:]}")
    result: dict[str, float] = json.loads(said[-1].removeprefix("RESULT "))
    return result
