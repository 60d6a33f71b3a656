"""Simulated rollouts end as the policy's evidence says, and the same seed gives the same rollouts."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from serinus.core.policy import SequentialPolicy, ThresholdPolicy
from serinus.simulation import PROMOTED, ROLLED_BACK, UNDECIDED, Results, Traffic, simulate
from serinus.simulation.rollout import Sequential, run
from serinus.simulation.traffic import Source

POLICY = SequentialPolicy()


def rollouts(traffic: Traffic, **more: float) -> Results:
    return simulate(POLICY, traffic, rollouts=60, seconds=more.get("seconds", 600.0), seed=3)


def test_the_same_seed_gives_the_same_rollouts_and_another_one_others() -> None:
    one, again = (rollouts(Traffic(effect=0.05)) for _ in range(2))
    other = simulate(POLICY, Traffic(effect=0.05), rollouts=60, seconds=600.0, seed=4)

    np.testing.assert_array_equal(one.canary_requests, again.canary_requests)
    assert (one.seconds != other.seconds).any()


def test_a_canary_that_fails_is_rolled_back_after_few_requests() -> None:
    results = rollouts(Traffic(effect=0.95))

    assert results.share(ROLLED_BACK) == 1.0
    assert results.canary_requests.mean() < 10
    assert (results.canary_failed <= results.canary_requests).all()


def test_a_slow_canary_is_rolled_back() -> None:
    assert rollouts(Traffic(slower_ms=300.0)).share(ROLLED_BACK) == 1.0


def test_a_canary_like_its_baseline_is_promoted_after_the_bake_time() -> None:
    results = rollouts(Traffic(per_s=100.0))

    assert results.share(PROMOTED) >= 0.95
    assert results.of(PROMOTED).seconds.min() >= POLICY.bake_s


def test_a_break_is_not_found_before_it_happens() -> None:
    traffic = Traffic(effect=0.5, breaks_at_s=120.0)
    results = simulate(POLICY, traffic, rollouts=60, seconds=600.0, seed=3, promotes=False)

    assert results.share(ROLLED_BACK) == 1.0
    assert results.seconds.min() > 120.0


def test_what_is_not_decided_in_time_stays_undecided() -> None:
    results = rollouts(Traffic(per_s=0.1), seconds=30.0)

    assert results.share(UNDECIDED) == 1.0
    assert set(results.seconds) == {30.0}


def test_a_known_baseline_makes_a_slow_canary_known_sooner() -> None:
    traffic = Traffic(slower_ms=300.0, shares=((0.0, 0.5),))
    requests = [
        run(partial(Sequential, POLICY, known_s=known_s), traffic, rollouts=60, seconds=600.0, seed=3).canary_requests
        for known_s in (0.0, 600.0)
    ]

    assert requests[1].mean() < requests[0].mean() / 2


def test_who_watches_is_told_how_far_it_has_come() -> None:
    told: list[tuple[float, int]] = []
    simulate(
        POLICY,
        Traffic(effect=0.95),
        rollouts=5,
        seconds=60.0,
        seed=1,
        watch=lambda second, undecided: told.append((second, undecided)),
    )

    assert told[0][0] == 1.0
    assert told[-1][1] == 0


@pytest.mark.parametrize("window_s", [30.0, 300.0])
def test_the_threshold_policy_rolls_back_what_fails(window_s: float) -> None:
    policy = ThresholdPolicy(window_s=window_s)
    results = simulate(policy, Traffic(per_s=50.0, effect=0.19), rollouts=30, seconds=600.0, seed=1)

    assert results.share(ROLLED_BACK) == 1.0
    assert set(results.seconds) == {30.0}


def test_decided_rollouts_leave_the_others_their_own_counts() -> None:
    traffic = replace(Traffic(effect=0.02), per_s=20.0)
    results = rollouts(traffic, seconds=300.0)
    expected = results.seconds * 20.0 * 0.2

    np.testing.assert_allclose(results.canary_requests, expected, atol=6 * np.sqrt(expected.max()))
    assert Source(traffic, 3, 1).rollouts == 3
