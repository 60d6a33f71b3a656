"""Many rollouts at once come to what the test of each one of them comes to."""

from dataclasses import fields, replace

import numpy as np
import pytest

from serinus.core.evidence import Counts
from serinus.core.policy import SequentialPolicy
from serinus.core.sequential import SequentialTest, Slice
from serinus.simulation.evidence import Latencies, Seen, Tests, Window, projected
from serinus.simulation.latency import Latency
from serinus.simulation.traffic import Incidents, Source, Tick, Traffic

ROLLOUTS = 3
FULL = Window()
RAMP = ((0.0, 0.05), (40.0, 0.20), (90.0, 0.50), (130.0, 0.20), (150.0, 0.95))
TRAFFICS = {
    "identical": Traffic(per_s=40.0, shares=RAMP),
    "worse": Traffic(per_s=40.0, shares=RAMP, errors=((0.0, 0.02), (100.0, 0.10)), effect=0.03),
    "slower": Traffic(per_s=40.0, shares=RAMP, slower_ms=30.0, breaks_at_s=60.0),
    "nearly all fails": Traffic(per_s=40.0, shares=RAMP, errors=((0.0, 0.90), (100.0, 1.0))),
    "incidents": Traffic(per_s=40.0, shares=RAMP, incidents=Incidents(per_hour=60.0, lasts_s=20.0)),
    "scarce": Traffic(per_s=1.5, shares=RAMP, errors=((0.0, 0.02),), latency=Latency(median_ms=300.0)),
}


def counts(requests: int, failed: int, row: int, latencies: Latencies) -> Counts:
    histogram: dict[int, int] = {}
    for at, bucket, count in zip(latencies.row, latencies.bucket, latencies.count, strict=True):
        if at == row and count:
            histogram[int(bucket)] = histogram.get(int(bucket), 0) + int(count)
    return Counts(requests=requests, model_errors=failed, latency=histogram)


def slices(tick: Tick, canary: Latencies, baseline: Latencies) -> list[Slice]:
    return [
        Slice(
            tick.share,
            counts(int(tick.canary[row]), int(tick.canary_failed[row]), row, canary),
            counts(int(tick.baseline[row]), int(tick.baseline_failed[row]), row, baseline),
        )
        for row in range(ROLLOUTS)
    ]


def seen(tests: Tests, tick: Tick, canary: Latencies, baseline: Latencies) -> Seen:
    slow = tests.slow()

    def beyond(latencies: Latencies, bucket: object) -> np.ndarray:
        slower = latencies.bucket > np.asarray(bucket)[latencies.row]
        return np.bincount(latencies.row, latencies.count * slower, len(tick.canary)).astype(np.int64)

    return Seen(
        tick.share,
        tick.canary,
        tick.canary_failed,
        tick.baseline,
        tick.baseline_failed,
        beyond(canary, tests.tolerated(slow)),
        beyond(canary, tests.critical(slow)),
        beyond(baseline, slow.bucket) + slow.part * (beyond(baseline, slow.bucket - 1) - beyond(baseline, slow.bucket)),
        baseline,
    )


@pytest.mark.parametrize("policy", [SequentialPolicy(), SequentialPolicy(error_tolerance=0.0, p95_margin_ms=20.0)])
@pytest.mark.parametrize("traffic", TRAFFICS.values(), ids=TRAFFICS.keys())
def test_all_evidence_is_the_same_on_the_same_counts(policy: SequentialPolicy, traffic: Traffic) -> None:
    source, many, one_by_one = Source(traffic, ROLLOUTS, 7), Tests(policy, ROLLOUTS), [SequentialTest()] * ROLLOUTS
    second, share = 0.0, traffic.share_at(0.0)
    random = np.random.default_rng(7)
    while second < 170.0:
        ticks = [source.tick(second + part, 0.5) for part in (0.0, 0.5)]  # two gateways, or a change of split
        drawn = [(tick, tick.canary_latencies(FULL), tick.baseline_latencies(FULL)) for tick in ticks]
        elapsed_s, changed = float(random.choice([1.0, 1.0, 5.0])), ticks[-1].share != share
        share = ticks[-1].share
        looks = zip(*[slices(*each) for each in drawn], strict=True)
        one_by_one = [
            test.after(policy, look, elapsed_s, changed=changed) for test, look in zip(one_by_one, looks, strict=True)
        ]
        many.after(many.slow(), [seen(many, *each) for each in drawn], elapsed_s, changed=changed)
        second += elapsed_s

        for mixtures, name in (
            (many.worse, "errors_against"),
            (many.slower, "latency_against"),
            (many.sound, "errors_for"),
            (many.fast, "latency_for"),
        ):
            expected = [getattr(test, name) for test in one_by_one]
            np.testing.assert_allclose(mixtures.log(), expected, rtol=0.0, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(many.against(), [test.against for test in one_by_one], rtol=0.0, atol=1e-9)
        late = [test.recent_difference for test in one_by_one]
        np.testing.assert_allclose(many.recent_difference, late, rtol=0.0, atol=1e-9)


def test_rollouts_that_are_dropped_leave_the_others_as_they_are() -> None:
    traffic, policy = TRAFFICS["worse"], SequentialPolicy()
    source, many, some = Source(traffic, ROLLOUTS, 7), Tests(policy, ROLLOUTS), Tests(policy, ROLLOUTS)
    rows = np.array([True, False, True])
    for second in range(60):
        tick = source.tick(float(second), 1.0)
        canary, baseline = tick.canary_latencies(FULL), tick.baseline_latencies(FULL)
        whole = seen(many, tick, canary, baseline)
        many.after(many.slow(), [whole], 1.0, changed=False)
        if second == 30:
            some.keep(rows)
        some.after(some.slow(), [whole if second < 30 else kept(whole, rows)], 1.0, changed=False)

    np.testing.assert_allclose(some.against(), many.against()[rows], rtol=0.0, atol=1e-9)


def kept(whole: Seen, rows: np.ndarray) -> Seen:
    place = np.cumsum(rows) - 1
    of_kept = rows[whole.latencies.row]
    latencies = Latencies(
        place[whole.latencies.row[of_kept]], whole.latencies.bucket[of_kept], whole.latencies.count[of_kept]
    )
    names = [field.name for field in fields(Seen) if field.name not in {"share", "latencies"}]
    return replace(whole, latencies=latencies, **{name: getattr(whole, name)[rows] for name in names})


def test_buckets_that_are_not_told_apart_change_nothing_but_how_counts_are_rounded() -> None:
    traffic, policy = TRAFFICS["slower"], SequentialPolicy()
    source = Source(traffic, ROLLOUTS, 7)
    full, narrow = Tests(policy, ROLLOUTS), Tests(policy, ROLLOUTS, source.window)
    assert source.window.cells < 200
    for second in range(300):
        tick = source.tick(float(second), 1.0)
        canary, baseline = tick.canary_latencies(FULL), tick.baseline_latencies(FULL)
        for tests in (full, narrow):
            tests.after(tests.slow(), [seen(tests, tick, canary, baseline)], 1.0, changed=False)

        until_they_age = second < 25
        np.testing.assert_allclose(narrow.against(), full.against(), rtol=0.0, atol=1e-9 if until_they_age else 0.2)
        np.testing.assert_allclose(narrow.fast.log(), full.fast.log(), rtol=0.0, atol=1e-9 if until_they_age else 0.2)


def test_answers_beyond_two_buckets_are_drawn_as_often_as_a_whole_histogram_has_them() -> None:
    traffic = Traffic(per_s=2000.0, slower_ms=50.0)
    source = Source(traffic, 200, 7)
    first, second = (np.full(200, bucket) for bucket in (210, 260))  # 64 ms and 172 ms
    tick = source.tick(0.0, 1.0)
    drawn = np.array([each.sum() for each in tick.canary_beyond(first, second)])
    latencies = tick.canary_latencies(FULL)
    counted = [int(latencies.count[latencies.bucket > bucket].sum()) for bucket in (210, 260)]

    np.testing.assert_allclose(drawn, counted, atol=5.0 * np.sqrt(max(counted)))
    assert drawn[0] > drawn[1] > 0


def test_a_projection_near_the_edge_is_found_from_anywhere() -> None:
    canary, baseline = np.array([[0.9999, 0.0051]]), np.array([[1e-4, 1e-6]])
    found = projected(canary, baseline, 0.2, 0.005)

    for start in (1e-9, 0.5, 0.994):
        again = projected(canary, baseline, 0.2, 0.005, np.full((1, 2), start))
        np.testing.assert_allclose(again, found, rtol=1e-12)
