"""Every verdict under every combination of a deployment's switches."""

import itertools
from typing import NamedTuple

import pytest
from tests.core.samples import CANARY, NOW, lived

from serinus.core.commands import Command, Pause, Promote, Rollback, SetWeight, StartCanary
from serinus.core.decide import ACTOR, Decision, decide, standing_of
from serinus.core.deployment import Deployment
from serinus.core.judge import ArmReport, Health, Recommendation, Verdict
from serinus.core.lifecycle import apply
from serinus.core.policy import Settings, ThresholdPolicy

ARM = ArmReport(requests=100, errors=0, error_rate=0.0, p95_ms=24.25)
START = StartCanary(canary=CANARY, weight=10)


class Switches(NamedTuple):
    """What may keep a recommendation from being followed."""

    auto_rollback: bool
    auto_promote: bool
    dry_run: bool
    paused: bool


SWITCHES = [Switches(*flags) for flags in itertools.product([False, True], repeat=4)]


def verdict(recommendation: Recommendation) -> Verdict:
    return Verdict(Health.HEALTHY, recommendation, "so it is", ARM, ARM, ThresholdPolicy())


def judged(state: Deployment, given: Verdict) -> Decision:
    """Decide by a policy without odds, as long as no plan is followed."""
    return decide(state, given, standing_of(given, 1000), NOW)


def decided(
    recommendation: Recommendation, *commands: Command, weight: float = 10, settings: Settings | None = None
) -> Decision:
    state = lived(StartCanary(canary=CANARY, weight=weight), *commands, settings=settings)
    return judged(state, verdict(recommendation))


def running(switches: Switches, from_weight: float = 0.0) -> Deployment:
    settings = Settings(
        auto_rollback=switches.auto_rollback,
        auto_promote=switches.auto_promote,
        dry_run=switches.dry_run,
        promote_from_weight=from_weight,
    )
    return lived(START, *[Pause()] * switches.paused, settings=settings)


@pytest.mark.parametrize("switches", SWITCHES)
def test_a_rollback_is_ordered_unless_switched_off(
    switches: Switches,
) -> None:
    state = running(switches)
    command = judged(state, verdict(Recommendation.ROLLBACK)).command
    assert isinstance(command, Rollback) == (switches.auto_rollback and not switches.dry_run)


@pytest.mark.parametrize("from_weight", [0.0, 10.0, 10.01, 100.0])
@pytest.mark.parametrize("switches", SWITCHES)
def test_a_promotion_is_ordered_unless_switched_off_paused_or_too_early(
    switches: Switches,
    from_weight: float,
) -> None:
    state = running(switches, from_weight)
    command = judged(state, verdict(Recommendation.PROMOTE)).command
    held = switches.dry_run or switches.paused or from_weight > 10
    assert isinstance(command, Promote) == (switches.auto_promote and not held)


@pytest.mark.parametrize("recommendation", [Recommendation.HOLD, Recommendation.CONTINUE])
@pytest.mark.parametrize("switches", SWITCHES)
def test_to_hold_or_to_go_on_orders_nothing_and_withholds_nothing(
    switches: Switches,
    recommendation: Recommendation,
) -> None:
    state = running(switches)
    assert judged(state, verdict(recommendation)) == Decision()


@pytest.mark.parametrize("switches", SWITCHES)
@pytest.mark.parametrize("recommendation", [Recommendation.ROLLBACK, Recommendation.PROMOTE])
def test_a_recommendation_is_either_followed_or_withheld_with_a_reason(
    switches: Switches,
    recommendation: Recommendation,
) -> None:
    state = running(switches)
    decision = judged(state, verdict(recommendation))
    assert (decision.command is None) == (decision.withheld != "")


@pytest.mark.parametrize("recommendation", Recommendation)
@pytest.mark.parametrize("commands", [(), (START, Rollback()), (START, Promote())], ids=["new", "rolled", "promoted"])
def test_without_an_active_rollout_nothing_is_decided(
    recommendation: Recommendation, commands: tuple[Command, ...]
) -> None:
    assert judged(lived(*commands), verdict(recommendation)) == Decision()


@pytest.mark.parametrize(
    ("settings", "recommendation", "withheld"),
    [
        (Settings(dry_run=True), Recommendation.ROLLBACK, "dry run"),
        (Settings(dry_run=True), Recommendation.PROMOTE, "dry run"),
        (Settings(auto_rollback=False), Recommendation.ROLLBACK, "auto_rollback is off"),
        (Settings(auto_promote=False), Recommendation.PROMOTE, "auto_promote is off"),
        (
            Settings(promote_from_weight=50),
            Recommendation.PROMOTE,
            "the canary has 10 % and promotion is set to wait for 50 %",
        ),
    ],
)
def test_what_is_withheld_says_which_switch_did_it(
    settings: Settings, recommendation: Recommendation, withheld: str
) -> None:
    assert decided(recommendation, settings=settings) == Decision(withheld=withheld, recommends=recommendation)


def test_a_promotion_withheld_by_a_pause_says_so() -> None:
    assert decided(Recommendation.PROMOTE, Pause()).withheld == "the rollout is paused"


def test_a_promotion_waits_for_the_weight_of_now_not_of_the_start() -> None:
    settings = Settings(promote_from_weight=50)
    assert isinstance(decided(Recommendation.PROMOTE, SetWeight(weight=50), settings=settings).command, Promote)


@pytest.mark.parametrize("recommendation", [Recommendation.ROLLBACK, Recommendation.PROMOTE])
def test_a_command_carries_the_verdicts_reason_and_its_actor(recommendation: Recommendation) -> None:
    command = decided(recommendation).command
    assert command is not None
    assert (command.actor, command.reason) == (ACTOR, "so it is")


@pytest.mark.parametrize("recommendation", [Recommendation.ROLLBACK, Recommendation.PROMOTE])
@pytest.mark.parametrize("switches", SWITCHES)
def test_what_is_decided_is_what_the_lifecycle_allows(
    switches: Switches,
    recommendation: Recommendation,
) -> None:
    state = running(switches)
    command = judged(state, verdict(recommendation)).command
    assert command is None or apply(state, command, NOW)[0].active is None
