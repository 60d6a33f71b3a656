"""A real MLServer, which serves models of its own by the Open Inference Protocol, in an environment of its own.

with MLServer([Served("heart", (0.02, 0.004), -2.0)]) as mlserver:
    mlserver.url("heart")
"""

import json
import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2
from tests.service import HOST, Missing, Service

ENVIRONMENT = Path(__file__).parents[2] / ".peers" / "mlserver"
FEATURES = ("age", "chol")
LAYOUTS = ("columns", "matrix")
"""How a model takes rows: as a tensor for each feature, by name, or as one tensor with a column for each."""


@dataclass(frozen=True)
class Served:
    """A logistic model of ``FEATURES`` with these weights: class 1 where the weighted sum is above zero.

    ``seconds`` is how long it takes to answer. ``behaviour``: "right"; "raises"; "nan", "short" (too few answers) or
    "odd" (a class that there is not).
    """

    name: str
    weights: tuple[float, float]
    bias: float = 0.0
    version: str = ""
    layout: str = "columns"
    seconds: float = 0.0
    behaviour: str = "right"

    def probability(self, age: float, chol: float) -> float:
        """Say how likely class 1 is."""
        return 1.0 / (1.0 + math.exp(-(self.weights[0] * age + self.weights[1] * chol + self.bias)))

    def settings(self) -> dict[str, object]:
        """Give its model-settings.json."""
        if self.layout == "columns":
            inputs: list[dict[str, object]] = [
                {"name": "age", "datatype": "INT64", "shape": [-1, 1]},
                {"name": "chol", "datatype": "FP64", "shape": [-1, 1]},
            ]
        else:
            inputs = [{"name": "rows", "datatype": "FP64", "shape": [-1, len(FEATURES)]}]
        return {
            "name": self.name,
            "implementation": "logistic.Logistic",
            "platform": "numpy",
            "inputs": inputs,
            "outputs": [
                {"name": "predict", "datatype": "INT64", "shape": [-1, 1]},
                {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2]},
            ],
            "parameters": {"version": self.version or None, "extra": asdict(self)},
        }


class MLServer(Service):
    """An MLServer that serves some models."""

    remedy = "make .peers/mlserver/.lock"
    number_of_ports = 3

    def __init__(self, models: Sequence[Served], folder: Path | None = None) -> None:
        super().__init__(folder)
        self.models = tuple(models)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    def url(self, model: str, version: str = "") -> str:
        """Give a model's endpoint."""
        return f"{self.address}/v2/models/{model}" + (f"/versions/{version}" if version else "")

    def _prepare(self) -> None:
        shutil.copy(Path(__file__).with_name("logistic.py"), self.folder)
        for number, model in enumerate(self.models):
            place = self.folder / f"model-{number}"
            place.mkdir(exist_ok=True)
            (place / "model-settings.json").write_text(json.dumps(model.settings()))

    def _command(self) -> list[str]:
        program = ENVIRONMENT / "bin" / "mlserver"
        if not program.exists():
            raise Missing("mlserver", self.remedy)
        settings = {
            "host": HOST,
            "http_port": self.ports[0],
            "grpc_port": self.ports[1],
            "metrics_port": self.ports[2],
            "parallel_workers": 0,
            "debug": False,
        }
        (self.folder / "settings.json").write_text(json.dumps(settings))
        return [str(program), "start", str(self.folder)]

    def _environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

    def _is_ready(self) -> bool:
        try:
            return (
                httpx2.get(f"{self.address}/v2/health/ready", trust_env=False, timeout=5).status_code == httpx2.codes.OK
            )
        except httpx2.TransportError:
            return False


if __name__ == "__main__":
    with MLServer([Served("heart", (0.02, 0.004), -2.0)]) as mlserver:
        sys.stdout.write(f"{mlserver.url('heart')}\n")
        sys.stdin.read()
