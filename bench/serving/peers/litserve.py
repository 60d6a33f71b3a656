"""LitServe: its API server and one worker, each a process, with its fast queue between them."""

import sys
from typing import Any

import litserve
import numpy as np
from bench.serving.data import FEATURES
from bench.serving.predictor import load


class Heart(litserve.LitAPI):
    """The model."""

    def setup(self, device: str) -> None:
        self.predict_ = load(sys.argv[2])

    def decode_request(self, request: dict[str, Any]) -> Any:
        features = request["features"]
        return np.array([[features[name] for name in FEATURES]])

    def predict(self, x: Any) -> Any:
        return self.predict_(x)

    def encode_response(self, output: Any) -> dict[str, int]:
        return {"prediction": int(output[0])}


def serve(api: litserve.LitAPI) -> None:
    """Serve until the process is ended."""
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False, access_log=False)


if __name__ == "__main__":
    serve(Heart())
