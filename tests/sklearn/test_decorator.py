import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.formats.samples import heart
from tests.server import Server

from serinus.sklearn import RegistrationFailed, Trained, dataset_digest, register_on_fit

Versions = Callable[[], list[dict[str, Any]]]


def parted() -> tuple[Any, Any, Any, Any]:
    X, y = heart()
    X = X.drop(columns=["ca", "thal"])
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
    return X_train, X_test, y_train, y_test


def logistic(strength: float = 1.0) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength))


def test_what_a_function_returns_is_registered_and_still_returned(
    server: Server, name: str, versions: Versions
) -> None:
    @register_on_fit(model_name=name, server=server.url, description="by hand")
    def train(X: Any, y: Any, *, strength: float) -> Pipeline:
        return logistic(strength).fit(X, y)

    X, _, y, _ = parted()

    model = train(X, y, strength=0.1)

    assert isinstance(model, Pipeline)
    assert model.serinus_version_ == f"{name}@1"
    (version,) = versions()
    assert version["parameters"]["logisticregression__C"] == 0.1
    assert version["lineage"]["dataset_digest"] == dataset_digest(X, y)
    assert (version["description"], version["metrics"]) == ("by hand", {})


def test_validation_data_that_is_returned_beside_it_gives_metrics(
    server: Server, name: str, versions: Versions
) -> None:
    X, X_test, y, y_test = parted()

    @register_on_fit(model_name=name, server=server.url)
    def train(X_train: Any, y_train: Any) -> tuple[Pipeline, tuple[Any, Any]]:
        return logistic().fit(X_train, y_train), (X_test, y_test)

    model, _ = train(X, y)

    assert versions()[0]["metrics"]["accuracy"] == pytest.approx(model.score(X_test, y_test))
    assert versions()[0]["parameters"]["validation_rows"] == len(X_test)


def test_rows_that_the_function_holds_out_are_not_counted_as_fitted_on(
    server: Server, name: str, versions: Versions
) -> None:
    @register_on_fit(model_name=name, server=server.url)
    def train(X: Any, y: Any) -> tuple[Pipeline, tuple[Any, Any]]:
        seen, held_out, y_seen, y_held_out = train_test_split(X, y, random_state=0)
        return logistic().fit(seen, y_seen), (held_out, y_held_out)

    X, _, y, _ = parted()
    _, (held_out, _) = train(X, y)

    assert versions()[0]["parameters"]["validation_rows"] == len(held_out)
    assert "training_rows" not in versions()[0]["parameters"]


@pytest.mark.parametrize("also", ["training data", {"accuracy": 1.0}, 0.97])
def test_what_says_nothing_of_new_data_is_refused_and_the_model_kept(also: object) -> None:
    X, _, y, _ = parted()

    @register_on_fit(model_name="m", server="http://127.0.0.1:9")
    def train(X: Any, y: Any) -> tuple[Pipeline, Any]:
        return logistic().fit(X, y), (X, y) if also == "training data" else also

    with pytest.raises(RegistrationFailed) as refused:
        train(X, y)

    assert refused.value.field == "validation"
    assert refused.value.fitted.score(X, y) > 0.7


def test_a_function_that_reads_its_data_itself_says_what_it_was(server: Server, name: str, versions: Versions) -> None:
    @register_on_fit(model_name=name, server=server.url, run_id="default")
    def train() -> Trained[Pipeline]:
        X, X_test, y, y_test = parted()
        model = logistic().fit(X, y)
        return Trained(model, X, y, (X_test, y_test), {"auc_of_mine": 0.5}, {"seed": 0}, run_id="run-8")

    assert train().model.serinus_version_ == f"{name}@1"
    (version,) = versions()
    assert version["metrics"]["auc_of_mine"] == 0.5
    assert version["parameters"]["seed"] == 0
    assert version["lineage"]["run_id"] == "run-8"


async def test_coroutines_that_train_side_by_side_are_versions_of_their_own(
    server: Server, name: str, versions: Versions
) -> None:
    X, X_test, y, y_test = parted()

    @register_on_fit(model_name=name, server=server.url, validation=(X_test, y_test))
    async def train(X: Any, y: Any, strength: float) -> Pipeline:
        await asyncio.sleep(0)
        return logistic(strength).fit(X, y)

    models = await asyncio.gather(*(train(X, y, strength) for strength in (0.001, 0.1, 10.0)))

    registered = await asyncio.to_thread(versions)
    found = {version["ref"]: version["parameters"]["logisticregression__C"] for version in registered}
    assert found == {model.serinus_version_: model[-1].C for model in models}
    assert len(found) == 3


def test_models_of_other_libraries_are_registered_in_their_own_format(
    server: Server, name: str, versions: Versions
) -> None:
    X, X_test, y, y_test = parted()

    @register_on_fit(model_name=name, server=server.url, validation=(X_test, y_test))
    def train(X: Any, y: Any) -> LGBMClassifier:
        return LGBMClassifier(n_estimators=5, verbose=-1).fit(X, y)

    train(X, y)

    assert versions()[0]["format"] == "lightgbm"
    assert versions()[0]["parameters"]["n_estimators"] == 5


def test_a_failed_registration_has_the_model() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"

    @register_on_fit(model_name="m", server=nobody)
    def train(X: Any, y: Any) -> Pipeline:
        return logistic().fit(X, y)

    X, _, y, _ = parted()
    with pytest.raises(RegistrationFailed) as failed:
        train(X, y)

    assert failed.value.fitted.score(X, y) > 0.7
    with pytest.raises(RegistrationFailed):
        failed.value.retry()


def test_without_training_data_the_failure_says_how_to_give_it_and_has_the_model() -> None:
    @register_on_fit(model_name="m", server="http://127.0.0.1:9")
    def train() -> Pipeline:
        X, _, y, _ = parted()
        return logistic().fit(X, y)

    with pytest.raises(RegistrationFailed, match="Trained") as failed:
        train()

    assert isinstance(failed.value.fitted, Pipeline)


def test_what_the_function_raises_comes_through_and_its_name_stays() -> None:
    @register_on_fit(model_name="m", server="http://127.0.0.1:9")
    def train(X: Any, y: Any) -> Pipeline:
        raise ArithmeticError("diverged")

    with pytest.raises(ArithmeticError, match="diverged"):
        train([], [])
    assert train.__name__ == "train"
