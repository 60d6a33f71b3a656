"""The seven scenarios of the proof. Each gives rows of numbers: a mapping a row."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from bench.decisions.settings import (
    POLICY,
    Contender,
    contenders,
    error_limit,
    latency_limit,
    paced,
    promotion_limit,
    sequential,
)

from serinus.simulation import PROMOTED, ROLLED_BACK, UNDECIDED, Entities, Incidents, Latency, Results, Traffic
from serinus.simulation.rollout import Pace, run

DAY_S = 86_400.0
SHARES, BASELINES, RATES = (0.05, 0.20, 0.50), (0.002, 0.02), (1.0, 10.0, 100.0)
EFFECTS = (0.01, 0.02, 0.05, 0.06, 0.19, 0.50, 0.95)
SLOWER_MS = (50.0, 100.0, 300.0)
MODELS = (Latency(), Latency(median_ms=100.0))
RAMP = ((0.0, 0.05), (1800.0, 0.20), (3600.0, 0.50), (5400.0, 0.80))
WORSE = ((0.0, 0.002), (1200.0, 0.002), (4800.0, 0.10), (9000.0, 0.10), (12000.0, 0.002))
"""How the canary's share grows, and how both roles' errors do."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much is simulated: rollouts of a cell where days, decisions and other rules are; looks of a day."""

    days: int
    decisions: int
    others: int
    pace: Pace


REDUCED = Size(days=40, decisions=100, others=40, pace=((0.0, 1.0), (120.0, 60.0)))
FULL = Size(days=400, decisions=1000, others=300, pace=((0.0, 1.0), (7200.0, 10.0)))


def identical(size: Size) -> Iterator[Row]:
    """1: an identical canary, for 24 hours and never promoted: how often is it rolled back?"""
    for per_s in RATES:
        for share in SHARES:
            for errors in BASELINES:
                yield _day(size, _traffic(per_s=per_s, share=share, errors=errors), "identical")


def not_worse(size: Size) -> Iterator[Row]:
    """2: the same exactly at the tolerance, with shared incidents, and on a ramp while both get worse."""
    for errors in BASELINES:
        base = _traffic(errors=errors)
        yield _day(size, replace(base, effect=POLICY.tolerated_errors), "at the tolerance")
        yield _day(size, replace(base, incidents=Incidents()), "shared incidents")
        with_both = replace(base, effect=POLICY.tolerated_errors, incidents=Incidents())
        yield _day(size, with_both, "at the tolerance, shared incidents")
    yield _day(size, replace(_traffic(), shares=RAMP, errors=WORSE), "ramp while both get worse")


def found(size: Size) -> Iterator[Row]:
    """3: canary requests until a worse canary is rolled back, over the least that any test needs."""
    for errors in BASELINES:
        for share in SHARES:
            for effect in EFFECTS:
                traffic = _traffic(share=share, errors=errors, effect=min(effect, 0.999 - errors))
                limit = error_limit(errors, traffic.effect, share)
                yield _ratio(size, traffic, limit, f"+{100 * effect:g} points")
    for latency in MODELS:
        for share in SHARES:
            for slower_ms in SLOWER_MS:
                traffic = replace(_traffic(share=share), latency=latency, slower_ms=slower_ms)
                yield _ratio(size, traffic, latency_limit(latency, slower_ms, share), f"p95 +{slower_ms:g} ms")


def compared(size: Size) -> Iterator[Row]:
    """4: seconds, canary requests and failed requests until a rollback, by rule; 50 requests a second, 20 % of them.

    First six hours of canaries that are to be left alone, then canaries that fail more.
    """
    sound = _traffic(per_s=50.0)
    alone = {
        "like its baseline": sound,
        "at the tolerance (+0.5)": replace(sound, effect=POLICY.tolerated_errors),
        "shared incidents": replace(sound, incidents=Incidents()),
        "ramp while both get worse": replace(sound, shares=RAMP, errors=WORSE),
    }
    for case, traffic in alone.items():
        for contender in contenders(promotes=False):
            yield _contest(contender, traffic, size.others, case)
    for effect in EFFECTS:
        for contender in contenders(promotes=False):
            traffic = replace(sound, effect=min(effect, 0.997))
            yield _contest(contender, traffic, size.others, f"+{100 * effect:g} points")


def promoted(size: Size) -> Iterator[Row]:
    """5: promotions of canaries like their baseline, and of canaries that fail six points more."""
    for errors in BASELINES:
        for share in SHARES:
            limit = promotion_limit(errors, Latency(), share)
            for effect in (0.0, 0.06):
                traffic, pace = paced(_traffic(share=share, errors=errors, effect=effect), limit)
                results = run(
                    partial(sequential, policy=replace(POLICY, bake_s=0.0)),
                    traffic,
                    rollouts=size.decisions * 3,
                    seconds=3600.0,
                    seed=5,
                    pace=pace,
                )
                row = _row("sequential", traffic, results, f"+{100 * effect:g} points", PROMOTED)
                yield row | {"limit": limit, "ratio": row["canary_requests"] / limit if row["promoted"] else None}
    for effect in (0.0, 0.06):
        for contender in contenders():
            if contender.promotes:
                traffic = _traffic(per_s=50.0, effect=effect, errors=0.002)
                yield _contest(contender, traffic, size.others, f"+{100 * effect:g} points, all rules", PROMOTED)


def late(size: Size) -> Iterator[Row]:
    """6: seconds from a break after hours to its rollback, over those of a canary that is broken from the start."""
    for effect in (0.05, 0.19):
        fresh = _late(size, effect, 0.0)
        yield fresh
        for hours in (1.0, 6.0, 20.0):
            row = _late(size, effect, hours)
            yield row | {"ratio": row["seconds"] / fresh["seconds"]}


def sticky(size: Size) -> Iterator[Row]:
    """7: an identical canary under sticky traffic in bursts: entities at their first touch, or all requests."""
    for first_touch in (True, False):
        entities = Entities(first_touch=first_touch)
        case = "first touch of each entity" if first_touch else "every request counted"
        yield _day(size, replace(_traffic(errors=0.02), entities=entities), case)


SCENARIOS: dict[str, Callable[[Size], Iterator[Row]]] = {
    "identical": identical,
    "not-worse": not_worse,
    "found": found,
    "compared": compared,
    "promoted": promoted,
    "late": late,
    "sticky": sticky,
}


def _traffic(*, per_s: float = 10.0, share: float = 0.20, errors: float = 0.002, effect: float = 0.0) -> Traffic:
    return Traffic(per_s=per_s, shares=((0.0, share),), errors=((0.0, errors),), effect=effect)


def _day(size: Size, traffic: Traffic, case: str) -> Row:
    results = run(
        partial(sequential, promotes=False), traffic, rollouts=size.days, seconds=DAY_S, seed=1, pace=size.pace
    )
    return _row("sequential", traffic, results, case, ROLLED_BACK)


def _ratio(size: Size, traffic: Traffic, limit: float, case: str) -> Row:
    traffic, pace = paced(traffic, limit)
    results = run(
        partial(sequential, promotes=False),
        traffic,
        rollouts=size.decisions,
        seconds=max(60.0, 10 * limit / traffic.share_at(0.0) / traffic.per_s),
        seed=3,
        pace=pace,
    )
    row = _row("sequential", traffic, results, case, ROLLED_BACK)
    return row | {"limit": limit, "ratio": row["canary_requests"] / limit}


def _contest(contender: Contender, traffic: Traffic, rollouts: int, case: str, decision: int = ROLLED_BACK) -> Row:
    worse = traffic.effect > POLICY.tolerated_errors
    pace = contender.pace if worse or contender.pace[0][1] > 1.0 else ((0.0, 1.0), (120.0, 10.0))
    results = run(contender.make, traffic, rollouts=rollouts, seconds=6 * 3600.0, seed=4, pace=pace)
    return _row(contender.name, traffic, results, case, decision)


def _late(size: Size, effect: float, hours: float) -> Row:
    begins = hours * 3600.0
    traffic = replace(_traffic(effect=effect), breaks_at_s=begins)
    pace: Pace = ((0.0, 30.0), (begins, 1.0)) if begins else ((0.0, 1.0),)
    results = run(
        partial(sequential, promotes=False),
        traffic,
        rollouts=size.decisions,
        seconds=begins + 7200.0,
        seed=6,
        pace=pace,
    )
    row = _row("sequential", traffic, results, f"+{100 * effect:g} points after {hours:g} h", ROLLED_BACK)
    ended = results.of(ROLLED_BACK).seconds
    delays = ended[ended > begins] - begins
    costs = dict.fromkeys(("canary_requests", "canary_failed"))  # they count the hours before as well
    return row | {"seconds": float(np.mean(delays)), "seconds_p95": float(np.quantile(delays, 0.95))} | costs


def _row(rule: str, traffic: Traffic, results: Results, case: str, decision: int) -> Row:
    ended = results.of(decision)
    some = len(ended.seconds) > 0
    return {
        "rule": rule,
        "case": case,
        "per_s": traffic.per_s,
        "share": traffic.share_at(0.0),
        "errors": traffic.errors_at(0.0),
        "p95_ms": round(traffic.latency.quantile(0.95)),
        "rollouts": len(results.decision),
        "rolled_back": results.count(ROLLED_BACK),
        "promoted": results.count(PROMOTED),
        "undecided": results.count(UNDECIDED),
        "seconds": float(ended.seconds.mean()) if some else None,
        "seconds_p95": float(np.quantile(ended.seconds, 0.95)) if some else None,
        "canary_requests": float(ended.canary_requests.mean()) if some else None,
        "canary_failed": float(ended.canary_failed.mean()) if some else None,
    }
