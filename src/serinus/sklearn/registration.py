"""One registration: made ready once, and carried out once, however often it is tried."""

import getpass
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from serinus.client import Client, calls
from serinus.client.calls import About
from serinus.client.packing import pack
from serinus.client.provenance import head_commit
from serinus.core.errors import SerinusError
from serinus.core.records import Lineage, Package
from serinus.sklearn.evaluation import Metrics
from serinus.sklearn.parameters import parameters_of
from serinus.sklearn.training import Destination, Kept, Server


class RegistrationFailed(SerinusError):
    """The model is fitted, and is not registered.

    ``fitted`` is the model. ``retry()`` tries again, and gives ``NAME@NUMBER``; where the server has registered it and
    only its answer was lost, nothing is registered twice. ``__cause__`` is what went wrong.
    """

    code = "SERINUS-REGISTRATION"
    title = "The model is fitted, and is not registered"

    def __init__(self, cause: Exception, *, fitted: Any, retry: Callable[[], str]) -> None:
        """Say what went wrong, and keep what was fitted."""
        said = cause.message if isinstance(cause, SerinusError) else f"{type(cause).__name__}: {cause}"
        remedy = getattr(cause, "remedy", "")
        super().__init__(
            f"The model is fitted, and is not registered: {said}",
            field=getattr(cause, "field", ""),
            remedy=f"{remedy} Then register what is fitted with retry() of this error.".strip(),
        )
        self.fitted = fitted
        self.retry = retry


@dataclass(frozen=True, slots=True)
class Registration:
    """A version that is ready to be registered, under a key by which the server knows it again."""

    model_name: str
    package: Package
    about: About
    key: str = field(default_factory=lambda: uuid4().hex)

    def carry_out(self, server: Server) -> str:
        """Register the version, and give ``NAME@NUMBER``; the same one again if it has been registered already.

        Raises:
            UnreachableError, ApiError: as those of a client.
        """
        with _client(server) as client:
            stored = client.send(calls.put_artifact(self.package.data))
            create = calls.create_version(self.model_name, stored.digest, self.package, self.about)
            return client.send(create, key=self.key).ref


def prepared(
    model: Any,
    kept: Kept,
    destination: Destination,
    *,
    metrics: Mapping[str, float],
    parameters: Mapping[str, object],
) -> Registration:
    """Pack a fitted model with all that is known of it.

    Raises:
        SerinusError: it cannot be packed; see ``serinus.formats.packing.pack``.
    """
    package = pack(
        model,
        kept.sample,
        signature=kept.signature,
        examples=destination.examples,
        trusted_types=destination.trusted_types,
        onnx=destination.onnx,
    )
    left_out = metrics.left_out if isinstance(metrics, Metrics) else {}
    commit = head_commit() if destination.git_commit is None else destination.git_commit
    rows = {} if kept.rows is None else {"training_rows": kept.rows}
    about = About(
        metrics=dict(metrics),
        parameters={**parameters_of(model), **rows, **parameters},
        tags={**{name: f"left out: {why}" for name, why in left_out.items()}, **destination.tags},
        description=destination.description,
        lineage=Lineage(kept.digest, destination.run_id, commit, destination.parent),
    )
    return Registration(destination.model_name, package, about)


@contextmanager
def _client(server: Server) -> Iterator[Client]:
    if isinstance(server, Client):
        yield server
    else:
        with Client(server, actor=_user()) as client:
            yield client


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container whose user has no name
        return ""
