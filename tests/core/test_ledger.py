"""The running counts of one gateway."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.evidence import Counts, Key, bucket_of
from serinus.core.ledger import Ledger, Tally, by_version, outside, owner
from serinus.core.routing import Role

OLD = Key("churn-prod:1", "churn@2", 1, Role.CANARY)
NEW = Key("churn-prod:2", "churn@2", 1, Role.CANARY)
OTHER = Key("heart-prod:1", "heart@2", 1, Role.CANARY)
KEYS = st.builds(
    Key,
    st.sampled_from(["a:0", "a:1", "a:2", "b:0", "b:1"]),
    st.sampled_from(["m@1", "m@2"]),
    st.integers(0, 2),
    st.sampled_from(Role),
)


def ledger_of(*keys: Key) -> Ledger:
    """Give a ledger with one request of 20 ms for each key, as often as it is named."""
    ledger = Ledger()
    for key in keys:
        ledger.tally(key).asked(20.0)
    return ledger


def test_a_new_tally_has_counted_nothing() -> None:
    assert Tally().counts() == Counts()


@pytest.mark.parametrize(
    ("failure", "errors", "timeouts"), [("", 0, 0), ("error", 1, 0), ("bad_output", 1, 0), ("timeout", 0, 1)]
)
def test_a_request_is_counted_with_its_latency_however_it_ended(failure: str, errors: int, timeouts: int) -> None:
    tally = Tally()
    tally.asked(20.0, failure)
    assert tally.counts() == Counts(
        requests=1, model_errors=errors, timeouts=timeouts, latency={bucket_of(20.0): 1}, latency_sum_ms=20.0
    )


def test_counts_once_taken_do_not_grow() -> None:
    tally = Tally()
    counts = tally.counts()
    tally.asked(20.0)
    assert counts == Counts()


def test_a_key_has_one_tally() -> None:
    assert ledger_of(OLD, OLD, NEW).evidence()[OLD].requests == 2


def test_folding_moves_an_ended_rollout_outside_of_any() -> None:
    ledger = ledger_of(OLD, OLD, NEW)
    ledger.fold("churn-prod", frozenset({"churn-prod:2"}))
    assert {key: counts.requests for key, counts in ledger.evidence().items()} == {
        Key("churn-prod:0", "churn@2", 0, Role.CANARY): 2,
        NEW: 1,
    }


def test_folding_one_deployment_leaves_the_others_alone() -> None:
    ledger = ledger_of(OLD, OTHER)
    ledger.fold("churn-prod", frozenset())
    assert ledger.evidence()[OTHER].requests == 1


@given(
    st.lists(KEYS, max_size=12), st.lists(st.tuples(st.sampled_from("ab"), st.sets(st.sampled_from(["a:1", "b:1"]))))
)
def test_folding_never_changes_a_total_of_a_version(keys: list[Key], folds: list[tuple[str, set[str]]]) -> None:
    ledger = ledger_of(*keys)
    before = by_version(ledger.evidence())
    for deployment, keep in folds:
        ledger.fold(deployment, frozenset(keep))
    assert by_version(ledger.evidence()) == before


def test_a_rollout_tells_its_deployment() -> None:
    assert (owner("churn-prod:12"), owner(outside("churn-prod"))) == ("churn-prod", "churn-prod")


def test_versions_are_added_up_over_rollouts_and_splits() -> None:
    totals = by_version(ledger_of(OLD, NEW, NEW, OTHER).evidence())
    assert {name: counts.requests for name, counts in totals.items()} == {
        ("churn-prod", "churn@2", Role.CANARY): 3,
        ("heart-prod", "heart@2", Role.CANARY): 1,
    }
