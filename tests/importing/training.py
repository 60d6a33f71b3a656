"""What data scientists do: train models and log them to MLflow, each flavor in its own way."""

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

COMMIT = "5f1c0ffee0123456789abcdef0123456789abcde"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet", "TQDM_DISABLE": "1"}
ROWS = 160
NO_LIBRARY = {"name": "none", "dependencies": ["python"]}
"""Otherwise it looks for a while what each model takes."""


@dataclass(frozen=True)
class Logged:
    """What was logged: by the name it is registered under the URI, and for some the run or the model besides."""

    url: str
    frame: pd.DataFrame
    runs: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)

    def predictions(self, uri: str, rows: pd.DataFrame) -> list[Any]:
        """Ask MLflow's own way to load a model."""
        import mlflow

        mlflow.set_tracking_uri(self.url)
        answers: list[Any] = np.asarray(mlflow.pyfunc.load_model(uri).predict(rows)).ravel().tolist()
        return answers


def patients() -> tuple[pd.DataFrame, "pd.Series[Any]"]:
    """Give three features, and who is ill."""
    draws = np.random.default_rng(11)
    frame = pd.DataFrame(
        {
            "age": draws.integers(29, 78, ROWS),
            "chol": draws.normal(246, 50, ROWS),
            "oldpeak": draws.normal(1, 0.5, ROWS),
        }
    )
    return frame, (frame["age"] + frame["chol"] / 10 > 80).astype(int)


def _echo(model_input: list[str]) -> list[str]:
    return model_input


@dataclass(frozen=True)
class Laboratory:
    """Logs models of the same patients, each as the next version of a registered model."""

    logged: Logged
    told: dict[str, Any]

    def log(self, name: str, flavor: Any, model: Any, **how: Any) -> None:
        import mlflow

        given = {"name": "model", "registered_model_name": name, "conda_env": NO_LIBRARY} | self.told | how
        function = flavor.__name__ == "mlflow.pyfunc"
        if function:
            given["python_model"] = model
        with mlflow.start_run(tags={"mlflow.source.git.commit": COMMIT}) as run:
            if name == "heart":
                self._tell_all(mlflow)
            info = flavor.log_model(*(() if function else (model,)), **given)
        self.logged.runs[name], self.logged.models[name] = run.info.run_id, info.model_id

    def _tell_all(self, mlflow: Any) -> None:
        X = self.logged.frame
        mlflow.log_params({"C": 0.5, "solver": "lbfgs", "note": "x" * 600})
        mlflow.log_metrics({"accuracy": 0.875, "auc": float("nan")})
        mlflow.log_input(mlflow.data.from_pandas(X[:40], name="heart-held-out"), context="evaluation")
        mlflow.log_input(mlflow.data.from_pandas(X, name="heart-2026"), context="training")


def log_models(url: str) -> Logged:
    """Log each flavor once, "heart" twice, and say something of its second version."""
    os.environ.update(QUIET)
    import mlflow
    from mlflow.models import infer_signature

    mlflow.set_tracking_uri(url)
    mlflow.set_experiment("heart")
    X, y = patients()
    logged = Logged(url, X)
    laboratory = Laboratory(logged, {"signature": infer_signature(X, y)})
    _log_estimators(laboratory, X, y)
    _log_others(laboratory, X, y)
    client = mlflow.MlflowClient(url)
    client.set_registered_model_alias("heart", "next", "2")
    client.update_model_version("heart", "2", description="less regularised")
    client.set_model_version_tag("heart", "2", "team", "cardio")
    client.set_model_version_tag("heart", "2", "serinus.status", "promoted")
    return logged


def _log_estimators(laboratory: Laboratory, X: pd.DataFrame, y: "pd.Series[Any]") -> None:
    import mlflow.sklearn as flavor
    from mlflow.models import infer_signature

    pickled = {"serialization_format": "cloudpickle"}
    for strength in (0.5, 2.0):
        steps = make_pipeline(StandardScaler(), LogisticRegression(C=strength))
        laboratory.log("heart", flavor, steps.fit(X, y), input_example=X[:5])
    laboratory.log("heart-pickled", flavor, RandomForestClassifier(8, random_state=0).fit(X, y), **pickled)
    array = infer_signature(X.to_numpy(), y.to_numpy())
    laboratory.log("heart-number", flavor, LinearRegression().fit(X.to_numpy(), y), signature=array)
    laboratory.log("heart-bare", flavor, LogisticRegression(C=0.1).fit(X, y), signature=False)
    own = make_pipeline(FunctionTransformer(lambda table: table * 2.0), LogisticRegression())
    laboratory.log("heart-own", flavor, own.fit(X, y), **pickled)


def _log_others(laboratory: Laboratory, X: pd.DataFrame, y: "pd.Series[Any]") -> None:
    import mlflow.lightgbm
    import mlflow.onnx
    import mlflow.pyfunc
    import mlflow.xgboost
    from lightgbm import LGBMClassifier
    from mlflow.pyfunc.utils import pyfunc as decorated
    from skl2onnx import to_onnx
    from xgboost import XGBClassifier

    laboratory.log("heart-xgboost", mlflow.xgboost, XGBClassifier(n_estimators=6, max_depth=3).fit(X, y))
    laboratory.log("heart-lightgbm", mlflow.lightgbm, LGBMClassifier(n_estimators=6, verbose=-1).fit(X, y))
    steps = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    graph = to_onnx(steps, X.to_numpy()[:1].astype(np.float32), options={"zipmap": False})
    del graph.graph.output[1:]  # MLflow itself cannot answer with labels and probabilities at once
    laboratory.log("heart-onnx", mlflow.onnx, graph)
    echo = decorated(_echo)  # type: ignore[no-untyped-call]
    laboratory.log("heart-function", mlflow.pyfunc, echo, signature=None, conda_env=None, pip_requirements=["pandas"])
