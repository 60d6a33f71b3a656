"""A decorator for training functions: the model that one returns is registered."""

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from serinus.core.errors import InvalidInput
from serinus.sklearn.evaluation import evaluate_model
from serinus.sklearn.pipeline import RegistryPipeline
from serinus.sklearn.registration import Registration, RegistrationFailed, prepared
from serinus.sklearn.training import Destination, Server, Trained, Validation, apart_from, digest_of, kept_of

P = ParamSpec("P")
R = TypeVar("R")

_FEATURES, _LABELS = ("X", "X_train"), ("y", "y_train")
"""Parameters of a training function that hold its data."""
_TWO = 2


def register_on_fit(  # noqa: PLR0913 - all by keyword
    *,
    model_name: str,
    server: Server = None,
    validation: Validation | None = None,
    description: str = "",
    tags: Mapping[str, str] | None = None,
    run_id: str = "",
    parent: str = "",
    git_commit: str | None = None,
    class_names: Sequence[str] = (),
    examples: int = 8,
    trusted_types: Sequence[str] = (),
    onnx: bool = False,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Register the model that a training function returns, each time it is called.

    The function, ``def`` or ``async def``, returns a fitted model; or that and ``(X, y)`` to measure it on; or
    ``Trained``, to say more; its caller gets the same. What it was fitted on is read from its arguments ``X`` and ``y``
    (or ``X_train`` and ``y_train``), if ``Trained`` does not say it. The model gets ``serinus_version_``
    (``NAME@NUMBER``) and ``serinus_metrics_``. Without validation data no metrics are registered but those that
    ``Trained`` brings.

    Args:
        validation: ``(X, y)`` for every call. The others: see ``Destination``.

    Raises:
        RegistrationFailed: by the function: the model is fitted (``error.fitted``), and was not registered.
    """
    destination = Destination(
        *(model_name, server, description, tags or {}, run_id, parent, git_commit, class_names, examples),
        *(trusted_types, onnx),
    )

    def decorate(train: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(train)

        def register(returned: object, args: Any, given: Any) -> None:
            said = _said(returned)
            told = _told(said, signature.bind(*args, **given).arguments, validation)
            parted_inside = said.X is None and said.validation is not None and told.X is not None
            _Registering(told, destination, parted_inside=parted_inside).version()

        @wraps(train)
        def train_now(*args: P.args, **given: P.kwargs) -> R:
            returned = train(*args, **given)
            register(returned, args, given)
            return returned

        @wraps(train)
        async def train_async(*args: P.args, **given: P.kwargs) -> object:
            returned: object = await cast("Any", train(*args, **given))
            await asyncio.to_thread(register, returned, args, given)
            return returned

        return cast("Callable[P, R]", train_async) if inspect.iscoroutinefunction(train) else train_now

    return decorate


def _said(returned: object) -> Trained[Any]:
    if isinstance(returned, Trained):
        return returned
    if isinstance(returned, tuple) and len(returned) == _TWO:
        return Trained(returned[0], validation=returned[1])
    return Trained(returned)


def _told(said: Trained[Any], arguments: Mapping[str, Any], validation: Validation | None) -> Trained[Any]:
    return replace(
        said,
        X=_first(said.X, arguments, _FEATURES),
        y=_first(said.y, arguments, _LABELS) if said.X is None else said.y,
        validation=said.validation if said.validation is not None else validation,
    )


def _first(said: Any, arguments: Mapping[str, Any], names: Sequence[str]) -> Any:
    return said if said is not None else next((arguments[name] for name in names if name in arguments), None)


class _Registering:
    """The registration of what one call returned; it can be tried again.

    ``parted_inside``: the function held rows out of the data that it was given, nobody knows how many.
    """

    def __init__(self, told: Trained[Any], destination: Destination, *, parted_inside: bool) -> None:
        self._told = told
        self._destination = destination
        self._parted_inside = parted_inside
        self._ready: Registration | None = None

    def version(self) -> str:
        """Register the model, and give ``NAME@NUMBER``."""
        model = self._told.model
        try:
            if self._ready is None:
                self._ready = self._made_ready()
            model.serinus_version_ = self._ready.carry_out(self._destination.server)
            model.serinus_metrics_ = dict(self._ready.about["metrics"])
        except Exception as failure:
            raise RegistrationFailed(failure, fitted=model, retry=self.version) from failure
        return str(model.serinus_version_)

    def _made_ready(self) -> Registration:
        told, wanted = self._told, self._destination
        if told.X is None:
            raise InvalidInput(
                "It is not known on which data the model was fitted.",
                field="X",
                remedy="Call the training data X and y in the function's parameters, or return Trained(model, X, y).",
            )
        model = told.model.plain() if isinstance(told.model, RegistryPipeline) else told.model
        digest = digest_of(told.X, told.y)
        metrics = {} if told.validation is None else evaluate_model(model, *apart_from(digest, told.validation))
        metrics |= told.metrics
        also = {} if told.validation is None else {"validation_rows": len(told.validation[1])}
        destination = replace(wanted, run_id=told.run_id or wanted.run_id, parent=told.parent or wanted.parent)
        kept = kept_of(model, told.X, digest=digest, destination=destination)
        if self._parted_inside:
            kept = replace(kept, rows=None)
        return prepared(model, kept, destination, metrics=metrics, parameters={**also, **told.parameters})
