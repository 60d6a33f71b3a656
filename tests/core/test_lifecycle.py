"""Scenarios of a deployment's life, and a machine that tries every sequence of commands."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.core.samples import CANARY, LATER, NOW, STABLE, lived, promoted

from serinus.core.commands import (
    Command,
    Configure,
    Create,
    Pause,
    Promote,
    Resume,
    Rollback,
    SetWeight,
    StartCanary,
    Undo,
)
from serinus.core.deployment import ENDED, Deployment, Phase, Rollout
from serinus.core.errors import AlreadyExists, InvalidInput, NotAllowed, NotFound, SerinusError
from serinus.core.events import TRANSITIONS, Event, EventKind
from serinus.core.lifecycle import HISTORY, apply, checked_weight, possible, verb_of
from serinus.core.names import VersionRef
from serinus.core.policy import SequentialPolicy, Settings

START = StartCanary(canary=CANARY, weight=10)
VERBS = ("configure", "start", "set weight", "pause", "resume", "promote", "rollback", "undo")


def single_event(applied: tuple[Deployment, tuple[Event, ...]]) -> Event:
    (event,) = applied[1]
    return event


def after(state: Deployment, command: Command) -> Deployment:
    return apply(state, command, NOW)[0]


def rollout_of(state: Deployment) -> Rollout:
    assert state.rollout is not None
    return state.rollout


# ------------------------------------------------------------------------------------------ scenarios


def test_a_new_deployment_serves_its_baseline_alone() -> None:
    state = lived()
    assert (state.baseline, state.active, state.status, state.generation) == (STABLE, None, "stable", 1)


def test_the_first_event_names_the_baseline() -> None:
    created = Create(name="churn-prod", baseline=STABLE, settings=Settings(), actor="ana", reason="first")
    assert single_event(apply(None, created, NOW)) == Event(
        deployment="churn-prod",
        generation=1,
        kind=EventKind.DEPLOYMENT_CREATED,
        at=NOW,
        actor="ana",
        reason="first",
        data={"baseline": "churn@1"},
    )


def test_a_name_is_taken_once() -> None:
    with pytest.raises(AlreadyExists) as refused:
        apply(lived(), Create(name="churn-prod", baseline=LATER, settings=Settings()), NOW)
    assert "churn@1" in refused.value.message


def test_a_bad_name_creates_nothing() -> None:
    with pytest.raises(InvalidInput) as refused:
        apply(None, Create(name="Churn Prod", baseline=STABLE, settings=Settings()), NOW)
    assert refused.value.field == "name"


def test_nothing_can_be_done_to_a_deployment_that_does_not_exist() -> None:
    with pytest.raises(NotFound):
        apply(None, START, NOW)


def test_a_started_canary_has_its_weight_and_a_rollout_of_its_own() -> None:
    assert rollout_of(lived(START)) == Rollout(
        id="churn-prod:1",
        canary=CANARY,
        baseline=STABLE,
        weight=10.0,
        phase=Phase.RUNNING,
        split_version=1,
        started_at=NOW + timedelta(minutes=1),
    )


def test_a_second_canary_has_to_wait_for_the_first() -> None:
    with pytest.raises(NotAllowed, match="Possible now: configure, set weight, pause, promote, rollback"):
        apply(lived(START), StartCanary(canary=LATER, weight=5), NOW)


def test_the_baseline_cannot_be_its_own_canary() -> None:
    with pytest.raises(InvalidInput) as refused:
        apply(lived(), StartCanary(canary=STABLE, weight=5), NOW)
    assert (refused.value.field, "churn@1" in refused.value.message) == ("version", True)


def test_a_new_weight_is_a_new_version_of_the_split() -> None:
    state = lived(START, SetWeight(weight=25))
    assert (rollout_of(state).weight, rollout_of(state).split_version) == (25.0, 2)


def test_a_changed_weight_is_on_record_with_both_values() -> None:
    event = single_event(apply(lived(START), SetWeight(weight=25, actor="ana", reason="looks good"), NOW))
    assert (event.kind, event.rollout, event.data) == (
        EventKind.TRAFFIC_ADJUSTED,
        "churn-prod:1",
        {"from": 10.0, "to": 25.0},
    )


def test_the_same_weight_again_changes_nothing() -> None:
    state = lived(START)
    assert apply(state, SetWeight(weight=10), NOW) == (state, ())


def test_a_paused_rollout_may_be_lowered() -> None:
    assert rollout_of(lived(START, Pause(), SetWeight(weight=1))).weight == 1.0


def test_a_paused_rollout_may_not_be_raised() -> None:
    with pytest.raises(NotAllowed, match="may only be lowered"):
        apply(lived(START, Pause()), SetWeight(weight=11), NOW)


def test_a_paused_rollout_cannot_be_promoted() -> None:
    with pytest.raises(NotAllowed) as refused:
        apply(lived(START, Pause()), Promote(), NOW)
    assert (refused.value.state, refused.value.possible) == (
        "paused",
        ("configure", "resume", "set weight", "rollback"),
    )


@pytest.mark.parametrize(
    ("state", "command", "said"),
    [
        (lived(), Rollback(), "Cannot roll back deployment 'churn-prod': it is stable"),
        (lived(), Undo(), "Cannot undo a promotion of deployment 'churn-prod': it is stable"),
        (lived(), SetWeight(weight=5), "Cannot set the canary's weight in deployment 'churn-prod': it is stable"),
        (lived(START), StartCanary(canary=LATER, weight=5), "Cannot start a canary on deployment 'churn-prod': it is"),
        (lived(START), Resume(), "Cannot resume deployment 'churn-prod': it is canary"),
    ],
    ids=["rollback", "undo", "set weight", "start", "resume"],
)
def test_a_refusal_is_a_sentence(state: Deployment, command: Command, said: str) -> None:
    with pytest.raises(NotAllowed) as refused:
        apply(state, command, NOW)
    assert refused.value.message.startswith(said)


def test_a_paused_rollout_can_be_rolled_back() -> None:
    assert rollout_of(lived(START, Pause(), Rollback())).phase is Phase.ROLLED_BACK


def test_a_resumed_rollout_runs_at_the_weight_it_had() -> None:
    state = lived(START, Pause(), Resume())
    assert (rollout_of(state).phase, rollout_of(state).weight) == (Phase.RUNNING, 10.0)


def test_a_promotion_makes_the_canary_the_baseline() -> None:
    state = lived(START, Promote())
    assert (state.baseline, state.previous, state.active) == (CANARY, (STABLE,), None)


def test_a_promoted_rollout_keeps_when_and_why_it_ended() -> None:
    rollout = rollout_of(lived(START, Promote(reason="fine for an hour")))
    assert (rollout.phase, rollout.ended_at, rollout.reason) == (
        Phase.PROMOTED,
        NOW + timedelta(minutes=2),
        "fine for an hour",
    )


def test_a_promotion_is_on_record_with_both_versions() -> None:
    event = single_event(apply(lived(START), Promote(), NOW))
    assert (event.kind, event.data) == (EventKind.PROMOTED, {"from": "churn@1", "to": "churn@2"})


def test_a_rollback_leaves_the_baseline_where_it_was() -> None:
    state = lived(START, Rollback(reason="too many errors"))
    assert (state.baseline, state.previous, state.status) == (STABLE, (), "stable")


def test_a_rollback_is_on_record_with_the_weight_it_took_away() -> None:
    event = single_event(apply(lived(START), Rollback(), NOW))
    assert (event.kind, event.rollout, event.data) == (
        EventKind.ROLLED_BACK,
        "churn-prod:1",
        {"canary": "churn@2", "baseline": "churn@1", "weight": 10.0},
    )


def test_a_canary_that_was_rolled_back_may_come_again_as_another_rollout() -> None:
    assert rollout_of(lived(START, Rollback(), START)).id == "churn-prod:2"


def test_an_ended_rollout_cannot_be_rolled_back_again() -> None:
    with pytest.raises(NotAllowed, match="stable, with no canary running and no promotion to undo"):
        apply(lived(START, Rollback()), Rollback(), NOW)


def test_undo_returns_to_the_version_before_the_last_promotion() -> None:
    assert after(promoted(2), Undo()).baseline == VersionRef("churn", 2)


def test_undo_twice_goes_back_two_promotions() -> None:
    assert after(after(promoted(2), Undo()), Undo()).baseline == STABLE


def test_undo_needs_a_promotion() -> None:
    with pytest.raises(NotAllowed, match="Possible now: configure, start"):
        apply(lived(START, Rollback()), Undo(), NOW)


def test_undo_waits_for_the_running_canary() -> None:
    state = after(promoted(1), StartCanary(canary=LATER, weight=5))
    with pytest.raises(NotAllowed, match="canary, with churn@3 at 5 %"):
        apply(state, Undo(), NOW)


def test_undo_belongs_to_no_rollout() -> None:
    assert single_event(apply(promoted(1), Undo(), NOW)).rollout == ""


def test_an_undone_version_may_be_tried_again() -> None:
    assert rollout_of(after(after(promoted(1), Undo()), START)).canary == CANARY


def test_undo_remembers_a_bounded_number_of_promotions() -> None:
    state = promoted(HISTORY + 3)
    assert (len(state.previous), state.previous[-1]) == (HISTORY, VersionRef("churn", HISTORY + 3))


def test_new_settings_are_on_record_with_what_changed() -> None:
    settings = Settings(dry_run=True, policy=SequentialPolicy(error_margin=0.02))
    event = single_event(apply(lived(), Configure(settings=settings), NOW))
    assert event.data == {
        "changes": {
            "dry_run": {"from": False, "to": True},
            "policy.error_margin": {"from": 0.05, "to": 0.02},
        }
    }


def test_settings_changed_during_a_rollout_are_part_of_its_record() -> None:
    event = single_event(apply(lived(START), Configure(settings=Settings(dry_run=True)), NOW))
    assert event.rollout == "churn-prod:1"


def test_settings_changed_after_a_rollout_are_not_part_of_its_record() -> None:
    event = single_event(apply(lived(START, Rollback()), Configure(settings=Settings(dry_run=True)), NOW))
    assert event.rollout == ""


def test_the_same_settings_again_change_nothing() -> None:
    state = lived(START)
    assert apply(state, Configure(settings=Settings()), NOW)[0] is state


def test_stickiness_cannot_change_under_a_running_canary() -> None:
    with pytest.raises(InvalidInput) as refused:
        apply(lived(START), Configure(settings=Settings(sticky=True)), NOW)
    assert refused.value.field == "settings.sticky"


def test_every_transition_is_counted_as_a_generation() -> None:
    state = lived(START, SetWeight(weight=20), Pause(), Resume(), Promote(), Undo())
    assert state.generation == 7


# -------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("weight", [0, 0.01, 33.33, 50, 99.99, 100, 0.1 + 0.2])
def test_a_share_in_steps_of_a_hundredth_is_a_weight(weight: float) -> None:
    assert checked_weight(weight) == pytest.approx(weight, abs=1e-9)


@pytest.mark.parametrize("weight", [-0.01, -1, 100.01, 0.001, 33.333, math.nan, math.inf, -math.inf, 1e308, 10**400])
def test_anything_else_is_no_weight(weight: float) -> None:
    with pytest.raises(InvalidInput, match=r"from 0 to 100 in steps of 0\.01") as refused:
        checked_weight(weight)
    assert (refused.value.field, repr(weight) in refused.value.message) == ("weight", True)


def test_a_weight_is_a_float_without_the_dust_of_arithmetic() -> None:
    assert repr(checked_weight(0.1 + 0.2)) == "0.3"


def test_a_weight_of_minus_zero_is_zero() -> None:
    assert repr(checked_weight(-0.0)) == "0.0"


@given(st.integers(0, 10_000))
def test_every_hundredth_of_a_percent_is_a_weight(hundredths: int) -> None:
    assert checked_weight(hundredths / 100) == hundredths / 100


# -------------------------------------------------------------------------------------- any sequence


def suitable(state: Deployment, verb: str) -> Command:
    """Give a command of this kind that the state should accept, if it accepts any."""
    weight = state.active.weight / 2 // 0.01 / 100 if state.active else 10
    commands: dict[str, Command] = {
        "configure": Configure(settings=replace(state.settings, dry_run=not state.settings.dry_run)),
        "start": StartCanary(canary=VersionRef("never-served", 1), weight=10),
        "set weight": SetWeight(weight=weight),
        "pause": Pause(),
        "resume": Resume(),
        "promote": Promote(),
        "rollback": Rollback(),
        "undo": Undo(),
    }
    return commands[verb]


def refusal(state: Deployment, command: Command) -> SerinusError | None:
    try:
        apply(state, command, NOW)
    except SerinusError as refused:
        return refused
    return None


@dataclass
class Step:
    """One command and what came of it; ``after`` is the state before where it was refused."""

    before: Deployment
    command: Command
    after: Deployment
    events: tuple[Event, ...] = ()
    refused: SerinusError | None = None


VERSIONS = st.builds(VersionRef, st.just("churn"), st.integers(1, 4))
WEIGHTS = st.sampled_from([math.nan, -1.0, 100.01, 0.001, math.inf, 0.0, 0.01, 5.0, 50.0, 99.99, 100.0]) | (
    st.integers(0, 10_000).map(lambda hundredths: hundredths / 100)
)
SETTINGS = st.builds(
    Settings, sticky=st.booleans(), dry_run=st.booleans(), promote_from_weight=st.sampled_from([0.0, 50.0])
)


class AnySequenceOfCommands(RuleBasedStateMachine):
    """Issues commands, fitting or not, and compares the deployment with a stack of baselines."""

    def __init__(self) -> None:
        super().__init__()
        self.state: Deployment
        self.now = NOW
        self.step: Step | None = None
        self.baselines: list[VersionRef] = []
        self.ids: list[str] = []
        self.ended: dict[str, tuple[Phase, datetime | None]] = {}
        self.transitions = 0

    def issue(self, command: Command) -> Step:
        before = self.state
        self.now += timedelta(seconds=1)
        try:
            new, events = apply(before, command, self.now)
        except SerinusError as refused:
            self.step = Step(before, command, before, refused=refused)
            return self.step
        self.state, self.step = new, Step(before, command, new, events)
        self.transitions += len(events)
        return self.step

    @initialize(baseline=VERSIONS, settings=SETTINGS)
    def create(self, baseline: VersionRef, settings: Settings) -> None:
        command = Create(name="churn-prod", baseline=baseline, settings=settings)
        self.state, events = apply(None, command, self.now)
        self.baselines, self.transitions = [baseline], len(events)

    @rule(baseline=VERSIONS)
    def create_again(self, baseline: VersionRef) -> None:
        step = self.issue(Create(name="churn-prod", baseline=baseline, settings=Settings()))
        assert isinstance(step.refused, AlreadyExists)

    @rule(settings=SETTINGS)
    def configure(self, settings: Settings) -> None:
        step = self.issue(Configure(settings=settings))
        moving = step.before.active is not None and settings.sticky != step.before.settings.sticky
        assert (step.refused is not None) == moving
        assert step.after.settings == (step.before.settings if moving else settings)

    @rule(canary=VERSIONS, weight=WEIGHTS)
    def start(self, canary: VersionRef, weight: float) -> None:
        step = self.issue(StartCanary(canary=canary, weight=weight))
        if step.refused is None:
            self.ids.append(rollout_of(step.after).id)
            assert (rollout_of(step.after).canary, rollout_of(step.after).weight) == (canary, weight)
        else:
            busy = step.before.active is not None
            assert busy or canary == self.baselines[-1] or not is_weight(weight)

    @rule()
    def start_the_baseline_itself(self) -> None:
        step = self.issue(StartCanary(canary=self.baselines[-1], weight=10))
        assert step.refused is not None

    @rule(weight=WEIGHTS)
    def set_weight(self, weight: float) -> None:
        step = self.issue(SetWeight(weight=weight))
        if step.refused is None:
            assert rollout_of(step.after).weight == weight
            assert len(step.events) == (rollout_of(step.before).weight != weight)

    @rule()
    def pause(self) -> None:
        self.issue(Pause())

    @rule()
    def resume(self) -> None:
        self.issue(Resume())

    @rule()
    def promote(self) -> None:
        step = self.issue(Promote())
        if step.refused is None:
            self.baselines.append(rollout_of(step.before).canary)

    @rule()
    def roll_back(self) -> None:
        self.issue(Rollback())

    @rule()
    def undo(self) -> None:
        step = self.issue(Undo())
        if step.refused is None:
            self.baselines.pop()

    @precondition(lambda self: self.state.active is None)
    @rule(canary=VERSIONS)
    def go_all_the_way(self, canary: VersionRef) -> None:
        self.start(canary, 50.0)
        if self.state.active is not None:
            self.promote()

    @invariant()
    def the_baseline_is_the_one_last_promoted_and_not_undone(self) -> None:
        assert self.state.baseline == self.baselines[-1]
        assert self.state.previous == tuple(self.baselines[:-1])[-HISTORY:]

    @invariant()
    def a_weight_is_a_share(self) -> None:
        if self.state.rollout is not None:
            assert 0 <= self.state.rollout.weight <= 100

    @invariant()
    def every_transition_has_one_event_and_one_generation(self) -> None:
        assert self.state.generation == self.transitions
        if self.step is not None and not self.step.events:
            assert self.step.after is self.step.before
        for event in self.step.events if self.step else ():
            assert event.generation == self.state.generation
            assert event.kind in TRANSITIONS
            assert event.at == self.now

    @invariant()
    def a_step_has_one_event_at_most(self) -> None:
        assert self.step is None or len(self.step.events) <= 1

    @invariant()
    def a_rollout_ends_once(self) -> None:
        rollout = self.state.rollout
        if rollout is None:
            return
        assert (rollout.ended_at is not None) == (rollout.phase in ENDED)
        if rollout.phase in ENDED:
            assert self.ended.setdefault(rollout.id, (rollout.phase, rollout.ended_at)) == (
                rollout.phase,
                rollout.ended_at,
            )
        else:
            assert rollout.id not in self.ended

    @invariant()
    def rollouts_have_different_ids(self) -> None:
        assert len(set(self.ids)) == len(self.ids) == self.state.rollouts

    @invariant()
    def the_split_version_grows_with_the_weight_and_only_then(self) -> None:
        if self.step is None or self.step.before.rollout is None or self.step.after.rollout is None:
            return
        before, now = self.step.before.rollout, self.step.after.rollout
        if before.id == now.id:
            assert now.split_version - before.split_version == (before.weight != now.weight)

    @invariant()
    def a_refusal_names_the_state_and_what_is_possible(self) -> None:
        refused = self.step.refused if self.step else None
        if isinstance(refused, NotAllowed):
            assert refused.state == self.state.status
            assert refused.possible == possible(self.state)
            assert refused.state in str(refused)
            assert all(verb in str(refused) for verb in refused.possible)

    @invariant()
    def what_is_possible_is_accepted_and_nothing_else(self) -> None:
        allowed = possible(self.state)
        for verb in VERBS:
            refused = refusal(self.state, suitable(self.state, verb))
            assert (refused is None) == (verb in allowed)
            assert refused is None or isinstance(refused, NotAllowed)


def is_weight(weight: float) -> bool:
    return 0 <= weight <= 100 and round(weight, 2) == weight


TestAnySequenceOfCommands: Callable[..., object] = AnySequenceOfCommands.TestCase
TestAnySequenceOfCommands.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_goes_by_its_name_in_the_api(verb: str) -> None:
    assert verb_of(suitable(lived(START), verb)) == verb
