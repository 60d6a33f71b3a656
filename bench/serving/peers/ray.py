"""Ray Serve as it is by itself: a deployment with one replica behind Ray's own proxy."""

import signal
import sys
from typing import Any

import numpy as np
import ray
from bench.serving.data import FEATURES
from bench.serving.peers import BATCH_ROWS, BATCH_WAIT_S
from bench.serving.predictor import load
from ray import serve
from starlette.requests import Request

deployed = serve.deployment(num_replicas=1, max_ongoing_requests=100, ray_actor_options={"num_cpus": 1})


@deployed
class Heart:
    """The model."""

    def __init__(self, path: str) -> None:
        self.predict = load(path)

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Tell whether a patient is ill."""
        features = (await request.json())["features"]
        return {"prediction": int(self.predict(np.array([[features[name] for name in FEATURES]]))[0])}


@deployed
class Batched:
    """The model, asked about several patients at once."""

    def __init__(self, path: str) -> None:
        self.predict = load(path)

    @serve.batch(max_batch_size=BATCH_ROWS, batch_wait_timeout_s=BATCH_WAIT_S)
    async def classes(self, rows: list[list[float]]) -> list[int]:
        """Tell whether each of the patients is ill."""
        return [int(label) for label in self.predict(np.array(rows))]

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Tell whether a patient is ill."""
        features = (await request.json())["features"]
        return {"prediction": await self.classes([features[name] for name in FEATURES])}


def main(deployment: serve.Deployment = Heart) -> None:
    """Start Ray and a deployment, and wait for the end."""
    port, model, folder = sys.argv[1:]
    alone = {"_node_ip_address": "127.0.0.1", "_temp_dir": folder, "include_dashboard": False}
    ray.init(num_cpus=1, configure_logging=False, **alone)
    serve.start(http_options={"host": "127.0.0.1", "port": int(port)}, logging_config={"enable_access_log": False})
    serve.run(deployment.bind(model), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
