"""The running counts of one gateway."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.evidence import Counts, Evidence, Key, bucket_of
from serinus.core.ledger import BATCH_S, Batch, Ledger, Tally, by_version, outside, owner
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
    ledger = Ledger(2.0)
    for key in keys:
        ledger.tally(key).count("", 20.0)
    return ledger


def test_a_new_tally_has_counted_nothing() -> None:
    assert Tally().counts() == Counts()


@pytest.mark.parametrize(
    ("failure", "errors", "timeouts"), [("", 0, 0), ("error", 1, 0), ("bad_output", 1, 0), ("timeout", 0, 1)]
)
def test_a_request_is_counted_with_its_latency_however_it_ended(failure: str, errors: int, timeouts: int) -> None:
    tally = Tally()
    tally.count(failure, 20.0)
    assert tally.counts() == Counts(
        requests=1, model_errors=errors, timeouts=timeouts, latency={bucket_of(20.0): 1}, latency_sum_ms=20.0
    )


def test_counts_once_taken_do_not_grow() -> None:
    tally = Tally()
    counts = tally.counts()
    tally.count("", 20.0)
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


# ------------------------------------------------------------------------- whole prefixes of starts

PATIENCE_S = 2.0
APART_S = 2 * BATCH_S
FAST, SLOW = NEW, NEW._replace(role=Role.BASELINE)


def requests(evidence: Evidence) -> dict[Key, int]:
    return {key: counts.requests for key, counts in evidence.items()}


def begun(ledger: Ledger, count: int, at: float = 100.0) -> list[Batch]:
    """Begin requests one after the other, each long enough after the last to be waited for by itself."""
    return [ledger.begin(at + number * APART_S) for number in range(count)]


def test_what_started_before_a_pending_request_is_put_up_and_nothing_after_it() -> None:
    ledger = Ledger(PATIENCE_S)
    batches = begun(ledger, 5)
    for number in (0, 1, 3, 4):
        ledger.end(batches[number], FAST, "error", 1.0)

    assert requests(ledger.settled(101.0)) == {FAST: 2}
    ledger.end(batches[2], SLOW, "timeout", 900.0)
    assert requests(ledger.settled(101.0)) == {FAST: 4, SLOW: 1}


def test_everything_that_ended_is_known_at_once() -> None:
    ledger = Ledger(PATIENCE_S)
    batches = begun(ledger, 3)
    ledger.end(batches[1], FAST, "error", 1.0)
    ledger.end(batches[2], SLOW, "", 1.0)

    assert requests(ledger.evidence()) == {FAST: 1, SLOW: 1}
    assert requests(ledger.settled(101.0)) == {}


def test_the_order_in_which_requests_end_does_not_matter() -> None:
    ledger = Ledger(PATIENCE_S)
    batches = begun(ledger, 4)
    for batch in reversed(batches):
        assert requests(ledger.settled(100.5)) == {}
        ledger.end(batch, FAST, "", 1.0)

    assert requests(ledger.settled(100.5)) == {FAST: 4}


def test_a_request_holds_back_others_up_to_the_patience_and_no_longer() -> None:
    ledger = Ledger(PATIENCE_S)
    batches = begun(ledger, 2)
    ledger.end(batches[1], FAST, "", 1.0)

    assert requests(ledger.settled(100.0 + PATIENCE_S)) == {}
    assert requests(ledger.settled(100.0 + PATIENCE_S + 0.01)) == {FAST: 1}


def test_a_request_that_ends_after_the_patience_is_counted_all_the_same() -> None:
    ledger = Ledger(PATIENCE_S)
    (batch,) = begun(ledger, 1)
    ledger.settled(110.0)
    ledger.end(batch, SLOW, "timeout", 10_000.0)

    assert requests(ledger.evidence()) == {SLOW: 1}
    assert requests(ledger.settled(110.0)) == {SLOW: 1}


def test_a_request_that_ends_late_comes_with_the_next_that_are_put_up() -> None:
    ledger = Ledger(PATIENCE_S)
    (late,) = begun(ledger, 1)
    ledger.settled(110.0)
    pending = ledger.begin(110.0)
    ledger.end(late, SLOW, "timeout", 10_000.0)

    assert requests(ledger.settled(110.1)) == {}
    assert requests(ledger.evidence()) == {SLOW: 1}
    ledger.end(pending, FAST, "", 1.0)
    assert requests(ledger.settled(110.1)) == {FAST: 1, SLOW: 1}


def test_a_request_that_is_dropped_holds_back_nothing_and_is_counted_nowhere() -> None:
    ledger = Ledger(PATIENCE_S)
    batches = begun(ledger, 2)
    ledger.end(batches[1], FAST, "", 1.0)
    ledger.drop(batches[0])

    assert requests(ledger.settled(100.5)) == requests(ledger.evidence()) == {FAST: 1}


def test_requests_that_start_together_are_put_up_together() -> None:
    ledger = Ledger(PATIENCE_S)
    first, second = ledger.begin(100.0), ledger.begin(100.0 + BATCH_S / 2)
    ledger.end(first, FAST, "", 1.0)

    assert requests(ledger.settled(100.5)) == {}
    ledger.end(second, FAST, "", 1.0)
    assert requests(ledger.settled(100.5)) == {FAST: 2}


def test_a_request_that_starts_with_others_that_are_put_up_already_is_waited_for_by_itself() -> None:
    ledger = Ledger(PATIENCE_S)
    ledger.end(ledger.begin(100.0), FAST, "", 1.0)
    ledger.settled(100.0)
    second = ledger.begin(100.0)
    third = ledger.begin(100.0 + APART_S)
    ledger.end(third, FAST, "", 1.0)

    assert requests(ledger.settled(100.1)) == {FAST: 1}
    ledger.end(second, FAST, "", 1.0)
    assert requests(ledger.settled(100.1)) == {FAST: 3}


@pytest.mark.parametrize(("failure", "counted"), [("client", (0, 1, 0)), ("platform", (0, 0, 1)), ("error", (1, 0, 0))])
def test_what_no_model_was_asked_for_waits_its_turn_as_well(failure: str, counted: tuple[int, int, int]) -> None:
    ledger = Ledger(PATIENCE_S)
    batches = begun(ledger, 2)
    ledger.end(batches[1], FAST, failure, 5.0)
    assert ledger.settled(100.5) == {}

    ledger.drop(batches[0])
    counts = ledger.settled(100.5)[FAST]

    assert (counts.requests, counts.client_errors, counts.platform_errors) == counted
    assert sum(counts.latency.values()) == counted[0]


def test_a_rollout_that_is_folded_while_its_requests_are_pending_keeps_its_totals() -> None:
    ledger = Ledger(PATIENCE_S)
    batches = begun(ledger, 2)
    ledger.end(batches[1], OLD, "", 1.0)
    ledger.fold("churn-prod", frozenset({"churn-prod:2"}))
    ledger.end(batches[0], OLD, "error", 1.0)
    before = by_version(ledger.evidence())
    ledger.settled(100.5)
    ledger.fold("churn-prod", frozenset({"churn-prod:2"}))

    assert by_version(ledger.evidence()) == before
    assert requests(ledger.settled(100.5)) == {Key("churn-prod:0", "churn@2", 0, Role.CANARY): 2}


@dataclass
class Request:
    """A request of the model: when it started, whether it is pending, and whose counts it grows once it is put up."""

    started: float
    pending: bool = True
    put_up: bool = False
    counts: list[Key] = field(default_factory=list)


@dataclass
class Model:
    """What a ledger should put up, said in the simplest way."""

    requests: list[Request] = field(default_factory=list)
    shown: dict[Key, int] = field(default_factory=dict)

    def end(self, request: Request, key: Key) -> None:
        request.pending = False
        waiting = request if not request.put_up else next((each for each in self.requests if not each.put_up), None)
        if waiting is None:
            self.shown[key] = self.shown.get(key, 0) + 1
        else:
            waiting.counts.append(key)

    def settle(self, now: float) -> dict[Key, int]:
        for each in self.requests:
            if each.put_up:
                continue
            if each.pending and now - each.started <= PATIENCE_S:
                break
            each.put_up = True
            for key in each.counts:
                self.shown[key] = self.shown.get(key, 0) + 1
        return self.shown

    @property
    def everything(self) -> dict[Key, int]:
        total = dict(self.shown)
        for key in [key for each in self.requests if not each.put_up for key in each.counts]:
            total[key] = total.get(key, 0) + 1
        return total


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.just(0)),
        st.tuples(st.sampled_from(["end fast", "end slow", "drop"]), st.integers(0, 50)),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 0.5, PATIENCE_S, 5.0])),
        st.tuples(st.just("settle"), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_in_whatever_order_a_ledger_puts_up_what_it_should(steps: list[tuple[str, float]]) -> None:
    ledger, model, now = Ledger(PATIENCE_S), Model(), 100.0
    ledger.settled(now)  # nothing waits from now on that was not begun
    batches: list[tuple[Batch, Request]] = []
    before: dict[Key, int] = {}
    for step, number in steps:
        now += APART_S
        pending = [(batch, request) for batch, request in batches if request.pending]
        if step == "begin":
            request = Request(now)
            model.requests.append(request)
            batches.append((ledger.begin(now), request))
        elif step == "wait":
            now += number
        elif step == "settle":
            shown = requests(ledger.settled(now))
            assert shown == model.settle(now)
            assert all(shown[key] >= count for key, count in before.items()), "what was put up stays"
            before = shown
        elif pending:
            batch, request = pending[int(number) % len(pending)]
            if step == "drop":
                ledger.drop(batch)
                request.pending = False
            else:
                key = FAST if step == "end fast" else SLOW
                ledger.end(batch, key, "", 1.0)
                model.end(request, key)
        assert requests(ledger.evidence()) == model.everything

    assert requests(ledger.settled(now + 2 * PATIENCE_S)) == model.everything


@given(st.lists(st.tuples(st.floats(0.0, 0.05), st.integers(1, 6)), min_size=1, max_size=30))
def test_however_close_together_requests_start_none_is_put_up_before_one_that_started_before_it(
    starts: list[tuple[float, int]],
) -> None:
    ledger, now, keys = Ledger(PATIENCE_S), 100.0, []
    ends: list[tuple[int, int, Batch]] = []
    for number, (later, takes) in enumerate(starts):
        now += later
        keys.append(NEW._replace(split_version=number))
        ends.append((number + takes, number, ledger.begin(now)))
        for end, started, batch in [each for each in ends if each[0] <= number]:
            ledger.end(batch, keys[started], "", 1.0)
            ends.remove((end, started, batch))
        shown = {key.split_version for key in requests(ledger.settled(now))}
        assert shown == set(range(len(shown))), "a whole prefix"
