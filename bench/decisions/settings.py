"""What is compared: policies by name, and the limits that nothing can beat."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from bench.decisions import rules

from serinus.core.eprocess import Alternative, information_limit
from serinus.core.policy import SequentialPolicy, ThresholdPolicy
from serinus.simulation import Latency, Traffic, rule_of
from serinus.simulation.rollout import Pace, Rule, Sequential
from serinus.simulation.traffic import Source

POLICY = SequentialPolicy()
KNOWN_S, KNOWN = 600.0, 6000.0
"""A baseline has served before its canary begins: so many seconds of that, or requests, are known at the start."""


@dataclass(frozen=True)
class Contender:
    """A rule, how to make it, how often it looks, and whether it ever promotes."""

    name: str
    make: Callable[[Source], Rule]
    pace: Pace = ((0.0, 1.0),)
    promotes: bool = True


def sequential(source: Source, *, policy: SequentialPolicy = POLICY, promotes: bool = True) -> Rule:
    """Make our sequential policy, with the baseline's past."""
    known_s = min(KNOWN_S, KNOWN / source.traffic.per_s)
    return Sequential(policy, source, promotes=promotes, known_s=known_s)


def contenders(*, promotes: bool = True) -> list[Contender]:
    """Give all rules; ``promotes``: whether those that can, do."""
    minutes = ((0.0, 60.0),)
    return [
        Contender("sequential", partial(sequential, promotes=promotes)),
        Contender("threshold", partial(rule_of, ThresholdPolicy(), promotes=promotes), ((0.0, 30.0),)),
        Contender(
            "Flagger, 5 checks", lambda source: rules.Flagger(source.rollouts, 5, 10 if promotes else 10**9), minutes
        ),
        Contender(
            "Flagger, 1 check", lambda source: rules.Flagger(source.rollouts, 1, 10 if promotes else 10**9), minutes
        ),
        Contender("Kayenta", lambda source: rules.Kayenta(source.rollouts), minutes),
        Contender(
            "Argo Rollouts", lambda source: rules.Argo(source.rollouts, 3, 10 if promotes else 10**9), ((0.0, 300.0),)
        ),
        Contender("GrowthBook", rules.GrowthBook, promotes=False),
        Contender("mSPRT", rules.MixtureSprt, promotes=False),
        Contender("Lindon-Malek", rules.LindonMalek, promotes=False),
        Contender("oracle SPRT", _oracle, promotes=False),
    ]


def _oracle(source: Source) -> Rule:
    baseline = source.traffic.errors_at(0.0)
    effect = source.traffic.effect or 0.05  # where there is nothing to find it looks for the margin
    return rules.Oracle(source, Alternative(min(baseline + effect, 1.0 - 1e-6), baseline))


def error_limit(baseline: float, effect: float, share: float) -> float:
    """Give the canary requests that any test needs to find so many more errors."""
    alternative = Alternative(min(baseline + effect, 1.0 - 1e-6), baseline)
    return information_limit(alternative, share, POLICY.tolerated_errors, POLICY.alpha)


def latency_limit(latency: Latency, slower_ms: float, share: float) -> float:
    """Give those that a test of the share of answers beyond the baseline's p95 needs."""
    p95 = latency.quantile(0.95)
    slow = latency.beyond((p95 + POLICY.tolerated_p95_ms) / latency.slowed(slower_ms))
    return information_limit(Alternative(slow, latency.beyond(p95)), share, 0.0, POLICY.alpha)


def promotion_limit(baseline: float, latency: Latency, share: float) -> float:
    """Give those that both tests of a promotion need of a canary like its baseline: the greater one."""
    errors = information_limit(Alternative(baseline, baseline), share, POLICY.error_margin, POLICY.beta)
    p95 = latency.quantile(0.95)
    slow = latency.beyond(p95 + POLICY.p95_margin_ms)
    return max(errors, information_limit(Alternative(slow, latency.beyond(p95)), share, 0.0, POLICY.beta))


def paced(traffic: Traffic, limit: float, looks: int = 60) -> tuple[Traffic, Pace]:
    """Look every tenth of a second, at a rate of requests where that is one of them, or a part of the limit."""
    every = 0.1
    return replace(traffic, per_s=max(1.0, limit / traffic.share_at(0.0) / looks) / every), ((0.0, every),)
