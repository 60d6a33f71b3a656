"""MLflow: `mlflow models serve`, with one worker, of a model saved with its signature."""

import sys
from pathlib import Path

import joblib
import mlflow
import numpy as np
from bench.serving.data import patients
from bench.serving.peers import exec_beside
from mlflow.models import infer_signature


def main(port: str, model: Path, folder: Path) -> None:
    """Save the model as MLflow does, and become the server."""
    saved = folder / "model"
    rows, classes = patients()
    if model.suffix == ".onnx":
        import onnx

        signature = infer_signature(np.array(rows, dtype=np.float32))
        mlflow.onnx.save_model(onnx.load(model), saved, signature=signature)
    else:
        signature = infer_signature(np.array(rows), np.array(classes))
        mlflow.sklearn.save_model(joblib.load(model), saved, signature=signature, serialization_format="cloudpickle")
    address = ["--host", "127.0.0.1", "--port", port]
    exec_beside(["mlflow", "models", "serve", "--model-uri", str(saved), "--env-manager", "local", *address])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
