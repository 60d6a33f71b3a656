"""Measures one server: from its start to its end."""

import http.client
import json
import os
import statistics
import tempfile
import time
import timeit
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.serving import model, wrk
from bench.serving.contenders import ROOT, Contender
from bench.serving.data import patients
from bench.serving.process import NotStarted, Started, started
from tests.service import free_ports

CONNECTIONS = (1, 8, 64)
START_PATIENCE_S = 120.0
WARM_S = 4
"""Ray is busy with itself for seconds after its first answer."""
POLL_S = 0.005
ADDITIONS = 500_000
QUIET = {
    "DO_NOT_TRACK": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""So that nobody reports to its maker."""
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(frozen=True)
class Plan:
    """How it is measured, and on which core."""

    seconds: int
    server_core: int


def measured(contender: Contender, kind: str, plan: Plan, models: Path) -> dict[str, Any]:
    """Start a server, measure it once over each number of connections, end it; give its numbers.

    Raises:
        NotStarted: It did not come up.
        Failed: A request was not answered, or not with the model's prediction.
    """
    if not contender.python.exists():
        raise NotStarted(f"{contender.python} is missing: make bench-serving makes it")
    held, says = model.held(contender, kind, models), model.expected(kind, models)
    bodies = [json.dumps(contender.body(row)) for row in patients()[0]]
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as place:  # short, for sockets are made in it
        folder = Path(place)
        folder.chmod(0o755)
        file = folder / "bodies"
        file.write_text("\n".join(bodies) + "\n")
        with contender.prepare(folder, held) as more:
            own = folder / "own"
            own.mkdir()
            command = contender.command(port, held, own if contender.environment else folder)
            with started(command, folder, plan.server_core, _environment(contender) | more) as server:
                start_s = _first_answer(server, port, contender.path, bodies[0])
                _check_answers(contender, port, bodies, says)
                server.check_pinned()
                loads = _loads(server, f"http://127.0.0.1:{port}{contender.path}", file, plan)
                server.check_pinned()
                pss_mib, processes = server.pss_mib(), len(server.pids())
    return {
        "name": contender.name,
        "title": contender.title,
        "kind": contender.kind,
        "model": kind,
        "at": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
        "start_s": round(start_s, 2),
        "pss_mib": round(pss_mib, 1),
        "processes": processes,
        "loads": loads,
    }


def medians(measurements: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Give a server's numbers, as they are in the results, of what was measured of it at several times."""
    last = measurements[-1]
    return last | {
        "start_s": statistics.median(each["start_s"] for each in measurements),
        "pss_mib": statistics.median(each["pss_mib"] for each in measurements),
        "loads": {
            connections: _medians([each["loads"][connections] for each in measurements])
            for connections in last["loads"]
        },
    }


def _environment(contender: Contender) -> dict[str, str]:
    path = [str(ROOT)] if contender.environment else [str(ROOT), str(ROOT / "src")]
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # there is one core
    return kept | threads | QUIET | {"PYTHONPATH": os.pathsep.join(path)}


def _loads(server: Started, url: str, bodies: Path, plan: Plan) -> dict[str, Any]:
    """Measure it warm, from few connections to many: what batches waits as long as it lately did."""
    wrk.run(url, bodies, min(CONNECTIONS), WARM_S)
    loads = {}
    for connections in CONNECTIONS:
        wrk.run(url, bodies, connections, 1)
        loads[str(connections)] = _run(server, url, bodies, connections, plan)
    return loads


def _run(server: Started, url: str, bodies: Path, connections: int, plan: Plan) -> dict[str, float]:
    core_ms = _core_ms(plan.server_core)
    before, all_before = server.cpu_s(), _busy_s(plan.server_core)
    load = wrk.run(url, bodies, connections, plan.seconds)
    spent, all_spent = server.cpu_s() - before, _busy_s(plan.server_core) - all_before
    return {
        "per_second": round(load.per_second, 1),
        "p50_ms": round(load.p50_ms, 3),
        "p99_ms": round(load.p99_ms, 3),
        "cpu_us": round(spent / load.requests * 1e6, 1),
        "others": round(max(0.0, all_spent - spent) / plan.seconds, 3),
        "core_ms": core_ms,
    }


def _medians(runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]} | {"runs": runs}


def _core_ms(core: int) -> float:
    """Say how fast a core is now: the milliseconds that a loop of additions takes on it, the quickest of a few."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        return round(min(timeit.repeat("total += 1", "total = 0", number=ADDITIONS, repeat=5)) * 1000.0, 1)
    finally:
        os.sched_setaffinity(0, mine)


def _busy_s(core: int) -> float:
    """Give how long a core has worked so far, for whomever, seconds."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _, _, irq, softirq, *_ = map(int, ticks)
            return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    raise LookupError(f"the kernel does not know core {core}")


def _first_answer(server: Started, port: int, path: str, body: str) -> float:
    """Ask until there is a 200; give the seconds since the start."""
    said: object = "nothing"
    while (took := time.perf_counter() - server.began) < START_PATIENCE_S:
        try:
            status, said = _posted(port, path, body)
        except (OSError, http.client.HTTPException):
            pass
        else:
            if status == http.HTTPStatus.OK:
                return time.perf_counter() - server.began
        if server.process.poll() is not None:
            raise NotStarted(f"it ended with {server.process.poll()}: {server.said}")
        time.sleep(POLL_S)
    raise NotStarted(f"no 200 within {took:.0f} s; it last said {said!r} and its log ends: {server.said}")


def _check_answers(contender: Contender, port: int, bodies: Sequence[str], says: Sequence[int]) -> None:
    """Make sure that what is measured is the model."""
    for body, expected in zip(bodies, says, strict=True):
        status, given = _posted(port, contender.path, body)
        if status != http.HTTPStatus.OK or contender.answer(json.loads(given)) != expected:
            raise wrk.Failed(f"{body} was answered {status} {given[:500]!r}, and the model says {expected}")


def _posted(port: int, path: str, body: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
