"""A request that would wait for too much of its time is known before it does."""

import pytest

from serinus.predictors.pace import PATIENCE_SHARE, Pace


@pytest.fixture
def pace() -> Pace:
    return Pace()


def test_no_line_is_too_slow_before_anything_was_measured(pace: Pace) -> None:
    assert not pace.is_too_slow(1_000_000, 1.0)


def test_a_line_is_too_slow_when_the_last_one_would_wait_for_more_than_its_part_of_the_time(pace: Pace) -> None:
    pace.note(0.01)

    assert not pace.is_too_slow(int(100 * PATIENCE_SHARE) - 1, 1.0)
    assert pace.is_too_slow(int(100 * PATIENCE_SHARE) + 1, 1.0)


def test_a_line_that_takes_longer_than_it_did_may_hold_fewer(pace: Pace) -> None:
    pace.note(0.001)
    assert not pace.is_too_slow(10, 1.0)

    for _ in range(20):
        pace.note(0.1)

    assert pace.is_too_slow(10, 1.0)


def test_one_slow_answer_among_quick_ones_is_soon_forgotten(pace: Pace) -> None:
    for each_s in (0.001, 1.0, *[0.001] * 20):
        pace.note(each_s)

    assert not pace.is_too_slow(100, 1.0)
