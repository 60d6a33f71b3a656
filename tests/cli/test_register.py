import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from tests.cli.conftest import Canary
from tests.client.fake_server import FakeServer

from serinus.formats.conversion import TOLERANCE

CSV = "age,chol,num\n63,233.5,0\n41,204.0,1\n57,354.0,1\n29,180.5,0\n"
SIGNATURE = {
    "features": [{"name": "age", "dtype": "int"}, {"name": "chol", "dtype": "float"}],
    "output": {"kind": "class", "classes": [0, 1]},
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, its training data and its signature; no git work tree."""
    (tmp_path / "train.csv").write_text(CSV)
    (tmp_path / "sig.json").write_text(json.dumps(SIGNATURE))
    data = pd.read_csv(tmp_path / "train.csv")
    skops.io.dump(LogisticRegression().fit(data[["age", "chol"]], data["num"]), tmp_path / "model.skops")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def newest(server: FakeServer, model: str) -> dict[str, Any]:
    return server.versions[model][-1]


def test_a_model_is_registered_with_all_that_is_known_of_it(canary: Canary, server: FakeServer, files: Path) -> None:
    ran = canary(
        *("register", "heart", "model.skops", "--data", "train.csv", "--target", "num"),
        *("--metric", "accuracy=0.85", "--metric", "f1=0.8", "--param", "C=1.0", "--tag", "team=cardio"),
        *("--description", "first try", "--run-id", "run-7", "--parent", "heart@1"),
        *("--class-names", "healthy, ill", "-o", "json"),
    )

    assert ran.code == 0, ran.err
    version = ran.document
    assert version["ref"] == "heart@3"
    assert version["metrics"] == {"accuracy": 0.85, "f1": 0.8}
    assert version["parameters"] == {"C": 1.0}
    assert version["tags"] == {"team": "cardio"}
    assert version["description"] == "first try"
    assert [feature["name"] for feature in version["signature"]["features"]] == ["age", "chol"]
    assert version["signature"]["output"]["class_names"] == ["healthy", "ill"]
    assert version["lineage"] == {
        "dataset_digest": f"sha256:{hashlib.sha256(CSV.encode()).hexdigest()}",
        "run_id": "run-7",
        "git_commit": "",
        "parent": "heart@1",
    }
    assert server.artifacts[version["digest"]] == (files / "model.skops").read_bytes()


def test_the_table_shows_the_new_version(canary: Canary, server: FakeServer, files: Path) -> None:
    ran = canary("register", "wine", "model.skops", "--data", "train.csv", "--target", "num")

    assert "wine@1" in ran.out


def test_a_signature_stands_in_for_data(canary: Canary, server: FakeServer, files: Path) -> None:
    ran = canary("register", "heart", "model.skops", "--signature", "sig.json")

    assert ran.code == 0, ran.err
    assert newest(server, "heart")["signature"]["features"][1]["name"] == "chol"
    assert newest(server, "heart")["lineage"]["dataset_digest"] == ""


def test_example_rows_go_with_a_signature(canary: Canary, server: FakeServer, files: Path) -> None:
    (files / "rows.json").write_text("[[63, 233.5], [41, 204.0]]")

    ran = canary("register", "heart", "model.skops", "--signature", "sig.json", "--examples", "rows.json")

    assert ran.code == 0, ran.err
    assert newest(server, "heart")["examples"] == 2


def test_what_is_said_goes_before_what_is_found_out(canary: Canary, server: FakeServer, files: Path) -> None:
    canary(
        *("register", "heart", "model.skops", "--data", "train.csv", "--target", "num"),
        *("--dataset-digest", "sha256:aa", "--git-commit", "abc"),
    )

    lineage = newest(server, "heart")["lineage"]
    assert (lineage["dataset_digest"], lineage["git_commit"]) == ("sha256:aa", "abc")


def git(*arguments: str) -> str:
    identity = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_in_a_git_work_tree_its_commit_is_recorded(canary: Canary, server: FakeServer, files: Path) -> None:
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "-m", "first")

    canary("register", "heart", "model.skops", "--signature", "sig.json")

    assert newest(server, "heart")["lineage"]["git_commit"] == git("rev-parse", "HEAD")


def test_without_git_the_model_is_registered_all_the_same(
    canary: Canary, server: FakeServer, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")

    assert canary("register", "heart", "model.skops", "--signature", "sig.json").code == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["model.skops"], "--data"),
        (["nothing.skops", "--signature", "sig.json"], "nothing.skops"),
        (["model.skops", "--data", "nothing.csv"], "nothing.csv"),
        (["model.skops", "--signature", "model.skops"], "model.skops"),
        (["train.csv", "--signature", "sig.json"], "train.csv"),
        (["model.skops", "--signature", "sig.json", "--metric", "accuracy"], "--metric"),
        (["model.skops", "--signature", "sig.json", "--tag", "team"], "--tag"),
        (["model.skops", "--signature", "sig.json", "--examples", "nothing.json"], "nothing.json"),
        (["model.skops", "--signature", "sig.json", "--examples", "sig.json"], "list of rows"),
        (["model.skops", "--signature", "sig.json", "--examples", "rows.json"], "age, chol"),
        (["model.skops", "--data", "train.csv", "--examples", "rows.json"], "--examples"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_registered_exits_with_2_names_it_and_sends_nothing(
    canary: Canary, server: FakeServer, files: Path, arguments: list[str], named: str
) -> None:
    (files / "rows.json").write_text("[[63]]")

    ran = canary("register", "heart", *arguments)

    assert ran.code == 2
    assert named in ran.err
    assert ran.out == ""
    assert server.seen == []


def test_data_without_a_target_is_warned_of_and_json_stays_clean(
    canary: Canary, server: FakeServer, files: Path
) -> None:
    (files / "inputs.csv").write_text("age,chol\n63,233.5\n41,204.0\n")

    ran = canary("register", "heart", "model.skops", "--data", "inputs.csv", "-o", "json")

    assert ran.code == 0, ran.err
    assert ran.document["ref"] == "heart@3"
    assert "--target" in ran.err


def test_a_model_is_converted_to_onnx_and_what_was_proved_is_shown_and_kept(
    canary: Canary, server: FakeServer, files: Path
) -> None:
    ran = canary("register", "heart", "model.skops", "--data", "train.csv", "--target", "num", "--onnx")

    assert ran.code == 0, ran.err
    assert "proved on 4 rows: 0 class flips" in " ".join(ran.out.split())
    version = newest(server, "heart")
    assert version["format"] == "onnx"
    proof = version["parameters"]["onnx"]
    assert (proof["rows"], proof["class_flips"], proof["converted_from"]) == (4, 0, "skops")
    assert proof["max_difference"] <= proof["tolerance"] == TOLERANCE
    assert "0 flips in 4 rows" in " ".join(canary("models", "heart").out.split())


def test_example_rows_prove_a_conversion_as_well(canary: Canary, server: FakeServer, files: Path) -> None:
    (files / "rows.json").write_text("[[63, 233.5], [41, 204.0]]")

    ran = canary("register", "heart", "model.skops", "--signature", "sig.json", "--examples", "rows.json", "--onnx")

    assert ran.code == 0, ran.err
    assert newest(server, "heart")["parameters"]["onnx"]["rows"] == 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["model.skops", "--signature", "sig.json"], "nothing can be proved"),
        (["seconds.skops", "--data", "seconds.csv", "--target", "odd"], "predicts another class"),
        (["model.skops", "--data", "train.csv", "--target", "num", "--onnx-tolerance", "0"], "0 is tolerated"),
        (["model.skops", "--data", "train.csv", "--target", "num", "--onnx-tolerance", "-1"], "onnx_tolerance"),
        (["--remote", "http://127.0.0.1:9/v2/models/heart", "--signature", "sig.json"], "--onnx"),
    ],
    ids=["no rows", "another class", "too far", "no tolerance", "remote"],
)
def test_a_conversion_that_is_not_proved_sends_nothing(
    canary: Canary, server: FakeServer, files: Path, arguments: list[str], named: str
) -> None:
    table = pd.DataFrame({"at": 1.7e9 + np.arange(600.0), "odd": np.arange(600) // 60 % 2})
    table.to_csv(files / "seconds.csv", index=False)
    model = make_pipeline(StandardScaler(), DecisionTreeClassifier()).fit(table[["at"]], table["odd"])
    skops.io.dump(model, files / "seconds.skops")

    ran = canary("register", "heart", *arguments, "--onnx")

    assert ran.code == 2
    assert named in ran.err
    assert server.seen == []
