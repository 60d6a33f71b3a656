from datetime import UTC, datetime, timedelta

import pytest

from serinus.cli.display import words

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-60, "just now"),
        (0.4, "just now"),
        (12, "12 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (7200, "2 h ago"),
        (200_000, "2 d ago"),
    ],
)
def test_a_time_is_told_by_how_long_ago_it_was(seconds: float, text: str) -> None:
    assert words.ago((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == text


def test_a_time_without_a_zone_is_utc() -> None:
    assert words.ago("2026-11-23T11:59:30", NOW) == "30 s ago"


def test_what_is_no_time_is_shown_as_it_is() -> None:
    assert words.ago("yesterday", NOW) == "yesterday"
    assert words.clock(None) == "-"


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0, "0.0 %"),
        (0.189, "18.9 %"),
        (1, "100.0 %"),
        (0.00025, "0.025 %"),
        (None, "-"),
        ("x", "-"),
        (float("nan"), "-"),
    ],
)
def test_a_small_rate_is_told_from_none(rate: object, text: str) -> None:
    assert words.rate(rate) == text


@pytest.mark.parametrize(
    ("size", "text"), [(512, "512 B"), (12_345, "12.3 kB"), (3_000_000, "3.0 MB"), (5e12, "5000.0 GB")]
)
def test_a_size_is_told_in_the_unit_that_fits(size: float, text: str) -> None:
    assert words.size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(30, "30 s"), (90, "90 s"), (300, "5 min"), (7200, "2 h"), (0.5, "0.5 s")]
)
def test_a_span_is_told_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert words.seconds(seconds) == text


@pytest.mark.parametrize(
    ("possible", "text"),
    [
        (["configure", "set weight", "rollback"], "configure, traffic, rollback"),
        (["something new", 3], "something new, 3"),
        ([], ""),
        (None, ""),
    ],
)
def test_commands_are_written_as_they_are_typed(possible: object, text: str) -> None:
    assert words.commands(possible) == text


@pytest.mark.parametrize(
    ("log", "text"),
    [(0.0, "1:1"), (6.02, "412:1"), (-3.9, "1:49"), (50.0, ">1e6:1"), (-700.0, "1:>1e6"), (None, "-")],
)
def test_evidence_is_written_as_odds(log: float | None, text: str) -> None:
    assert words.odds(log) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "now"), (40, "in 40 s"), (119, "in 119 s"), (240, "in 4 min"), (8000, "in 2 h")]
)
def test_how_long_it_is_until_something_is_written(seconds: float, text: str) -> None:
    assert words.ahead((NOW + timedelta(seconds=seconds)).isoformat(), NOW) == text
