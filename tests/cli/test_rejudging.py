"""Judging again what is on record, without a server."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.cli.looks import BEGAN, looks_of

from serinus.cli.rejudging import rejudged
from serinus.core.errors import InvalidInput
from serinus.core.policy import Policy, SequentialPolicy, ThresholdPolicy

BAD, GOOD = looks_of(6, looks=40), looks_of(0, looks=120)
STARTED = BEGAN.isoformat()


def test_every_verdict_comes_out_as_it_was() -> None:
    told = rejudged(iter(BAD), STARTED, None)

    assert (told["looks"], told["same"], told["first_difference"]) == (40, 40, None)
    assert told["other"] is None


def test_a_bad_canarys_rollback_is_found_where_it_was_advised() -> None:
    told = rejudged(iter(BAD), STARTED, None)["recorded"]

    advised = next(row for row in BAD if row["verdict"]["recommendation"] == "rollback")
    assert told["rollback"]["look"] == advised["id"]
    assert told["rollback"]["after_s"] == float(advised["id"])
    assert told["promotion"] is None


def test_a_good_canarys_promotion_is_found_where_it_was_advised() -> None:
    told = rejudged(iter(GOOD), STARTED, None)["recorded"]

    assert told["promotion"]["after_s"] >= SequentialPolicy().bake_s
    assert told["rollback"] is None


def test_the_first_verdict_that_is_another_is_named() -> None:
    changed = copy.deepcopy(BAD)
    for place in (6, 9):
        changed[place]["verdict"]["reason"] = "because"

    told = rejudged(iter(changed), STARTED, None)

    assert told["same"] == 38
    assert told["first_difference"]["look"] == changed[6]["id"]
    assert told["first_difference"]["recorded"]["reason"] == "because"
    assert told["first_difference"]["replayed"]["reason"] != "because"


def test_a_stricter_policy_decides_later() -> None:
    told = rejudged(iter(BAD), STARTED, lambda policy: replace(sequential(policy), alpha=1e-6))

    assert told["same"] == 40
    assert told["other"]["rollback"]["look"] > told["recorded"]["rollback"]["look"]
    assert told["other"]["policy"]["alpha"] == 1e-6


def test_a_sequential_rollout_is_judged_by_the_articles_rule_as_well() -> None:
    told = rejudged(iter(BAD), STARTED, lambda _: ThresholdPolicy(interval_s=10.0))

    assert told["other"]["rollback"]["look"] == 1
    assert told["other"]["policy"]["name"] == "threshold"


def test_the_articles_rule_looks_back_at_its_window_and_only_when_it_checks() -> None:
    good_then_bad = looks_of(0, looks=60)
    bad = looks_of(10, looks=60)
    rows = [
        *good_then_bad,
        *({**row, "look": [*row["look"][:3], None, row["look"][4]], "id": row["id"] + 60} for row in bad),
    ]

    told = rejudged(iter(rows), STARTED, lambda _: ThresholdPolicy(window_s=10.0, interval_s=25.0, min_requests=10**6))

    # Checks are at the looks 1, 26, 51, 76 and so on; that at 76 sees ten looks that are all bad.
    assert told["other"]["rollback"]["look"] == 76
    assert "50.0 %" in told["other"]["rollback"]["reason"]


def test_what_is_replayed_is_held_no_longer_than_it_is_needed() -> None:
    alive: set[int] = set()
    most = 0

    class Row(dict[str, Any]):
        def __del__(self) -> None:
            alive.discard(id(self))

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal most
        for row in looks_of(0, looks=400):
            held = Row(row)
            alive.add(id(held))
            most = max(most, len(alive))
            yield held
            del held

    rejudged(rows(), STARTED, None)

    assert 0 < most < 200


def test_what_another_policy_judged_cannot_be_replayed() -> None:
    rows = [{**BAD[0], "policy": {"name": "threshold"}}]

    with pytest.raises(InvalidInput) as raised:
        rejudged(iter(rows), STARTED, None)

    assert "not judged by a sequential policy" in raised.value.message


def test_a_look_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput):
        rejudged(iter([{**BAD[0], "look": [1, 2]}]), STARTED, None)


def sequential(policy: Policy) -> SequentialPolicy:
    assert isinstance(policy, SequentialPolicy)
    return policy
