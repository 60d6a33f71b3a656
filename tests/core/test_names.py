"""Names of deployments and models, and versions as people write them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.errors import InvalidInput
from serinus.core.names import NAME_PATTERN, VersionRef, checked_name

GOOD = ["a", "7", "churn", "churn-prod", "churn.v2_final", "0a", "a" * 63]
BAD = ["", "A", "-a", ".a", "_a", "a b", "a/b", "a@1", "a:1", "a\n", "\na", "é", "٣", "a" * 64, "a\ud800", ".", ".."]


@pytest.mark.parametrize("name", GOOD)
def test_a_name_of_small_letters_digits_and_joints_is_good(name: str) -> None:
    assert checked_name(name, "name") == name


@pytest.mark.parametrize("name", BAD)
def test_a_bad_name_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked_name(name, "model")
    assert (refused.value.field, refused.value.message) == ("model", f"model {name!r} is not a valid name.")
    assert "1 to 63 of a-z" in refused.value.remedy


@given(st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda name: not name.endswith("\n")))
def test_the_published_pattern_says_what_is_accepted(name: str) -> None:
    assert checked_name(name, "name") == name


@given(st.text(max_size=70))
def test_whatever_is_accepted_fits_the_published_pattern(name: str) -> None:
    try:
        checked_name(name, "name")
    except InvalidInput:
        return
    assert re.match(NAME_PATTERN, name)


# ------------------------------------------------------------------------------------------- versions


@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True), st.integers(1, 999_999_999))
def test_a_version_is_read_as_it_is_written(model: str, number: int) -> None:
    assert VersionRef.parse(str(VersionRef(model, number))) == VersionRef(model, number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "churn",
        "churn@",
        "churn@0",
        "churn@-1",
        "churn@+1",
        "churn@1.0",
        "churn@01",
        "churn@ 1",
        "churn@1\n",
        "churn@1_0",
        "churn@٣",
        "churn@²",
        "churn@latest",
        "churn@1000000000",
        "churn@" + "9" * 5000,
    ],
)
def test_what_is_no_version_is_refused_as_one(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        VersionRef.parse(text)
    assert (refused.value.field, refused.value.remedy) == ("version", "Write it as NAME@NUMBER.")


@pytest.mark.parametrize("text", ["@1", "Churn@1", "a@b@1"])
def test_a_version_of_a_badly_named_model_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        VersionRef.parse(text)
    assert refused.value.field == "model"


@given(st.text())
def test_any_text_is_a_version_or_refused(text: str) -> None:
    try:
        assert str(VersionRef.parse(text)) == text
    except InvalidInput:
        return


def test_versions_are_in_order_of_their_numbers() -> None:
    assert sorted([VersionRef("m", 10), VersionRef("m", 9)]) == [VersionRef("m", 9), VersionRef("m", 10)]
