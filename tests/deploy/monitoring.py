"""A real Prometheus, configured as it is shipped but for where it looks and how often."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import yaml
from tests.deploy.files import ALERTS, PROMETHEUS, read_yaml
from tests.service import provided
from tests.services import Prometheus

NOBODY = "127.0.0.1:1"


@contextmanager
def monitoring(**targets: str) -> Iterator["Monitoring"]:
    """Watch other targets than the shipped ones, by job, each second."""
    config = read_yaml(PROMETHEUS)
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(ALERTS)]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    with (
        provided(Prometheus(yaml.safe_dump(config))) as prometheus,
        httpx2.Client(base_url=prometheus.url, trust_env=False, timeout=30) as http,
    ):
        yield Monitoring(http)


class Monitoring:
    """Asks a Prometheus."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http

    def ask(self, expression: str) -> list[float]:
        """Give the values that an expression has at this moment, those that are not numbers left out."""
        answer = self._http.get("/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", answer
        values = (float(each["value"][1]) for each in answer["data"]["result"])
        return [value for value in values if value == value]  # noqa: PLR0124 - NaN is not itself

    def alerts(self) -> dict[str, dict[str, Any]]:
        """Give the alerts that are pending or firing, by name."""
        answer = self._http.get("/api/v1/alerts").json()
        return {each["labels"]["alertname"]: each for each in answer["data"]["alerts"]}
