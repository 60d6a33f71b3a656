import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import pytest
from sklearn.linear_model import LogisticRegression
from tests.formats.samples import heart, rows_of, signature_of

from serinus.core.errors import FormatRefused
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.formats import Formats

ANY_SIGNATURE = Signature((Feature("x", Dtype.FLOAT),), Output(OutputKind.NUMBER))


class Malice:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


class Adder:
    """A model of one's own."""

    def predict(self, X: "list[list[float]]") -> list[float]:
        return [sum(row) for row in X]


def refusal(formats: Formats, name: str, data: bytes = b"") -> FormatRefused:
    with pytest.raises(FormatRefused) as refused:
        formats.load(data, name, ANY_SIGNATURE)
    return refused.value


def test_importing_the_formats_imports_no_machine_learning_library() -> None:
    heavy = "{'sklearn', 'skops', 'onnxruntime', 'pandas', 'joblib', 'scipy', 'xgboost', 'lightgbm', 'torch'}"
    code = f"import sys, serinus.formats, serinus.formats.packing; print({heavy} & set(sys.modules))"

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "set()"


@pytest.mark.parametrize("name", ["skops", "onnx", "xgboost", "lightgbm"])
def test_safe_formats_are_allowed_by_default(name: str) -> None:
    Formats().check(name)


@pytest.mark.parametrize("name", sorted({*Formats.names} - {"torchscript"}))
def test_all_formats_but_torchscript_are_allowed_where_pickle_is(name: str) -> None:
    Formats(allow_pickle=True).check(name)


def test_torchscript_is_refused_with_reason_alternative_and_setting() -> None:
    error = refusal(Formats(allow_pickle=True), "torchscript")

    assert "runs whatever code" in error.message
    assert all(word in error.remedy for word in ("ONNX", "SERINUS_ALLOW_TORCHSCRIPT=true"))


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    error = refusal(Formats(), "pmml")

    assert error.code == "SERINUS-FORMAT"
    assert error.field == "format"
    assert all(name in error.remedy for name in ("skops", "onnx", "joblib", "pickle"))


@pytest.mark.parametrize("name", ["joblib", "pickle"])
def test_pickle_is_refused_with_reason_alternative_and_setting(name: str) -> None:
    error = refusal(Formats(), name)

    assert "runs whatever code" in error.message
    assert all(word in error.remedy for word in ("skops", "ONNX", "SERINUS_ALLOW_PICKLE=true", "--allow-pickle"))


@pytest.mark.parametrize("name", ["joblib", "pickle", "skops", "onnx"])
def test_the_code_in_a_pickle_is_never_run_where_pickle_is_not_allowed(name: str, tmp_path: Path) -> None:
    refusal(Formats(), name, pickle.dumps(Malice(tmp_path / "made")))

    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("name", "library", "extra"),
    [
        ("onnx", "onnxruntime", "onnx"),
        ("skops", "skops", "sklearn"),
        ("joblib", "sklearn", "sklearn"),
        ("xgboost", "xgboost", "xgboost"),
        ("lightgbm", "lightgbm", "lightgbm"),
        ("torchscript", "torch", "torch"),
    ],
)
def test_a_missing_library_is_named_with_the_extra_that_brings_it(
    name: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)

    error = refusal(Formats(allow_pickle=True, allow_torchscript=True), name)

    assert library in error.message
    assert f"pip install 'serinus[{extra}]'" in error.remedy


@pytest.mark.parametrize("name", Formats.names)
@pytest.mark.parametrize("data", [b"", b"garbage", b"PK\x03\x04 cut off"])
def test_bytes_of_no_format_are_refused(name: str, data: bytes) -> None:
    assert refusal(Formats(allow_pickle=True), name, data).code == "SERINUS-FORMAT"


@pytest.mark.parametrize("name", ["joblib", "pickle"])
def test_a_pickled_object_that_cannot_predict_is_refused(name: str) -> None:
    error = refusal(Formats(allow_pickle=True), name, pickle.dumps({"not": "a model"}))

    assert "dict" in error.message


def test_a_pickle_that_needs_a_module_that_is_not_here_is_refused_by_its_name() -> None:
    data = pickle.dumps(Adder(), protocol=0).replace(Adder.__module__.encode(), b"absent_module")

    assert "absent_module" in refusal(Formats(allow_pickle=True), "pickle", data).message


@pytest.mark.parametrize("name", ["joblib", "pickle"])
def test_an_allowed_pickle_predicts_as_the_model_did(name: str, tmp_path: Path) -> None:
    X, y = heart()
    X = X.drop(columns=["ca", "thal"])
    model = LogisticRegression(max_iter=5000).fit(X, y)
    joblib.dump(model, tmp_path / "model")
    data = pickle.dumps(model) if name == "pickle" else (tmp_path / "model").read_bytes()

    loaded = Formats(allow_pickle=True).load(data, name, signature_of(X, model))

    assert (loaded.predict(rows_of(X)).values == model.predict(X)).all()


def test_an_object_of_ones_own_with_a_predict_method_is_a_model() -> None:
    loaded = Formats(allow_pickle=True).load(pickle.dumps(Adder()), "pickle", ANY_SIGNATURE)

    assert loaded.predict([[1.5], [2.5]]).values.tolist() == [1.5, 2.5]
