"""What is told before a canary starts comes true on average, and what is wrong with a rollout is told before it."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.samples import counted

from serinus.core.assess import against, odds_for
from serinus.core.errors import InvalidInput
from serinus.core.evidence import Counts, log_quantile
from serinus.core.forecast import duration, forecast, of_forecast
from serinus.core.mean_path import AtWeight, Baseline, Reached
from serinus.core.policy import SIGNAL, SequentialPolicy
from serinus.core.sequential import SequentialTest, Slice

POLICY = SequentialPolicy()
BASELINE = Baseline(0.002, 35.0)
ROLLOUTS = 20
PATIENCE_S = 4000


def at(weight: float, requests_per_s: float, baseline: Baseline = BASELINE, **changed: Any) -> AtWeight:
    """Forecast one share."""
    return forecast(replace(POLICY, **changed), requests_per_s, baseline, [weight]).weights[0]


def seconds(reached: Reached | None) -> float:
    assert reached is not None
    return reached.seconds


def warnings(
    requests_per_s: float, weights: tuple[float, ...] = (20.0,), baseline: Baseline = BASELINE, **given: Any
) -> str:
    policy = given.pop("policy", POLICY)
    return "\n".join(forecast(policy, requests_per_s, baseline, weights, **given).warnings)


# -- against what happens


class Rollout:
    """Requests drawn by chance and looked at each second, until it is decided."""

    def __init__(self, seed: int, weight: float, requests_per_s: float, baseline: Baseline) -> None:
        self.chance = np.random.default_rng(seed)
        self.share, self.requests_per_s, self.baseline = weight / 100, requests_per_s, baseline
        shape = baseline.shape()
        self.buckets, self.parts = list(shape), np.array(list(shape.values()))

    def until(self, *, more: float, promoted: bool) -> int:
        test = SequentialTest()
        for second in range(1, PATIENCE_S):
            requests = int(self.chance.poisson(self.requests_per_s))
            canary = int(self.chance.binomial(requests, self.share))
            rate = self.baseline.error_rate
            seen = Slice(self.share, self._counts(canary, rate + more), self._counts(requests - canary, rate))
            test = test.after(POLICY, [seen], 1.0, changed=False)
            log, level = (odds_for(POLICY, test), POLICY.beta) if promoted else (against(POLICY, test), POLICY.alpha)
            if log >= math.log(1 / level):
                return second
        raise AssertionError(PATIENCE_S)

    def _counts(self, requests: int, rate: float) -> Counts:
        drawn = self.chance.multinomial(requests, self.parts) if self.buckets else ()
        latency = {bucket: int(count) for bucket, count in zip(self.buckets, drawn, strict=True) if count}
        return Counts(requests=requests, model_errors=int(self.chance.binomial(requests, rate)), latency=latency)


def mean_of_rollouts(weight: float, requests_per_s: float, baseline: Baseline, **outcome: Any) -> float:
    runs = [Rollout(seed, weight, requests_per_s, baseline).until(**outcome) for seed in range(ROLLOUTS)]
    return sum(runs) / ROLLOUTS


@pytest.mark.parametrize(
    ("weight", "requests_per_s", "error_rate", "more"),
    [(20, 50, 0.002, 0.05), (5, 20, 0.002, 0.19), (50, 50, 0.002, 0.02), (20, 40, 0.02, 0.05)],
)
def test_a_bad_canary_is_found_when_it_was_forecast_on_average(
    weight: float, requests_per_s: float, error_rate: float, more: float
) -> None:
    baseline = Baseline(error_rate)
    told = seconds(at(weight, requests_per_s, baseline).of(more).reached)

    assert told == pytest.approx(
        mean_of_rollouts(weight, requests_per_s, baseline, more=more, promoted=False), rel=0.3, abs=1.0
    )


@pytest.mark.parametrize(
    ("weight", "requests_per_s", "baseline"),
    [(20, 60, Baseline(0.002, 35.0)), (5, 200, Baseline(0.02, 200.0))],
)
def test_a_good_canary_is_promoted_when_it_was_forecast_on_average(
    weight: float, requests_per_s: float, baseline: Baseline
) -> None:
    told = seconds(at(weight, requests_per_s, baseline, bake_s=0.0).promoted)

    assert told == pytest.approx(
        mean_of_rollouts(weight, requests_per_s, baseline, more=0.0, promoted=True), rel=0.3, abs=1.0
    )


# -- what is found, and when


@pytest.mark.parametrize(
    ("weight", "error_rate", "limits"),
    [(5, 0.002, (3169, 458, 80, 11)), (50, 0.002, (4489, 787, 186, 36)), (20, 0.02, (11594, 1458, 214, 25))],
)
def test_the_information_limit_of_each_effect_is_told(weight: float, error_rate: float, limits: tuple[int]) -> None:
    found = at(weight, 10, Baseline(error_rate)).found

    assert tuple(round(each.limit or 0.0) for each in found) == limits


def test_no_effect_is_found_before_its_information_limit() -> None:
    for each in at(20, 10).found:
        assert each.reached is not None
        assert each.limit is not None
        assert each.reached.canary_requests > each.limit


def test_a_greater_effect_or_more_traffic_is_found_sooner() -> None:
    little, much = at(5, 10).found, at(5, 100).found

    assert [seconds(each.reached) for each in little] == sorted((seconds(e.reached) for e in little), reverse=True)
    assert all(seconds(more.reached) < seconds(less.reached) for more, less in zip(much, little, strict=True))


def test_the_margin_is_among_the_effects() -> None:
    assert [each.more for each in at(20, 10, error_margin=0.03).found] == [0.01, 0.02, 0.03, 0.05, 0.19]


def test_what_is_tolerated_or_cannot_be_has_no_limit_and_is_not_found() -> None:
    tolerated, impossible = at(20, 10, error_margin=0.2).of(0.02), at(20, 10, Baseline(0.9)).of(0.19)

    assert (tolerated.reached, tolerated.limit) == (None, None)
    assert (impossible.reached, impossible.limit) == (None, None)


def test_what_takes_longer_than_the_horizon_is_not_reached() -> None:
    slow, quick = at(1, 1), at(1, 1, horizon_s=30 * 86_400.0)

    assert slow.of(0.01).reached is None
    assert seconds(quick.of(0.01).reached) > 86_400


def test_nothing_is_seen_between_two_looks() -> None:
    found = at(50, 1000, interval_s=30.0).of(0.19).reached

    assert found == Reached(30.0, 15_000)


def test_without_traffic_nothing_is_reached() -> None:
    silent = at(20, 0)

    assert all(each.reached is None for each in silent.found)
    assert silent.promoted is None


# -- promotions


def test_a_promotion_waits_for_the_time_to_bake() -> None:
    assert seconds(at(50, 1000, bake_s=300.0).promoted) == 300.0


def test_a_promotion_waits_for_latency_where_that_takes_longer() -> None:
    quick, slow = at(20, 20, Baseline(0.002, 35.0)), at(20, 20, Baseline(0.002, 600.0))

    assert seconds(quick.promoted) < seconds(slow.promoted)
    assert quick.by_errors == slow.by_errors


def test_latency_that_is_no_guardrail_holds_nothing_up() -> None:
    slow = Baseline(0.002, 2000.0)

    assert at(20, 20, slow).promoted is None
    assert at(20, 20, slow, p95_role=SIGNAL).promoted == at(20, 20, Baseline(0.002)).promoted


def test_errors_that_are_no_guardrail_roll_nothing_back_and_hold_nothing_up() -> None:
    of_latency = at(20, 20, error_role=SIGNAL)

    assert all(each.reached is None for each in of_latency.found)
    assert of_latency.promoted is not None


def test_a_baseline_that_was_measured_is_taken_with_its_latencies() -> None:
    counts = counted(1000, failed=20, at_ms={20.0: 900, 80.0: 100})

    assert Baseline.of(counts) == Baseline(0.02, log_quantile(counts.latency, 0.95), counts.latency)
    assert sum(Baseline.of(counts).shape().values()) == pytest.approx(1.0)


@pytest.mark.parametrize("p95_ms", [8.0, 35.0, 2000.0])
def test_latencies_that_are_assumed_have_the_p95_that_is_known(p95_ms: float) -> None:
    parts = {bucket: round(part * 1e6) for bucket, part in Baseline(0.0, p95_ms).shape().items()}

    assert log_quantile(parts, 0.95) == pytest.approx(p95_ms, rel=0.08)


# -- plans


RAMP = ((1.0, 300.0), (5.0, 300.0), (20.0, 600.0), (50.0, 600.0), (100.0, 0.0))


def test_a_plan_takes_its_pauses_where_there_is_traffic_enough() -> None:
    course = forecast(POLICY, 500, BASELINE, [5], plan=RAMP).course

    assert course is not None
    assert course.finished_s == pytest.approx(1800.0)


def test_a_plan_waits_for_the_odds_that_a_share_wants() -> None:
    eager = [(1.0, 0.0), (50.0, 0.0), (100.0, 0.0)]
    told = forecast(POLICY, 10, BASELINE, [1], plan=eager)

    assert told.course is not None
    assert told.course.finished_s is not None
    assert POLICY.bake_s < told.course.finished_s < seconds(told.weights[0].promoted)


def test_a_plan_that_does_not_end_is_told_with_the_share_it_stays_at() -> None:
    told = forecast(POLICY, 0.02, Baseline(0.002), [1], plan=[(1.0, 60.0), (5.0, 60.0), (100.0, 0.0)])

    assert told.course is not None
    assert (told.course.finished_s, told.course.weight) == (None, 5.0)
    assert "The plan would not be finished within 24 h: a good canary would still be at 5 %." in told.warnings


def test_pauses_that_are_too_short_to_find_the_margin_are_told() -> None:
    assert "shorter than it takes to find 5 points more: 5 min at 1 %, where it takes" in warnings(1, plan=RAMP)
    assert "shorter" not in warnings(500, plan=RAMP)


# -- warnings


def test_nothing_is_said_where_nothing_is_wrong() -> None:
    assert warnings(100, (1, 5, 20, 50), plan=RAMP, entities=1e6) == ""


def test_no_traffic_is_all_there_is_to_say() -> None:
    assert warnings(0, entities=1, plan=RAMP) == "There is no traffic: no canary would be found, and none promoted."


def test_too_little_traffic_is_told_with_what_it_means_and_where_it_is_better() -> None:
    told = warnings(1, (5, 50))

    assert told.startswith("1 request per second at 5 %: a canary failing 5 points more would be found after 4")
    assert "canary requests; at 50 % after 10 min" in told


def test_what_is_not_found_at_all_is_told_as_such() -> None:
    told = warnings(0.001, (1, 5))

    assert "0.001 requests per second at 1 %: a canary failing 5 points more would not be found within 24 h" in told
    assert "; at 5 % neither." in told
    assert "At 1 %, 5 % a good canary would not have the evidence to be promoted within 24 h." in told


def test_too_few_entities_are_told_where_traffic_is_sticky() -> None:
    assert "300 entities are too few to find a canary failing 5 points more: it gets 15 instead of" in warnings(
        100, (5,), entities=300
    )
    assert warnings(100, (5,), entities=30_000) == ""


def test_latency_that_is_not_known_or_holds_promotions_up_is_told() -> None:
    assert "latency is not known" in warnings(100, baseline=Baseline(0.002))
    assert "Latency holds promotions up" in warnings(100, baseline=Baseline(0.002, 2000.0))
    assert warnings(100, baseline=Baseline(0.002), policy=replace(POLICY, p95_role=SIGNAL)) == ""


def test_a_policy_that_rolls_nothing_back_for_errors_is_told() -> None:
    assert "no guardrail" in warnings(1, policy=replace(POLICY, error_role=SIGNAL))


@pytest.mark.parametrize(
    ("span_s", "said"),
    [
        (0.25, "0.25 s"),
        (119.0, "119 s"),
        (1620.0, "27 min"),
        (7980.0, "2 h 13 min"),
        (86_400.0, "24 h"),
        (300_000.0, "3.46 d"),
    ],
)
def test_spans_of_time_are_said_as_people_do(span_s: float, said: str) -> None:
    assert duration(span_s) == said


# -- as a document, and what cannot be


def test_a_forecast_becomes_a_document_of_json_values() -> None:
    told = forecast(POLICY, 1, BASELINE, [5], plan=[(5.0, 60.0), (100.0, 0.0)])
    document = json.loads(json.dumps(of_forecast(told), allow_nan=False))
    found = told.weights[0].of(0.19).reached

    assert found is not None
    assert (document["rate"], document["baseline_error_rate"], document["p95_ms"]) == (1, 0.002, 35.0)
    assert document["policy"]["error_margin"] == 0.05
    assert document["weights"][0]["weight"] == 5
    assert document["weights"][0]["found"]["19"] == {
        "seconds": found.seconds,
        "canary_requests": found.canary_requests,
        "limit": 11,
    }
    assert document["weights"][0]["found"]["1"] == {"seconds": None, "canary_requests": None, "limit": 3169}
    assert document["warnings"] == list(told.warnings)
    assert document["plan"]["steps"] == [{"weight": 5, "pause_s": 60}, {"weight": 100, "pause_s": 0}]
    assert "plan" not in of_forecast(forecast(POLICY, 1, BASELINE, [5]))


@pytest.mark.parametrize(
    ("given_wrong", "field"),
    [
        ({"requests_per_s": -1.0}, "requests_per_s"),
        ({"requests_per_s": math.nan}, "requests_per_s"),
        ({"weights": []}, "weights"),
        ({"weights": [0.0]}, "weights"),
        ({"weights": [5.0, 100.0]}, "weights"),
        ({"plan": [(0.0, 1.0)]}, "plan.weight"),
        ({"plan": [(5.0, -1.0)]}, "plan.pause_s"),
        ({"entities": -1.0}, "entities"),
    ],
)
def test_what_cannot_be_is_refused_by_name(given_wrong: dict[str, Any], field: str) -> None:
    arguments: dict[str, Any] = {"requests_per_s": 1.0, "weights": [5.0], **given_wrong}

    with pytest.raises(InvalidInput) as refused:
        forecast(POLICY, baseline=BASELINE, **arguments)
    assert refused.value.field == field


@pytest.mark.parametrize("wrong", [{"error_rate": 1.5}, {"error_rate": math.nan}, {"error_rate": 0.0, "p95_ms": -1.0}])
def test_a_baseline_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Baseline(**wrong)


@settings(max_examples=12, deadline=None)
@given(
    requests_per_s=st.sampled_from([0.0, 1e-6, 0.5, 30.0, 1e6]),
    error_rate=st.sampled_from([0.0, 1e-5, 0.3, 0.96, 1.0]),
    p95_ms=st.sampled_from([None, 0.0, 20.0, 1e6]),
    weight=st.sampled_from([0.01, 20.0, 99.99]),
    policy=st.sampled_from(
        [
            POLICY,
            SequentialPolicy(error_margin=0.9, error_tolerance=0.0, bake_s=0.0, interval_s=3600.0, horizon_s=60.0),
            SequentialPolicy(error_margin=0.001, p95_margin_ms=600_000.0, alpha=1e-6, beta=0.2),
            SequentialPolicy(error_role=SIGNAL, p95_role=SIGNAL),
        ]
    ),
)
def test_whatever_is_asked_there_is_a_forecast(
    requests_per_s: float, error_rate: float, p95_ms: float | None, weight: float, policy: SequentialPolicy
) -> None:
    told = forecast(
        policy, requests_per_s, Baseline(error_rate, p95_ms), [weight], plan=[(weight, 1.0), (100.0, 0.0)], entities=9
    )

    assert json.dumps(of_forecast(told), allow_nan=False)
