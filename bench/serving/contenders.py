"""Who is measured: which program in which environment, and what a request and an answer look like there."""

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.serving import ours
from bench.serving.data import FEATURES

ROOT = Path(__file__).parents[2]
MODELS = ("sklearn", "onnx")
Row = list[float]
Prepare = Callable[[Path, Path], AbstractContextManager[Mapping[str, str]]]
"""Takes a folder and the model's file; gives, for as long as the block lasts, more of the server's environment."""


@dataclass(frozen=True)
class Contender:
    """A server; ``module`` is run in an environment of `.peers`, or in ours, with `PORT MODEL FOLDER`."""

    name: str
    title: str
    kind: str
    """Whose it is: ``serinus``, ``bare`` or ``peer``."""
    module: str
    environment: str = ""
    path: str = "/predict"
    body: Callable[[Row], dict[str, Any]] = lambda row: {"features": named(row)}
    answer: Callable[[Any], Any] = lambda given: given["prediction"]
    prepare: Prepare = ours.nothing
    models: tuple[str, ...] = MODELS
    more: tuple[str, ...] = ()
    """Further arguments."""

    @property
    def python(self) -> Path:
        """The Python that runs it."""
        return ROOT / ".peers" / self.environment / "bin/python" if self.environment else Path(sys.executable)

    def command(self, port: int, model: Path, folder: Path) -> list[str]:
        """Give what starts it."""
        return [str(self.python), "-m", self.module, str(port), str(model), str(folder), *self.more]


def named(row: Row) -> dict[str, float]:
    """Give the features by name."""
    return dict(zip(FEATURES, row, strict=True))


def _oip(row: Row) -> dict[str, Any]:
    return {"inputs": [{"name": "rows", "shape": [1, len(row)], "datatype": "FP64", "data": row}]}


def _mlflow_class(given: dict[str, Any]) -> Any:
    predictions = given["predictions"]
    labels = predictions["label"] if isinstance(predictions, dict) else predictions  # of ONNX: outputs by name
    return labels[0]


def _peer(name: str, title: str, environment: str = "", **more: Any) -> Contender:
    module = f"bench.serving.peers.{name.replace('-', '_')}"
    return Contender(name, title, "peer", module, f"bench-{environment or name}", **more)


_OIP: dict[str, Any] = {
    "path": "/v2/models/heart/infer",
    "body": _oip,
    "answer": lambda given: given["outputs"][0]["data"][0],
}

_OURS: dict[str, Any] = {"path": ours.PATH, "answer": ours.answer}

CONTENDERS = (
    Contender(
        "serinus", "Serinus", "serinus", "bench.serving.ours", **_OURS, prepare=partial(ours.prepared, share=0.0)
    ),
    Contender(
        "serinus-canary", "Serinus, canary at 20 %", "serinus", "bench.serving.ours", **_OURS, prepare=ours.prepared
    ),
    Contender(
        "serinus-inline",
        "Serinus, ONNX inline",
        "serinus",
        "bench.serving.ours",
        **_OURS,
        prepare=partial(ours.prepared, share=0.0, SERINUS_INLINE_ONNX="true"),
        models=("onnx",),
    ),
    Contender("bare", "bare httptools", "bare", "bench.serving.bare"),
    Contender("bare-process", "bare, model apart", "bare", "bench.serving.bare_process"),
    Contender(
        "bare-process-single", "bare, model apart, no batches", "bare", "bench.serving.bare_process", more=("single",)
    ),
    Contender("bare-uvicorn", "bare uvicorn", "bare", "bench.serving.bare_uvicorn"),
    _peer("fastapi", "FastAPI"),
    _peer("litserve", "LitServe"),
    _peer("litserve-batching", "LitServe, batching", "litserve"),
    _peer("bentoml", "BentoML", answer=lambda given: given),
    _peer(
        "bentoml-batching",
        "BentoML, batching",
        "bentoml",
        body=lambda row: {"rows": [row]},
        answer=lambda given: given[0],
    ),
    _peer("mlserver", "MLServer", **_OIP),
    _peer("mlserver-batching", "MLServer, batching", "mlserver", **_OIP),
    _peer(
        "mlflow",
        "MLflow",
        path="/invocations",
        body=lambda row: {"inputs": [row]},
        answer=_mlflow_class,
    ),
    _peer("ray", "Ray Serve"),
    _peer("ray-haproxy", "Ray Serve, HAProxy", "ray"),
    _peer("ray-batching", "Ray Serve, HAProxy, batching", "ray"),
)
