"""Made-up traffic is what it is said to be."""

import numpy as np
import pytest

from serinus.simulation.evidence import Window
from serinus.simulation.latency import Latency, window_of
from serinus.simulation.traffic import Entities, Incidents, Source, Tick, Traffic


def ticks(traffic: Traffic, *, rollouts: int = 200, seconds: int = 60) -> list[Tick]:
    source = Source(traffic, rollouts, 5)
    return [source.tick(float(second), 1.0) for second in range(seconds)]


def test_rates_and_shares_are_as_asked() -> None:
    seen = ticks(Traffic(per_s=20.0, shares=((0.0, 0.1), (30.0, 0.5)), errors=((0.0, 0.04),), effect=0.1))
    canary = [sum(tick.canary.sum() for tick in half) for half in (seen[:30], seen[30:])]
    requests = 200 * 30 * 20.0

    assert canary[0] / requests == pytest.approx(0.1, rel=0.05)
    assert canary[1] / requests == pytest.approx(0.5, rel=0.05)
    assert sum(tick.canary_failed.sum() for tick in seen) / sum(canary) == pytest.approx(0.14, rel=0.05)
    baseline = sum(tick.baseline.sum() for tick in seen)
    assert sum(tick.baseline_failed.sum() for tick in seen) / baseline == pytest.approx(0.04, rel=0.05)


def test_incidents_hit_both_roles_at_once() -> None:
    seen = ticks(Traffic(per_s=50.0, incidents=Incidents(per_hour=60.0, lasts_s=10.0, errors=1.0)))
    every = np.stack([tick.canary_failed == tick.canary for tick in seen if (tick.canary > 3).all()])
    both = np.stack([tick.baseline_failed == tick.baseline for tick in seen if (tick.canary > 3).all()])

    np.testing.assert_array_equal(every, both)
    assert 0.05 < every.mean() < 0.4


def test_the_first_touch_counts_an_entity_once_and_then_there_is_none_left() -> None:
    entities = Entities(count=100, burst=5.0)
    seen = ticks(Traffic(per_s=500.0, entities=entities), seconds=60)
    counted = np.sum([tick.canary + tick.baseline for tick in seen], axis=0)

    assert set(counted.tolist()) == {100}


def test_bursts_of_requests_add_up_to_the_rate() -> None:
    entities = Entities(count=1000, burst=8.0, first_touch=False)
    seen = ticks(Traffic(per_s=20.0, entities=entities))
    counted = sum((tick.canary + tick.baseline).sum() for tick in seen)
    spread = np.concatenate([tick.canary for tick in seen])

    assert counted / (200 * 60) == pytest.approx(20.0, rel=0.05)
    assert spread.var() > 4 * spread.mean()  # Poisson requests would have a variance like their mean


def test_the_p95_is_slower_by_what_was_asked() -> None:
    latency = Latency()
    p95 = latency.quantile(0.95)

    assert latency.beyond(p95) == pytest.approx(0.05, abs=1e-6)
    assert p95 * latency.slowed(100.0) == pytest.approx(p95 + 100.0)
    assert latency.beyond(0.0) == 1.0


def test_latencies_that_are_drawn_have_their_distribution() -> None:
    source = Source(Traffic(per_s=5000.0), 20, 1)
    tick = source.tick(0.0, 1.0)
    drawn = tick.baseline_latencies(Window())
    beyond = source.traffic.latency.buckets_beyond()
    total = drawn.count.sum()

    for bucket in (100, 150, 210, 300):
        share = drawn.count[drawn.bucket > bucket].sum() / total
        assert share == pytest.approx(beyond[bucket], abs=4 * np.sqrt(beyond[bucket] / total))


def test_a_window_holds_the_p95_of_all_it_was_made_for() -> None:
    fast, slow = Latency().buckets_beyond(), Latency().buckets_beyond(4.0)
    window = window_of([fast, slow])

    for beyond in (fast, slow):
        assert window.first < int(np.argmax(beyond <= 0.05)) < window.last
