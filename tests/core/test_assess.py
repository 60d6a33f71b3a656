"""What a sequential test has come to, as a verdict with its reason."""

import json
import math
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.assess import DOUBTFUL, SILENT_S, against, assess, odds_for, why_not_more
from serinus.core.eprocess import Mixture
from serinus.core.evidence import Counts, bucket_of
from serinus.core.expected import Expected
from serinus.core.judge import Health, Recommendation, Verdict
from serinus.core.policy import DRY_RUN, GUARDRAIL, ROLES, SIGNAL, SequentialPolicy
from serinus.core.ratio import RatioGuard
from serinus.core.sequential import EFFECTS, FASTER, HARMLESS, SLOWER, Rise, SequentialTest

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
        worse_rise=Rise(0.0, 5.0),
        slower_rise=Rise(0.0, 5.0),
    )


def assessed(test: SequentialTest, canary: Counts | None = None) -> Verdict:
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


# ------------------------------------------------------------------------------ what a metric is for

ERRORS_SHOWN = replace(POLICY, error_role=SIGNAL)
LATENCY_SHOWN = replace(POLICY, p95_role=SIGNAL)
SOUND = came_to(sound=1e3, fast=1e3)


def judged(policy: SequentialPolicy, test: SequentialTest) -> Recommendation:
    return assess(policy, test, counts(1000, 4), counts(200, 12)).recommendation


@pytest.mark.parametrize("role", [SIGNAL, DRY_RUN])
@pytest.mark.parametrize(
    ("metric", "test"), [("error_role", came_to(worse=1e9, fast=1e3)), ("p95_role", came_to(slower=1e9, sound=1e3))]
)
def test_a_metric_that_is_no_guardrail_rolls_nothing_back_and_keeps_nothing_from_a_promotion(
    metric: str, test: SequentialTest, role: str
) -> None:
    guarding, shown = replace(POLICY), replace(POLICY, **{metric: role})  # type: ignore[arg-type]  # a role is a text

    assert judged(guarding, test) is Recommendation.ROLLBACK
    assert judged(shown, test) is Recommendation.PROMOTE


def test_a_guardrail_by_itself_has_the_whole_budget() -> None:
    both_speak = came_to(worse=150.0)

    assert judged(POLICY, both_speak) is Recommendation.HOLD, "it has six tenths of it beside the other"
    assert judged(LATENCY_SHOWN, both_speak) is Recommendation.ROLLBACK


def test_the_odds_of_a_guardrail_alone_are_those_against_and_for() -> None:
    test = came_to(worse=8.0, slower=3.0, sound=50.0, fast=20.0)

    assert against(POLICY, test) == pytest.approx(math.log(0.6 * 8 + 0.4 * 3))
    assert against(ERRORS_SHOWN, test) == pytest.approx(math.log(3))
    assert against(LATENCY_SHOWN, test) == pytest.approx(math.log(8))
    assert odds_for(POLICY, test) == pytest.approx(math.log(20))
    assert odds_for(LATENCY_SHOWN, test) == pytest.approx(math.log(50))


def test_without_any_guardrail_nothing_is_known() -> None:
    none = replace(POLICY, error_role=SIGNAL, p95_role=DRY_RUN)

    assert (against(none, came_to(worse=1e9)), odds_for(none, SOUND)) == (0.0, 0.0)


def test_without_any_guardrail_nothing_is_promoted() -> None:
    none = replace(POLICY, error_role=SIGNAL, p95_role=SIGNAL)

    assert judged(none, SOUND) is not Recommendation.PROMOTE


# ------------------------------------------------------------------------------- what keeps it from more


def alarmed(test: SequentialTest) -> SequentialTest:
    return replace(test, guard=RatioGuard().after(0.5, 1000, 100))


def of_late(more: float, test: SequentialTest = SOUND) -> SequentialTest:
    """Give a test whose canary failed so much more of late."""
    return replace(test, recent=(100.0, 100.0 * (more + 0.01)), expected=Expected(1000.0, 10.0))


def test_a_split_that_does_not_work_holds_whatever_speaks_for_the_canary() -> None:
    verdict = assessed(alarmed(SOUND))

    assert (verdict.health, verdict.recommendation) == (Health.INCONCLUSIVE, Recommendation.HOLD)
    assert verdict.alarms == (verdict.reason,)
    assert verdict.reason.startswith("the canary got 200 of 1200 requests: odds ")


@pytest.mark.parametrize(
    ("more", "recommendation"), [(0.0249, Recommendation.PROMOTE), (0.0251, Recommendation.CONTINUE)]
)
def test_a_canary_that_fails_more_of_late_is_not_promoted(more: float, recommendation: Recommendation) -> None:
    assert judged(POLICY, of_late(more)) is recommendation


def test_errors_of_late_are_of_no_account_where_errors_are_only_shown() -> None:
    assert judged(ERRORS_SHOWN, of_late(0.5)) is Recommendation.PROMOTE


@pytest.mark.parametrize(("seen_s", "silent"), [((0.0, 1000.0), "the canary"), ((1000.0, 0.0), "the baseline")])
def test_a_role_that_fell_silent_keeps_the_canary_from_a_promotion(seen_s: tuple[float, float], silent: str) -> None:
    at_the_limit = replace(SOUND, elapsed_s=SILENT_S, seen_s=(min(seen_s[0], SILENT_S), min(seen_s[1], SILENT_S)))
    later = replace(SOUND, elapsed_s=1000.0, seen_s=seen_s)

    assert judged(POLICY, at_the_limit) is Recommendation.PROMOTE
    assert judged(POLICY, later) is Recommendation.CONTINUE
    assert f"no traffic on {silent} for 1000 s" in assessed(later).reason


@pytest.mark.parametrize(
    ("test", "why"),
    [
        (SOUND, ""),
        (came_to(), ""),
        (alarmed(SOUND), "the split does not work as set"),
        (came_to(worse=20.0), "against 'within 0.5 points'"),
        (came_to(slower=30.0), "against 'within 10 ms'"),
        (of_late(0.03), "of late the canary fails 3.0 points more: not under 2.5 points"),
        (replace(SOUND, elapsed_s=1000.0), "no traffic on the canary for 1000 s"),
    ],
)
def test_why_a_canary_gets_no_more_traffic_is_said(test: SequentialTest, why: str) -> None:
    said = why_not_more(POLICY, test, counts(1000, 4), counts(200, 12))

    assert why in said
    assert bool(said) == bool(why)


def test_without_traffic_a_canary_gets_no_more() -> None:
    assert "no traffic on the canary yet" in why_not_more(POLICY, SOUND, counts(10), Counts())


@given(
    st.tuples(*[st.sampled_from([0.1, 1.0, 5.0, 10.5, 90.0, 101.0, 1e9])] * 4),
    st.sampled_from([0.0, 9.0, 60.0, 4000.0]),
    st.booleans(),
    st.sampled_from(ROLES),
    st.sampled_from(ROLES),
)
def test_what_is_promoted_is_what_nothing_keeps_from_more_traffic(
    odds: tuple[float, float, float, float],
    elapsed_s: float,
    alarm: bool,  # noqa: FBT001
    errors: str,
    latency: str,
) -> None:
    worse, slower, sound, fast = odds
    policy = replace(POLICY, error_role=errors, p95_role=latency)
    test = replace(came_to(worse=worse, slower=slower, sound=sound, fast=fast), elapsed_s=elapsed_s)
    test = alarmed(test) if alarm else test

    verdict = assess(policy, test, counts(1000, 4), counts(200, 4))

    assert (verdict.recommendation is Recommendation.ROLLBACK) <= (against(policy, test) >= math.log(100.0))
    if verdict.recommendation is Recommendation.PROMOTE:
        assert not verdict.alarms
        assert not why_not_more(policy, test, counts(1000, 4), counts(200, 4))
        assert against(policy, test) < DOUBTFUL
        assert elapsed_s >= policy.bake_s
        assert GUARDRAIL not in (errors, latency) or odds_for(policy, test) >= math.log(100.0)


# ------------------------------------------------------------------------------------- each metric


def test_each_metric_is_told_with_its_claims_and_bounds() -> None:
    test = replace(came_to(worse=412.0, sound=0.5, fast=1e3), worse_rise=Rise(7.0, 5.0))
    errors, latency = assess(POLICY, test, counts(1000, 4), counts(1000, 60)).metrics

    assert (errors.name, errors.role, errors.finding.value) == ("errors", GUARDRAIL, "fail")
    assert (errors.baseline, errors.canary) == (0.004, 0.06)
    assert errors.difference == pytest.approx(0.056)
    assert (errors.tolerance, errors.margin, errors.worse_since_s) == (0.005, 0.05, 7.0)
    assert errors.odds_against == pytest.approx(math.log(412))
    assert errors.alpha_spent == pytest.approx(0.01)
    assert (latency.finding.value, latency.difference) == ("pass", 0.0)
    assert latency.low is not None
    assert latency.high is not None
    assert latency.low < 0.0 < latency.high


def test_where_nothing_was_asked_nothing_is_told() -> None:
    errors, latency = assess(POLICY, SequentialTest(), Counts(), Counts()).metrics

    for metric in (errors, latency):
        assert (metric.finding.value, metric.baseline, metric.canary, metric.difference) == ("error", None, None, None)
        assert (metric.low, metric.high) == (None, None)


@pytest.mark.parametrize("odds", [0.0, 1e-300, 1.0, 1e300])
def test_a_verdict_can_be_written_down_however_great_its_odds_are(odds: float) -> None:
    log = math.log(odds) if odds else -math.inf
    test = replace(came_to(), worse=Mixture((log,) * len(EFFECTS), 0.0))

    verdict = assessed(test)

    text = json.dumps(asdict(verdict.metrics[0]), allow_nan=False)
    assert json.loads(text)["odds_against"] >= -700.0
