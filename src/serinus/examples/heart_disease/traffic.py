"""The callers: real requests over several connections, and what each of them got."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from types import TracebackType
from typing import Self

import httpx2

from serinus.client import calls

RATE = 120.0
"""Requests a second that the callers send together, as far as the server keeps up."""
CONNECTIONS = 4
PATIENCE_S = 5.0
OK = 200


@dataclass(slots=True)
class Tally:
    """What the callers got in one phase.

    ``statuses`` counts HTTP statuses, and "no answer"; ``answered`` the answers that a version gave to requests of its
    own; ``failovers`` the answers that the baseline gave for the canary.
    """

    statuses: Counter[int | str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    failovers: int = 0

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return self.statuses.total()

    @property
    def failed(self) -> int:
        """How many callers got no prediction."""
        return self.requests - self.statuses[OK]

    def __add__(self, other: "Tally") -> "Tally":
        """Add up two phases."""
        return Tally(self.statuses + other.statuses, self.answered + other.answered, self.failovers + other.failovers)


class Traffic:
    """Sends requests about the patients, one after the other and from the first again, while the block runs."""

    def __init__(self, url: str, deployment: str, patients: Sequence[Mapping[str, object]]) -> None:
        asked = [calls.predict(deployment, features) for features in patients]
        self._url = url
        self._path = asked[0].path
        self._bodies = cycle([json.dumps(call.json).encode() for call in asked])
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._tallies = [Tally()]
        self._callers = [
            threading.Thread(target=self._call, args=(number,), name=f"caller {number}", daemon=True)
            for number in range(CONNECTIONS)
        ]

    def __enter__(self) -> Self:
        """Begin."""
        for caller in self._callers:
            caller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; every request that was sent has been counted."""
        self.stop()

    def stop(self) -> None:
        """Send no more, and wait for the answers that are due."""
        self._over.set()
        for caller in self._callers:
            caller.join(2 * PATIENCE_S)

    def phase(self) -> Tally:
        """Begin a new phase: every request that is sent from now on counts there."""
        fresh = Tally()
        with self._lock:
            self._tallies.append(fresh)
        return fresh

    def total(self) -> Tally:
        """Add up all phases."""
        with self._lock:
            return sum(self._tallies, Tally())

    def _call(self, number: int) -> None:
        # A proxy that is set for the world must not be asked for this machine.
        with httpx2.Client(base_url=self._url, timeout=PATIENCE_S, trust_env=False) as http:
            for _ in self._beats(number):
                with self._lock:
                    body, tally = next(self._bodies), self._tallies[-1]
                self._count(tally, *_asked(http, self._path, body))

    def _beats(self, number: int) -> Iterator[None]:
        """Tick at this caller's share of the rate, without catching up on what was missed."""
        step = CONNECTIONS / RATE
        due = time.monotonic() + step * number / CONNECTIONS
        while not self._over.wait(max(0.0, due - time.monotonic())):
            yield
            due = max(due + step, time.monotonic())

    def _count(self, tally: Tally, status: int | str, answer: Mapping[str, object]) -> None:
        with self._lock:
            tally.statuses[status] += 1
            if status == OK and answer.get("failover"):
                tally.failovers += 1
            elif status == OK:
                tally.answered[str(answer.get("model_version"))] += 1


def _asked(http: httpx2.Client, path: str, body: bytes) -> tuple[int | str, Mapping[str, object]]:
    try:
        answer = http.post(path, content=body, headers={"content-type": "application/json"})
        return answer.status_code, answer.json() if answer.status_code == OK else {}
    except (httpx2.HTTPError, ValueError):
        return "no answer", {}
