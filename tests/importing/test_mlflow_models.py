"""What was logged to a real MLflow server is imported, and answers here as MLflow itself answers."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.importing.answering import answering
from tests.importing.conftest import Canary
from tests.importing.training import COMMIT, Logged, patients
from tests.peers.mlflow_server import MLflowServer
from tests.server import Server

from serinus.core.names import VersionRef
from serinus.importing.addresses import Registered
from serinus.importing.mlflow_registry import opened

pytestmark = pytest.mark.timeout(300)  # the first one waits for two servers and for the models

ASKED = 12
"""How many rows a model is asked."""


def answers(server: Server, ref: str, logged: Logged) -> list[Any]:
    """Serve a version, and ask it for some rows."""
    name = ref.replace("@", "-v")
    with server.client() as client:
        client.deploy(name, VersionRef.parse(ref))
        names = [feature["name"] for feature in client.version(VersionRef.parse(ref))["signature"]["features"]]
        rows = logged.frame.head(ASKED).to_numpy().tolist()
        return [client.predict(name, dict(zip(names, row, strict=True)))["prediction"] for row in rows]


@pytest.mark.parametrize(
    ("model", "options", "stored", "asked"),
    [
        ("heart", [], "skops", "frame"),
        ("heart-pickled", ["--allow-pickle"], "skops", "frame"),
        ("heart-number", [], "skops", "array"),
        ("heart-onnx", [], "onnx", "frame"),
        ("heart-xgboost", [], "xgboost", "frame"),
        ("heart-lightgbm", [], "lightgbm", "frame"),
    ],
)
def test_a_model_answers_here_as_mlflow_answers(
    canary: Canary, server: Server, logged: Logged, model: str, options: list[str], stored: str, asked: str
) -> None:
    uri = f"models:/{model}/1"

    ran = canary("import", "mlflow", uri, *options, "-o", "json")

    assert ran.code == 0, ran.err
    version = ran.document
    assert (version["model"], version["format"]) == (model, stored)
    rows: Any = logged.frame.head(ASKED)
    if asked == "array":
        rows = rows.to_numpy()
    assert answers(server, version["ref"], logged) == pytest.approx(logged.predictions(uri, rows), rel=1e-4)


def test_what_is_known_of_it_comes_along(canary: Canary, logged: Logged, mlflow_server: MLflowServer) -> None:
    canary("import", "mlflow", "models:/heart/1", "--as", "known")

    ran = canary("import", "mlflow", "models:/heart@next", "--as", "known", "-o", "json")

    version = ran.document
    assert version["ref"] == "known@2"
    assert version["metrics"] == {"accuracy": 0.875}
    assert version["parameters"] == {"C": 0.5, "solver": "lbfgs", "note": "x" * 499 + "…"}
    assert version["description"] == "less regularised"
    assert version["tags"] == {
        "team": "cardio",
        "mlflow.model": "heart",
        "mlflow.version": "2",
        "mlflow.run_id": logged.runs["heart"],
        "mlflow.model_id": logged.models["heart"],
        "mlflow.tracking_uri": mlflow_server.url,
        "mlflow.flavor": "sklearn",
    }
    lineage = version["lineage"]
    assert [entry.partition(":")[0] for entry in lineage.pop("dataset_digest").split(",")] == [
        "heart-2026",
        "heart-held-out",
    ]
    assert lineage == {"run_id": logged.runs["heart"], "git_commit": COMMIT, "parent": "known@1"}
    assert [(feature["name"], feature["dtype"]) for feature in version["signature"]["features"]] == [
        ("age", "int"),
        ("chol", "float"),
        ("oldpeak", "float"),
    ]
    assert version["examples"] == 5


def test_each_way_to_name_it_gives_the_same_model(canary: Canary, logged: Logged) -> None:
    ways = (
        "models:/heart/2",
        "models:/heart@next",
        f"models:/{logged.models['heart']}",
        f"runs:/{logged.runs['heart']}/model",
    )

    versions = [canary("import", "mlflow", way, "--as", "ways", "--again", "-o", "json").document for way in ways]

    assert len({version["digest"] for version in versions}) == 1
    assert [version["tags"].get("mlflow.version") for version in versions] == ["2", "2", None, None]
    assert {version["lineage"]["run_id"] for version in versions} == {logged.runs["heart"]}


def test_what_was_imported_is_given_back_as_it_is(canary: Canary, logged: Logged) -> None:
    first = canary("import", "mlflow", "models:/heart/1", "--as", "once", "-o", "json")

    second = canary("import", "mlflow", "models:/heart/1", "--as", "once", "-o", "json")
    again = canary("import", "mlflow", "models:/heart/1", "--as", "once", "--again", "-o", "json")

    assert (second.code, second.document) == (0, first.document)
    assert "--again" in second.err
    assert again.document["ref"] == "once@2"
    assert again.document["lineage"]["parent"] == "once@1"


def test_a_pickle_is_not_loaded_unless_that_is_allowed(canary: Canary, logged: Logged) -> None:
    ran = canary("import", "mlflow", "models:/heart-pickled/1", "--as", "pickled")

    assert ran.code == 2
    assert "--allow-pickle" in ran.err
    assert canary("models", "pickled").code == 3


def test_what_cannot_be_skops_is_sent_as_it_was_and_the_server_decides(canary: Canary, logged: Logged) -> None:
    ran = canary("import", "mlflow", "models:/heart-own/1", "--allow-pickle")

    assert ran.code == 2
    assert "SERINUS_ALLOW_PICKLE" in ran.err


def test_without_a_signature_it_says_how_to_give_one(canary: Canary, logged: Logged, elsewhere: Path) -> None:
    ran = canary("import", "mlflow", "models:/heart-bare/1", "--as", "unsigned")

    assert ran.code == 2
    assert "--data" in ran.err
    assert "--signature" in ran.err


def test_training_data_stands_in_for_a_signature(canary: Canary, logged: Logged, elsewhere: Path) -> None:
    frame, ill = patients()
    frame.assign(num=ill).to_csv(elsewhere / "train.csv", index=False)

    ran = canary(
        *("import", "mlflow", "models:/heart-bare/1", "--data", "train.csv", "--target", "num"),
        *("--class-names", "healthy,ill", "-o", "json"),
    )

    assert ran.code == 0, ran.err
    assert ran.document["signature"]["output"] == {
        "kind": "class",
        "classes": [0, 1],
        "class_names": ["healthy", "ill"],
    }


def test_a_signature_of_ones_own_stands_in_for_mlflows(canary: Canary, logged: Logged, elsewhere: Path) -> None:
    signature = {
        "features": [{"name": name, "dtype": "float", "nullable": False} for name in ("age", "chol", "oldpeak")],
        "output": {"kind": "class", "classes": [0, 1], "class_names": ["no", "yes"]},
    }
    (elsewhere / "signature.json").write_text(json.dumps(signature))

    ran = canary("import", "mlflow", "models:/heart/1", "--as", "own", "--signature", "signature.json", "-o", "json")

    assert ran.code == 0, ran.err
    assert ran.document["signature"] == signature


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["models:/hart/1"], 3, "heart, heart-bare"),
        (["models:/heart/7"], 3, "1, 2"),
        (["models:/heart@champion"], 3, "next (version 2)"),
        (["models:/m-0123456789abcdef", "--as", "x"], 3, "m-0123456789abcdef"),
        (["runs:/0123456789abcdef/model", "--as", "x"], 3, "0123456789abcdef"),
        (["models:/heart-function/1"], 2, "python_function"),
        (["models:/heart/1", "--as", "x", "--flavor", "onnx"], 2, "sklearn"),
        (["models:/heart/1", "--as", "x", "--flavor", "spark"], 2, "spark"),
        (["models:/heart/1", "--as", "x", "--max-bytes", "10"], 2, "--max-bytes"),
        (["models:/heart/1", "--as", "No Name"], 2, "--as"),
        (["heart/1"], 2, "models:/NAME@ALIAS"),
        (["models:/m-0123456789abcdef"], 2, "--as"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_imported_is_refused_with_what_can(
    canary: Canary, logged: Logged, arguments: list[str], code: int, named: str
) -> None:
    ran = canary("import", "mlflow", *arguments)

    assert ran.code == code, ran.err
    assert named in ran.err
    assert ran.out == ""


def test_a_run_that_logged_no_such_model_names_those_it_has(canary: Canary, logged: Logged) -> None:
    ran = canary("import", "mlflow", f"runs:/{logged.runs['heart']}/modl", "--as", "x")

    assert ran.code == 3
    assert "It has logged: model." in ran.err


def test_the_environment_is_as_before(canary: Canary, logged: Logged) -> None:
    before = dict(os.environ)

    canary("import", "mlflow", "models:/heart/7")

    assert dict(os.environ) == before


def test_nobody_there_is_said_in_time_and_without_the_password(canary: Canary) -> None:
    ran = canary("import", "mlflow", "models:/heart/1", "--tracking-uri", "http://ada:secret@127.0.0.1:9")

    assert ran.code == 7
    assert "http://127.0.0.1:9" in ran.err
    assert "secret" not in ran.err


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_not_let_in_hears_what_to_set(canary: Canary, status: int) -> None:
    with answering(status) as url:
        ran = canary("import", "mlflow", "models:/heart/1", "--tracking-uri", url)

    assert ran.code == 1
    assert "MLFLOW_TRACKING_USERNAME" in ran.err


def test_what_is_no_mlflow_is_said(canary: Canary) -> None:
    with answering(404) as url:
        ran = canary("import", "mlflow", "models:/heart/1", "--tracking-uri", url)

    assert ran.code == 1
    assert url in ran.err


def test_without_an_address_it_asks_for_one(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")

    ran = canary("import", "mlflow", "models:/heart/1")

    assert ran.code == 2
    assert "--tracking-uri" in ran.err


def test_without_its_library_it_says_what_to_install(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)

    ran = canary("import", "mlflow", "models:/heart/1")

    assert ran.code == 2
    assert "serinus[mlflow]" in ran.err


def test_the_progress_of_a_download_ends_with_all_of_it(
    logged: Logged, mlflow_server: MLflowServer, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    with opened(mlflow_server.url) as registry:
        found = registry.find(Registered("heart", "1"))
        files = registry.files(found.location)
        registry.fetch(found.location, files, tmp_path, lambda done, total: seen.append((done, total)))

    size = sum(path.stat().st_size for path in tmp_path.rglob("*"))
    assert seen[-1] == (size, size)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
