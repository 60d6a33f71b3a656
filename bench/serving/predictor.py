"""Loads a model for a server that leaves that to its user: `.joblib`, or `.onnx` on one thread."""

from collections.abc import Callable
from typing import Any

import numpy as np

Predict = Callable[[Any], Any]
"""From an array of shape (rows, features) to one class a row."""


def load(path: str) -> Predict:
    """Give the model's predictions."""
    return _onnx(path) if path.endswith(".onnx") else _joblib(path)


def _joblib(path: str) -> Predict:
    import joblib

    predict: Predict = joblib.load(path).predict
    return predict


def _onnx(path: str) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    given = [session.get_outputs()[0].name]
    return lambda rows: session.run(given, {taken.name: np.asarray(rows, dtype=np.float32)})[0]
