"""Ray Serve for high throughput, its HAProxy in front, with batching."""

import os

HIGH_THROUGHPUT = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
os.environ |= HIGH_THROUGHPUT  # read when it is imported

from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from bench.serving.data import FEATURES  # noqa: E402
from bench.serving.peers import BATCH_ROWS, BATCH_WAIT_S  # noqa: E402
from bench.serving.peers.ray import deployed, main  # noqa: E402
from bench.serving.predictor import load  # noqa: E402
from ray import serve  # noqa: E402
from starlette.requests import Request  # noqa: E402


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


if __name__ == "__main__":
    main(Batched)
