"""Rollouts that never were: what a policy would do to made-up traffic. Seeded, many at once, without a server."""

from collections.abc import Callable
from functools import partial

from serinus.core.policy import SequentialPolicy, ThresholdPolicy
from serinus.simulation.latency import Latency
from serinus.simulation.rollout import PROMOTED, ROLLED_BACK, UNDECIDED, Pace, Results, Rule, Sequential, run
from serinus.simulation.threshold import Threshold
from serinus.simulation.traffic import Entities, Incidents, Source, Traffic

__all__ = [
    "PROMOTED",
    "ROLLED_BACK",
    "UNDECIDED",
    "Entities",
    "Incidents",
    "Latency",
    "Results",
    "Traffic",
    "rule_of",
    "simulate",
]


def simulate(  # noqa: PLR0913  # each by its name
    policy: SequentialPolicy | ThresholdPolicy,
    traffic: Traffic,
    *,
    rollouts: int,
    seconds: float,
    seed: int,
    pace: Pace | None = None,
    promotes: bool = True,
    watch: Callable[[float, int], None] | None = None,
) -> Results:
    """Let rollouts run under a policy until they are decided or the time is over; the same seed gives the same again.

    ``pace`` says how often it is looked, every ``policy.interval_s`` by default. ``promotes``: whether a promotion ends
    a rollout. ``watch`` is told the second and how many are undecided, after each look.
    """
    return run(
        partial(rule_of, policy, promotes=promotes),
        traffic,
        rollouts=rollouts,
        seconds=seconds,
        seed=seed,
        pace=pace or ((0.0, policy.interval_s),),
        watch=watch,
    )


def rule_of(policy: SequentialPolicy | ThresholdPolicy, source: Source, *, promotes: bool = True) -> Rule:
    """Give the policy as a rule for many rollouts."""
    if isinstance(policy, ThresholdPolicy):
        return Threshold(policy, promotes=promotes)
    return Sequential(policy, source, promotes=promotes)
