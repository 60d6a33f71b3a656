import copy
import pickle
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from tests.formats.samples import heart
from tests.server import Server, serving

from serinus.client import Client, UnreachableError
from serinus.core.errors import InvalidInput
from serinus.core.names import VersionRef
from serinus.sklearn import RegistrationFailed, RegistryPipeline, dataset_digest, evaluate_model

Versions = Callable[[], list[dict[str, Any]]]


def steps() -> list[tuple[str, Any]]:
    return [("impute", SimpleImputer()), ("scale", StandardScaler()), ("model", LogisticRegression(C=0.5))]


def parted() -> tuple[Any, Any, Any, Any]:
    X, y = heart()
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
    return X_train, X_test, y_train, y_test


@pytest.fixture
def unreachable() -> str:
    """A URL at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_fit_registers_the_pipeline_with_all_that_is_known_of_it(
    server: Server, name: str, versions: Versions
) -> None:
    X, X_test, y, y_test = parted()
    pipeline = RegistryPipeline(
        steps(),
        model_name=name,
        server=server.url,
        validation=(X_test, y_test),
        description="first",
        tags={"team": "cardio"},
        run_id="run-7",
        class_names=["healthy", "ill"],
    ).fit(X, y)

    (version,) = versions()
    assert version["ref"] == pipeline.serinus_version_ == f"{name}@1"
    assert version["format"] == "skops"
    assert version["metrics"] == pytest.approx(dict(evaluate_model(pipeline, X_test, y_test)))
    assert set(version["metrics"]) == {"accuracy", "f1", "precision", "recall", "roc_auc"}
    assert version["parameters"]["model__C"] == 0.5
    assert (version["parameters"]["training_rows"], version["parameters"]["validation_rows"]) == (len(X), len(X_test))
    assert [feature["name"] for feature in version["signature"]["features"]] == list(X.columns)
    assert version["signature"]["output"]["class_names"] == ["healthy", "ill"]
    assert version["lineage"]["dataset_digest"] == dataset_digest(X, y)
    assert version["lineage"]["run_id"] == "run-7"
    assert (version["description"], version["tags"]) == ("first", {"team": "cardio"})


def test_what_was_registered_serves_and_answers_as_the_pipeline_does(server: Server, name: str) -> None:
    X, X_test, y, _ = parted()
    pipeline = RegistryPipeline(steps(), model_name=name, server=server.url).fit(X, y)

    with server.client() as client:
        client.deploy(name, VersionRef(name, 1))
        patient = X_test.iloc[[0]]
        answer = client.predict(name, patient.iloc[0].to_dict())

    assert answer["prediction"] == pipeline.predict(patient)[0]
    assert answer["confidence"] == pytest.approx(pipeline.predict_proba(patient).max())


def test_without_validation_data_no_metric_is_registered(server: Server, name: str, versions: Versions) -> None:
    X, _, y, _ = parted()

    RegistryPipeline(steps(), model_name=name, server=server.url).fit(X, y)

    assert versions()[0]["metrics"] == {}


def test_scores_on_the_training_data_are_called_so(server: Server, name: str, versions: Versions) -> None:
    X, X_test, y, y_test = parted()

    pipeline = RegistryPipeline(steps(), model_name=name, server=server.url, training_scores=True).fit(X, y)
    searched = clone(pipeline).fit(X, y)
    searched.register(validation=(X_test, y_test))

    first, second = versions()
    assert first["metrics"] == {"training_accuracy": pytest.approx(pipeline.score(X, y))}
    assert set(second["metrics"]) == {"training_accuracy", "accuracy", "f1", "precision", "recall", "roc_auc"}


def test_a_share_is_held_out_before_the_fit(server: Server, name: str, versions: Versions) -> None:
    X, y = heart()

    pipeline = RegistryPipeline(steps(), model_name=name, server=server.url, validation=0.25, validation_seed=3).fit(
        X, y
    )

    seen, held_out, y_seen, y_held_out = train_test_split(X, y, test_size=0.25, random_state=3, stratify=y)
    (version,) = versions()
    assert version["metrics"]["accuracy"] == pytest.approx(pipeline.score(held_out, y_held_out))
    assert (pipeline.predict_proba(X) == pipeline.plain().fit(seen, y_seen).predict_proba(X)).all()
    assert version["parameters"]["training_rows"] == len(seen)
    assert version["parameters"]["validation_seed"] == 3
    assert version["lineage"]["dataset_digest"] == dataset_digest(X, y)


def test_a_regressor_and_an_array_will_do_too(server: Server, name: str, versions: Versions) -> None:
    X = np.random.default_rng(0).normal(size=(50, 2))

    RegistryPipeline([("fit", LinearRegression())], model_name=name, server=server.url, validation=0.2).fit(
        X, X[:, 0] + 1
    )

    assert set(versions()[0]["metrics"]) == {"mae", "rmse", "r2"}


def test_a_metric_that_is_left_out_says_why(server: Server, name: str, versions: Versions) -> None:
    X, X_test, y, y_test = parted()

    RegistryPipeline(
        steps(), model_name=name, server=server.url, validation=(X_test[y_test == 1], y_test[y_test == 1])
    ).fit(X, y)

    assert "roc_auc" not in versions()[0]["metrics"]
    assert versions()[0]["tags"]["roc_auc"] == "left out: y has no case of [0]"


def test_two_fits_are_two_versions(server: Server, name: str, versions: Versions) -> None:
    X, X_test, y, y_test = parted()
    pipeline = RegistryPipeline(steps(), model_name=name, server=server.url, validation=(X_test, y_test))

    pipeline.fit(X, y)
    pipeline.set_params(model__C=0.01).fit(X, y)

    first, second = versions()
    assert (first["parameters"]["model__C"], second["parameters"]["model__C"]) == (0.5, 0.01)
    assert first["metrics"] != second["metrics"]
    assert pipeline.serinus_version_ == f"{name}@2"


def test_one_fit_is_one_version_however_often_it_is_registered(server: Server, name: str, versions: Versions) -> None:
    X, _, y, _ = parted()
    pipeline = RegistryPipeline(steps(), model_name=name, server=server.url).fit(X, y)

    assert [pipeline.register(), pipeline.register()] == [f"{name}@1"] * 2
    assert len(versions()) == 1


def test_a_search_registers_nothing_and_its_best_one_can_be(server: Server, name: str, versions: Versions) -> None:
    X, X_test, y, y_test = parted()
    with Client(server.url) as client:
        pipeline = RegistryPipeline(steps(), model_name=name, server=client, validation=0.2)
        search = GridSearchCV(pipeline, {"model__C": [0.01, 1.0]}, cv=3).fit(X, y)
        cross_val_score(pipeline, X, y, cv=3)
        assert versions() == []

        assert search.best_estimator_.register(validation=(X_test, y_test)) == f"{name}@1"

    (version,) = versions()
    assert version["parameters"]["training_rows"] == len(X)
    assert version["parameters"]["model__C"] == search.best_params_["model__C"]
    assert version["metrics"]["accuracy"] == pytest.approx(search.score(X_test, y_test))


def test_the_best_one_of_a_search_is_measured_on_the_pipelines_own_validation_data(
    server: Server, name: str, versions: Versions
) -> None:
    X, X_test, y, y_test = parted()
    pipeline = RegistryPipeline(steps(), model_name=name, server=server.url, validation=(X_test, y_test))

    best = GridSearchCV(pipeline, {"model__C": [0.01, 1.0]}, cv=3).fit(X, y).best_estimator_
    best.register()

    (version,) = versions()
    assert version["metrics"]["accuracy"] == pytest.approx(best.score(X_test, y_test))
    assert version["parameters"]["validation_rows"] == len(X_test)


def test_the_training_data_is_not_taken_for_validation_data(server: Server, name: str, versions: Versions) -> None:
    X, X_test, y, y_test = parted()
    pipeline = RegistryPipeline(steps(), model_name=name, server=server.url, validation=(X.to_numpy(), list(y)))

    for _ in range(2):
        with pytest.raises(RegistrationFailed, match="what the model was fitted on") as refused:
            pipeline.register() if hasattr(pipeline, "classes_") else pipeline.fit(X, y)
        assert refused.value.field == "validation"
    assert versions() == []

    pipeline.register(validation=(X_test, y_test))
    assert versions()[0]["metrics"]["accuracy"] == pytest.approx(pipeline.score(X_test, y_test))


def test_a_search_over_plain_steps_finds_the_same(server: Server, name: str) -> None:
    X, _, y, _ = parted()
    grid = {"model__C": [0.001, 0.1, 10.0]}

    registering = GridSearchCV(RegistryPipeline(steps(), model_name=name, server=server.url), grid, cv=3).fit(X, y)

    plain = GridSearchCV(Pipeline(steps()), grid, cv=3).fit(X, y)
    assert (registering.cv_results_["mean_test_score"] == plain.cv_results_["mean_test_score"]).all()


def test_a_clone_has_all_parameters_but_does_not_register(server: Server, name: str, versions: Versions) -> None:
    X, X_test, y, y_test = parted()
    pipeline = RegistryPipeline(steps(), model_name=name, server=server.url, validation=(X_test, y_test))

    copied = clone(pipeline)

    shallow = ("steps", "register_on_fit")
    mine, its = pipeline.get_params(deep=False), copied.get_params(deep=False)
    assert {k: v for k, v in mine.items() if k not in shallow} == {k: v for k, v in its.items() if k not in shallow}
    assert copied.named_steps["model"] is not pipeline.named_steps["model"]
    copied.fit(X, y)
    assert versions() == []
    copied.set_params(register_on_fit=True).fit(X, y)
    assert len(versions()) == 1


def test_parts_of_it_are_plain_pipelines(server: Server, name: str) -> None:
    pipeline = RegistryPipeline(steps(), model_name=name, server=server.url)

    assert type(pipeline[:2]) is Pipeline
    assert isinstance(pipeline[-1], LogisticRegression)
    assert isinstance(pipeline["scale"], StandardScaler)


def test_a_clone_travels_to_other_processes(server: Server, name: str) -> None:
    X, _, y, _ = parted()
    with Client(server.url) as client:
        pipeline = RegistryPipeline(steps(), model_name=name, server=client, validation=(X, y))

        travelled = pickle.loads(pickle.dumps(clone(pipeline)))

    assert (travelled.fit(X, y).server, travelled.register_on_fit) == (server.url, False)


def test_a_pickled_one_predicts_and_can_still_be_registered(server: Server, name: str, versions: Versions) -> None:
    X, _, y, _ = parted()
    with Client(server.url) as client:
        pipeline = RegistryPipeline(steps(), model_name=name, server=client, register_on_fit=False).fit(X, y)

        restored = pickle.loads(pickle.dumps(pipeline))

    assert (restored.predict(X) == pipeline.predict(X)).all()
    assert restored.register() == f"{name}@1"
    assert copy.deepcopy(restored).register() == f"{name}@1"
    assert len(versions()) == 1


def test_a_failed_registration_keeps_what_was_fitted_and_can_be_tried_again(
    tmp_path: Path, name: str, unreachable: str
) -> None:
    X, _, y, _ = parted()
    pipeline = RegistryPipeline(steps(), model_name=name, server=unreachable)

    with pytest.raises(RegistrationFailed) as failed:
        pipeline.fit(X, y)

    assert isinstance(failed.value.__cause__, UnreachableError)
    assert failed.value.fitted is pipeline
    assert pipeline.score(X, y) > 0.8
    with serving(tmp_path / "home") as later:
        pipeline.set_params(server=later.url)
        assert pipeline.register() == f"{name}@1"


def test_a_registration_whose_answer_was_lost_is_not_done_twice(
    server: Server, name: str, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, X_test, y, y_test = parted()
    send = Client.send

    def lost(self: Client, call: Any, *, key: str | None = None) -> Any:
        answer = send(self, call, key=key)
        if call.method == "POST":
            raise UnreachableError("the cable was pulled")
        return answer

    pipeline = RegistryPipeline(steps(), model_name=name, server=server.url)
    searched = clone(pipeline).fit(X, y)
    monkeypatch.setattr(Client, "send", lost)
    with pytest.raises(RegistrationFailed) as failed:
        pipeline.fit(X, y)
    with pytest.raises(RegistrationFailed):
        searched.register(validation=(X_test, y_test))
    monkeypatch.undo()

    assert failed.value.retry() == f"{name}@1"
    assert searched.register(validation=(X_test, y_test)) == f"{name}@2"
    assert len(versions()) == 2


def test_data_that_has_no_signature_is_fitted_and_the_failure_says_so(unreachable: str, name: str) -> None:
    texts, y = ["good", "bad", "good good"], [1, 0, 1]
    pipeline = RegistryPipeline(
        [("words", CountVectorizer()), ("model", LogisticRegression())], model_name=name, server=unreachable
    )

    with pytest.raises(RegistrationFailed, match="signature"):
        pipeline.fit(texts, y)

    assert pipeline.predict(["good"]).tolist() == [1]
    assert clone(pipeline).fit(texts, y).predict(["bad"]).tolist() == [0]


@pytest.mark.parametrize("validation", [0.0, 1.0, 1, True, "a fifth", (1, 2, 3)])
def test_what_is_no_validation_is_refused_before_the_fit(unreachable: str, validation: Any) -> None:
    X, _, y, _ = parted()
    pipeline = RegistryPipeline(steps(), model_name="m", server=unreachable, validation=validation)

    with pytest.raises(InvalidInput) as refused:
        pipeline.fit(X, y)

    assert refused.value.field == "validation"
    assert not hasattr(pipeline, "classes_")


def test_weights_cannot_be_held_out_with_the_rows(unreachable: str) -> None:
    X, _, y, _ = parted()
    pipeline = RegistryPipeline(steps(), model_name="m", server=unreachable, validation=0.2)

    with pytest.raises(InvalidInput):
        pipeline.fit(X, y, model__sample_weight=np.ones(len(X)))


def test_the_artifact_is_a_plain_pipeline(server: Server, name: str, versions: Versions) -> None:
    X, _, y, _ = parted()
    RegistryPipeline(steps(), model_name=name, server=server.url).fit(X, y)

    digest = versions()[0]["digest"].removeprefix("sha256:")
    (file,) = (path for path in server.home.rglob("*") if digest in path.name or path.parent.name + path.name == digest)
    assert type(skops.io.load(file, trusted=["numpy.dtype"])) is Pipeline


def test_the_commit_is_on_record_and_whether_it_was_changed(
    server: Server, name: str, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
        ran = subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True, cwd=tmp_path)
        return ran.stdout.strip()

    X = pd.DataFrame({"x": [0.0, 1.0]})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    pipeline = RegistryPipeline([("fit", LinearRegression())], model_name=name, server=server.url)
    pipeline.fit(X, [0, 1])
    git("init", "--quiet")
    (tmp_path / "train.py").write_text("1")
    git("add", "train.py")
    git("commit", "--quiet", "-m", "first")
    git("tag", "v1")
    pipeline.fit(X, [0, 1])
    (tmp_path / "train.py").write_text("2")
    pipeline.fit(X, [0, 1])

    head = git("rev-parse", "HEAD")
    assert [version["lineage"]["git_commit"] for version in versions()] == ["", head, f"{head}-dirty"]


def test_a_pipeline_may_be_registered_as_onnx_with_the_proof_that_it_answers_as_before(
    server: Server, name: str, versions: Versions
) -> None:
    X, y = heart()

    pipeline = RegistryPipeline(steps(), model_name=name, server=server.url, onnx=True).fit(X, y)

    (version,) = versions()
    assert (pipeline.serinus_version_, version["format"], version["examples"]) == (f"{name}@1", "onnx", 8)
    assert version["parameters"]["onnx"]["rows"] == len(X)
    assert version["parameters"]["model__C"] == 0.5


def test_a_pipeline_that_cannot_be_onnx_is_fitted_and_not_registered(
    server: Server, name: str, versions: Versions
) -> None:
    X, y = heart()
    own = [("squeeze", FunctionTransformer(np.log1p)), *steps()]

    with pytest.raises(RegistrationFailed, match="no converter for squeeze") as failed:
        RegistryPipeline(own, model_name=name, server=server.url, onnx=True).fit(X, y)

    assert failed.value.fitted.predict(X).shape == (len(X),)
    assert versions() == []
