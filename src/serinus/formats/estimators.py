"""A fitted scikit-learn estimator, or anything with its ``predict``, as a model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serinus.core.answers import RawOutput
from serinus.core.rows import Rows
from serinus.core.signature import OutputKind, Signature
from serinus.formats.shortcuts import is_ordinary, look_only_at_what_they_are_given, without_looking
from serinus.formats.structure import estimators, parts
from serinus.formats.tables import table_for
from serinus.formats.threads import allowed

_TIE = 1e-9
"""Probabilities that differ by less may stand in another order than the scores that they were made of."""


class EstimatorModel:
    """Predicts with an estimator, on one thread.

    Steps before the last are run once for both predictions and probabilities. Predictions come from ``predict``
    itself, unless the last step is known to take the most probable class (``_takes_most_probable``): SVC and
    classifiers with a threshold of their own do not. Of those that do, some compare scores of which probabilities are
    made by rounding: where two classes are as probable as each other, up to ``_TIE``, these are asked by ``predict``.

    Steps that would look whether what they are given is finite, and find it so, are spared the look.

    Raises:
        FormatRefused: the estimator was fitted on other features than those of the signature.
    """

    def __init__(self, estimator: object, signature: Signature) -> None:
        self._table = table_for(estimator, signature)
        self.takes_matrix = self._table.of_floats
        _take_back_n_jobs(estimator)
        self._openmp = _openmp()
        self._transformers, self._final = _unwrapped(estimator)
        classifies = signature.output.kind is OutputKind.CLASS
        self._has_probabilities = classifies and callable(getattr(self._final, "predict_proba", None))
        self._by_scores = self._has_probabilities and _is_one_of(self._final, _compare_scores())
        self._takes_most_probable = self._by_scores or (
            self._has_probabilities and _is_one_of(self._final, _take_most_probable())
        )
        self._may_go_unlooked = look_only_at_what_they_are_given(self._transformers, self._final)

    def predict(self, rows: Rows) -> RawOutput:
        """Predict for rows in training order; raises what the estimator raises."""
        with _few_threads(self._openmp):
            X = self._table.of(rows)
            if self._may_go_unlooked and is_ordinary(X):
                found = self._of_ordinary(X)
                if found is not None:
                    return found
            for transformer in self._transformers:
                X = transformer.transform(X)
            return self._of_transformed(X)

    def _of_ordinary(self, X: Any) -> RawOutput | None:
        """Predict without looking for what is not finite; None where a step makes such of it."""
        with without_looking():
            for transformer in self._transformers:
                X = transformer.transform(X)
                if not is_ordinary(X):
                    return None
            return self._of_transformed(X)

    def _of_transformed(self, X: Any) -> RawOutput:
        if not self._has_probabilities:
            return RawOutput(_flat(self._final.predict(X)))
        probabilities = np.asarray(self._final.predict_proba(X))
        if self._takes_most_probable and not (self._by_scores and _has_tie(probabilities)):
            return RawOutput(self._final.classes_[probabilities.argmax(axis=1)], probabilities)
        return RawOutput(_flat(self._final.predict(X)), probabilities)


def _unwrapped(estimator: Any) -> tuple[list[Any], Any]:
    """Give the transformers of a pipeline and its last step, as its ``predict`` would go through them."""
    if not isinstance(estimator, estimators()):
        return [], estimator

    from sklearn.model_selection._search import BaseSearchCV
    from sklearn.pipeline import Pipeline

    if isinstance(estimator, BaseSearchCV):
        return _unwrapped(estimator.best_estimator_)
    if type(estimator) is not Pipeline:
        return [], estimator
    *before, (_, last) = estimator.steps
    transformers, final = _unwrapped(last)
    return [step for _, step in before if step is not None and step != "passthrough"] + transformers, final


def _is_one_of(final: object, kinds: set[type[Any]]) -> bool:
    return type(final) in kinds and isinstance(getattr(final, "classes_", None), np.ndarray)


def _take_most_probable() -> set[type[Any]]:
    """Give those whose ``predict`` is ``classes_[predict_proba.argmax()]`` in scikit-learn's own source."""
    if not estimators():
        return set()

    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import BaggingClassifier, ExtraTreesClassifier, RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier

    return {
        BaggingClassifier,
        CalibratedClassifierCV,
        DecisionTreeClassifier,
        ExtraTreesClassifier,
        RandomForestClassifier,
    }


def _compare_scores() -> set[type[Any]]:
    """Give those whose ``predict`` takes the greatest score, of which ``predict_proba`` makes a growing function."""
    if not estimators():
        return set()

    from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    return {GradientBoostingClassifier, HistGradientBoostingClassifier, LogisticRegression}


def _has_tie(probabilities: NDArray[Any]) -> bool:
    if probabilities.shape[1] < 2:  # noqa: PLR2004 - there is nothing to be as probable as
        return False
    first, second = np.partition(probabilities, -2, axis=1)[:, -2:].T
    return bool((abs(first - second) < _TIE).any())


def _take_back_n_jobs(estimator: object) -> None:
    """Take back ``n_jobs``: handing one row to a pool costs more than predicting it."""
    for part, _ in parts(estimator):
        if isinstance(getattr(part, "__dict__", {}).get("n_jobs"), int):
            vars(part)["n_jobs"] = 1


def _openmp() -> Sequence[Any]:
    """Find the OpenMP libraries that are loaded; histogram boosting and neighbours use them whatever n_jobs is."""
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    controllers: Sequence[Any] = ThreadpoolController().select(user_api="openmp").lib_controllers
    return controllers


@contextmanager
def _few_threads(openmp: Sequence[Any]) -> Iterator[None]:
    """Let OpenMP use as many threads as are allowed for the calling thread, as it was before afterwards.

    One row on a busy machine of two cores took up to 146 ms with OpenMP's own threads, 1 ms without; this costs 3 µs.
    """
    few = allowed()
    before = [(library, threads) for library in openmp if (threads := library.get_num_threads()) != few]
    for library, _ in before:
        library.set_num_threads(few)
    try:
        yield
    finally:
        for library, threads in before:
            library.set_num_threads(threads)


def _flat(values: object) -> NDArray[Any]:
    array = np.asarray(values)
    return array[:, 0] if array.shape[1:] == (1,) else array
