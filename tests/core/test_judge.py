"""The article's rule on controlled numbers: each path, each boundary, each lack of data."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.core.samples import counted

from serinus.core.evidence import NOTHING, Counts
from serinus.core.judge import Health, Recommendation, Verdict, judge
from serinus.core.policy import ThresholdPolicy

POLICY = ThresholdPolicy()
ROLLBACK = (Health.CRITICAL, Recommendation.ROLLBACK)
DEGRADED = (Health.DEGRADED, Recommendation.HOLD)
PROMOTE = (Health.HEALTHY, Recommendation.PROMOTE)
CONTINUE = (Health.HEALTHY, Recommendation.CONTINUE)
HOLD = (Health.INCONCLUSIVE, Recommendation.HOLD)


def outcome(verdict: Verdict) -> tuple[Health, Recommendation]:
    return verdict.health, verdict.recommendation


def judged(baseline: Counts, canary: Counts, policy: ThresholdPolicy = POLICY) -> tuple[Health, Recommendation]:
    return outcome(judge(policy, baseline, canary))


# ----------------------------------------------------------------------------------------- the paths


def test_far_more_errors_are_critical() -> None:
    assert judged(counted(1000, failed=10), counted(100, failed=10)) == ROLLBACK


def test_a_far_slower_p95_is_critical() -> None:
    # p95 of 24.25 ms against 195 ms
    assert judged(counted(1000, at_ms=20), counted(100, at_ms=150)) == ROLLBACK


def test_somewhat_more_errors_are_degraded() -> None:
    assert judged(counted(1000, failed=10), counted(100, failed=5)) == DEGRADED


def test_a_somewhat_slower_p95_is_degraded() -> None:
    # p95 of 24.25 ms against 97.5 ms
    assert judged(counted(1000, at_ms=20), counted(100, at_ms=80)) == DEGRADED


def test_no_more_errors_over_enough_requests_promote() -> None:
    assert judged(counted(1000, failed=20), counted(100, failed=2)) == PROMOTE


def test_too_few_requests_continue() -> None:
    assert judged(counted(1000, failed=20), counted(99, failed=0)) == CONTINUE


def test_slightly_more_errors_continue() -> None:
    assert judged(counted(1000, failed=20), counted(1000, failed=21)) == CONTINUE


def test_a_critical_canary_is_rolled_back_however_few_its_requests() -> None:
    assert judged(counted(1000), counted(3, failed=3)) == ROLLBACK


def test_a_faster_canary_with_fewer_errors_is_promoted() -> None:
    assert judged(counted(1000, failed=900, at_ms=3000), counted(100, at_ms=2)) == PROMOTE


def test_timeouts_speak_against_a_canary_as_errors_do() -> None:
    assert judged(counted(1000), replace(counted(100), timeouts=6)) == ROLLBACK


def test_client_and_platform_errors_do_not_speak_against_a_canary() -> None:
    assert judged(counted(1000), replace(counted(100), client_errors=90, platform_errors=90)) == PROMOTE


# ------------------------------------------------------------------------------------------ boundaries


@pytest.mark.parametrize(
    ("canary", "baseline"),
    [((5, 100), (0, 100)), ((7, 100), (2, 100)), ((30, 100), (25, 100)), ((55, 100), (50, 100)), ((17, 200), (7, 200))],
)
def test_exactly_five_points_more_are_not_critical(canary: tuple[int, int], baseline: tuple[int, int]) -> None:
    arms = counted(baseline[1], failed=baseline[0]), counted(canary[1], failed=canary[0])
    assert judged(*arms) == DEGRADED


def test_a_hair_more_than_five_points_is_critical() -> None:
    assert judged(counted(100_000), counted(100_000, failed=5001)) == ROLLBACK


@pytest.mark.parametrize(
    ("canary", "baseline"),
    [((5, 200), (0, 200)), ((9, 200), (4, 200)), ((11, 200), (6, 200)), ((55, 1000), (30, 1000))],
)
def test_exactly_half_of_five_points_more_is_not_degraded(canary: tuple[int, int], baseline: tuple[int, int]) -> None:
    arms = counted(baseline[1], failed=baseline[0]), counted(canary[1], failed=canary[0])
    assert judged(*arms) == CONTINUE


def test_a_hair_more_than_half_of_five_points_is_degraded() -> None:
    assert judged(counted(100_000), counted(100_000, failed=2501)) == DEGRADED


def test_the_same_rate_of_other_counts_is_not_more() -> None:
    assert judged(counted(300, failed=21), counted(100, failed=7)) == PROMOTE


def test_exactly_a_hundred_milliseconds_more_are_not_critical() -> None:
    # 25 + 25 * 5/6 against 100 + 100 * 11/24: as floats 100 ms and a bit
    fast = counted(100, at_ms={0.5: 90, 30: 6, 9000: 4})
    slow = counted(300, at_ms={0.5: 274, 150: 24, 9000: 2})
    assert judged(fast, slow) == DEGRADED


def test_a_hair_more_than_a_hundred_milliseconds_is_critical() -> None:
    fast = counted(100, at_ms={0.5: 90, 30: 6, 9000: 4})
    slow = counted(30_000, at_ms={0.5: 27_399, 150: 2401, 9000: 200})
    assert judged(fast, slow) == ROLLBACK


def test_exactly_half_of_a_hundred_milliseconds_more_is_not_degraded() -> None:
    # 10 + 15 * 2/7 against 50 + 50 * 2/7: as floats 50 ms and a bit
    fast, slow = counted(100, at_ms={0.5: 93, 20: 7}), counted(100, at_ms={0.5: 93, 80: 7})
    assert judged(fast, slow) == PROMOTE


@pytest.mark.parametrize(("baseline_ms", "canary_ms"), [(250, 450), (520, 980), (6000, 600_000)])
def test_a_slower_canary_that_the_buckets_do_not_show_is_not_promoted(baseline_ms: float, canary_ms: float) -> None:
    verdict = judge(ThresholdPolicy(), counted(100, at_ms=baseline_ms), counted(100, at_ms=canary_ms))
    assert verdict.baseline.p95_ms == verdict.canary.p95_ms
    assert (verdict.health, verdict.recommendation) == CONTINUE
    assert "measured to 2 %" in verdict.reason


def test_a_canary_as_slow_as_its_baseline_beyond_all_buckets_is_promoted() -> None:
    assert judged(counted(100, at_ms=6000), counted(100, at_ms=6000)) == PROMOTE


def test_without_errors_on_either_side_a_hundred_requests_promote() -> None:
    assert judged(counted(1), counted(100)) == PROMOTE


def test_without_errors_on_either_side_ninety_nine_requests_continue() -> None:
    assert judged(counted(100_000), counted(99)) == CONTINUE


# ---------------------------------------------------------------------------------------- lack of data


@pytest.mark.parametrize(
    ("baseline", "canary", "silent"),
    [
        (NOTHING, counted(500), "the baseline"),
        (NOTHING, counted(500, failed=500), "the baseline"),
        (counted(500), NOTHING, "the canary"),
        (NOTHING, NOTHING, "the canary and the baseline"),
    ],
)
def test_no_traffic_is_never_good_and_never_bad(baseline: Counts, canary: Counts, silent: str) -> None:
    verdict = judge(POLICY, baseline, canary)
    assert outcome(verdict) == HOLD
    assert verdict.reason == f"no traffic on {silent} in the last 300 s: nothing to compare"


def test_client_errors_alone_are_no_traffic() -> None:
    assert judged(counted(500), Counts(client_errors=500)) == HOLD


def test_latencies_without_requests_are_no_traffic() -> None:
    # as a snapshot taken between two counters may have it
    assert judged(counted(500), replace(NOTHING, latency={117: 1})) == HOLD


def test_requests_without_latencies_are_nothing_to_compare() -> None:
    assert judged(counted(500), Counts(requests=500)) == HOLD


def test_nothing_but_failures_on_both_sides_is_nothing_to_compare() -> None:
    assert judged(counted(500, failed=500), counted(200, failed=200)) == HOLD


def test_nothing_but_failures_of_the_canary_is_critical() -> None:
    assert judged(counted(500, failed=470), counted(500, failed=500)) == ROLLBACK


def test_a_canary_that_answers_where_the_baseline_only_fails_is_promoted() -> None:
    assert judged(counted(500, failed=500), counted(100, failed=99)) == PROMOTE


# --------------------------------------------------------------------------------------------- policy


def test_other_deltas_draw_other_boundaries() -> None:
    policy = ThresholdPolicy(error_delta=0.01, p95_delta_ms=10, min_requests=10)
    assert judged(counted(1000), counted(100, failed=1), policy) == DEGRADED


def test_a_delta_is_the_decimal_it_was_written_as() -> None:
    # as a float 0.29 is a hair less than 29/100
    assert judged(counted(100), counted(100, failed=29), ThresholdPolicy(error_delta=0.29)) == DEGRADED


def test_a_delta_of_nothing_makes_any_worse_canary_critical() -> None:
    assert judged(counted(100_000), counted(100_000, failed=1), ThresholdPolicy(error_delta=0)) == ROLLBACK


def test_a_delta_of_everything_never_rolls_back_by_errors() -> None:
    assert judged(counted(100), counted(100, failed=100), ThresholdPolicy(error_delta=1)) == DEGRADED


# --------------------------------------------------------------------------------------------- reason


@pytest.mark.parametrize(
    ("baseline", "canary", "reason"),
    [
        (
            counted(1000, failed=10),
            counted(100, failed=10),
            "canary errors 10.0 % against 1.0 %: more than 5 points above the baseline",
        ),
        (
            counted(1000),
            counted(100, at_ms=150),
            "canary p95 195.0 ms against 24.2 ms: more than 100 ms above the baseline",
        ),
        (
            counted(1000),
            counted(100, failed=4),
            "canary errors 4.0 % against 0.0 %: more than 2.5 points above the baseline",
        ),
        (
            counted(1000),
            counted(100, at_ms=80),
            "canary p95 97.5 ms against 24.2 ms: more than 50 ms above the baseline",
        ),
        (
            counted(1000),
            counted(42),
            "canary errors 0.0 % against 0.0 %, canary p95 24.2 ms against 24.2 ms; 42 of 100 canary requests seen",
        ),
        (
            counted(1000, failed=20),
            counted(1000, failed=21),
            "canary errors 2.1 % against 2.0 %: within 2.5 points, but more than the baseline's",
        ),
        (
            counted(1000),
            counted(200),
            "canary errors 0.0 % against 0.0 %, canary p95 24.2 ms against 24.2 ms, over 200 canary requests",
        ),
        (
            counted(10, failed=10),
            counted(20, failed=20),
            "every request failed on both sides: nothing to compare",
        ),
    ],
)
def test_the_reason_says_what_was_compared(baseline: Counts, canary: Counts, reason: str) -> None:
    assert judge(POLICY, baseline, canary).reason == reason


def test_a_verdict_keeps_all_it_rests_on() -> None:
    verdict = judge(POLICY, counted(1000, failed=20), counted(100, failed=1))
    assert (verdict.policy, verdict.baseline.requests, verdict.canary.error_rate, verdict.canary.p95_ms) == (
        POLICY,
        1000,
        0.01,
        24.25,
    )


# ----------------------------------------------------------------------------------------- properties

BADNESS = [PROMOTE, CONTINUE, DEGRADED, ROLLBACK]
REQUESTS = st.integers(1, 400)
LATENCIES = st.sampled_from([0.5, 20.0, 80.0, 150.0, 6000.0])


@st.composite
def arms(draw: st.DrawFn) -> Counts:
    requests = draw(REQUESTS)
    return counted(requests, failed=draw(st.integers(0, requests)), at_ms=draw(LATENCIES))


@given(arms(), arms(), st.integers(1, 400))
def test_more_canary_errors_never_make_it_better(baseline: Counts, canary: Counts, more: int) -> None:
    assume(baseline.failed < baseline.requests)
    worse = replace(canary, model_errors=min(canary.requests, canary.model_errors + more))
    assert BADNESS.index(judged(baseline, worse)) >= BADNESS.index(judged(baseline, canary))


@given(arms(), arms(), LATENCIES, LATENCIES)
def test_a_slower_canary_is_never_better(baseline: Counts, canary: Counts, one: float, other: float) -> None:
    assume(baseline.failed < baseline.requests)
    fast, slow = (replace(canary, latency=counted(canary.requests, at_ms=ms).latency) for ms in sorted((one, other)))
    assert BADNESS.index(judged(baseline, slow)) >= BADNESS.index(judged(baseline, fast))


@given(arms())
def test_a_canary_just_like_its_baseline_is_never_called_worse(both: Counts) -> None:
    assert judged(both, both) in (PROMOTE, CONTINUE, HOLD)


@given(arms(), arms())
def test_nothing_is_promoted_below_the_fewest_requests_or_above_the_baselines_errors(
    baseline: Counts, canary: Counts
) -> None:
    if judged(baseline, canary) == PROMOTE:
        assert canary.requests >= POLICY.min_requests
        assert canary.failed * baseline.requests <= baseline.failed * canary.requests
