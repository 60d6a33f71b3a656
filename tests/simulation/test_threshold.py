"""The threshold rule in arrays says of every rollout what the judge says."""

import numpy as np
import pytest

from serinus.core.evidence import Counts
from serinus.core.judge import Recommendation, judge
from serinus.core.policy import ThresholdPolicy
from serinus.simulation.latency import Latency
from serinus.simulation.rollout import PROMOTED, ROLLED_BACK, UNDECIDED
from serinus.simulation.threshold import FULL, Arm, histogram, judged
from serinus.simulation.traffic import Source, Traffic

POLICY = ThresholdPolicy(min_requests=30)
MEANT = {Recommendation.PROMOTE: PROMOTED, Recommendation.ROLLBACK: ROLLED_BACK}


def counts(arm: Arm, row: int) -> Counts:
    histogram = {int(bucket): int(arm.latency[row, bucket]) for bucket in np.flatnonzero(arm.latency[row])}
    return Counts(requests=int(arm.requests[row]), model_errors=int(arm.failed[row]), latency=histogram)


@pytest.mark.parametrize("per_s", [0.05, 2.0, 30.0])
@pytest.mark.parametrize(
    ("errors", "effect", "slower_ms"), [(0.02, 0.0, 0.0), (0.02, 0.05, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 120.0)]
)
def test_each_rollout_is_judged_as_it_is_alone(per_s: float, errors: float, effect: float, slower_ms: float) -> None:
    traffic = Traffic(
        per_s=per_s, errors=((0.0, errors),), effect=effect, slower_ms=slower_ms, latency=Latency(median_ms=60.0)
    )
    tick = Source(traffic, 60, 3).tick(0.0, 30.0)
    b = Arm(tick.baseline, tick.baseline_failed, histogram(tick.baseline_latencies(FULL), 60))
    c = Arm(tick.canary, tick.canary_failed, histogram(tick.canary_latencies(FULL), 60))

    verdicts = [judge(POLICY, counts(b, row), counts(c, row)) for row in range(60)]

    assert judged(POLICY, b, c).tolist() == [MEANT.get(verdict.recommendation, UNDECIDED) for verdict in verdicts]
