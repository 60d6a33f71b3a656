"""Buckets, merging, windows, and the quantile of the article."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.samples import counted

from serinus.core.evidence import (
    ARTICLE_EDGES_MS,
    GROWTH,
    LAST_BUCKET,
    NOTHING,
    SLOWEST_MS,
    Counts,
    Evidence,
    Key,
    arm,
    article_buckets,
    bucket_of,
    interpolated_quantile,
    log_quantile,
    merged,
    p95_ms,
    since,
)
from serinus.core.routing import Role

COUNT = st.integers(0, 10**6)
LATENCIES = st.dictionaries(st.integers(0, LAST_BUCKET), st.integers(1, 1000), max_size=6)
COUNTS = st.builds(Counts, COUNT, COUNT, COUNT, COUNT, COUNT, LATENCIES, COUNT.map(float))
KEYS = st.builds(
    Key, st.sampled_from(["d:1", "d:2"]), st.sampled_from(["m@1", "m@2"]), st.integers(0, 2), st.sampled_from(Role)
)
EVIDENCE = st.dictionaries(KEYS, COUNTS, max_size=5)


def cumulative(*inside: int) -> tuple[int, ...]:
    """Give cumulative buckets from the counts inside each, the slower ones being empty."""
    return tuple(itertools.accumulate([*inside, *[0] * (len(ARTICLE_EDGES_MS) + 1 - len(inside))]))


# -------------------------------------------------------------------------------------------- buckets


@given(st.floats(min_value=1, max_value=SLOWEST_MS, exclude_min=True))
def test_a_latency_is_in_the_bucket_whose_edges_hold_it(ms: float) -> None:
    index = bucket_of(ms)
    assert GROWTH ** (index - 1) * (1 - 1e-12) < ms <= GROWTH**index * (1 + 1e-12)


@given(st.floats())
def test_every_float_has_a_bucket_within_bounds(ms: float) -> None:
    assert 0 <= bucket_of(ms) <= LAST_BUCKET


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_a_slower_request_is_never_in_a_faster_bucket(one: float, other: float) -> None:
    fast, slow = sorted((one, other))
    assert bucket_of(fast) <= bucket_of(slow)


@pytest.mark.parametrize("ms", [1.0, 0.999, 1e-300, 0.0, -0.0, -5.0, -math.inf, math.nan])
def test_up_to_a_millisecond_is_the_first_bucket(ms: float) -> None:
    assert bucket_of(ms) == 0


@pytest.mark.parametrize("ms", [SLOWEST_MS, SLOWEST_MS + 1, 1e6, 1e300, math.inf])
def test_ten_minutes_and_more_are_the_last_bucket(ms: float) -> None:
    assert bucket_of(ms) == LAST_BUCKET == 672


@pytest.mark.parametrize(("ms", "index"), [(1.01, 1), (1.02, 1), (1.03, 2), (10.0, 117), (100.0, 233), (1000.0, 349)])
def test_known_latencies_are_in_known_buckets(ms: float, index: int) -> None:
    assert bucket_of(ms) == index


# -------------------------------------------------------------------------------------------- merging


@given(COUNTS, COUNTS)
def test_merging_counts_does_not_depend_on_the_order(a: Counts, b: Counts) -> None:
    assert a + b == b + a


@given(COUNTS, COUNTS, COUNTS)
def test_merging_counts_does_not_depend_on_the_grouping(a: Counts, b: Counts, c: Counts) -> None:
    assert (a + b) + c == a + (b + c)


@given(COUNTS, COUNTS)
def test_what_came_since_a_snapshot_is_what_was_added_to_it(a: Counts, b: Counts) -> None:
    assert (a + b) - a == b + NOTHING


@given(st.lists(EVIDENCE, max_size=4).flatmap(lambda parts: st.tuples(st.just(parts), st.permutations(parts))))
def test_gateways_may_be_merged_in_any_order(both: tuple[list[Evidence], list[Evidence]]) -> None:
    parts, shuffled = both
    assert merged(parts) == merged(shuffled)


@given(EVIDENCE, EVIDENCE, EVIDENCE)
def test_gateways_may_be_merged_in_any_grouping(a: Evidence, b: Evidence, c: Evidence) -> None:
    assert merged([merged([a, b]), c]) == merged([a, merged([b, c])])


def test_merging_leaves_its_parts_alone() -> None:
    part = {Key("d:1", "m@1", 1, Role.CANARY): counted(5)}
    merged([part, part])
    assert part == {Key("d:1", "m@1", 1, Role.CANARY): counted(5)}


def test_merging_nothing_gives_nothing() -> None:
    assert merged([]) == {}


@given(EVIDENCE, EVIDENCE)
def test_the_window_of_two_snapshots_is_what_happened_between_them(then: Evidence, between: Evidence) -> None:
    now = merged([then, between])
    assert {k: c for k, c in since(now, then).items() if c != NOTHING} == {
        k: c + NOTHING for k, c in between.items() if c != NOTHING
    }


def test_an_arm_that_appeared_since_the_snapshot_is_in_the_window_whole() -> None:
    key = Key("d:1", "m@2", 1, Role.CANARY)
    assert since({key: counted(7)}, {}) == {key: counted(7)}


def test_an_arm_is_the_sum_of_its_role_over_all_splits() -> None:
    evidence = {
        Key("d:1", "m@2", 1, Role.CANARY): counted(7, failed=1),
        Key("d:1", "m@2", 2, Role.CANARY): counted(5, failed=2),
        Key("d:1", "m@1", 1, Role.BASELINE): counted(100),
    }
    assert (arm(evidence, Role.CANARY).requests, arm(evidence, Role.CANARY).failed) == (12, 3)


def test_a_role_without_evidence_is_nothing() -> None:
    assert arm({}, Role.CANARY) == NOTHING


def test_timeouts_are_failures_and_client_and_platform_errors_are_not() -> None:
    counts = Counts(requests=100, model_errors=3, timeouts=2, client_errors=50, platform_errors=60)
    assert (counts.failed, counts.error_rate) == (5, 0.05)


def test_without_requests_the_error_rate_is_zero() -> None:
    assert NOTHING.error_rate == 0.0


# -------------------------------------------------------------------------- the article's buckets


@given(LATENCIES)
def test_the_articles_buckets_are_cumulative_and_end_with_all(latency: dict[int, int]) -> None:
    buckets = article_buckets(latency)
    assert list(buckets) == sorted(buckets)
    assert buckets[-1] == sum(latency.values())


@given(st.floats(min_value=0, max_value=2 * SLOWEST_MS))
def test_a_latency_is_never_counted_below_its_edge(ms: float) -> None:
    buckets = article_buckets({bucket_of(ms): 1})
    assert not any(count for edge, count in zip(ARTICLE_EDGES_MS, buckets, strict=False) if edge < ms * (1 - 1e-12))


@given(st.floats(min_value=0, max_value=SLOWEST_MS))
def test_a_latency_is_counted_at_every_edge_two_percent_above_it(ms: float) -> None:
    buckets = article_buckets({bucket_of(ms): 1})
    above = [edge >= max(1.0, ms * GROWTH * (1 + 1e-12)) for edge in ARTICLE_EDGES_MS]
    assert all(count for wanted, count in zip(above, buckets, strict=False) if wanted)


def test_latencies_are_counted_in_the_buckets_they_belong_to() -> None:
    latency = counted(6, at_ms={0.5: 1, 3: 1, 20: 2, 4000: 1, 70_000: 1}).latency
    assert article_buckets(latency) == (1, 2, 2, 4, 4, 4, 4, 4, 4, 4, 5, 6)


def test_a_latency_just_below_an_edge_counts_as_two_percent_slower_at_most() -> None:
    assert article_buckets({bucket_of(99.9): 1}) == cumulative(0, 0, 0, 0, 0, 0, 1)


# ------------------------------------------------------------------------------------------ quantile


def test_p95_is_interpolated_within_its_bucket() -> None:
    # 100 in (10, 25]: rank 95, 10 + 15 * 95/100
    assert interpolated_quantile(cumulative(0, 0, 0, 100), 0.95) == 24.25


def test_p95_counts_only_the_rank_inside_its_bucket() -> None:
    # 90 up to 1 ms, 10 in (50, 100]: rank 95 is the 5th of the 10, 50 + 50 * 5/10
    assert interpolated_quantile(cumulative(90, 0, 0, 0, 0, 10), 0.95) == 75.0


def test_p95_in_the_first_bucket_starts_from_zero() -> None:
    # as histogram_quantile does where the first edge is positive: 0 + 1 * 9.5/10
    assert interpolated_quantile(cumulative(10), 0.95) == 0.95


def test_a_rank_on_the_end_of_a_bucket_is_its_upper_edge() -> None:
    # rank 95 of 100 with 95 up to 10 ms
    assert interpolated_quantile(cumulative(0, 0, 95, 5), 0.95) == 10.0


@pytest.mark.parametrize("total", range(20, 2001, 20))
def test_a_whole_rank_is_not_pushed_over_an_edge_by_rounding(total: int) -> None:
    at_rank = total * 19 // 20
    assert interpolated_quantile(cumulative(0, 0, at_rank, 0, 0, total - at_rank), 0.95) == 10.0


def test_empty_buckets_are_skipped() -> None:
    # 94 up to 1 ms, 6 in (500, 1000]: rank 95 is the 1st of the 6
    assert interpolated_quantile(cumulative(94, 0, 0, 0, 0, 0, 0, 0, 6), 0.95) == pytest.approx(500 + 500 / 6)


def test_a_single_observation_is_interpolated_too() -> None:
    # rank 0.95 of 1 in (10, 25]: 10 + 15 * 0.95
    assert interpolated_quantile(cumulative(0, 0, 0, 1), 0.95) == 24.25


def test_a_rank_in_the_last_bucket_is_its_lower_edge() -> None:
    assert interpolated_quantile((*[0] * len(ARTICLE_EDGES_MS), 7), 0.95) == 5000.0


def test_a_tail_beyond_the_last_edge_leaves_a_lower_rank_where_it_is() -> None:
    # 96 in (10, 25], 4 slower than 5 s: rank 95 of the 96
    assert interpolated_quantile(cumulative(0, 0, 0, 96, 0, 0, 0, 0, 0, 0, 0, 4), 0.95) == 10 + 15 * 95 / 96


def test_without_observations_there_is_no_quantile() -> None:
    assert interpolated_quantile(cumulative(), 0.95) is None


def test_the_median_of_two_buckets_is_between_them() -> None:
    # 50 in (1, 5], 50 in (5, 10]: rank 50 ends the first
    assert interpolated_quantile(cumulative(0, 50, 50), 0.5) == 5.0


@given(LATENCIES.filter(bool), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_higher_quantile_is_never_faster(latency: dict[int, int], one: float, other: float) -> None:
    low, high = sorted((one, other))
    fast, slow = (interpolated_quantile(article_buckets(latency), q) for q in (low, high))
    assert fast is not None
    assert slow is not None
    assert fast <= slow + 1e-9


@given(LATENCIES.filter(bool), st.floats(0.01, 1))
def test_a_quantile_is_inside_the_bucket_of_its_rank(latency: dict[int, int], q: float) -> None:
    buckets = article_buckets(latency)
    value = interpolated_quantile(buckets, q)
    place = next(index for index, count in enumerate(buckets) if count >= q * buckets[-1])
    edges = (0.0, *ARTICLE_EDGES_MS, ARTICLE_EDGES_MS[-1])
    assert value is not None
    assert edges[place] - 1e-9 <= value <= edges[place + 1] + 1e-9


def test_the_p95_of_an_arm_takes_in_its_failures_and_timeouts() -> None:
    counts = counted(100, failed=10, at_ms={20: 90, 3000: 10})
    assert p95_ms(counts) == 2500 + 2500 * 5 / 10


def test_an_arm_without_traffic_has_no_p95() -> None:
    assert p95_ms(NOTHING) is None


@given(st.lists(st.floats(min_value=0.01, max_value=500_000), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_a_quantile_of_the_log_buckets_is_at_most_two_percent_above_the_exact_one(times: list[float], q: float) -> None:
    latency: dict[int, int] = {}
    for ms in times:
        latency[bucket_of(ms)] = latency.get(bucket_of(ms), 0) + 1
    exact = max(1.0, sorted(times)[max(math.ceil(q * len(times)) - 1, 0)])
    quantile = log_quantile(latency, q)
    assert quantile is not None
    assert exact - 0.001 <= quantile <= exact * GROWTH + 0.001


def test_no_latencies_have_no_quantile() -> None:
    assert log_quantile({}, 0.95) is None
