"""What a sequential test has come to, as a verdict with its reason."""

import math
from dataclasses import replace

import pytest

from serinus.core.assess import Assessment, assess
from serinus.core.eprocess import Mixture
from serinus.core.evidence import Counts, bucket_of
from serinus.core.judge import Health, Recommendation
from serinus.core.policy import SequentialPolicy
from serinus.core.sequential import EFFECTS, FASTER, HARMLESS, SLOWER, SequentialTest

POLICY = SequentialPolicy(bake_s=10.0)


def counts(requests: int, errors: int = 0) -> Counts:
    return Counts(requests=requests, model_errors=errors, latency={bucket_of(20.0): requests})


def came_to(*, worse: float = 1.0, slower: float = 1.0, sound: float = 1.0, fast: float = 1.0) -> SequentialTest:
    """Give a test whose evidence is so many to 1."""

    def mixture(odds: float, parts: int) -> Mixture:
        return Mixture((math.log(odds),) * parts, 0.0)

    return SequentialTest(
        mixture(worse, len(EFFECTS)),
        mixture(sound, len(HARMLESS)),
        mixture(slower, len(SLOWER)),
        mixture(fast, len(FASTER)),
        elapsed_s=60.0,
    )


def assessed(test: SequentialTest, canary: Counts | None = None) -> Assessment:
    return assess(POLICY, test, counts(1000, 4), canary or counts(200, 12))


@pytest.mark.parametrize(
    ("test", "health", "recommendation"),
    [
        (came_to(worse=200.0), Health.CRITICAL, Recommendation.ROLLBACK),
        (came_to(slower=300.0), Health.CRITICAL, Recommendation.ROLLBACK),
        (came_to(worse=90.0, slower=90.0), Health.DEGRADED, Recommendation.HOLD),
        (came_to(worse=20.0), Health.DEGRADED, Recommendation.HOLD),
        (came_to(worse=20.0, sound=1e3, fast=1e3), Health.DEGRADED, Recommendation.HOLD),
        (came_to(), Health.HEALTHY, Recommendation.CONTINUE),
        (came_to(sound=1e3), Health.HEALTHY, Recommendation.CONTINUE),
        (came_to(fast=1e3), Health.HEALTHY, Recommendation.CONTINUE),
        (came_to(sound=1e3, fast=1e3), Health.HEALTHY, Recommendation.PROMOTE),
        (replace(came_to(sound=1e3, fast=1e3), elapsed_s=9.0), Health.HEALTHY, Recommendation.CONTINUE),
    ],
)
def test_evidence_becomes_a_verdict(test: SequentialTest, health: Health, recommendation: Recommendation) -> None:
    verdict = assessed(test)

    assert (verdict.health, verdict.recommendation) == (health, recommendation)


@pytest.mark.parametrize("silent", ["baseline", "canary"])
def test_without_traffic_on_one_side_nothing_is_known(silent: str) -> None:
    arms = {"baseline": counts(10), "canary": counts(10), silent: Counts()}

    verdict = assess(POLICY, came_to(sound=1e3, fast=1e3), arms["baseline"], arms["canary"])

    assert (verdict.health, verdict.recommendation) == (Health.INCONCLUSIVE, Recommendation.HOLD)
    assert f"the {silent}" in verdict.reason


def test_the_reason_says_the_odds_and_the_claim_they_are_against() -> None:
    verdict = assessed(came_to(worse=412.0))

    assert verdict.reason == "canary errors 6.0 % against 0.4 %: odds 412 to 1 against 'within 0.5 points'"


def test_the_reason_is_that_which_speaks_loudest() -> None:
    assert "p95" in assessed(came_to(worse=20.0, slower=1e9)).reason
    assert "more than a million to 1" in assessed(came_to(slower=1e9)).reason
