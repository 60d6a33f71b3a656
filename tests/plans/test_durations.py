import pytest
from hypothesis import given
from tests.plans.documents import SPANS

from serinus.core.errors import InvalidInput
from serinus.plans.durations import read_duration, write_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("2d", 172_800.0),
        ("0.5s", 0.5),
        ("1.5h", 5400.0),
        ("90s", 90.0),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, seconds: float) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 m", "m", "-5m", "5min", "1e3s", "5m\n", "٣s", "5ms", "∞s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_duration(text)
    assert repr(text) in refused.value.message


@pytest.mark.parametrize(("seconds", "text"), [(300.0, "5m"), (5400.0, "1h30m"), (90.0, "1m30s"), (0.25, "0.25s")])
def test_it_is_written_in_the_largest_units(seconds: float, text: str) -> None:
    assert write_duration(seconds) == text


@given(SPANS)
def test_what_is_written_is_read_as_the_same_number(seconds: float) -> None:
    assert read_duration(write_duration(seconds)) == seconds
