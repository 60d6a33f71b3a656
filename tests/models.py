"""Models for the tests of running servers: quick ones that are right, and ones that misbehave.

They are sent as pickles, which name their classes here: `tests.server` lets a server import them.
"""

import pickle
import time
from dataclasses import dataclass
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
