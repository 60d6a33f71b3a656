"""BentoML: one worker of one service, each prediction by itself."""

import os
import sys

import bentoml
import numpy as np
from bench.serving.peers.patient import Patient
from bench.serving.predictor import load


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Heart:
    """The model."""

    def __init__(self) -> None:
        self.predict_ = load(os.environ["MODEL"])

    @bentoml.api
    def predict(self, features: Patient) -> int:
        return int(self.predict_(np.array([features.row]))[0])


if __name__ == "__main__":
    from bench.serving.peers import exec_beside

    port, model, folder = sys.argv[1:]
    command = ["bentoml", "serve", "bench.serving.peers.bentoml:Heart", "--host", "127.0.0.1", "--port", port]
    exec_beside(command, MODEL=model, BENTOML_HOME=folder)
