"""Ray Serve as its guide for high throughput has it: HAProxy in place of Ray's own proxy, and no threads between."""

import os

HIGH_THROUGHPUT = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}

if __name__ == "__main__":
    os.environ |= HIGH_THROUGHPUT  # read when Ray Serve is imported
    from bench.serving.peers import ray

    ray.main()
