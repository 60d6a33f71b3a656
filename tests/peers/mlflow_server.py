"""A real MLflow tracking server with its model registry, in an environment of its own.

with MLflowServer() as mlflow:
    client = MlflowClient(mlflow.url)
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx2
from tests.service import HOST, Missing, Service

ENVIRONMENT = Path(__file__).parents[2] / ".peers" / "mlflow"


class MLflowServer(Service):
    """An MLflow server on SQLite that keeps the artifacts itself: clients send it models and fetch them over HTTP."""

    remedy = "make .peers/mlflow/.lock"

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def _command(self) -> list[str]:
        python = ENVIRONMENT / "bin" / "python"
        if not python.exists():
            raise Missing("MLflow", self.remedy)
        options = {
            "backend-store-uri": f"sqlite:///{self.folder / 'mlflow.db'}",
            "artifacts-destination": self.folder / "artifacts",
            "host": HOST,
            "port": self.port,
            "workers": 1,
            # The process that answers starts in half the time of the default one, which serves language models, too.
            "gunicorn-opts": "--threads=8 --no-control-socket",
        }
        return [str(python), "-m", "mlflow", "server", *(f"--{name}={value}" for name, value in options.items())]

    def _environment(self) -> Mapping[str, str]:
        return {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_ENABLE_AI_GATEWAY": "false",
        }

    def _is_ready(self) -> bool:
        with suppress(httpx2.TransportError):
            return httpx2.get(f"{self.url}/health", trust_env=False, timeout=5).is_success
        return False
