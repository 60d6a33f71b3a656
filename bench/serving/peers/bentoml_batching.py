"""BentoML with its adaptive batching, which takes arrays of rows: one worker of one service."""

import os
import sys
from typing import Annotated

import bentoml
import numpy as np
from bench.serving.predictor import load
from bentoml.validators import DType, Shape

Rows = Annotated[np.ndarray, DType("float64"), Shape((-1, 13))]
Classes = Annotated[np.ndarray, DType("int64"), Shape((-1,))]


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Heart:
    """The model."""

    def __init__(self) -> None:
        self.predict_ = load(os.environ["MODEL"])

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)
    def predict(self, rows: Rows) -> Classes:
        return self.predict_(rows)


if __name__ == "__main__":
    from bench.serving.peers import exec_beside

    port, model, folder = sys.argv[1:]
    command = ["bentoml", "serve", "bench.serving.peers.bentoml_batching:Heart", "--host", "127.0.0.1", "--port", port]
    exec_beside(command, MODEL=model, BENTOML_HOME=folder)
