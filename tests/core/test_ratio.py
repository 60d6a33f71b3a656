"""The guard of the split: quiet where each role gets its share, loud where a part of one is lost."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.ratio import ALARM, SHIFTS, RatioGuard

SHARES = st.floats(1e-4, 1 - 1e-4)


def mean(guard: RatioGuard, share: float, draws: int) -> float:
    """Give the mean of the evidence after so many draws of a split that works."""
    return sum(
        math.comb(draws, canary)
        * share**canary
        * (1.0 - share) ** (draws - canary)
        * math.exp(guard.after(share, canary, draws - canary).log)
        for canary in range(draws + 1)
    )


def after(seed: int, share: float, requests: int, kept: float = 1.0) -> RatioGuard:
    """Give the guard after draws of which so many of the canary's are kept."""
    drawn, guard = random.Random(seed), RatioGuard()
    for _ in range(requests):
        canary = drawn.random() < share
        if not canary or drawn.random() < kept:
            guard = guard.after(share, canary, not canary)
    return guard


def test_nothing_seen_says_nothing() -> None:
    assert RatioGuard().log == pytest.approx(0.0, abs=1e-12)
    assert RatioGuard().after(0.3, 0, 0) == RatioGuard()


def test_one_request_is_worth_what_its_role_is_likelier_by() -> None:
    guard = RatioGuard().after(0.5, 1, 0)

    assert guard.logs == pytest.approx([math.log(2.0 / (1.0 + math.exp(-shift))) for shift in SHIFTS])


@given(SHARES, st.integers(0, 12))
def test_where_the_split_works_the_evidence_against_it_stays_one_on_average(share: float, draws: int) -> None:
    assert mean(RatioGuard(), share, draws) == pytest.approx(1.0, rel=1e-9)


@given(SHARES, SHARES, st.integers(0, 50), st.integers(0, 50), st.integers(0, 8))
def test_whatever_was_seen_before_it_does_not_grow_on_average(
    share: float, later: float, canary: int, baseline: int, draws: int
) -> None:
    guard = RatioGuard().after(share, canary, baseline)

    assert mean(guard, later, draws) == pytest.approx(math.exp(guard.log), rel=1e-9)


@given(SHARES, st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=6))
def test_what_came_in_parts_is_worth_what_it_is_together(share: float, parts: list[tuple[int, int]]) -> None:
    guard = RatioGuard()
    for part in parts:
        guard = guard.after(share, *part)
    together = RatioGuard().after(share, sum(c for c, _ in parts), sum(b for _, b in parts))

    assert guard.logs == pytest.approx(together.logs, rel=1e-9, abs=1e-9)


@given(SHARES, st.integers(0, 50), st.integers(0, 50), st.floats(0.01, 1.0))
def test_requests_that_weigh_less_say_less(share: float, canary: int, baseline: int, weight: float) -> None:
    light = RatioGuard().after(share, weight * canary, weight * baseline)

    assert light.logs == pytest.approx([weight * log for log in RatioGuard().after(share, canary, baseline).logs])


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5])
def test_draws_that_are_honest_raise_no_alarm(share: float) -> None:
    for seed in range(5):
        assert not after(seed, share, 10_000).alarmed


@pytest.mark.parametrize(("share", "requests"), [(0.2, 2_000), (0.5, 1_500), (0.05, 6_000)])
def test_where_half_of_the_canarys_requests_are_lost_the_alarm_is_raised(share: float, requests: int) -> None:
    assert after(1, share, requests, kept=0.5).alarmed


@pytest.mark.parametrize(("canary", "baseline"), [(0, 1000), (1000, 0)])
def test_where_one_role_gets_nothing_the_alarm_is_raised(canary: int, baseline: int) -> None:
    assert RatioGuard().after(0.2, canary, baseline).alarmed


def test_a_great_number_is_no_trouble() -> None:
    guard = RatioGuard().after(0.0001, 10**12, 10**12)

    assert math.isfinite(guard.log)
    assert guard.log > ALARM
