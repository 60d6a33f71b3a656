"""A scikit-learn pipeline that registers itself when it is fitted."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Self

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from serinus.client import Client
from serinus.core.errors import InvalidInput
from serinus.sklearn.evaluation import Metrics, evaluate_model
from serinus.sklearn.registration import Registration, RegistrationFailed, prepared
from serinus.sklearn.training import Destination, Kept, Server, Validation, apart_from, digest_of, is_data, kept_of

_SHARED = ("server", "validation")
"""Parameters that a clone has in common with its original: a connection, and data that may be large."""
_TRAINING = "training_"
"""What names of scores on the training data begin with."""
_ROWS = "validation_rows"
_TWO = 2


class RegistryPipeline(Pipeline):  # type: ignore[misc]  # scikit-learn has no types
    """A ``Pipeline`` whose ``fit`` registers what was fitted, as a plain ``Pipeline`` in the skops format.

    Each fit of this object is a version of its own. A clone does not register, so what GridSearchCV, cross_val_score
    and their like fit on the way is on no record: ``search.best_estimator_.register()`` registers the one to keep.

    Args:
        steps, transform_input, memory, verbose: as of ``Pipeline``.
        model_name: the model whose next version this is.
        server: the server's URL or a ``Client`` of it; by default what SERINUS_URL says.
        validation: ``(X, y)`` that it is not fitted on; or the share of the rows given to ``fit`` that are held out, at
            random and of each class alike, before it is fitted on the others. Without it no metrics are registered.
        validation_seed: for the choice of the rows that are held out.
        register_on_fit: False, as in every clone: ``fit`` fits all that it is given, and registers nothing.
        training_scores: also register scores on the training data, as ``training_accuracy`` or ``training_r2``.
        description, tags, run_id, parent, git_commit, class_names, examples, trusted_types, onnx: see ``Destination``.

    Attributes:
        serinus_version_: ``NAME@NUMBER``, once it is registered.
        metrics_: what was measured on the validation data; empty without any.
    """

    def __init__(  # noqa: PLR0913 - scikit-learn's parameters are flat
        self,
        steps: Sequence[tuple[str, Any]],
        *,
        model_name: str,
        server: Server = None,
        validation: Validation | float | None = None,
        validation_seed: int = 0,
        register_on_fit: bool = True,
        training_scores: bool = False,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        run_id: str = "",
        parent: str = "",
        git_commit: str | None = None,
        class_names: Sequence[str] = (),
        examples: int = 8,
        trusted_types: Sequence[str] = (),
        onnx: bool = False,
        transform_input: Sequence[str] | None = None,
        memory: Any = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(steps, transform_input=transform_input, memory=memory, verbose=verbose)
        self.model_name = model_name
        self.server = server
        self.validation = validation
        self.validation_seed = validation_seed
        self.register_on_fit = register_on_fit
        self.training_scores = training_scores
        self.description = description
        self.tags = tags
        self.run_id = run_id
        self.parent = parent
        self.git_commit = git_commit
        self.class_names = class_names
        self.examples = examples
        self.trusted_types = trusted_types
        self.onnx = onnx

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Fit, measure, and register.

        Raises:
            InvalidInput: ``validation`` cannot be; nothing was fitted.
            RegistrationFailed: it is fitted and was not registered; ``register()`` tries again.
        """
        held_out = self._checked_validation(y, params) if self.register_on_fit else None
        digest = digest_of(X, y)
        if isinstance(held_out, float):
            X, y, held_out = self._parted(X, y, held_out)
        super().fit(X, y, **params)
        self._forget()
        try:
            self._learn_of(X, y, digest, held_out)
        except Exception as failure:  # noqa: BLE001 - it is fitted all the same; register() tells
            self._why_not = failure
        if self.register_on_fit:
            self.register()
        return self

    def register(self, *, validation: Validation | None = None) -> str:
        """Register the fitted pipeline, once for each fit, and give ``NAME@NUMBER``.

        ``validation`` is ``(X, y)`` to measure on first, for a pipeline that was fitted by a search; by default that of
        the pipeline, where it has data.

        Raises:
            RegistrationFailed: it was not registered. The same again registers it, and never twice.
        """
        check_is_fitted(self)
        if not hasattr(self, "serinus_version_"):
            try:
                self.serinus_version_ = self._ready(validation).carry_out(self.server)
            except Exception as failure:
                raise RegistrationFailed(failure, fitted=self, retry=self.register) from failure
            self._registration: Registration | None = None
        return self.serinus_version_

    def plain(self) -> Pipeline:
        """Give an ordinary ``Pipeline`` of the same steps, fitted if this one is."""
        return Pipeline(self.steps, transform_input=self.transform_input)

    # -- what came of the last fit -------------------------------------------------------------------

    def _forget(self) -> None:
        for name in ("serinus_version_", "metrics_", "_kept", "_why_not", "_registration", "_also"):
            self.__dict__.pop(name, None)

    def _learn_of(self, X: Any, y: Any, digest: str, held_out: Validation | None) -> None:
        plain = self.plain()
        self._also: dict[str, object] = {}
        self.metrics_ = Metrics()
        self._kept: Kept = kept_of(plain, X, digest=digest, destination=self._destination())
        if self.training_scores:
            name = "accuracy" if hasattr(plain, "classes_") else "r2"
            seen = evaluate_model(plain, X, y)
            self.metrics_ |= {f"{_TRAINING}{name}": seen[name]} if name in seen else {}
        if held_out is not None:
            self._measure(held_out)
            if isinstance(self.validation, float):
                self._also |= {"validation_share": self.validation, "validation_seed": self.validation_seed}

    def _measure(self, validation: Validation) -> None:
        measured = evaluate_model(self.plain(), *apart_from(self._kept.digest, validation))
        measured.update((name, value) for name, value in self.metrics_.items() if name.startswith(_TRAINING))
        rows = len(validation[1])
        if (measured, rows) != (self.metrics_, self._also.get(_ROWS)):
            self._registration = None
        self.metrics_, self._also[_ROWS] = measured, rows

    def _ready(self, validation: Validation | None) -> Registration:
        if not hasattr(self, "_kept"):
            raise getattr(self, "_why_not", None) or InvalidInput(
                "It is not known on which data the pipeline was fitted.", field="X", remedy="Fit it with fit(X, y)."
            )
        if validation is None and _ROWS not in self._also:
            if is_data(self.validation):
                validation = self.validation
            elif hasattr(self, "_why_not"):
                raise self._why_not
        if validation is not None:
            self._measure(validation)
        ready: Registration | None = getattr(self, "_registration", None)
        if ready is None:
            ready = prepared(
                self.plain(), self._kept, self._destination(), metrics=self.metrics_, parameters=self._also
            )
            self._registration = ready  # with its key, so that trying again registers nothing twice
        return ready

    def _destination(self) -> Destination:
        return Destination(
            self.model_name,
            self.server,
            self.description,
            self.tags or {},
            self.run_id,
            self.parent,
            self.git_commit,
            self.class_names,
            self.examples,
            self.trusted_types,
            self.onnx,
        )

    # -- validation ----------------------------------------------------------------------------------

    def _checked_validation(self, y: Any, params: Mapping[str, Any]) -> Validation | float | None:
        given = self.validation
        if given is None or is_data(given):
            return None if given is None else (given[0], given[1])
        if not isinstance(given, float) or not 0 < given < 1:
            raise InvalidInput(
                f"validation is {given!r:.80}, neither data nor a share of it.",
                field="validation",
                remedy="Give (X, y), or a number between 0 and 1 such as 0.2.",
            )
        if y is None or params:
            raise InvalidInput(
                "Rows can be held out of X and y only, not of what else is given to fit.",
                field="validation",
                remedy="Split the data before, and give validation=(X, y).",
            )
        return given

    def _parted(self, X: Any, y: Any, share: float) -> tuple[Any, Any, Validation]:
        alike = y if is_classifier(self) and np.unique(np.asarray(y), return_counts=True)[1].min() >= _TWO else None
        try:
            X, X_out, y, y_out = train_test_split(
                X, y, test_size=share, random_state=self.validation_seed, stratify=alike
            )
        except ValueError:  # fewer rows on one side than there are classes
            X, X_out, y, y_out = train_test_split(X, y, test_size=share, random_state=self.validation_seed)
        return X, y, (X_out, y_out)

    # -- copies --------------------------------------------------------------------------------------

    def __sklearn_clone__(self) -> "RegistryPipeline":
        """Give an unfitted copy that does not register: searches and cross-validation fit many of them."""
        params = self.get_params(deep=False)
        copy = type(self)(
            **{name: value if name in _SHARED else clone(value, safe=False) for name, value in params.items()}
        )
        for name in ("_metadata_request", "_sklearn_output_config"):
            if name in vars(self):
                setattr(copy, name, deepcopy(vars(self)[name]))
        copy.register_on_fit = False
        return copy

    def __getstate__(self) -> dict[str, Any]:
        """Give what is pickled: the address in place of a connection."""
        state: dict[str, Any] = dict(super().__getstate__())
        if isinstance(state.get("server"), Client):
            state["server"] = state["server"].base_url
        state.pop("_registration", None)  # it holds a connection too, and the whole model once more
        return state

    def __getitem__(self, which: Any) -> Any:
        """Give a step, or for a slice a plain ``Pipeline`` of those steps."""
        return self.plain()[which]
