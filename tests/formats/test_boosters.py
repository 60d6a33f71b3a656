import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_diabetes, load_iris
from tests.formats.samples import heart, heart_with_strings, rows_of

from serinus.core.answers import read_answers
from serinus.core.errors import FormatRefused, InvalidInput
from serinus.core.records import Package
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.formats import Formats
from serinus.formats.packing import pack, pack_file

LIBRARIES = ("xgboost", "lightgbm")


def classifier(library: str, **options: Any) -> Any:
    if library == "xgboost":
        return xgboost.XGBClassifier(n_estimators=9, n_jobs=1, **options)
    return lightgbm.LGBMClassifier(n_estimators=9, n_jobs=1, verbose=-1, **options)


def regressor(library: str, **options: Any) -> Any:
    if library == "xgboost":
        return xgboost.XGBRegressor(n_estimators=9, n_jobs=1, **options)
    return lightgbm.LGBMRegressor(n_estimators=9, n_jobs=1, verbose=-1, **options)


def iris() -> tuple[Any, Any]:
    X, y = load_iris(return_X_y=True, as_frame=True)
    return X, y


def answered(package: Package, X: Any) -> Any:
    return Formats().load(package.data, package.format, package.signature).predict(rows_of(X))


def saved(library: str, model: Any, folder: Path, suffix: str = "") -> Path:
    path = folder / f"model{suffix or ('.ubj' if library == 'xgboost' else '.txt')}"
    (model if library == "xgboost" else model.booster_).save_model(path)
    return path


@pytest.mark.parametrize("library", LIBRARIES)
def test_patients_with_missing_values_are_answered_as_by_the_library(library: str) -> None:
    X, y = heart()
    model = classifier(library).fit(X, y)

    package = pack(model, X, class_names=["healthy", "ill"])

    raw = answered(package, X)
    assert package.format == library
    assert package.signature.output == Output(OutputKind.CLASS, (0, 1), ("healthy", "ill"))
    assert (raw.values == model.predict(X)).all()
    assert (raw.probabilities == model.predict_proba(X)).all()
    assert read_answers(raw, package.signature.output, len(X))[0].prediction_class in {"healthy", "ill"}


@pytest.mark.parametrize("library", LIBRARIES)
def test_several_classes_are_answered_as_by_the_library(library: str) -> None:
    X, y = iris()
    model = classifier(library).fit(X, y)

    raw = answered(pack(model, X), X)

    assert (raw.values == model.predict(X)).all()
    assert (raw.probabilities == model.predict_proba(X)).all()


@pytest.mark.parametrize("library", LIBRARIES)
def test_numbers_are_answered_as_by_the_library(library: str) -> None:
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    model = regressor(library).fit(X, y)

    package = pack(model, X)

    assert package.signature.output.kind is OutputKind.NUMBER
    assert (answered(package, X).values == model.predict(X)).all()


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("as_frame", ["frame", "array"])
def test_a_file_is_told_by_its_content_and_takes_its_classes_from_the_target(
    library: str, as_frame: str, tmp_path: Path
) -> None:
    X, y = iris()
    fitted_on = X if as_frame == "frame" else X.to_numpy()
    model = classifier(library).fit(fitted_on, y)
    data = X.assign(kind=y.map(dict(enumerate(["setosa", "versicolor", "virginica"]))))

    package = pack_file(saved(library, model, tmp_path).rename(tmp_path / "model"), data, target="kind")

    assert package.format == library
    assert package.signature.output.classes == ("setosa", "versicolor", "virginica")
    numbers = [package.signature.output.classes.index(value) for value in answered(package, X).values]
    assert numbers == model.predict(fitted_on).tolist()


def test_both_of_xgboosts_formats_are_read(tmp_path: Path) -> None:
    X, y = heart()
    model = classifier("xgboost").fit(X, y)

    for suffix in (".json", ".ubj"):
        package = pack_file(saved("xgboost", model, tmp_path, suffix), X)
        assert (answered(package, X).probabilities == model.predict_proba(X)).all()


@pytest.mark.parametrize(
    "options",
    [
        {"booster": "dart", "rate_drop": 0.3},
        {"booster": "gblinear", "objective": "binary:logistic"},
        {"num_parallel_tree": 3, "subsample": 0.5},
        {"max_depth": 12, "gamma": 3.0},
        {"early_stopping_rounds": 1, "learning_rate": 1.5},
        {"objective": "binary:hinge"},
    ],
    ids=str,
)
def test_other_kinds_of_boosters_are_answered_as_by_xgboost(options: dict[str, Any]) -> None:
    X, y = heart()
    X = X.fillna(0.0)
    half = len(X) // 2
    fit = {"eval_set": [(X[half:], y[half:])], "verbose": False} if "early_stopping_rounds" in options else {}
    model = classifier("xgboost", **options).fit(X[:half], y[:half], **fit)

    raw = answered(pack(model, X), X)

    assert (raw.values == model.predict(X)).all()
    if raw.probabilities is not None:
        assert raw.probabilities == pytest.approx(model.predict_proba(X), abs=1e-6)


def test_a_softmax_is_answered_with_its_probabilities() -> None:
    X, y = iris()
    booster = xgboost.train({"objective": "multi:softmax", "num_class": 3}, xgboost.DMatrix(X, y), num_boost_round=5)

    raw = answered(pack(booster, X), X)

    assert (raw.values == booster.predict(xgboost.DMatrix(X))).all()
    assert raw.probabilities.sum(axis=1) == pytest.approx(np.ones(len(X)), abs=1e-6)


@pytest.mark.parametrize(
    "options", [{"objective": "multiclassova"}, {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1}]
)
def test_other_kinds_of_boosters_are_answered_as_by_lightgbm(options: dict[str, Any]) -> None:
    X, y = iris()
    model = classifier("lightgbm", **options).fit(X, y)

    package = pack(model, X)

    raw = answered(package, X)
    assert (raw.values == model.predict(X)).all()
    assert len(read_answers(raw, package.signature.output, len(X))) == len(X)


@pytest.mark.parametrize("library", LIBRARIES)
def test_features_are_put_into_the_files_order(library: str) -> None:
    X, y = heart()
    model = classifier(library).fit(X, y)
    other = pack(model, X).signature
    turned = Signature(other.features[::-1], other.output)

    package = Package(pack(model, X).data, library, turned)

    assert (answered(package, X[X.columns[::-1]]).values == model.predict(X)).all()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_signature_that_is_not_the_files_is_refused(library: str) -> None:
    X, y = heart()
    package = pack(classifier(library).fit(X, y), X)
    features, output = package.signature.features, package.signature.output
    wrong = {
        "other": Signature((Feature("other", Dtype.FLOAT), *features[1:]), output),
        "13 features": Signature(features[1:], output),
        "predicts a class": Signature(features, Output(OutputKind.NUMBER)),
        "2 classes": Signature(features, Output(OutputKind.CLASS, (0, 1, 2))),
        "strings": Signature((Feature(features[0].name, Dtype.STR), *features[1:]), output),
    }

    for said, signature in wrong.items():
        with pytest.raises(FormatRefused, match=said) as refused:
            Formats().load(package.data, library, signature)
        assert refused.value.field == "signature"


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_target_with_another_number_of_values_is_refused(library: str, tmp_path: Path) -> None:
    X, y = iris()
    path = saved(library, classifier(library).fit(X, y), tmp_path)

    with pytest.raises(InvalidInput, match="3 classes"):
        pack_file(path, X.assign(kind=y == 0), target="kind")


@pytest.mark.parametrize("library", LIBRARIES)
def test_categories_are_refused_with_what_to_do(library: str) -> None:
    X, y = heart_with_strings()
    X["cp"] = X["cp"].astype("category")
    options = {"enable_categorical": True} if library == "xgboost" else {}

    with pytest.raises(FormatRefused, match="one-hot"):
        pack(classifier(library, **options).fit(X, y), X)


def test_a_value_of_its_own_for_what_is_missing_is_refused() -> None:
    X, y = heart()

    with pytest.raises(FormatRefused, match="-1"):
        pack(classifier("xgboost", missing=-1).fit(X.fillna(-1), y), X)


def test_several_numbers_and_scores_are_refused() -> None:
    X, y = heart()

    with pytest.raises(FormatRefused, match="several"):
        pack(regressor("xgboost").fit(X, np.column_stack([y, y])), X)
    with pytest.raises(FormatRefused, match="logitraw"):
        pack(classifier("xgboost", objective="binary:logitraw").fit(X, y), X)


# -------------------------------------------------------------------------------------- damaged and hostile


def small(library: str, folder: Path, suffix: str = "") -> bytes:
    X, y = heart()
    return saved(library, classifier(library).fit(X, y), folder, suffix).read_bytes()


def refusal(data: bytes, library: str) -> FormatRefused:
    X, _ = heart()
    signature = Signature(
        tuple(Feature(str(name), Dtype.FLOAT, nullable=True) for name in X.columns), Output(OutputKind.CLASS, (0, 1))
    )
    with pytest.raises(FormatRefused) as refused:
        Formats().load(data, library, signature)
    return refused.value


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_file_that_is_cut_off_anywhere_is_refused(library: str, tmp_path: Path) -> None:
    data = small(library, tmp_path)
    ends = np.linspace(0, data.find(b"\nend of trees") if library == "lightgbm" else len(data) - 1, 60).astype(int)

    for end in ends:
        assert refusal(data[:end], library).field == "format"


def test_a_file_of_the_other_library_is_refused(tmp_path: Path) -> None:
    files = {library: small(library, tmp_path) for library in LIBRARIES}

    assert "LightGBM" in refusal(files["xgboost"], "lightgbm").message
    assert "XGBoost" in refusal(files["lightgbm"], "xgboost").message


def trees(document: dict[str, Any]) -> Any:
    return document["learner"]["gradient_booster"]["model"]["trees"]


def loops(document: dict[str, Any]) -> None:
    trees(document)[0]["left_children"][1] = 1


def leads_out(document: dict[str, Any]) -> None:
    trees(document)[0]["right_children"][0] = 2**30


def leads_before(document: dict[str, Any]) -> None:
    trees(document)[0]["left_children"][0] = -5


def asks_for_another_feature(document: dict[str, Any]) -> None:
    trees(document)[0]["split_indices"][0] = 2**20


def votes_for_another_class(document: dict[str, Any]) -> None:
    document["learner"]["gradient_booster"]["model"]["tree_info"][0] = 2**20


def lacks_weights(document: dict[str, Any]) -> None:
    trees(document)[0]["split_conditions"].pop()


def says_another_size(document: dict[str, Any]) -> None:
    trees(document)[0]["tree_param"]["num_nodes"] = str(2**31 - 1)


def counts_more_trees(document: dict[str, Any]) -> None:
    document["learner"]["gradient_booster"]["model"]["gbtree_model_param"]["num_trees"] = str(2**31 - 1)


def has_another_number(document: dict[str, Any]) -> None:
    trees(document)[0]["id"] = 2**31 - 1


def has_rounds_beyond_its_trees(document: dict[str, Any]) -> None:
    document["learner"]["gradient_booster"]["model"]["iteration_indptr"][-1] = 2**30


def stopped_after_its_end(document: dict[str, Any]) -> None:
    document["learner"]["attributes"] = {"best_iteration": str(2**30), "scikit_learn": "{}"}


def takes_more_features(document: dict[str, Any]) -> None:
    document["learner"]["learner_model_param"]["num_feature"] = str(2**31 - 1)


def is_of_an_unknown_kind(document: dict[str, Any]) -> None:
    document["learner"]["gradient_booster"]["name"] = "gbother"


@pytest.mark.parametrize(
    "damage",
    [
        *(loops, leads_out, leads_before, asks_for_another_feature, votes_for_another_class, lacks_weights),
        *(says_another_size, counts_more_trees, has_another_number, has_rounds_beyond_its_trees),
        *(stopped_after_its_end, takes_more_features, is_of_an_unknown_kind),
    ],
)
def test_an_xgboost_model_whose_numbers_lead_astray_is_refused(damage: Any, tmp_path: Path) -> None:
    document = json.loads(small("xgboost", tmp_path, ".json"))
    damage(document)

    assert refusal(json.dumps(document).encode(), "xgboost").code == "SERINUS-FORMAT"


def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    data = small("xgboost", tmp_path, ".json")

    assert "twice" in refusal(data[:-1] + b',"learner":{}}', "xgboost").message


@pytest.mark.parametrize(
    "data",
    [
        b'{"learner":' + b"[" * 100_000,
        b"{L\0\0\0\0\0\0\0\x07learner" + b"[" * 100_000,
        b"{L\0\0\0\0\0\0\0\x07learner[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"{L\0\0\0\0\0\0\0\x07learner[$Z#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"{L\x7f\xff\xff\xff\xff\xff\xff\xfflearner",
        b"{L\xff\xff\xff\xff\xff\xff\xff\xfflearner",
        b'{"learner": 1}',
        b"{}",
        b"binf",
    ],
)
def test_what_is_declared_but_not_there_is_refused(data: bytes) -> None:
    assert refusal(data, "xgboost").field == "format"


@pytest.mark.parametrize(
    ("line", "damaged"),
    [
        (b"left_child=", b"left_child=9999999 "),
        (rb"left_child=-?\d+", b"left_child=0"),
        (b"right_child=", b"right_child=-9999999 "),
        (b"split_feature=", b"split_feature=9999 "),
        (b"leaf_value=", b"leaf_value=1 "),
        (b"num_leaves=", b"num_leaves=9"),
        (b"leaf_weight=", b"leaf_weight=1 "),
        (b"decision_type=2", b"decision_type=1"),
        (b"num_cat=0", b"num_cat=1"),
        (b"is_linear=0", b"is_linear=1"),
        (b"tree_sizes=", b"tree_sizes=9"),
        (b"max_feature_idx=12", b"max_feature_idx=13"),
        (b"num_class=1", b"num_class=7"),
        (b"num_tree_per_iteration=1", b"num_tree_per_iteration=7"),
        (b"objective=binary", b"objective=multiclass num_class:3"),
        (b"num_leaves=", b"num_leaves=2\nnum_leaves="),
        (b"tree\n", b"tree\0\n"),
        (b"\n", b"\r\n"),
    ],
)
def test_a_lightgbm_model_whose_numbers_lead_astray_is_refused(line: bytes, damaged: bytes, tmp_path: Path) -> None:
    data = small("lightgbm", tmp_path)
    assert re.search(line, data)

    assert refusal(re.sub(line, damaged, data), "lightgbm").code == "SERINUS-FORMAT"


@pytest.mark.parametrize("damaged", [b"[boosting", b"[: gbdt]", b"", b"\xc3\xa4"])
def test_how_a_lightgbm_model_was_trained_is_not_read(damaged: bytes, tmp_path: Path) -> None:
    data = small("lightgbm", tmp_path)
    X, _ = heart()
    signature = Signature(
        tuple(Feature(str(name), Dtype.FLOAT, nullable=True) for name in X.columns), Output(OutputKind.CLASS, (0, 1))
    )

    loaded = [
        np.asarray(Formats().load(each, "lightgbm", signature).predict([[50.0] * 13]).probabilities)
        for each in (data, data.replace(b"[boosting: gbdt]", damaged))
    ]

    assert data.count(b"[boosting: gbdt]") == 1
    assert np.array_equal(loaded[0], loaded[1])


@pytest.mark.parametrize("library", LIBRARIES)
def test_noise_in_a_file_never_ends_the_process(library: str, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(small(library, tmp_path))
    script = f"""
import random, sys
from pathlib import Path
from serinus.core.errors import FormatRefused
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.formats import Formats
data = Path({str(tmp_path / "model")!r}).read_bytes()
names = {list(map(str, heart()[0].columns))!r}
signature = Signature(tuple(Feature(name, Dtype.FLOAT, True) for name in names), Output(OutputKind.CLASS, (0, 1)))
chance = random.Random(7)
for _ in range(80):
    noisy = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 5])):
        noisy[chance.randrange(len(noisy))] = chance.choice(b"0123456789- \\n=[L\\xff\\x00")
    try:
        Formats().load(bytes(noisy), {library!r}, signature).predict([[0.0] * 13])
    except FormatRefused:
        pass
print("alive", file=sys.stderr)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert ran.stderr.endswith("alive\n"), (ran.returncode, ran.stderr)
