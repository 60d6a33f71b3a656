"""The model as files: `model.joblib` as each environment fits it, `model.onnx` from ours, and what both answer."""

import subprocess
from pathlib import Path

import numpy as np
from bench.serving.contenders import ROOT, Contender
from bench.serving.data import FEATURES, patients
from bench.serving.fit import fitted
from bench.serving.predictor import load


def held(contender: Contender, kind: str, folder: Path) -> Path:
    """Give the file of the model for a contender, made if it is not in the folder yet."""
    if kind == "onnx":
        return _onnx(folder / "model.onnx")
    path = folder / f"{contender.environment or 'ours'}.joblib"
    if not path.exists():
        environment = {"PYTHONPATH": str(ROOT)}
        subprocess.run([contender.python, "-m", "bench.serving.fit", path], check=True, env=environment)
    return path


def expected(kind: str, folder: Path) -> list[int]:
    """Give what the model says of each patient."""
    rows, _ = patients()
    if kind == "onnx":
        return [int(label) for label in load(str(_onnx(folder / "model.onnx")))(np.array(rows))]
    return [int(label) for label in fitted().predict(np.array(rows))]


def _onnx(path: Path) -> Path:
    if not path.exists():
        from skl2onnx import to_onnx

        example = np.zeros((1, len(FEATURES)), dtype=np.float32)
        path.write_bytes(to_onnx(fitted(), example, options={"zipmap": False}).SerializeToString())
    return path
