"""What the timeline tells of production is what production was."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.samples import CANARY, LATER, NOW, STABLE

from serinus.core.commands import (
    Command,
    Configure,
    Create,
    EndBake,
    Pause,
    Promote,
    Resume,
    Rollback,
    SetWeight,
    StartCanary,
    Undo,
)
from serinus.core.deployment import Deployment
from serinus.core.errors import SerinusError
from serinus.core.events import Event, EventKind
from serinus.core.lifecycle import apply
from serinus.core.plan import Plan, Step, StepKind
from serinus.core.policy import Settings
from serinus.core.production import BEGINNINGS, SHARES, Production, production, share_of
from serinus.core.records import RecordedEvent
from serinus.core.routing import split_of

BAKES = Plan("bakes", (Step(StepKind.SET_WEIGHT, weight=25.0),), holdback_weight=12.5, holdback_s=60.0)
VERSIONS = st.sampled_from([STABLE, CANARY, LATER])
WEIGHTS = st.sampled_from([0.0, 0.01, 5.0, 33.33, 50.0, 100.0])
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(StartCanary, canary=VERSIONS, weight=WEIGHTS),
    st.builds(StartCanary, canary=VERSIONS, weight=st.just(0.0), plan=st.just(BAKES)),
    st.builds(SetWeight, weight=WEIGHTS),
    st.builds(Configure, settings=st.builds(Settings, dry_run=st.booleans())),
    *(st.builds(kind) for kind in (Pause, Resume, Promote, Promote, Rollback, Undo, EndBake)),
)


def lived(commands: list[Command]) -> tuple[list[Deployment], list[RecordedEvent]]:
    """Give the state after each event, one a second, and the events; what is refused passes."""
    state, events = apply(None, Create(name="churn-prod", baseline=STABLE, settings=Settings()), NOW)
    states, told = [state], [RecordedEvent(1, events[0])]
    for second, command in enumerate(commands, start=1):
        try:
            state, events = apply(state, command, NOW + timedelta(seconds=second))
        except SerinusError:
            continue
        for event in events:
            states.append(state)
            told.append(RecordedEvent(len(told) + 1, event))
    return states, told


def seen(state: Deployment) -> tuple[object, ...]:
    """Give what a state has in production, as the gateways are told of it."""
    split, active = split_of(state), state.active
    canary = str(active.canary) if active else ""
    return state.name, split.baseline, canary, split.weight, state.status, split.rollout, state.generation


def told_of(was: Production | None) -> tuple[object, ...]:
    assert was is not None
    return was.deployment, was.baseline, was.canary, was.weight, was.status, was.rollout, was.generation


@given(st.lists(COMMANDS, max_size=25))
def test_replaying_the_events_up_to_any_of_them_gives_the_state_after_it(commands: list[Command]) -> None:
    states, events = lived(commands)

    for place, state in enumerate(states):
        assert told_of(production(events[: place + 1])) == seen(state)


@given(st.lists(COMMANDS, max_size=25))
def test_the_events_from_the_last_beginning_on_are_enough(commands: list[Command]) -> None:
    _, events = lived(commands)
    last = max(place for place, each in enumerate(events) if each.event.kind in BEGINNINGS)

    assert production(events[last:]) == production(events)


@given(st.lists(COMMANDS, max_size=25))
def test_it_is_so_since_the_event_that_last_moved_traffic(commands: list[Command]) -> None:
    states, events = lived(commands)
    splits = [(split_of(state).baseline, split_of(state).rollout, split_of(state).weight) for state in states]
    # A bake that ends in a promotion of the same version, say, moves traffic; a pause does not.
    still = {EventKind.PAUSED, EventKind.RESUMED, EventKind.CONFIGURED, EventKind.STEP_REACHED, EventKind.APPROVED}
    moved = [each for each in events if each.event.kind not in still]

    was = production(events)

    assert was is not None
    assert was.event == moved[-1]
    assert was.since == moved[-1].event.at
    assert splits[events.index(moved[-1])] == splits[-1]


@given(st.lists(COMMANDS, max_size=25))
def test_the_share_that_an_event_tells_is_the_one_from_then_on(commands: list[Command]) -> None:
    states, events = lived(commands)

    for state, recorded in zip(states, events, strict=True):
        if recorded.event.kind in SHARES and state.active is not None:
            assert share_of(recorded.event) == state.active.weight


def test_before_its_creation_a_deployment_had_nothing_in_production() -> None:
    assert production([]) is None


@pytest.mark.parametrize("kind", [EventKind.TRAFFIC_ADJUSTED, EventKind.PAUSED, EventKind.HEALTH_CHECK_PASSED])
def test_what_comes_after_a_beginning_tells_nothing_alone(kind: EventKind) -> None:
    event = Event("churn-prod", 3, kind, NOW, "ada", data={"from": 1.0, "to": 2.0})

    assert production([RecordedEvent(7, event)]) is None
