import pytest

from serinus.cli import values
from serinus.core.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "weight"), [("20", 20.0), ("20%", 20.0), (" 0.5 % ", 0.5), ("+10", 10.0), ("-10", -10.0)]
)
def test_a_share_is_read(text: str, weight: float) -> None:
    assert values.percent(text) == weight


@pytest.mark.parametrize(("text", "rate"), [("0.05", 0.05), ("5%", 0.05), (".5", 0.5), ("2.5 %", 0.025)])
def test_a_rate_is_read(text: str, rate: float) -> None:
    assert values.rate(text) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("text", "seconds"), [("300", 300.0), ("30s", 30.0), ("5m", 300.0), ("1.5 min", 90.0), ("1h", 3600.0)]
)
def test_a_span_is_read_in_seconds(text: str, seconds: float) -> None:
    assert values.span(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "1e999", "5x", "--5", "5%%", "1,5"])
def test_what_is_no_number_is_refused(text: str) -> None:
    for read in (values.percent, values.rate, values.span):
        with pytest.raises(InvalidInput):
            read(text)


@pytest.mark.parametrize(
    ("text", "version"), [("2", ("", 2)), ("v2", ("", 2)), ("@2", ("", 2)), ("a-b.c@12", ("a-b.c", 12))]
)
def test_a_canary_is_named_by_number_or_in_full(text: str, version: tuple[str, int]) -> None:
    assert values.canary_version(text) == version


@pytest.mark.parametrize("text", ["", "heart", "heart@", "heart@0", "heart@x", "@", "2.0", "-1"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        values.canary_version(text)


def test_pairs_are_read_and_only_the_first_sign_parts_them() -> None:
    assert values.pairs(["a=1", " b = x=y ", "c="], "--tag") == {"a": "1", "b": "x=y", "c": ""}


def test_parameters_are_json_where_they_can_be() -> None:
    read = values.json_values(["depth=3", "lr=0.1", "boost=true", "loss=log", "layers=[8, 4]", "x=NaN"], "--param")

    assert read == {"depth": 3, "lr": 0.1, "boost": True, "loss": "log", "layers": [8, 4], "x": "NaN"}


@pytest.mark.parametrize("text", ["accuracy", "=0.5", "accuracy=good", "accuracy=nan", "accuracy=inf"])
def test_a_metric_without_a_name_or_a_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        values.numbers([text], "--metric")
