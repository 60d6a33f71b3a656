"""The test of a rollout finds what is worse, lets go what is not, and goes on to the last bit after a restart."""

import itertools
import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.errors import InvalidInput
from serinus.core.evidence import GROWTH, NOTHING, Counts, bucket_of
from serinus.core.expected import HALF_LIFE_S, Expected
from serinus.core.policy import SequentialPolicy
from serinus.core.sequential import AT_THE_START, Rise, SequentialTest, Slice, decoded, encoded

POLICY = SequentialPolicy()
SHARE = 0.2
DECIDED = math.log(100)
ENCODED = encoded(SequentialTest())


class Traffic:
    """Requests of both roles, a second at a time."""

    def __init__(self, seed: int, *, rate: int = 100) -> None:
        self.random = random.Random(seed)
        self.rate = rate

    def second(self, *, errors: float = 0.002, more: float = 0.0, slower_ms: float = 0.0) -> Slice:
        canary = baseline = Counts()
        for _ in range(self.rate):
            latency_ms = self.random.lognormvariate(3.0, 0.6)
            if self.random.random() < SHARE:
                canary += one(self.random.random() < errors + more, latency_ms + slower_ms)
            else:
                baseline += one(self.random.random() < errors, latency_ms)
        return Slice(SHARE, canary, baseline)


def one(failed: bool, latency_ms: float) -> Counts:  # noqa: FBT001
    return Counts(requests=1, model_errors=int(failed), latency={bucket_of(latency_ms): 1}, latency_sum_ms=latency_ms)


def looked(test: SequentialTest, *slices: Slice, changed: bool = False) -> SequentialTest:
    return test.after(POLICY, slices, 1.0, changed=changed)


def requests_until_decided(traffic: Traffic, **canary: float) -> float:
    """Give the canary requests until there is evidence for a rollback; infinity if there is none in a minute."""
    test, requests = SequentialTest(), 0
    for _ in range(60):
        seen = traffic.second(**canary)
        test, requests = looked(test, seen), requests + seen.canary.requests
        if test.against >= DECIDED:
            return requests
    return math.inf


@pytest.mark.parametrize(("more", "within"), [(0.95, 60), (0.19, 120), (0.06, 500)])
def test_a_canary_that_fails_more_is_found(more: float, within: int) -> None:
    found = [requests_until_decided(Traffic(seed), more=more) for seed in range(5)]

    assert sorted(found)[2] <= within


@pytest.mark.parametrize("slower_ms", [100.0, 300.0])
def test_a_canary_that_is_slower_is_found(slower_ms: float) -> None:
    assert requests_until_decided(Traffic(1), slower_ms=slower_ms) <= 300


def test_a_canary_like_its_baseline_is_promoted_and_not_rolled_back() -> None:
    for seed in range(5):
        traffic, test = Traffic(seed), SequentialTest()
        for _ in range(60):
            test = looked(test, traffic.second())
            assert test.against < DECIDED

        assert min(test.errors_for, test.latency_for) >= DECIDED


def test_a_canary_that_is_worse_by_more_than_the_margin_has_no_evidence_for_it() -> None:
    traffic, test = Traffic(1), SequentialTest()
    for _ in range(30):
        test = looked(test, traffic.second(more=0.08))
        assert test.errors_for < DECIDED


def test_what_both_suffer_together_speaks_against_neither() -> None:
    traffic, test = Traffic(1), SequentialTest()
    for second in range(120):
        incident = 40 <= second < 60
        test = looked(test, traffic.second(errors=0.5 if incident else 0.002))

        assert test.against < DECIDED


def test_where_everything_fails_on_both_sides_there_is_no_evidence() -> None:
    traffic, test = Traffic(1), SequentialTest()
    for _ in range(300):
        test = looked(test, traffic.second(errors=1.0))

    assert test.against < DECIDED
    assert test.errors_for < DECIDED


def test_no_data_is_no_evidence() -> None:
    test = SequentialTest()
    for _ in range(100):
        test = looked(test)

    assert test.against == pytest.approx(0.0, abs=1e-9)
    assert test.errors_for == pytest.approx(0.0, abs=1e-9)
    assert test.latency_for == 0.0


def test_a_test_goes_on_from_what_is_on_record_to_the_last_bit() -> None:
    traffic, test = Traffic(1), SequentialTest()
    for second in range(20):
        test = looked(test, traffic.second(), changed=second == 10)
        again = decoded(json.loads(json.dumps(encoded(test))))

        assert again == test
        test = again


def test_the_order_of_the_gateways_does_not_matter() -> None:
    one_gateway, other = Traffic(1).second(), Traffic(2).second()
    together = Slice(SHARE, one_gateway.canary + other.canary, one_gateway.baseline + other.baseline)
    turned = Slice(SHARE, other.canary + one_gateway.canary, other.baseline + one_gateway.baseline)

    assert looked(SequentialTest(), together) == looked(SequentialTest(), turned)


def test_what_is_on_record_stays_small() -> None:
    traffic, test = Traffic(1), SequentialTest()
    for _ in range(300):
        test = looked(test, traffic.second())

    assert len(json.dumps(encoded(test), separators=(",", ":"))) <= 8192


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"version": 2},
        encoded(SequentialTest()) | {"worse": {"logs": [0.0], "unspent": 1.0}},
        {"version": 1},
    ],
)
def test_evidence_that_cannot_be_read_is_refused(document: object) -> None:
    with pytest.raises(InvalidInput):
        decoded(document)


def test_over_a_horizon_no_more_than_the_whole_prior_is_spent() -> None:
    test, policy = SequentialTest(), replace(POLICY, horizon_s=1000.0)
    for second in range(3000):
        test = test.after(policy, (), 1.0, changed=second % 100 == 0)

    assert 0.0 < test.worse.unspent < 1.0 - AT_THE_START


# ---------------------------------------------------------- the mean of the evidence where the claim is true

ROUNDING = 1 + 1e-9
CHANCES = st.floats(0.0, 1.0)
POLICIES = st.sampled_from(
    [
        POLICY,
        SequentialPolicy(error_margin=0.2, error_tolerance=0.0, p95_margin_ms=5.0),
        SequentialPolicy(error_margin=0.001, p95_margin_ms=1.0, horizon_s=60.0),
        SequentialPolicy(error_margin=0.9, error_tolerance=0.45, p95_tolerance_ms=50.0),
    ]
)


def some_past(seed: int, policy: SequentialPolicy) -> SequentialTest:
    """Give a test that has seen all kinds of things."""
    drawn, test = random.Random(seed), SequentialTest()
    errors, sigma = drawn.choice([0.0, 0.002, 0.3, 1.0]), drawn.choice([0.05, 0.6, 2.0])
    for _ in range(drawn.randint(0, 8)):
        arms = [NOTHING, NOTHING]
        for role in (0, 1):
            for _ in range(drawn.randint(0, 60)):
                arms[role] += one(drawn.random() < errors, min(drawn.lognormvariate(3.0, sigma), 1e6))
        slices = [Slice(drawn.choice([0.0, 0.01, 0.2, 0.5, 0.99, 1.0]), arms[0], arms[1])]
        test = test.after(policy, slices, drawn.choice([0.0, 0.25, 1.0, 400.0]), changed=drawn.random() < 0.3)
    return test


Chances = Sequence[tuple[float, float]]


def mean_after(
    test: SequentialTest, policy: SequentialPolicy, share: float, chances: Chances, what: str, ms: tuple[float, float]
) -> float:
    """Give the mean of some evidence after a look, over all that requests with these chances of a 1 may come to.

    A chance is that of a canary and that of a baseline. A canary's request with a 1 fails, or takes ``ms[0]``, and a
    baseline's ``ms[1]``; one with a 0 takes no time. Each request has chances of its own.
    """
    latency = what.startswith("latency")
    total = 0.0
    for outcomes in itertools.product(((True, 1), (True, 0), (False, 1), (False, 0)), repeat=len(chances)):
        chance, canary, baseline = 1.0, NOTHING, NOTHING
        for (is_canary, came_out), (of_canary, of_baseline) in zip(outcomes, chances, strict=True):
            likely = of_canary if is_canary else of_baseline
            chance *= (share if is_canary else 1.0 - share) * (likely if came_out else 1.0 - likely)
            slow_ms = ms[0] if is_canary else ms[1]
            request = one(came_out == 1 and not latency, slow_ms if came_out and latency else 0.5)
            canary, baseline = (canary + request, baseline) if is_canary else (canary, baseline + request)
        if chance:
            looked_at = test.after(policy, [Slice(share, canary, baseline)], 1.0, changed=False)
            total += chance * math.exp(getattr(looked_at, what))
    return total


@st.composite
def nulls(draw: st.DrawFn) -> list[tuple[float, float]]:
    """Give, for each of a few requests, where between none and all of what the claim leaves a canary's rate lies."""
    return draw(st.lists(st.tuples(CHANCES, CHANCES), min_size=1, max_size=3))


SHARES = st.floats(0.01, 0.99)


@given(st.integers(0, 10**6), POLICIES, SHARES, nulls())
def test_no_canary_within_the_tolerance_has_growing_evidence_against_it(
    seed: int, policy: SequentialPolicy, share: float, places: list[tuple[float, float]]
) -> None:
    test = some_past(seed, policy)
    chances = [(place * min(rate + policy.tolerated_errors, 1.0), rate) for place, rate in places]

    mean = mean_after(test, policy, share, chances, "errors_against", (0.5, 0.5))

    assert mean <= math.exp(test.errors_against) * ROUNDING


@given(st.integers(0, 10**6), POLICIES, SHARES, nulls())
def test_no_canary_that_is_worse_by_the_margin_has_growing_evidence_for_it(
    seed: int, policy: SequentialPolicy, share: float, places: list[tuple[float, float]]
) -> None:
    test = some_past(seed, policy)
    room = 1.0 - policy.error_margin
    rates = [rate * room for _, rate in places]
    chances = [
        (rate + policy.error_margin + place * (room - rate), rate)
        for (place, _), rate in zip(places, rates, strict=True)
    ]

    mean = mean_after(test, policy, share, chances, "errors_for", (0.5, 0.5))

    assert mean <= math.exp(test.errors_for) * ROUNDING


def slow_at(test: SequentialTest, rate: float) -> float:
    """Give how often a baseline is slow that is beyond the bucket of its p95 at a rate, and else takes no time."""
    slow = test.expected.slow()
    return rate + (1.0 - rate) * slow.part if slow and slow.bucket == 0 else rate


@given(st.integers(0, 10**6), POLICIES, SHARES, nulls())
def test_no_canary_that_is_slow_no_more_often_has_growing_evidence_of_being_slower(
    seed: int, policy: SequentialPolicy, share: float, places: list[tuple[float, float]]
) -> None:
    test = some_past(seed, policy)
    slow_ms = 1e6, 1e6
    chances = [(place * slow_at(test, rate), rate) for place, rate in places]

    mean = mean_after(test, policy, share, chances, "latency_against", slow_ms)

    assert mean <= math.exp(test.latency_against) * ROUNDING


@given(st.integers(0, 10**6), POLICIES, SHARES, nulls())
def test_no_canary_that_is_slow_as_often_by_the_margin_has_growing_evidence_of_being_fast(
    seed: int, policy: SequentialPolicy, share: float, places: list[tuple[float, float]]
) -> None:
    test = some_past(seed, policy)
    slow = test.expected.slow()
    edge_ms = GROWTH**slow.bucket if slow else 1.0
    chances = [(rate + place * (1.0 - rate), rate) for place, rate in places]
    slower_ms = edge_ms + policy.p95_margin_ms + 0.001, edge_ms * 1.001

    mean = mean_after(test, policy, share, chances, "latency_for", slower_ms)

    assert mean <= math.exp(test.latency_for) * ROUNDING


@given(st.integers(0, 10**6), POLICIES, st.floats(0.0, 86_400.0), st.booleans())
def test_time_that_passes_without_a_request_is_no_evidence(
    seed: int,
    policy: SequentialPolicy,
    elapsed_s: float,
    changed: bool,  # noqa: FBT001
) -> None:
    test = some_past(seed, policy)
    later = test.after(policy, (), elapsed_s, changed=changed)

    for what in ("errors_against", "errors_for", "latency_against", "latency_for"):
        assert getattr(later, what) == pytest.approx(getattr(test, what), abs=1e-9)
    assert later.guard == test.guard


# ------------------------------------------------------------------------------- what is known besides


def some(requests: int, errors: int = 0, ms: float = 20.0) -> Counts:
    return Counts(requests, errors, latency={bucket_of(ms): requests} if requests else {})


def test_of_late_is_what_was_seen_within_the_last_half_lives() -> None:
    test = SequentialTest().after(POLICY, [Slice(0.5, some(100, 50), some(100))], 1.0, changed=False)
    assert test.recent_difference == pytest.approx(0.5)

    later = test.after(POLICY, [Slice(0.5, some(100), some(100))], HALF_LIFE_S, changed=False)

    assert later.recent == (150.0, 25.0)
    assert later.recent_difference == pytest.approx(25 / 150)


def test_without_requests_there_is_no_recent_difference() -> None:
    assert SequentialTest().recent_difference == 0.0
    assert SequentialTest(expected=Expected(100.0, 5.0)).recent_difference == pytest.approx(-0.05)


def test_each_role_is_known_to_have_been_there_when_it_last_had_a_request() -> None:
    test = looked(SequentialTest(), Slice(0.5, some(1), some(1)))
    test = looked(test, Slice(0.5, some(1), NOTHING))
    test = looked(test)

    assert test.seen_s == (2.0, 1.0)


def test_since_when_a_canary_is_worse_is_known_as_long_as_it_is() -> None:
    test = looked(SequentialTest(), Slice(0.5, some(100), some(100)))
    assert test.worse_rise is None

    for _ in range(3):
        test = looked(test, Slice(0.5, some(20, 15), some(20)))
    assert test.worse_rise == Rise(since_s=1.0, seen=45.0)
    assert test.slower_rise is None

    for _ in range(100):
        test = looked(test, Slice(0.5, some(500), some(500)))
    assert test.worse_rise is None


def test_a_split_that_gives_one_role_everything_is_no_evidence_and_tells_of_the_baseline() -> None:
    test = looked(SequentialTest(), Slice(0.0, some(10, 10), some(200, 4)), Slice(1.0, some(500, 500), NOTHING))

    assert test.against == pytest.approx(0.0, abs=1e-9)
    assert test.errors_for == pytest.approx(0.0, abs=1e-9)
    assert (test.expected.requests, test.expected.errors) == (200.0, 4.0)
    assert test.recent == (510.0, 510.0)
    assert test.alone
    assert not test.guard.alarmed


def test_the_guard_sees_through_changes_of_the_split() -> None:
    test = SequentialTest()
    for number in range(10):
        test = looked(test, Slice(0.05, some(5), some(95)), Slice(0.5, some(50), some(50)), changed=number == 5)
    assert not test.guard.alarmed

    for _ in range(40):
        test = looked(test, Slice(0.5, some(30), some(70)))
    assert test.guard.alarmed


def test_a_test_that_begins_anew_knows_the_baseline_and_nothing_else() -> None:
    test = looked(SequentialTest(), Slice(0.5, some(500, 100), some(500)))

    assert test.begun_anew() == SequentialTest(expected=test.expected)


# ----------------------------------------------------------------------------- latencies of few kinds


def seconds_of(canary: Counts, baseline: Counts, share: float, seconds: int) -> list[SequentialTest]:
    tests = [SequentialTest()]
    for _ in range(seconds):
        tests.append(looked(tests[-1], Slice(share, canary, baseline)))
    return tests


@pytest.mark.parametrize("ms", [0.4, 20.0])
def test_where_every_answer_takes_as_long_a_canary_like_its_baseline_is_found_to_be_fast(ms: float) -> None:
    assert seconds_of(some(200, ms=ms), some(800, ms=ms), SHARE, 60)[-1].latency_for >= DECIDED


def test_a_canary_that_is_slow_for_two_in_a_hundred_has_the_p95_of_a_baseline_that_never_is() -> None:
    canary = Counts(50, latency={bucket_of(0.5): 49, bucket_of(20.0): 1})

    assert all(test.against < DECIDED for test in seconds_of(canary, some(200, ms=0.5), SHARE, 60))


# ------------------------------------------------------------------------------------------- on record


@given(st.integers(0, 10**6), POLICIES, st.integers(0, 6))
def test_wherever_a_test_is_cut_and_read_again_it_goes_on_to_the_last_bit(
    seed: int, policy: SequentialPolicy, cut: int
) -> None:
    drawn = random.Random(seed)
    here = there = some_past(seed, policy)
    for number in range(6):
        if number == cut:
            there = decoded(json.loads(json.dumps(encoded(there))))
        seen = Slice(0.2, some(drawn.randint(0, 9), 0, drawn.uniform(0.1, 1e6)), some(drawn.randint(0, 40)))
        changed = drawn.random() < 0.5
        here, there = (test.after(policy, [seen], 0.7, changed=changed) for test in (here, there))

        assert encoded(there) == encoded(here)
        assert there == here


def test_what_is_on_record_stays_small_however_wild_the_latencies_are() -> None:
    drawn, test = random.Random(1), SequentialTest()
    for second in range(200):
        buckets = [drawn.randint(0, 672) for _ in range(50)]
        seen = Counts(50, drawn.randint(0, 50), latency=dict.fromkeys(sorted(set(buckets)), 1))
        test = test.after(POLICY, [Slice(0.2, seen, seen)], 1.7, changed=second % 20 == 0)

    assert len(json.dumps(encoded(test), separators=(",", ":"))) <= 8192
