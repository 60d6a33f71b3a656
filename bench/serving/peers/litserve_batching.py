"""LitServe with batching."""

from typing import Any

from bench.serving.peers import BATCH_ROWS, BATCH_WAIT_S
from bench.serving.peers.litserve import Heart, serve


class Batched(Heart):
    """The model, asked about several patients at once."""

    def batch(self, inputs: list[Any]) -> Any:
        return [row for (row,) in inputs]

    def unbatch(self, output: Any) -> Any:
        return [[label] for label in output]


if __name__ == "__main__":
    serve(Batched(max_batch_size=BATCH_ROWS, batch_timeout=BATCH_WAIT_S))
