import pytest

from serinus.core.errors import InvalidFeatures, Unavailable
from serinus.core.lookups import Found, Lookup, completed, lacking
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature

SIGNATURE = Signature((Feature("age", Dtype.INT), Feature("chol", Dtype.FLOAT)), Output(OutputKind.NUMBER))
ANN = Lookup("patients", "entity_id", "ann")
FOUND = Found({"age": 63, "chol": None, "sex": "f"})


@pytest.mark.parametrize(
    ("features", "names"),
    [
        (None, ["age", "chol"]),
        ({}, ["age", "chol"]),
        ({"chol": 1.0}, ["age"]),
        ({"age": None, "chol": 1.0}, []),
        ([63, 1.0], []),
        ("age", []),
    ],
)
def test_what_a_request_does_not_bring_is_lacking(features: object, names: list[str]) -> None:
    assert lacking(features, SIGNATURE) == names


def test_what_was_found_is_put_beside_what_the_caller_sent() -> None:
    assert completed({"chol": 1.0}, ["age"], FOUND, ANN) == {"age": 63, "chol": 1.0}


def test_what_the_caller_sent_wins_and_what_nobody_asked_for_is_left_out() -> None:
    sent = {"age": 20, "unknown": 1}

    assert completed(sent, ["chol"], FOUND, ANN) == {"age": 20, "chol": None, "unknown": 1}


def test_what_the_service_does_not_have_at_all_is_left_for_the_signature_to_name() -> None:
    assert completed(None, ["age", "weight"], FOUND, ANN) == {"age": 63}


def test_an_entity_that_the_feature_store_does_not_know_is_the_callers_error() -> None:
    with pytest.raises(InvalidFeatures, match="no age, chol for entity_id 'ann'") as refused:
        completed(None, ["age", "chol"], Found(missing=frozenset({"age", "chol"})), ANN)
    assert refused.value.details == {"missing": ["age", "chol"]}


def test_what_is_missing_does_not_matter_where_the_caller_sent_it() -> None:
    found = Found({"age": 63}, missing=frozenset({"chol"}), stale=frozenset({"chol"}))

    assert completed({"chol": 1.0}, ["age"], found, ANN) == {"age": 63, "chol": 1.0}


def test_what_is_too_old_is_our_error() -> None:
    with pytest.raises(Unavailable, match="of age for entity_id 'ann' is too old"):
        completed(None, ["age"], Found(stale=frozenset({"age"})), ANN)
