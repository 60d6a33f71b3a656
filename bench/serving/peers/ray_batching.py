"""Ray Serve for high throughput, with batching."""

import os

from bench.serving.peers.ray_haproxy import HIGH_THROUGHPUT

if __name__ == "__main__":
    os.environ |= HIGH_THROUGHPUT  # read when Ray Serve is imported
    from bench.serving.peers import ray

    ray.main(ray.Batched)
