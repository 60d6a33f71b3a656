"""The limit of one process: the leanest HTTP server, which calls the model itself. `PORT MODEL FOLDER`."""

import sys
from collections.abc import Callable

import numpy as np
from bench.serving.bare_http import Row, serve
from bench.serving.predictor import load


def main(port: int, model: str) -> None:
    """Serve one row at a time."""
    predict = load(model)

    def ask(row: Row, tell: Callable[[int], None]) -> None:
        tell(int(predict(np.array([row]))[0]))

    serve(port, ask)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
