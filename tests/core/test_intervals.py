"""Bounds hold at every look at once, and say as much as they can."""

import math
import random
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.evidence import bucket_of, log_quantile
from serinus.core.intervals import Interval, difference, quantile_interval, rate_interval

ALPHA = 0.2
"""Great, so that bounds that are wrong too often are seen to be."""
LONGEST = 60
ALPHAS = st.floats(1e-6, 0.2)


@st.composite
def streams(draw: st.DrawFn) -> tuple[int, int]:
    """Give a number of ones, and of requests, 1 at least."""
    requests = draw(st.integers(1, 10_000))
    return draw(st.integers(0, requests)), requests


# ------------------------------------------------------------------------------------------- rates


@pytest.mark.parametrize(
    ("ones", "requests", "low", "high"),
    [
        # The mean likelihood of n zeros is binomial(2 n, n) / 4**n, and the bound where (1 - p)**n is a 20th of it.
        (0, 1, 0.0, 1 - 1 / 40),
        (1, 1, 1 / 40, 1.0),
        (0, 10, 0.0, 1 - (math.comb(20, 10) / 4**10 / 20) ** 0.1),
        # That of one of each is 1/8: p (1 - p) is 1/160.
        (1, 2, (1 - math.sqrt(1 - 4 / 160)) / 2, (1 + math.sqrt(1 - 4 / 160)) / 2),
    ],
)
def test_the_bounds_of_a_rate_that_can_be_worked_out_by_hand(ones: int, requests: int, low: float, high: float) -> None:
    assert rate_interval(ones, requests, 0.05) == pytest.approx((low, high), abs=1e-9)


def test_without_requests_a_rate_may_be_any() -> None:
    assert rate_interval(0, 0, 0.01) == (0.0, 1.0)


@pytest.mark.parametrize("requests", [1, 7, 1000, 10**9])
def test_where_all_are_alike_the_bound_on_that_side_is_the_end(requests: int) -> None:
    assert rate_interval(0, requests, 0.01)[0] == 0.0
    assert rate_interval(requests, requests, 0.01)[1] == 1.0


def test_many_requests_leave_little_room() -> None:
    low, high = rate_interval(5 * 10**6, 10**9, 0.01)

    assert 0.00498 < low < 0.005 < high < 0.00502


@given(streams(), ALPHAS)
def test_the_bounds_are_on_both_sides_of_what_was_found(stream: tuple[int, int], alpha: float) -> None:
    ones, requests = stream
    low, high = rate_interval(ones, requests, alpha)

    assert 0.0 <= low <= ones / requests <= high <= 1.0
    assert low < high


@given(streams(), ALPHAS, ALPHAS)
def test_who_wants_to_be_surer_gets_wider_bounds(stream: tuple[int, int], one: float, other: float) -> None:
    surer, less_sure = sorted((one, other))
    outer, inner = rate_interval(*stream, surer), rate_interval(*stream, less_sure)

    assert outer[0] <= inner[0]
    assert outer[1] >= inner[1]


@given(streams(), ALPHAS)
def test_one_more_failure_among_as_many_raises_both_bounds(stream: tuple[int, int], alpha: float) -> None:
    ones, requests = stream
    before, after = rate_interval(ones, requests + 1, alpha), rate_interval(ones + 1, requests + 1, alpha)

    assert after[0] >= before[0]
    assert after[1] >= before[1]


@given(streams(), ALPHAS)
def test_ones_and_zeros_are_treated_alike(stream: tuple[int, int], alpha: float) -> None:
    ones, requests = stream
    low, high = rate_interval(ones, requests, alpha)

    assert rate_interval(requests - ones, requests, alpha) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(streams(), ALPHAS)
def test_the_same_rate_of_ten_times_as_many_is_bounded_more_closely(stream: tuple[int, int], alpha: float) -> None:
    ones, requests = stream
    few, many = rate_interval(ones, requests, alpha), rate_interval(10 * ones, 10 * requests, alpha)

    assert many[1] - many[0] < few[1] - few[0]


@cache
def bounds(ones: int, requests: int) -> Interval:
    return rate_interval(ones, requests, ALPHA)


def chance_to_be_wrong(rates: Sequence[float]) -> float:
    """Give the probability that the mean rate so far is ever out of bounds, for requests of these rates."""
    alive, wrong, total = {0: 1.0}, 0.0, 0.0
    for requests, rate in enumerate(rates, start=1):
        total += rate
        reached: dict[int, float] = {}
        for ones, chance in alive.items():
            for more, part in ((1, rate), (0, 1.0 - rate)):
                reached[ones + more] = reached.get(ones + more, 0.0) + chance * part
        low_high = {ones: bounds(ones, requests) for ones in reached}
        inside = {ones: low - 1e-12 <= total / requests <= high + 1e-12 for ones, (low, high) in low_high.items()}
        wrong += sum(chance for ones, chance in reached.items() if not inside[ones])
        alive = {ones: chance for ones, chance in reached.items() if inside[ones]}
    return wrong


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.97])
def test_with_all_looks_taken_together_a_rate_is_out_of_bounds_no_more_often_than_allowed(rate: float) -> None:
    assert 0.0 < chance_to_be_wrong([rate] * LONGEST) <= ALPHA


@pytest.mark.parametrize("moved", [(0.02, 0.5), (0.9, 0.1), (0.5, 0.0)])
def test_where_a_rate_moves_its_mean_is_out_of_bounds_no_more_often_than_allowed(moved: tuple[float, float]) -> None:
    before, after = moved

    assert chance_to_be_wrong([before] * (LONGEST // 2) + [after] * (LONGEST // 2)) <= ALPHA


# ------------------------------------------------------------------------------------- differences


def test_a_difference_is_bounded_by_the_ends_that_are_farthest_apart() -> None:
    assert difference((0.2, 0.5), (0.1, 0.3)) == pytest.approx((-0.1, 0.4))


@given(streams(), streams(), ALPHAS)
def test_the_bounds_of_a_difference_hold_what_was_found(
    canary: tuple[int, int], baseline: tuple[int, int], alpha: float
) -> None:
    low, high = difference(rate_interval(*canary, alpha), rate_interval(*baseline, alpha))

    assert -1.0 <= low <= canary[0] / canary[1] - baseline[0] / baseline[1] <= high <= 1.0


# --------------------------------------------------------------------------------------- quantiles

LATENCIES = st.dictionaries(st.integers(0, 672), st.integers(1, 500), min_size=1, max_size=20)


@pytest.mark.parametrize("latency", [{}, {100: 1}, {100: 20}])
def test_few_requests_bound_no_p95(latency: dict[int, int]) -> None:
    assert quantile_interval(latency, 0.95, 0.005) is None


def test_the_median_of_what_is_all_in_one_bucket_is_in_it() -> None:
    edges = (round(1.02**99, 3), round(1.02**100, 3))

    assert quantile_interval({100: 1000}, 0.5, 0.01) == edges


def test_up_to_a_millisecond_there_is_no_other_bound_than_nothing() -> None:
    assert quantile_interval({0: 1000}, 0.5, 0.01) == (0.0, 1.0)


@given(LATENCIES, st.sampled_from([0.5, 0.9, 0.95, 0.99]), ALPHAS)
def test_the_bounds_of_a_quantile_are_on_both_sides_of_what_was_found(
    latency: dict[int, int], q: float, alpha: float
) -> None:
    found, interval = log_quantile(latency, q), quantile_interval(latency, q, alpha)

    assert found is not None
    if interval is not None:
        assert interval[0] < found <= interval[1]


@given(LATENCIES, ALPHAS, ALPHAS)
def test_who_wants_to_be_surer_of_a_quantile_gets_wider_bounds(
    latency: dict[int, int], one: float, other: float
) -> None:
    outer, inner = (quantile_interval(latency, 0.95, alpha) for alpha in sorted((one, other)))

    if outer is not None:
        assert inner is not None
        assert outer[0] <= inner[0]
        assert outer[1] >= inner[1]


@given(LATENCIES)
def test_bounds_of_a_quantile_do_not_depend_on_the_order_of_the_buckets(latency: dict[int, int]) -> None:
    turned = dict(reversed(latency.items()))

    assert quantile_interval(turned, 0.95, 0.01) == quantile_interval(latency, 0.95, 0.01)


@pytest.mark.parametrize(("q", "quantile_ms"), [(0.5, 20.0), (0.95, 20.0 * math.exp(1.6448536 * 0.7))])
def test_a_quantile_is_out_of_bounds_no_more_often_than_allowed(q: float, quantile_ms: float) -> None:
    wrong, known, streams_seen = 0, 0, 80
    for seed in range(streams_seen):
        drawn, latency, missed, narrow = random.Random(seed), dict[int, int](), False, False
        for request in range(1, 301):
            bucket = bucket_of(20.0 * math.exp(drawn.gauss(0.0, 0.7)))
            latency[bucket] = latency.get(bucket, 0) + 1
            found = quantile_interval(latency, q, ALPHA) if request % 5 == 0 else None
            if found is not None:
                narrow = True
                missed = missed or not found[0] <= quantile_ms <= found[1]
        wrong, known = wrong + missed, known + narrow

    assert known == streams_seen
    assert wrong <= ALPHA * streams_seen
