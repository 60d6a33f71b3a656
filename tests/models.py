"""Models for tests: quick ones that are right, ones that misbehave, and ones that tell of the process they are in.

They are sent as pickles, which name their classes here: `tests.server` lets a server import them.
"""

import ctypes
import os
import pickle
import resource
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from serinus.client import DocumentClient
from serinus.core.names import VersionRef
from serinus.core.records import Package
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

AGE, CHOL = Feature("age", Dtype.INT), Feature("chol", Dtype.FLOAT)
STABLE = VersionRef("risk", 1)
"""The baseline that most tests begin with."""
KNOWN = {"age": 63, "chol": 233.0}
"""Features that every model here takes."""
NUMBER = Signature((AGE, CHOL), Output(OutputKind.NUMBER))
NARROW = Signature((AGE,), Output(OutputKind.NUMBER))
CLASS = Signature((AGE, CHOL), Output(OutputKind.CLASS, (0, 1)))


@dataclass(frozen=True)
class Risk:
    """Answers with a number, after ``seconds``; loading it takes ``loading`` seconds."""

    seconds: float = 0.0
    loading: float = 0.0

    def predict(self, X: Any) -> Any:
        if self.seconds:
            time.sleep(self.seconds)
        return np.asarray(X)[:, 0] / 100.0

    def __setstate__(self, state: dict[str, float]) -> None:
        time.sleep(state["loading"])
        self.__dict__.update(state)


@dataclass(frozen=True)
class Answers:
    """Answers with the same, whatever it is asked."""

    answer: Any

    def predict(self, X: Any) -> Any:
        return self.answer


@dataclass(frozen=True)
class Raises:
    """Raises, whatever it is asked."""

    def predict(self, X: Any) -> Any:
        raise ArithmeticError("the weights are gone")


@dataclass(frozen=True)
class FailsBelow:
    """Raises where the first feature is less than ``limit``, and is right elsewhere."""

    limit: float

    def predict(self, X: Any) -> Any:
        first = np.asarray(X)[:, 0]
        if (first < self.limit).any():
            raise ArithmeticError("too young for this model")
        return first / 100.0


@dataclass(frozen=True)
class Leaves:
    """Ends the program, if nobody holds it back."""

    def predict(self, X: Any) -> Any:
        raise SystemExit(3)


@dataclass(frozen=True)
class Ill:
    """Does what ``how`` says (see ``_ILLNESSES``) where the first feature is ``at``, and is right elsewhere.

    It answers with the first feature itself.
    """

    how: str
    at: float = -1.0

    def predict(self, X: Any) -> Any:
        first = np.asarray(X)[:, 0]
        if (first == self.at).any():
            _ILLNESSES[self.how]()
        return first


@dataclass(frozen=True)
class Repeats:
    """Answers with a text of so many characters."""

    length: int

    def predict(self, X: Any) -> Any:
        return np.array(["y" * self.length] * len(X), dtype=object)


class Shy(Exception):
    """An exception that does not print."""

    def __str__(self) -> str:
        message = "no"
        raise RuntimeError(message)


def _raise(failure: BaseException) -> Any:
    raise failure


def _garble(data: bytes) -> None:
    for number in range(3, 64):
        with suppress(OSError):
            os.write(number, data)


_ILLNESSES: "MappingProxyType[str, Callable[[], Any]]" = MappingProxyType(
    {
        "segfaults": lambda: ctypes.string_at(0),
        "exits": lambda: os._exit(3),
        "is killed": lambda: os.kill(os.getpid(), 9),
        "leaves": lambda: sys.exit(3),
        "raises": lambda: _raise(ValueError("x is odd")),
        "interrupts": lambda: _raise(KeyboardInterrupt()),
        "stops": lambda: _raise(StopIteration("end")),
        "is shy": lambda: _raise(Shy()),
        "says much": lambda: _raise(RuntimeError("y" * 1000)),
        "says what cannot be written": lambda: _raise(RuntimeError("\ud800")),
        "hangs": lambda: time.sleep(600.0),
        "takes all memory": lambda: np.ones(2**40),
        "garbles": lambda: _garble(b"\x05\0\0\0\x01\0\0\0\x03\0\0\0\x01\0\0\0" + b"\xc1" * 5),
        "floods": lambda: _garble(b"\xff\xff\xff\xff" * 4),
    }
)


@dataclass(frozen=True)
class IllAtLoading:
    """Does what ``how`` says when it is loaded; with ``once``, a file's name, in the first process that does."""

    how: str
    once: str = ""

    def predict(self, X: Any) -> Any:
        return np.asarray(X)[:, 0]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.once:
            try:
                Path(self.once).touch(exist_ok=False)
            except FileExistsError:
                time.sleep(0.2)  # the other one has ended by then
                return
        _ILLNESSES[self.how]()


@dataclass(frozen=True)
class Tells:
    """Answers with a fact about the process it is in, by name (see ``_FACTS``); ``port`` is one to connect to."""

    fact: str
    port: int = 0

    def predict(self, X: Any) -> Any:
        return np.array([str(_FACTS[self.fact](self.port))] * len(X))


TEXT = Signature((AGE, CHOL), Output(OutputKind.CLASS))
"""What ``Tells`` takes and gives."""


def _connected(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5.0).close()
    except OSError:
        return False
    return True


def _open_files() -> list[str]:
    listed = []
    for number in sorted(map(int, os.listdir("/proc/self/fd"))):  # noqa: PTH208 - names, which are numbers
        with suppress(OSError):  # the folder itself, which was open meanwhile
            listed.append(f"{number} {os.readlink(f'/proc/self/fd/{number}').partition(':')[0]}")  # noqa: PTH115
    return listed


def _threads_of_libraries() -> list[int]:
    from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

    np.ones((8, 8)) @ np.ones((8, 8))
    return [library["num_threads"] for library in threadpool_info()]


_FACTS: "MappingProxyType[str, Callable[[int], object]]" = MappingProxyType(
    {
        "pid": lambda _: os.getpid(),
        "parent": lambda _: os.getppid(),
        "environment": lambda _: sorted(os.environ),
        "first environment": lambda _: Path("/proc/self/environ").read_bytes(),
        "files": lambda _: _open_files(),
        "connects": _connected,
        "core": lambda _: resource.getrlimit(resource.RLIMIT_CORE)[0],
        "threads": lambda _: [os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")],
        "threads of libraries": lambda _: _threads_of_libraries(),
        "input": lambda _: sys.stdin.read() if sys.stdin else "",
    }
)


HANGS = Risk(seconds=10.0)
BAD_ANSWERS: dict[str, Any] = {
    "nan": np.array([np.nan]),
    "infinite": np.array([np.inf]),
    "wrong-shape": np.array([1.0, 2.0]),
    "empty": np.array([]),
    "none": None,
    "text": np.array(["ill"]),
}


def pickled(model: object, signature: Signature = NUMBER) -> Package:
    """Pack a model of this module."""
    return Package(pickle.dumps(model), "pickle", signature)


def register(client: DocumentClient, name: str, model: object, **about: Any) -> str:
    """Register a model of this module as the next version of ``name``, and give its reference."""
    reference: str = client.register_package(name, pickled(model), **about)["ref"]
    return reference


def classifier() -> tuple["LogisticRegression", np.ndarray[Any, Any]]:
    """Fit a real, small scikit-learn model; gives it with its training data, whose columns are x0 and x1."""
    from sklearn.linear_model import LogisticRegression

    draws = np.random.default_rng(7)
    X = draws.normal(size=(200, 2))
    return LogisticRegression().fit(X, (X[:, 0] + X[:, 1] > 0).astype(int)), X
