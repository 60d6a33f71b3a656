"""A classifier with a feature of each kind, for the tests of other protocols; a server imports it from here."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tests.models import pickled

from serinus.client import DocumentClient
from serinus.core.names import VersionRef
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature

CLINIC = VersionRef("clinic", 1)
AGES = Feature("age", Dtype.INT), Feature("chol", Dtype.FLOAT, nullable=True)
SIGNATURE = Signature(
    (*AGES, Feature("city", Dtype.STR), Feature("smokes", Dtype.BOOL)),
    Output(OutputKind.CLASS, (0, 1), ("well", "ill")),
)
PATIENTS: list[dict[str, Any]] = [
    {"age": 63, "chol": 233.5, "city": "Zürich", "smokes": True},
    {"age": 41, "chol": None, "city": "Bern", "smokes": False},
    {"age": 29, "chol": 180.0, "city": "Basel", "smokes": True},
]
PREDICTED = [1, 0, 1]
CONFIDENCE = [0.8, 0.6, 0.8]


@dataclass(frozen=True)
class Clinic:
    """Says that those who smoke are ill; it is surer of that than of the opposite."""

    def predict(self, X: Any) -> Any:
        return np.array([int(bool(row[3])) for row in np.asarray(X, dtype=object)])

    def predict_proba(self, X: Any) -> Any:
        return np.array([[0.2, 0.8] if ill else [0.6, 0.4] for ill in self.predict(X)])


@dataclass(frozen=True)
class Terse:
    """Says the same, and not how sure it is."""

    def predict(self, X: Any) -> Any:
        return Clinic().predict(X)


@dataclass(frozen=True)
class Unsure:
    """Answers with a word where the others have a number."""

    def predict(self, X: Any) -> Any:
        return np.array(["unsure"] * len(X))


def register_clinic(client: DocumentClient) -> None:
    """Register the classifier, and as the next versions the terse one and the one that is unsure."""
    for model in (Clinic(), Terse()):
        client.register_package(CLINIC.model, pickled(model, SIGNATURE))
    client.register_package(CLINIC.model, pickled(Unsure(), replace(SIGNATURE, output=Output(OutputKind.CLASS))))
