import math

import pytest

from serinus.core.origin import Origin
from serinus.importing.found import LONGEST_DIGESTS, Dataset, Found, digests

FOUND = Found("models:/heart/1", Origin("http://mlflow:5000", "heart", "1"), "s3://bucket/1")


def test_the_data_of_the_training_come_first() -> None:
    assert digests([Dataset("held-out", "bb", "evaluation"), Dataset("train", "aa", "training")]) == (
        "train:aa,held-out:bb"
    )


def test_what_parts_entries_is_written_otherwise_in_names() -> None:
    assert digests([Dataset("a,b:c d", "aa")]) == "a%2Cb%3Ac d:aa"


def test_one_dataset_that_was_taken_in_twice_is_named_once() -> None:
    assert digests([Dataset("a", "aa"), Dataset("a", "aa", "training")]) == "a:aa"


def test_what_does_not_fit_is_counted() -> None:
    text = digests([Dataset(f"data-{number:03}", "0123456789abcdef") for number in range(30)])

    assert len(text) <= LONGEST_DIGESTS
    assert text.startswith("data-000:0123456789abcdef,data-001")
    named = text.count(":")
    assert text.endswith(f",+{30 - named}")


def test_one_name_that_is_too_long_alone_is_counted() -> None:
    assert digests([Dataset("x" * 300, "aa")]) == "+1"


def test_no_data_is_no_digest() -> None:
    assert digests([]) == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", 0.5),
        ("7", 7),
        ("true", True),
        ("null", None),
        ("None", "None"),
        ("lbfgs", "lbfgs"),
        ("NaN", "NaN"),
        ('{"a": 1}', '{"a": 1}'),
        ('"quoted"', '"quoted"'),
        ("x" * 501, "x" * 499 + "…"),
    ],
)
def test_a_parameter_is_read_where_it_is_a_plain_value(text: str, value: object) -> None:
    found = Found(FOUND.uri, FOUND.origin, FOUND.location, parameters={"p": text})

    assert found.kept_parameters == {"p": value}


def test_a_metric_that_is_no_number_is_left_out() -> None:
    found = Found(FOUND.uri, FOUND.origin, FOUND.location, metrics={"a": 0.5, "b": math.nan, "c": math.inf})

    assert found.kept_metrics == {"a": 0.5}


def test_tags_of_mlflow_and_our_own_are_not_taken_for_the_users() -> None:
    tags = {"team": "cardio", "mlflow.user": "ada", "serinus.status": "promoted"}
    found = Found(FOUND.uri, FOUND.origin, FOUND.location, tags=tags)

    assert found.kept_tags == {"team": "cardio"} | FOUND.origin.tags
