from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.formats.samples import heart, heart_with_strings

from serinus.core.errors import InvalidInput
from serinus.sklearn import dataset_digest, digests


def test_the_digest_stays_what_it_is() -> None:
    frame = pd.DataFrame({"age": [63, 41], "chol": [233.5, np.nan], "cp": ["typical", None]})

    assert dataset_digest(frame, [0, 1]) == "sha256:d906e85109d793062598afe7a70ea60c694492b7342189002be0dd10c47e6326"


def test_a_frame_and_the_array_of_its_values_have_one_digest() -> None:
    X, y = heart()

    assert dataset_digest(X, y) == dataset_digest(X.to_numpy(), y.to_numpy())
    assert dataset_digest(X, y) == dataset_digest(X.to_numpy().astype(object), y.astype(float).tolist())


def test_strings_bools_and_missing_values_too() -> None:
    X, y = heart_with_strings()

    assert dataset_digest(X, y) == dataset_digest(X.to_numpy(), y)
    assert dataset_digest(X, y) == dataset_digest(X.astype({"cp": "category", "age": "Int64"}), y)


def test_what_pandas_writes_for_a_missing_value_is_one() -> None:
    numbers = pd.DataFrame({"x": pd.array([1, None], dtype="Int64")})
    names = pd.DataFrame({"x": pd.array(["a", None], dtype="string")})

    assert dataset_digest(numbers) == dataset_digest([[1.0], [np.nan]])
    assert dataset_digest(names) == dataset_digest(np.array([["a"], [None]], dtype=object))


@given(arrays(np.float64, (7, 2)))
def test_each_value_matters_but_the_sign_of_zero_does_not(values: "np.ndarray[Any, Any]") -> None:
    other = values.copy()
    other[3, 1] = 1.0 if other[3, 1] != 1.0 else 2.0

    assert dataset_digest(values) != dataset_digest(other)
    assert dataset_digest(values) == dataset_digest(np.where(values == 0, 0.0, values))


@given(arrays(np.float32, (7, 2)))
def test_the_precision_that_values_are_kept_in_does_not_matter(values: "np.ndarray[Any, Any]") -> None:
    assert dataset_digest(values) == dataset_digest(values.astype(np.float64))


def test_the_order_of_columns_and_rows_matters_and_names_do_not() -> None:
    X, _ = heart()

    assert dataset_digest(X) != dataset_digest(X[X.columns[::-1]])
    assert dataset_digest(X) != dataset_digest(X.iloc[::-1])
    assert dataset_digest(X) == dataset_digest(X.rename(columns=str.upper))


def test_what_is_a_label_is_no_feature() -> None:
    X = np.arange(6.0).reshape(3, 2)

    assert len({dataset_digest(X), dataset_digest(X, X[:, 1]), dataset_digest(X[:, :1], X[:, 1])}) == 3


def test_strings_that_run_together_are_told_apart() -> None:
    assert dataset_digest([["ab", "c"]]) != dataset_digest([["a", "bc"]])


def test_whole_numbers_beyond_floats_are_told_apart() -> None:
    assert dataset_digest(np.array([[2**60]])) != dataset_digest(np.array([[2**60 + 1]]))
    assert dataset_digest(np.array([[2**64 - 1]], dtype=np.uint64)) != dataset_digest(np.array([[-1]]))


@given(st.integers(1, 10))
def test_the_pieces_it_is_taken_in_do_not_matter(size: int) -> None:
    X, y = heart_with_strings()
    whole = dataset_digest(X.head(9), y.head(9))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "_PIECE", size)
        assert dataset_digest(X.head(9), y.head(9)) == whole


@pytest.mark.parametrize(
    ("X", "y"), [([1.0, 2.0], None), ([[1.0]], [1, 2]), ([[b"bytes"]], None), ([[{}]], None), (np.zeros((2, 0)), None)]
)
def test_what_is_no_data_set_is_refused(X: object, y: object) -> None:
    with pytest.raises(InvalidInput):
        dataset_digest(X, y)
