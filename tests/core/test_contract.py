"""What a canary must have in common with its baseline, and what is only worth a warning."""

import pytest

from serinus.core.contract import check_contract
from serinus.core.errors import ContractBroken
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature

AGE, CHOL, SEX = Feature("age", Dtype.INT), Feature("chol", Dtype.FLOAT), Feature("sex", Dtype.STR)
CLASSES = Output(OutputKind.CLASS, (0, 1))
BASELINE = Signature((AGE, CHOL, SEX), CLASSES)


def broken_by(canary: Signature) -> ContractBroken:
    with pytest.raises(ContractBroken) as broken:
        check_contract(BASELINE, canary)
    return broken.value


def test_the_same_signature_keeps_the_contract() -> None:
    assert check_contract(BASELINE, BASELINE) == ()


def test_another_order_of_features_keeps_the_contract() -> None:
    assert check_contract(BASELINE, Signature((SEX, CHOL, AGE), CLASSES)) == ()


def test_whole_and_broken_numbers_may_stand_for_each_other() -> None:
    canary = Signature((Feature("age", Dtype.FLOAT), Feature("chol", Dtype.INT), SEX), CLASSES)
    assert check_contract(BASELINE, canary) == ()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ((AGE, CHOL), "The canary's features differ: it lacks sex."),
        ((AGE,), "The canary's features differ: it lacks chol, sex."),
        ((AGE, CHOL, SEX, Feature("bmi", Dtype.FLOAT)), "The canary's features differ: it wants bmi besides."),
        ((AGE, CHOL, Feature("Sex", Dtype.STR)), "The canary's features differ: it lacks sex and wants Sex besides."),
    ],
)
def test_other_features_break_the_contract(features: tuple[Feature, ...], message: str) -> None:
    assert broken_by(Signature(features, CLASSES)).message == message


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        (Feature("sex", Dtype.INT), "The canary takes sex as int, the baseline as str."),
        (Feature("sex", Dtype.BOOL), "The canary takes sex as bool, the baseline as str."),
    ],
)
def test_a_feature_of_another_kind_breaks_the_contract(feature: Feature, message: str) -> None:
    assert broken_by(Signature((AGE, CHOL, feature), CLASSES)).message == message


def test_true_or_false_is_no_number() -> None:
    assert "age as bool" in broken_by(Signature((Feature("age", Dtype.BOOL), CHOL, SEX), CLASSES)).message


def test_another_kind_of_output_breaks_the_contract() -> None:
    canary = Signature(BASELINE.features, Output(OutputKind.NUMBER))
    assert broken_by(canary).message == "The canary predicts a number, the baseline a class."


@pytest.mark.parametrize(
    "canary",
    [
        Signature((AGE, CHOL), CLASSES),
        Signature((AGE, CHOL, Feature("sex", Dtype.INT)), CLASSES),
        Signature(BASELINE.features, Output(OutputKind.NUMBER)),
    ],
)
def test_a_broken_contract_names_the_version_and_a_way_out(canary: Signature) -> None:
    broken = broken_by(canary)
    assert (broken.code, broken.field) == ("SERINUS-CONTRACT", "version")
    assert "make a deployment of its own" in broken.remedy


def test_a_feature_that_may_be_missing_and_never_was_is_worth_a_warning() -> None:
    baseline = Signature((AGE, Feature("chol", Dtype.FLOAT, nullable=True), SEX), CLASSES)
    assert check_contract(baseline, BASELINE) == ("chol may be missing, but never was in the canary's training data",)


def test_a_feature_that_may_be_missing_in_both_is_no_warning() -> None:
    both = Signature((AGE, Feature("chol", Dtype.FLOAT, nullable=True), SEX), CLASSES)
    assert check_contract(both, both) == ()


def test_a_canary_that_stands_missing_values_where_there_are_none_is_welcome() -> None:
    canary = Signature((AGE, Feature("chol", Dtype.FLOAT, nullable=True), SEX), CLASSES)
    assert check_contract(BASELINE, canary) == ()


def test_other_classes_are_worth_a_warning() -> None:
    canary = Signature(BASELINE.features, Output(OutputKind.CLASS, (0, 1, 2)))
    assert check_contract(BASELINE, canary) == ("the canary's classes [0, 1, 2] are not the baseline's [0, 1]",)


def test_the_same_classes_in_another_order_are_no_warning() -> None:
    canary = Signature(BASELINE.features, Output(OutputKind.CLASS, (1, 0)))
    assert check_contract(BASELINE, canary) == ()


def test_no_class_in_common_breaks_the_contract() -> None:
    named = Signature(BASELINE.features, Output(OutputKind.CLASS, ("healthy", "ill")))
    assert broken_by(named).message == (
        "The canary answers with classes ['healthy', 'ill'], none of which is one of the baseline's [0, 1]."
    )


def test_classes_that_are_not_known_on_one_side_are_only_worth_a_warning() -> None:
    assert len(check_contract(BASELINE, Signature(BASELINE.features, Output(OutputKind.CLASS)))) == 1
