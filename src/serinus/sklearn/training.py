"""What is known of a fit besides the model: what is kept of its data, and what is said of the version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeGuard, TypeVar

from serinus.client import Client
from serinus.client.packing import sample_of
from serinus.core.errors import InvalidInput
from serinus.core.signature import Signature
from serinus.sklearn.digests import dataset_digest

if TYPE_CHECKING:
    import pandas as pd

M = TypeVar("M")
Server = str | Client | None
"""The URL of a server or a client of it; None for what SERINUS_URL says."""
PROOF_ROWS = 1000
"""Rows of the training data that are kept to compare a converted model with its original."""
Validation = tuple[Any, Any]
"""X and y that the model is not fitted on."""


@dataclass(frozen=True, slots=True)
class Trained(Generic[M]):
    """What a training function can return in place of the model, to say more.

    ``X`` and ``y`` are what the model was fitted on, ``validation`` what it was not; ``metrics`` and ``parameters`` are
    added to those that are found out.
    """

    model: M
    X: Any = None
    y: Any = None
    validation: Validation | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)
    run_id: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a version is registered, and what is said of each that is.

    Args:
        model_name: the model's. server: its URL, a Client, or None for what SERINUS_URL says.
        git_commit: None: that of the work tree of the current folder.
        class_names: for people. examples: rows to keep. trusted_types: that a skops file may hold besides its own.
        onnx: registered is what the model was converted to, if that is proved on up to 1000 of the rows that it was
        fitted on to answer as before; otherwise nothing is.
    """

    model_name: str
    server: Server = None
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    run_id: str = ""
    parent: str = ""
    git_commit: str | None = None
    class_names: Sequence[str] = ()
    examples: int = 8
    trusted_types: Sequence[str] = ()
    onnx: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of training data: the signature, a few rows, the digest, and how many rows there were, if known."""

    signature: Signature
    sample: "pd.DataFrame"
    digest: str
    rows: int | None


def kept_of(model: Any, X: Any, *, digest: str, destination: Destination) -> Kept:
    """Look at the data that a model was fitted on.

    Raises:
        InvalidInput: no signature can be read from it.
    """
    count = max(destination.examples, PROOF_ROWS) if destination.onnx else destination.examples
    signature, sample = sample_of(X, model, count=count, class_names=destination.class_names)
    return Kept(signature, sample, digest, len(X))


def digest_of(X: Any, y: Any) -> str:
    """Give the digest of a data set; "" where it holds what none is defined for."""
    try:
        return dataset_digest(X, y)
    except (InvalidInput, ValueError, TypeError):
        return ""


def is_data(validation: object) -> TypeGuard[Validation]:
    """Say whether it is ``(X, y)``."""
    return isinstance(validation, tuple | list) and len(validation) == 2  # noqa: PLR2004 - X and y


def apart_from(training: str, validation: object) -> Validation:
    """Give validation data that is not the data set whose digest is ``training``.

    Raises:
        InvalidInput: it is, and what is measured on it would say nothing of new data; or it is no ``(X, y)``.
    """
    if not is_data(validation):
        raise InvalidInput(
            f"The validation data is {validation!r:.80}.", field="validation", remedy="Give (X, y), or none."
        )
    X, y = validation
    if training and digest_of(X, y) == training:
        raise InvalidInput(
            "The validation data is what the model was fitted on.",
            field="validation",
            remedy="Hold rows out before the fit, and give those; or give none.",
        )
    return X, y
