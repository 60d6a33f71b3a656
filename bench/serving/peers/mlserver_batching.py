"""MLServer with its adaptive batching."""

from bench.serving.peers import BATCH_ROWS, BATCH_WAIT_S
from bench.serving.peers.mlserver import main

if __name__ == "__main__":
    main(max_batch_size=BATCH_ROWS, max_batch_time=BATCH_WAIT_S)
