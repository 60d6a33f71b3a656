"""Rollouts as their looks are on record, made up by counts that are the same at each look."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from serinus.core.deployment import Phase, Rollout
from serinus.core.evidence import NOTHING, Counts, Evidence, Key
from serinus.core.looks import encoded_look, first, taken_in
from serinus.core.names import VersionRef
from serinus.core.policy import SequentialPolicy, policy_values
from serinus.core.routing import Role
from serinus.core.verdicts import encoded_verdict

BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVERY_S = 1.0
LATENCY = {150: 18, 180: 1, 230: 1}
HISTORY = Counts(requests=1000, model_errors=2, latency={index: 50 * count for index, count in LATENCY.items()})


def looks_of(canary_fails: int, *, looks: int, policy: SequentialPolicy | None = None) -> list[dict[str, Any]]:
    """Give the looks, one a second, at a rollout in which each takes in 20 requests of either role.

    ``canary_fails`` is how many of the canary's 20 fail.
    """
    policy = policy or SequentialPolicy()
    refs = VersionRef("heart", 2), VersionRef("heart", 1)
    rollout = Rollout("heart-prod:1", *refs, 50.0, Phase.RUNNING, 1, BEGAN, weights=(50.0,))
    tested = first(rollout, policy, HISTORY)
    totals: Evidence = {}
    rows = []
    for number in range(1, looks + 1):
        at = BEGAN + timedelta(seconds=EVERY_S * number)
        totals = _more(totals, canary_fails)
        tested, look = taken_in(tested, rollout, totals, at)
        row = {
            "id": number,
            "at": at.isoformat(),
            "look": encoded_look(look),
            "verdict": encoded_verdict(tested.verdict),
            "policy": policy_values(policy),
        }
        rows.append(json.loads(json.dumps(row)))
    return rows


def _more(totals: Evidence, canary_fails: int) -> Evidence:
    canary = Key("heart-prod:1", "heart@2", 1, Role.CANARY)
    baseline = Key("heart-prod:1", "heart@1", 1, Role.BASELINE)
    came = {
        canary: Counts(requests=20, model_errors=canary_fails, latency=LATENCY),
        baseline: Counts(requests=20, latency=LATENCY),
    }
    return {key: totals.get(key, NOTHING) + counts for key, counts in came.items()}
