import pytest

from serinus.core.errors import InvalidInput
from serinus.importing.addresses import Logged, OfRun, Registered, name_here, parsed


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("models:/heart/3", Registered("heart", version="3")),
        ("models:/heart@champion", Registered("heart", alias="champion")),
        ("models:/Heart Risk@champion", Registered("Heart Risk", alias="champion")),
        ("models:/heart@home@champion", Registered("heart@home", alias="champion")),
        ("models:/m-0123abcd", Logged("m-0123abcd")),
        ("runs:/0123abcd/model", OfRun("0123abcd", "model")),
        ("runs:/0123abcd/folder/model/", OfRun("0123abcd", "folder/model")),
    ],
)
def test_each_form_is_read(uri: str, wanted: object) -> None:
    assert parsed(uri) == wanted


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "heart",
        "heart/1",
        "models:/",
        "models:/heart",
        "models:/heart/latest",
        "models:/heart/Production",
        "models:/heart@",
        "models:/@champion",
        "runs:/0123abcd",
        "s3:/bucket/model",
    ],
)
def test_any_other_is_refused_with_the_forms(uri: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parsed(uri)

    assert refused.value.field == "URI"
    assert "models:/NAME@ALIAS" in refused.value.remedy


def test_a_registered_model_keeps_its_name() -> None:
    assert name_here(Registered("heart", "1"), None) == "heart"


def test_the_name_that_is_given_goes_first() -> None:
    assert name_here(Registered("Heart Risk", "1"), "heart-risk") == "heart-risk"


def test_a_name_that_cannot_be_here_is_refused_with_one_that_can() -> None:
    with pytest.raises(InvalidInput) as refused:
        name_here(Registered("Heart Risk", "1"), None)

    assert refused.value.remedy.endswith("--as heart-risk.")


@pytest.mark.parametrize("wanted", [Logged("m-1"), OfRun("r", "model")])
def test_what_is_not_registered_needs_a_name(wanted: Logged | OfRun) -> None:
    with pytest.raises(InvalidInput) as refused:
        name_here(wanted, None)

    assert refused.value.field == "--as"
