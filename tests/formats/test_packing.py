import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from skl2onnx import to_onnx
from sklearn.cluster import Birch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from tests.formats.samples import heart, heart_with_strings, mixed_pipeline, rows_of, signature_of, values_of

from serinus.core.errors import ContractBroken, FormatRefused, InvalidInput
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.formats import Formats
from serinus.formats.packing import pack, pack_file


class Careless:
    """A model of one's own that answers what it was told to, and remembers nothing of it when pickled."""

    def __init__(self, answers: Any) -> None:
        self.answers = answers

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.answers)


class Forgetful(Careless):
    def __getstate__(self) -> dict[str, Any]:
        return {"answers": 0.0}


def mixed() -> tuple[Any, pd.DataFrame, Any]:
    X, y = heart_with_strings()
    return mixed_pipeline().fit(X, y), X, y


def test_a_packed_pipeline_answers_as_it_did_and_describes_itself() -> None:
    model, X, y = mixed()

    package = pack(model, X.assign(num=y), target="num", class_names=["well", "ill"])

    assert package.format == "skops"
    assert package.signature.output == Output(OutputKind.CLASS, (0, 1), ("well", "ill"))
    assert package.signature.features == signature_of(X, model).features
    assert len(package.examples) == 8
    loaded = Formats().load(package.data, package.format, package.signature)
    assert values_of(loaded.predict(rows_of(X))) == model.predict(X).tolist()


@pytest.mark.parametrize("format_", ["joblib", "pickle"])
def test_a_model_is_pickled_only_where_that_is_allowed(format_: str) -> None:
    model, X, _ = mixed()

    assert pack(model, X, format=format_, allow_pickle=True).format == format_
    with pytest.raises(FormatRefused, match="SERINUS_ALLOW_PICKLE"):
        pack(model, X, format=format_)


@pytest.mark.parametrize("extension", [".skops", ".joblib", ".pkl", ".pickle"])
def test_a_model_file_is_packed_by_its_extension(extension: str, tmp_path: Path) -> None:
    model, X, _ = mixed()
    path = tmp_path / f"model{extension}"
    if extension == ".skops":
        skops.io.dump(model, path)
    elif extension == ".joblib":
        joblib.dump(model, path)
    else:
        path.write_bytes(pickle.dumps(model))

    package = pack_file(path, X, allow_pickle=True)

    assert package.data == path.read_bytes()
    assert package.signature == signature_of(X, model)


def test_an_onnx_model_takes_its_classes_from_the_target() -> None:
    X, y = heart()
    model = RandomForestClassifier(5).fit(X.to_numpy(dtype=np.float32), y)
    graph = to_onnx(model, X.to_numpy(dtype=np.float32)[:1])

    package = pack(graph, X.assign(num=y), target="num")

    assert package.format == "onnx"
    assert package.data == graph.SerializeToString()
    assert package.signature.output == Output(OutputKind.CLASS, (0, 1))
    assert any(None in row for row in package.examples)


def test_an_onnx_file_of_a_regressor_predicts_a_number(tmp_path: Path) -> None:
    X, _ = heart()
    X = X[["age", "chol"]]
    graph = to_onnx(LinearRegression().fit(X.to_numpy(), X["age"]), X.to_numpy(dtype=np.float32)[:1])
    (tmp_path / "model.onnx").write_bytes(graph.SerializeToString())

    package = pack_file(tmp_path / "model.onnx", X)

    assert package.signature.output == Output(OutputKind.NUMBER)


def test_bytes_are_packed_as_the_format_that_is_named() -> None:
    model, X, _ = mixed()
    data = skops.io.dumps(model)

    assert pack(data, X, format="skops").data == data
    with pytest.raises(InvalidInput, match="do not say"):
        pack(data, X)


def test_a_signature_stands_in_for_data() -> None:
    model, X, _ = mixed()

    package = pack(model, signature=signature_of(X, model))

    assert package.examples == ()


def test_a_signature_may_say_more_than_the_data_does() -> None:
    model, X, _ = mixed()
    found = signature_of(X, model)
    wider = Signature(tuple(Feature(f.name, f.dtype, nullable=True) for f in found.features), found.output)

    package = pack(model, X, signature=wider)

    assert package.signature == wider
    assert len(package.examples) == 8


def test_a_model_trained_on_an_array_is_packed_with_the_frame_it_came_from() -> None:
    X, y = heart()
    X = X.fillna(0.0)

    package = pack(GaussianNB().fit(X.to_numpy(), y), X.assign(num=y), target="num")

    assert package.signature.names == tuple(X.columns)


def test_a_packed_model_holds_no_example_if_none_is_wanted() -> None:
    model, X, _ = mixed()

    assert pack(model, X, examples=0).examples == ()


def test_nothing_to_read_the_inputs_from_is_refused() -> None:
    model, _, _ = mixed()

    with pytest.raises(InvalidInput, match="training data") as refused:
        pack(model)

    assert refused.value.code == "SERINUS-INVALID"


@pytest.mark.parametrize(
    ("path", "reason"), [("absent.skops", "cannot be read"), ("model.h5", "does not say of which model format")]
)
def test_a_file_that_cannot_be_packed_is_refused(path: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "model.h5").write_bytes(b"")

    with pytest.raises(InvalidInput, match=reason):
        pack_file(tmp_path / path, np.zeros((1, 1)))


def test_an_estimator_does_not_become_onnx_by_itself() -> None:
    model, X, _ = mixed()

    with pytest.raises(FormatRefused, match="onnx=True"):
        pack(model, X, format="onnx")


def test_a_model_that_skops_cannot_save_is_refused() -> None:
    X = np.arange(20.0).reshape(10, 2)

    with pytest.raises(FormatRefused, match="Birch cannot be saved as skops"):
        pack(Birch(n_clusters=2).fit(X), X)


def test_a_model_with_a_function_that_is_not_trusted_is_refused_before_it_is_sent() -> None:
    X, y = heart()
    model = make_pipeline(FunctionTransformer(np.nan_to_num), GaussianNB()).fit(X, y)

    with pytest.raises(FormatRefused, match="SERINUS_TRUSTED_TYPES"):
        pack(model, X)
    assert pack(model, X, trusted_types=["numpy.nan_to_num"]).format == "skops"


@pytest.mark.parametrize("answer", [float("nan"), float("inf"), "high", None], ids=["nan", "inf", "string", "none"])
def test_a_model_that_answers_no_number_breaks_its_contract(answer: Any) -> None:
    with pytest.raises(ContractBroken, match="example row 0") as broken:
        pack(Careless(answer), np.zeros((3, 1)), format="pickle", allow_pickle=True)

    assert broken.value.field == "examples.0"


def test_a_packed_model_that_answers_otherwise_breaks_its_contract() -> None:
    with pytest.raises(ContractBroken, match=r"answers 0\.0, the model itself 7\.0"):
        pack(Forgetful(7.0), np.zeros((3, 1)), format="pickle", allow_pickle=True)


def test_an_example_that_does_not_fit_the_signature_is_refused() -> None:
    model, X, _ = mixed()
    found = signature_of(X, model)
    features = tuple(Feature(f.name, f.dtype if f.name != "age" else Dtype.STR, f.nullable) for f in found.features)

    with pytest.raises(InvalidInput, match="age should be a string"):
        pack(model, X, signature=Signature(features, found.output))
