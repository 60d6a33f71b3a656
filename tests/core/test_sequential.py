"""The test of a rollout finds what is worse, lets go what is not, and goes on to the last bit after a restart."""

import json
import math
import random
from dataclasses import replace

import pytest

from serinus.core.errors import InvalidInput
from serinus.core.evidence import Counts, bucket_of
from serinus.core.policy import SequentialPolicy
from serinus.core.sequential import AT_THE_START, SequentialTest, Slice, decoded, encoded

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
