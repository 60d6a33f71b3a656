"""Models that harm whatever runs them: the processor, the memory, the process itself. They are sent as pickles.

Never ask one of them in a process that matters. Those that come to an answer are right.
"""

import ctypes
import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

MIB = 2**20


@dataclass(frozen=True)
class Works:
    """Computes for about ``seconds``, as a model does."""

    seconds: float

    def predict(self, X: Any) -> Any:
        matrix, until = np.full((40, 40), 0.5), time.perf_counter() + self.seconds
        while time.perf_counter() < until:
            matrix = np.tanh(matrix @ matrix)
        return _risk(X)


@dataclass(frozen=True)
class Spins:
    """Runs Python code for ``seconds``, whatever else there is to do."""

    seconds: float

    def predict(self, X: Any) -> Any:
        until = time.perf_counter() + self.seconds
        while time.perf_counter() < until:
            pass
        return _risk(X)


@dataclass(frozen=True)
class HoldsLock:
    """Computes in one call of C, during which no other thread of its process runs Python; ten million take 0.3 s."""

    numbers: int = 10_000_000

    def predict(self, X: Any) -> Any:
        sum(range(self.numbers))
        return _risk(X)


@dataclass(frozen=True)
class Allocates:
    """Takes ``mib`` of memory, and writes to all of it."""

    mib: int

    def predict(self, X: Any) -> Any:
        return _risk(X) + 0 * np.ones(self.mib * MIB // 8)[-1]


@dataclass
class Leaks:
    """Keeps ``mib`` more memory with each call."""

    mib: int

    def predict(self, X: Any) -> Any:
        _kept.append(np.ones(self.mib * MIB // 8))
        return _risk(X)


_kept: list[Any] = []


@dataclass(frozen=True)
class ReadsNothing:
    """Reads where there is no memory, which ends the process by SIGSEGV."""

    def predict(self, X: Any) -> Any:
        return ctypes.string_at(0)


@dataclass(frozen=True)
class Exits:
    """Ends the process at once, and nothing that Python does at its end is done."""

    code: int = 3

    def predict(self, X: Any) -> Any:
        os._exit(self.code)


def _risk(X: Any) -> Any:
    return np.asarray(X)[:, 0] / 100.0
