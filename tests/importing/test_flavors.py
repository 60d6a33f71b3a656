from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skops.io
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from serinus.core.errors import FormatRefused
from serinus.core.signature import Output, OutputKind
from serinus.importing.flavors import Consent, chosen, files_of, loaded
from serinus.importing.mlmodel import Card

SKOPS = {"pickled_model": "model.skops", "serialization_format": "skops"}


def card(**flavors: dict[str, Any]) -> Card:
    return Card({"python_function": {}, **flavors})


def test_a_graph_goes_before_an_estimator() -> None:
    assert chosen(card(sklearn=SKOPS, onnx={"data": "model.onnx"}), None) == "onnx"


def test_the_flavor_that_is_asked_for_is_taken() -> None:
    assert chosen(card(sklearn=SKOPS, onnx={"data": "model.onnx"}), "sklearn") == "sklearn"


@pytest.mark.parametrize(
    ("flavors", "asked", "named"),
    [
        ({"pytorch": {}}, None, "torch.onnx.export"),
        ({"keras": {}}, None, "mlflow.onnx.log_model"),
        ({}, None, "mlflow.onnx.log_model"),
        ({"sklearn": SKOPS}, "onnx", "sklearn"),
    ],
)
def test_what_is_not_served_is_refused_with_what_to_do(
    flavors: dict[str, dict[str, Any]], asked: str | None, named: str
) -> None:
    with pytest.raises(FormatRefused) as refused:
        chosen(card(**flavors), asked)

    assert named in refused.value.remedy


def test_of_an_estimator_only_its_own_file_is_fetched() -> None:
    paths = ["MLmodel", "conda.yaml", "model.skops", "input_example.json", "notes.txt"]

    assert files_of(card(sklearn=SKOPS), "sklearn", paths) == ["model.skops"]


def test_of_a_graph_the_files_beside_it_are_fetched_too() -> None:
    paths = ["MLmodel", "conda.yaml", "model.onnx", "weights.bin", "input_example.json"]

    assert files_of(card(onnx={"data": "model.onnx"}), "onnx", paths) == ["model.onnx", "weights.bin"]


@pytest.mark.parametrize("named", ["../../secret", "/etc/hostname", "other.skops", ""])
def test_a_file_that_is_not_there_is_not_looked_for_elsewhere(named: str) -> None:
    with pytest.raises(FormatRefused):
        files_of(card(sklearn={"pickled_model": named}), "sklearn", ["MLmodel", "model.skops"])


def test_tensors_in_files_of_their_own_are_taken_into_the_graph(tmp_path: Path) -> None:
    weights = np.arange(600, dtype=np.float32).reshape(300, 2)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["X", "W"], ["Y"])],
        "sums",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 300])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(weights, "W")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save_model(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin")
    assert (tmp_path / "weights.bin").exists()

    found = loaded(card(onnx={"data": "model.onnx"}), "onnx", tmp_path, Consent())

    assert found.output == Output(OutputKind.NUMBER)
    assert isinstance(found.model, bytes)
    assert np.array_equal(numpy_helper.to_array(onnx.load_from_string(found.model).graph.initializer[0]), weights)


def test_types_are_not_trusted_because_the_model_says_so(tmp_path: Path) -> None:
    X = np.array([[0.0], [1.0]])
    steps = make_pipeline(FunctionTransformer(np.save), LogisticRegression())
    steps.steps[1][1].fit(X, [0, 1])
    skops.io.dump(steps, tmp_path / "model.skops")
    settings = SKOPS | {"skops_trusted_types": skops.io.get_untrusted_types(file=tmp_path / "model.skops")}
    assert settings["skops_trusted_types"]

    with pytest.raises(FormatRefused) as refused:
        loaded(card(sklearn=settings), "sklearn", tmp_path, Consent())

    assert "not trusted" in refused.value.message
