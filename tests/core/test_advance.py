"""How a rollout follows its plan."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.advance import Move, Progress, next_move, odds_wanted
from serinus.core.freeze import Freeze, frozen
from serinus.core.plan import Plan, Step, StepKind

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
APPROVAL, PROMOTE = Step(StepKind.APPROVAL), Step(StepKind.PROMOTE)
FULL = math.log(100.0)


def weight(percent: float) -> Step:
    return Step(StepKind.SET_WEIGHT, weight=percent)


def pause(duration_s: float | None = None, min_samples: int | None = None) -> Step:
    return Step(StepKind.PAUSE, duration_s=duration_s, min_samples=min_samples)


PLAN = Plan("mine", (weight(1.0), pause(300.0, 200), weight(20.0), APPROVAL, weight(100.0), PROMOTE))


def move(at: int, share: float, plan: Plan = PLAN, *, ago: float = 0.0, **known: Any) -> Move:
    """Ask for the next move of a rollout that stands at the step of that index, counted from 0."""
    progress = Progress(
        at, NOW - timedelta(seconds=ago), approved=known.pop("approved", False), samples_at_entry=known.pop("before", 0)
    )
    facts = {"canary_requests": 0, "odds_for": math.inf, "beta": 0.01, "clear": True, "why_not": "", "frozen": ""}
    return next_move(plan, progress, now=NOW, weight=share, **{**facts, **known})


def test_a_weight_that_is_reached_is_passed_at_once() -> None:
    assert move(0, 1.0) == Move(
        "advance", "step 2 of 6: pauses: 5 min of 5 min to go, 0 of 200 canary requests seen", None, 1
    )


@pytest.mark.parametrize(
    ("ago", "before", "requests", "told"),
    [
        (100.0, 1000, 1250, "step 2 of 6: pauses: 3 min of 5 min to go"),
        (300.0, 1000, 1199, "step 2 of 6: pauses: 199 of 200 canary requests seen"),
        (400.0, 1000, 900, "step 2 of 6: pauses: 0 of 200 canary requests seen"),
        (-10.0, 0, 250, "step 2 of 6: pauses: 5 min of 5 min to go"),
    ],
)
def test_a_pause_waits_for_its_time_and_for_requests_since_it_began(
    ago: float, before: int, requests: int, told: str
) -> None:
    assert move(1, 1.0, ago=ago, before=before, canary_requests=requests) == Move("wait", told, None, 1)


def test_after_a_pause_the_next_share_is_given_and_its_own_wait_begins() -> None:
    ahead = move(1, 1.0, ago=300.0, canary_requests=200)
    assert (ahead.kind, ahead.weight, ahead.step) == ("advance", 20.0, 3)
    assert ahead.reason == "20 % of the traffic; step 4 of 6: waits for a person's approval"


def test_a_share_waits_for_the_odds_that_it_wants() -> None:
    assert move(2, 1.0, odds_for=math.log(1.4)) == Move(
        "wait", "step 3 of 6: 20 % wants odds of 2.6 to 1 for the canary, and they are 1.4 to 1", None, 2
    )
    assert move(2, 1.0, odds_for=math.log(2.5)).kind == "wait"
    assert move(2, 1.0, odds_for=odds_wanted(20.0, 0.01)).weight == 20.0


def test_a_rollout_that_has_to_wait_for_odds_leaves_the_pause_behind() -> None:
    waits = move(1, 1.0, ago=300.0, canary_requests=200, odds_for=0.0)
    assert (waits.kind, waits.weight, waits.step) == ("advance", None, 2)


@pytest.mark.parametrize(("share", "odds"), [(1.0, 1.047), (5.0, 1.259), (20.0, 2.512), (50.0, 10.0), (100.0, 100.0)])
def test_exposure_grows_with_evidence(share: float, odds: float) -> None:
    assert math.exp(odds_wanted(share, 0.01)) == pytest.approx(odds, rel=1e-3)


def test_a_policy_without_odds_wants_a_healthy_canary() -> None:
    assert move(2, 1.0, odds_for=-math.inf).reason == (
        "step 3 of 6: 20 % wants a canary that the policy has found healthy"
    )
    assert move(2, 1.0, odds_for=math.inf).weight == 20.0


def test_what_speaks_against_the_canary_holds_it_whatever_the_odds() -> None:
    assert move(2, 1.0, clear=False, why_not="odds 12 to 1 against it") == Move(
        "wait", "step 3 of 6: 20 % waits: odds 12 to 1 against it", None, 2
    )
    assert move(5, 100.0, clear=False, why_not="no traffic").kind == "wait"


def test_an_approval_waits_for_a_person_and_is_for_its_own_step() -> None:
    assert move(3, 20.0, ago=1e6).reason == "step 4 of 6: waits for a person's approval"
    assert move(3, 20.0, approved=True).weight == 100.0
    early = move(2, 1.0, approved=True)
    assert (early.weight, early.step) == (20.0, 3)


def test_a_promotion_wants_all_the_odds() -> None:
    assert move(5, 100.0, odds_for=FULL - 0.01).kind == "wait"
    assert move(5, 100.0, odds_for=FULL) == Move(
        "promote", "step 6 of 6: promoted at odds of 100 to 1 for the canary", None, 5
    )


def test_each_share_is_looked_at_before_the_next_however_good_the_odds() -> None:
    fast = Plan("fast", (weight(10.0), weight(50.0), weight(100.0), PROMOTE))
    steps = [move(0, 10.0, fast), move(2, 50.0, fast), move(3, 100.0, fast)]
    assert [(each.kind, each.weight, each.step) for each in steps] == [
        ("advance", 50.0, 2),
        ("advance", 100.0, 3),
        ("promote", None, 3),
    ]


def test_a_share_that_a_person_raised_is_not_lowered() -> None:
    ahead = move(2, 50.0)
    assert (ahead.kind, ahead.weight, ahead.step) == ("advance", None, 3)


def test_without_a_promotion_the_last_share_stays_for_a_person() -> None:
    mine = Plan("mine", (weight(20.0), pause(60.0)))
    done = move(1, 20.0, mine, ago=60.0)
    assert (done.kind, done.weight, done.step) == ("advance", None, 2)
    stays = move(2, 20.0, replace(mine, progress_deadline_s=100.0), ago=1e6)
    assert (stays.kind, stays.step) == ("wait", 2)
    assert "until a person promotes it" in stays.reason


@pytest.mark.parametrize(("at", "share"), [(0, 1.0), (1, 1.0), (2, 1.0), (3, 20.0), (4, 20.0), (5, 100.0)])
def test_in_a_freeze_nothing_moves(at: int, share: float) -> None:
    waits = move(
        at, share, ago=1e6, canary_requests=10**6, approved=True, frozen="frozen until Mon 08:00 Europe/Berlin"
    )
    assert waits == Move("wait", f"step {at + 1} of 6: frozen until Mon 08:00 Europe/Berlin", None, at)


DEADLINE = replace(PLAN, progress_deadline_s=1800.0)


@pytest.mark.parametrize(
    ("at", "share", "known"),
    [
        (1, 1.0, {"canary_requests": 3}),
        (2, 1.0, {"odds_for": 0.0}),
        (2, 1.0, {"clear": False, "why_not": "in doubt"}),
        (5, 100.0, {"odds_for": 0.0}),
    ],
)
def test_without_progress_for_too_long_a_rollout_is_overdue(at: int, share: float, known: dict[str, Any]) -> None:
    assert move(at, share, DEADLINE, ago=1800.0, **known).kind == "wait"
    late = move(at, share, DEADLINE, ago=1801.0, **known)
    assert (late.kind, late.weight, late.step) == ("overdue", None, at)
    assert late.reason.startswith("no progress for 30 min, more than 30 min; step ")


def test_a_person_who_takes_time_makes_no_rollout_overdue() -> None:
    assert move(3, 20.0, DEADLINE, ago=1e6).kind == "wait"


def test_what_can_go_on_is_not_overdue() -> None:
    assert move(1, 1.0, DEADLINE, ago=1e6, canary_requests=200).kind == "advance"


def test_after_a_freeze_the_deadline_begins_anew() -> None:
    plan = replace(DEADLINE, freeze=(Freeze("UTC", "08:00", "11:45", ("Tue",)),))
    assert frozen(plan.freeze, NOW) == ""  # a Tuesday, 12:00
    assert move(2, 1.0, plan, ago=36_000.0, odds_for=0.0).kind == "wait"
    shorter = replace(plan, progress_deadline_s=899.0)
    assert move(2, 1.0, shorter, ago=36_000.0, odds_for=0.0).kind == "overdue"


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (-20.0, "less than 0.1 to 1"),
        (math.log(0.74), "0.7 to 1"),
        (math.log(9.87), "9.8 to 1"),
        (math.log(42.9), "42 to 1"),
    ],
)
def test_odds_are_never_said_greater_than_they_are(log: float, said: str) -> None:
    assert move(5, 100.0, odds_for=log).reason.endswith(f"and they are {said}")


LOGS = st.floats(-50.0, 50.0) | st.just(math.inf) | st.just(-math.inf)


@given(
    st.integers(0, 6), st.sampled_from([1.0, 20.0, 100.0]), st.floats(-10.0, 1e5), LOGS, st.booleans(), st.booleans()
)
def test_a_greater_share_and_a_promotion_always_have_their_evidence(
    at: int,
    share: float,
    ago: float,
    odds: float,
    clear: bool,  # noqa: FBT001 - drawn
    approved: bool,  # noqa: FBT001 - drawn
) -> None:
    made = move(
        at,
        share,
        DEADLINE,
        ago=ago,
        odds_for=odds,
        clear=clear,
        why_not="doubt",
        approved=approved,
        canary_requests=250,
    )
    assert made.reason
    assert at <= made.step <= len(DEADLINE.steps)
    assert made.kind == "promote" or (made.kind == "advance") == (made.step > at)
    if made.weight is not None:
        assert made.weight > share
        assert clear
        assert odds >= odds_wanted(made.weight, 0.01)
    if made.kind == "promote":
        assert clear
        assert odds >= FULL


@given(st.lists(st.tuples(st.floats(0.0, 1000.0), st.integers(0, 300), LOGS, st.booleans()), max_size=40))
def test_a_rollout_passes_every_share_of_its_plan_in_order(
    looks: list[tuple[float, int, float, bool]],
) -> None:
    now, requests, share = NOW, 0, PLAN.first_weight
    progress, seen = Progress(0, now), [share]
    for passed, more, odds, approved in looks:
        now, requests = now + timedelta(seconds=passed), requests + more
        made = next_move(
            PLAN,
            replace(progress, approved=approved),
            now=now,
            weight=share,
            canary_requests=requests,
            odds_for=odds,
            beta=0.01,
            clear=True,
            why_not="",
            frozen="",
        )
        if made.kind == "advance":
            progress = Progress(made.step, now, samples_at_entry=requests)
            share = made.weight or share
            seen += [made.weight] if made.weight else []
        if made.kind == "promote":
            assert seen == [1.0, 20.0, 100.0]
            return
    assert [1.0, 20.0, 100.0][: len(seen)] == seen
