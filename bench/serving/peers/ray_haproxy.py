"""Ray Serve as its guide for high throughput has it: HAProxy in place of Ray's own proxy, and no threads between."""

import os

if __name__ == "__main__":
    os.environ |= {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
    from bench.serving.peers.ray import main  # it reads them when it is imported

    main()
