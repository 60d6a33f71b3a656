"""What can be read off a deployment's state."""

import pytest
from tests.core.samples import CANARY, LATER, STABLE, lived, promoted

from serinus.core.commands import Command, Pause, Promote, Resume, Rollback, StartCanary
from serinus.core.names import VersionRef

START = StartCanary(canary=CANARY, weight=10)


@pytest.mark.parametrize(
    ("commands", "status"),
    [
        ((), "stable"),
        ((START,), "canary"),
        ((START, Pause()), "paused"),
        ((START, Pause(), Resume()), "canary"),
        ((START, Promote()), "stable"),
        ((START, Rollback()), "stable"),
    ],
)
def test_the_status_says_whether_a_canary_runs(commands: tuple[Command, ...], status: str) -> None:
    assert lived(*commands).status == status


def test_a_new_deployment_needs_its_baseline_alone() -> None:
    assert lived().versions == (STABLE,)


def test_a_running_canary_is_needed_besides_the_baseline() -> None:
    assert lived(START).versions == (STABLE, CANARY)


def test_a_version_that_was_rolled_back_is_needed_no_more() -> None:
    assert lived(START, Rollback()).versions == (STABLE,)


def test_the_version_that_undo_returns_to_is_kept_ready() -> None:
    assert promoted(3).versions == (VersionRef("churn", 4), LATER)


def test_no_version_is_needed_twice() -> None:
    # back to the first version by a canary: it is what undo returns to as well
    state = lived(START, Promote(), StartCanary(canary=STABLE, weight=10))
    assert state.versions == (CANARY, STABLE)
