"""Looks take in every request once, in whatever order it is told of, and can be taken again from the record."""

import json
import random
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.deployment import Phase, Rollout
from serinus.core.errors import InvalidInput
from serinus.core.evidence import Counts, Evidence, Key, bucket_of, merged
from serinus.core.expected import Expected
from serinus.core.looks import (
    LARGEST_HISTORY,
    Look,
    begun_anew,
    decoded_look,
    encoded_look,
    first,
    replayed,
    taken_in,
)
from serinus.core.looks import Tested as HowFar
from serinus.core.names import VersionRef
from serinus.core.policy import SequentialPolicy
from serinus.core.records import decoded_evidence, encoded_evidence
from serinus.core.routing import Role
from serinus.core.sequential import SequentialTest, Slice, decoded, encoded

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY, OTHER = SequentialPolicy(bake_s=5.0), SequentialPolicy(bake_s=5.0, error_margin=0.1)
WEIGHTS = (5.0, 20.0, 50.0, 0.0, 100.0, 30.0)
BOOTS = "abc"


def rollout(split_version: int = 1, weights: tuple[float, ...] = WEIGHTS) -> Rollout:
    weight = weights[split_version - 1] if weights else 50.0
    canary, baseline = VersionRef("risk", 2), VersionRef("risk", 1)
    return Rollout(
        "credit:1", canary, baseline, weight, Phase.RUNNING, split_version, NOW, weights=weights[:split_version]
    )


def key(role: Role, split_version: int = 1) -> Key:
    return Key("credit:1", "risk@2" if role is Role.CANARY else "risk@1", split_version, role)


def counts(requests: int, failed: int = 0, ms: float = 20.0) -> Counts:
    return Counts(requests, failed, latency={bucket_of(ms): requests} if requests else {})


def both(baseline: Counts, canary: Counts, split_version: int = 1) -> dict[Key, Counts]:
    return {key(Role.BASELINE, split_version): baseline, key(Role.CANARY, split_version): canary}


def begun(history: Counts | None = None, policy: SequentialPolicy = POLICY) -> HowFar:
    return first(rollout(), policy, history or Counts())


def after(tested: HowFar, totals: Evidence, seconds: float = 1.0, split_version: int = 1) -> tuple[HowFar, Look]:
    return taken_in(tested, rollout(split_version), totals, tested.at + timedelta(seconds=seconds))


def said(verdict: object) -> str:
    """Give a verdict as it is told."""
    return json.dumps(asdict(verdict), default=str)  # type: ignore[call-overload]  # a dataclass


Rounds = list[tuple[dict[str, dict[Key, Counts]], float, int, bool]]


def wild(seed: int) -> Rounds:
    """Give rounds: what each gateway counts more, seconds, the split of now, and whether the policy changes."""
    drawn = random.Random(seed)
    rounds = []
    for _ in range(drawn.randint(1, 8)):
        news = {}
        for boot in drawn.sample(BOOTS, drawn.randint(0, 3)):
            keys = {key(drawn.choice(list(Role)), drawn.randint(0, 3)) for _ in range(drawn.randint(0, 4))}
            news[boot] = {each: arm(drawn) for each in keys}  # split version 0 holds what was not drawn
        rounds.append(
            (news, drawn.choice([0.0, 0.25, drawn.uniform(0, 900)]), drawn.randint(1, 6), drawn.random() < 0.2)
        )
    return rounds


def arm(drawn: random.Random) -> Counts:
    """Give what an arm did between two reports."""
    latency = {drawn.randint(0, 672): drawn.randint(1, 60) for _ in range(drawn.randint(0, 4))}
    requests = sum(latency.values())
    errors = drawn.randint(0, requests)
    timeouts = drawn.randint(0, requests - errors)
    return Counts(requests, errors, timeouts, drawn.randint(0, 3), drawn.randint(0, 3), latency, 0.5 * requests)


ROUNDS = st.builds(wild, st.integers(0, 10**9))


def as_it_is(tested: HowFar) -> HowFar:
    return tested


def from_the_record(tested: HowFar) -> HowFar:
    """Give what a process reads that goes on where another one ended."""
    return replace(
        tested,
        policy=SequentialPolicy(**json.loads(json.dumps(asdict(tested.policy)))),
        test=decoded(json.loads(json.dumps(encoded(tested.test)))),
        seen=decoded_evidence(json.loads(json.dumps(encoded_evidence(tested.seen)))),
        begun=decoded_evidence(json.loads(json.dumps(encoded_evidence(tested.begun)))),
    )


def taken(
    rounds: Rounds,
    between: Callable[[HowFar], HowFar] = as_it_is,
    order: Callable[[list[dict[Key, Counts]]], list[dict[Key, Counts]]] = list,
) -> list[tuple[HowFar, Look]]:
    """Take a look after each round of reports; a round may change the policy."""
    tested, totals, split_version = begun(counts(500, 3)), {boot: dict[Key, Counts]() for boot in BOOTS}, 1
    looks = []
    for news, elapsed_s, split, changes_policy in rounds:
        for boot, more in news.items():
            totals[boot] = merged([totals[boot], more])
        split_version = max(split_version, split)
        if changes_policy:
            tested = begun_anew(tested, OTHER if tested.policy == POLICY else POLICY)
        evidence = merged(order(list(totals.values())))
        tested, look = after(between(tested), evidence, elapsed_s, split_version)
        looks.append((tested, look))
    return looks


# ------------------------------------------------------------------------------------ what is taken in


def test_a_look_takes_in_what_came_since_the_last_one() -> None:
    tested, _ = after(begun(), both(counts(100), counts(10, 1)))
    tested, look = after(tested, both(counts(130), counts(14, 2)), 2.5)

    assert look == Look(2.5, changed=False, slices=(Slice(0.05, counts(4, 1), counts(30)),), at=tested.at)
    assert (tested.canary.requests, tested.baseline.requests) == (14, 130)


def test_a_look_compares_within_each_split_alone() -> None:
    evidence = both(counts(95), counts(5)) | both(counts(80), counts(20), 2)
    _, look = after(begun(), evidence, split_version=2)

    assert [(each.share, each.canary.requests, each.baseline.requests) for each in look.slices] == [
        (0.05, 5, 95),
        (0.2, 20, 80),
    ]
    assert look.changed


def test_what_the_split_did_not_draw_is_no_evidence() -> None:
    tested, look = after(begun(), both(counts(1000), counts(1000, 1000), 0))

    assert look.slices == ()
    assert look.empty
    assert (tested.canary, tested.baseline) == (Counts(), Counts())
    assert tested.test.against == pytest.approx(0.0, abs=1e-9)


def test_what_is_seen_again_is_no_evidence() -> None:
    evidence = both(counts(100), counts(10, 1))
    tested, _ = after(begun(), evidence)
    again, look = after(tested, evidence)

    assert look.empty
    assert again.test.errors_against == pytest.approx(tested.test.errors_against, abs=1e-3)
    assert again.canary == tested.canary


def test_a_clock_that_was_put_back_takes_no_time_away() -> None:
    tested, look = after(begun(), both(counts(10), counts(10)), -3600.0)

    assert (look.elapsed_s, tested.test.elapsed_s) == (0.0, 0.0)


def test_a_change_of_the_split_is_told_to_one_look() -> None:
    tested, first_look = after(begun(), {}, split_version=2)
    _, second_look = after(tested, {}, split_version=2)

    assert (first_look.changed, second_look.changed) == (True, False)


def test_each_request_may_weigh_less() -> None:
    evidence = both(counts(100), counts(10, 5))
    whole, _ = after(begun(), evidence)
    half, look = taken_in(begun(), rollout(), evidence, NOW + timedelta(seconds=1), each_counts=0.5)

    assert [each.each_counts for each in look.slices] == [0.5]
    assert 0.0 < half.test.errors_against < whole.test.errors_against
    assert half.canary == whole.canary, "what is shown are requests"


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (Counts(), Expected()),
        (counts(200, 10), Expected(200.0, 10.0, {bucket_of(20.0): 200.0})),
        (counts(20_000, 1000), Expected(LARGEST_HISTORY, 100.0, {bucket_of(20.0): LARGEST_HISTORY})),
    ],
)
def test_what_the_baseline_did_before_is_expected_of_it_and_is_no_evidence(history: Counts, expected: Expected) -> None:
    tested = begun(history)

    assert tested.test == SequentialTest(expected=expected)
    assert (tested.baseline, tested.canary) == (Counts(), Counts())


def test_under_another_policy_a_test_begins_anew_and_knows_the_baseline() -> None:
    tested, _ = after(begun(), both(counts(1000, 20), counts(1000, 60)))
    anew = begun_anew(tested, OTHER)

    assert (anew.test.looks, anew.test.against, anew.test.elapsed_s) == (0, 0.0, 0.0)
    assert anew.test.expected == tested.test.expected
    assert (anew.policy, anew.canary, anew.baseline) == (OTHER, Counts(), Counts())

    anew, look = after(anew, both(counts(1010, 20), counts(1005, 60)))
    assert look.begins == tested.test.expected
    assert (anew.canary.requests, anew.canary.failed) == (5, 0)


# -------------------------------------------------------------------------- whoever looks, in whatever order


@given(ROUNDS, st.randoms(use_true_random=False))
def test_the_order_in_which_gateways_report_changes_nothing(rounds: Rounds, shuffled: random.Random) -> None:
    def order(reports: list[dict[Key, Counts]]) -> list[dict[Key, Counts]]:
        return shuffled.sample(reports, len(reports))

    assert taken(rounds, order=order) == taken(rounds)


@given(ROUNDS)
def test_a_test_that_is_read_from_the_record_before_every_look_is_the_same_to_the_last_bit(rounds: Rounds) -> None:
    assert taken(rounds, between=from_the_record) == taken(rounds)


@given(ROUNDS)
def test_every_request_that_was_drawn_is_taken_in_once(rounds: Rounds) -> None:
    looks = taken([(news, elapsed_s, 3, False) for news, elapsed_s, *_ in rounds])

    total = merged(part for news, *_ in rounds for part in news.values())
    drawn = sum(each.requests for which, each in total.items() if which.split_version)

    assert sum(each.canary.requests + each.baseline.requests for _, look in looks for each in look.slices) == drawn


def test_what_comes_of_a_split_before_the_split_is_known_is_taken_in_when_it_is() -> None:
    evidence = both(counts(80), counts(20), 2)
    tested, early = after(begun(), evidence, split_version=1)
    _, look = after(tested, evidence, split_version=2)

    assert early.empty
    assert [(each.share, each.canary.requests, each.baseline.requests) for each in look.slices] == [(0.2, 20, 80)]


# ----------------------------------------------------------------------------------------- on record


@given(ROUNDS)
def test_a_look_comes_back_from_the_record_as_it_was(rounds: Rounds) -> None:
    for _, look in taken(rounds):
        assert decoded_look(json.loads(json.dumps(encoded_look(look)))) == look


@given(ROUNDS)
def test_looks_that_are_judged_again_give_the_verdicts_of_their_time(rounds: Rounds) -> None:
    present, taken_then = 1, []
    for news, elapsed_s, split, changes_policy in rounds:  # what comes of a split that is not known yet is not judged
        present = max(present, split)
        known = {boot: {k: c for k, c in more.items() if k.split_version <= present} for boot, more in news.items()}
        taken_then.append((known, elapsed_s, split, changes_policy))
    looks = taken(taken_then)

    again = replayed(
        [decoded_look(json.loads(json.dumps(encoded_look(look)))) for _, look in looks],
        [tested.policy for tested, _ in looks],
    )

    for judged, (tested, look) in zip(again, looks, strict=True):
        assert (judged.look, judged.test) == (look, tested.test)
        assert said(judged.verdict) == said(tested.verdict)


def test_looks_are_judged_again_by_another_policy() -> None:
    tested, looks = begun(), []
    for second in range(1, 21):
        arm = Counts(1000 * second, 2 * second, latency={150: 960 * second, 160: 40 * second})
        tested, look = after(tested, both(arm, arm, 3), split_version=3)
        looks.append(look)
    patient = replace(POLICY, bake_s=1000.0)

    here = [judged.verdict.recommendation.value for judged in replayed(looks, [POLICY] * 20)]
    there = [judged.verdict.recommendation.value for judged in replayed(looks, [patient] * 20)]

    assert here[-1] == "promote"
    assert set(there) == {"continue"}


def test_the_time_of_a_look_that_is_judged_again_is_counted_from_the_start() -> None:
    tested, looks = begun(), []
    for _ in range(4):
        tested, look = after(tested, {}, 2.5)
        looks.append(look)

    times = [judged.elapsed_s for judged in replayed(looks, [POLICY] * 4)]

    assert all(later - earlier == 2.5 for earlier, later in pairwise(times))


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        [],
        [1.0, False, []],
        ["soon", False, [], None],
        [1.0, False, [[0.5, 1.0, [1, 0, 0, []]]], None],
        [1.0, False, [[0.5, 1.0, [1, 0, 0, [[3]]], [1, 0, 0, []]]], None],
        [1.0, False, [], [1.0, 0.0]],
        [1.0, False, 7, None],
    ],
)
def test_a_look_that_cannot_be_read_is_refused(raw: object) -> None:
    with pytest.raises(InvalidInput):
        decoded_look(raw)


def test_what_comes_late_of_a_split_that_is_known_no_more_is_neither_taken_in_nor_shown() -> None:
    """A rollout remembers its last shares alone, and one of an earlier release none."""
    forgetful = rollout(3, weights=())
    late = both(counts(100), counts(50, 50), 1) | both(counts(10), counts(10), 3)

    tested, look = taken_in(begun(), forgetful, late, NOW + timedelta(seconds=1))

    assert [each.share for each in look.slices] == [0.5]
    (judged,) = replayed([look], [POLICY])
    assert said(judged.verdict) == said(tested.verdict)
