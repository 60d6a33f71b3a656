"""What a process remembers of how things stand in Redis, on values alone."""

import pytest

from serinus.boards.redis.gateways import REMEMBERED_S, Gateways, Joined
from serinus.boards.redis.state import Lease, Mirror, State

LEASE_S = 15.0


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def state(splits: dict[str, str] | None, digest: str = "digest") -> State:
    return State(asked=0.0, remaining_s=0.0, digest=digest, splits=splits, live={})


def nothing(deployment: str, raw: object) -> None:
    pass


# --------------------------------------------------------------------------------------------- lease


def test_the_time_of_a_lease_counts_from_when_it_was_asked_for() -> None:
    lease = Lease()

    lease.read(asked=10.0, remaining_s=5.0)

    assert lease.until == 15.0


def test_what_was_asked_before_a_renewal_says_nothing_of_it() -> None:
    lease = Lease()
    lease.renew(asked=10.0, ttl_s=5.0, now=10.2)

    lease.read(asked=10.1, remaining_s=0.0)

    assert lease.until == 15.0


def test_what_was_asked_after_a_renewal_may_shorten_it() -> None:
    lease = Lease()
    lease.renew(asked=10.0, ttl_s=5.0, now=10.2)

    lease.read(asked=10.2, remaining_s=0.0)

    assert lease.until == 10.2


# -------------------------------------------------------------------------------------------- splits


def test_after_a_change_the_digest_of_all_splits_is_unknown() -> None:
    mirror = Mirror()
    mirror.settle(state({"fraud": "1"}))
    before = mirror.digest

    mirror.change("fraud", "2")

    assert (before, mirror.digest) == ("digest", "")


def test_that_nothing_changed_in_redis_does_not_confirm_what_was_changed_here_since() -> None:
    mirror = Mirror()
    mirror.settle(state({"fraud": "1"}))
    mirror.change("fraud", "a stranger's")

    mirror.settle(state(None))

    assert mirror.digest == ""


def test_each_gateway_is_told_what_it_has_not_been_told_yet() -> None:
    mirror, early, late = Mirror(), Joined("g1", nothing), Joined("g2", nothing)
    mirror.settle(state({"fraud": "1", "spam": "1"}))
    first = list(mirror.news(early))
    mirror.settle(state({"fraud": "2"}))

    assert first == [("fraud", "1"), ("spam", "1")]
    assert list(mirror.news(early)) == [("fraud", "2"), ("spam", "")]
    assert list(mirror.news(late)) == [("fraud", "2")]
    assert list(mirror.news(early)) == []


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["1.0", "5000", "digest", "all"],
        ["now", "5000", "digest", "all", "0"],
        ["1.0", "soon", "digest", "all", "0"],
        ["1.0", "5000", "digest", "all", "0", "fraud"],
        ["1.0", "5000", "digest", "all", "1", "token", "fraud"],
    ],
    ids=repr,
)
def test_a_malformed_state_is_none(texts: list[str]) -> None:
    with pytest.raises(ValueError):
        State.read(texts)


# ------------------------------------------------------------------------------------------ gateways


def test_a_gateway_that_redis_has_lost_is_waited_for_as_long_as_it_may_come_back() -> None:
    clock = Clock()
    gateways = Gateways(clock)
    gateways.see({"token": "g1"}, 0.0)

    lost = gateways.behind({}, "fraud", 2)
    clock.time += REMEMBERED_S
    gateways.see({}, 0.0)

    assert (lost, gateways.behind({}, "fraud", 2)) == (["g1"], [])


def test_what_passed_while_redis_was_gone_does_not_count() -> None:
    clock = Clock()
    gateways = Gateways(clock)
    gateways.see({"token": "g1"}, 0.0)

    clock.time += 3600.0
    gateways.remember()

    assert gateways.behind({}, "fraud", 2) == ["g1"]


def test_a_gateway_that_went_without_a_word_is_waited_for_until_the_lease_that_it_can_have_ends() -> None:
    clock = Clock()
    gateways = Gateways(clock)
    gateways.see({"token": "g1"}, LEASE_S)
    clock.time += 1.0
    gateways.see({}, LEASE_S - 1.0)

    clock.time += LEASE_S - 1.5
    gateways.see({}, LEASE_S)  # was renewed when the gateway was gone
    before = gateways.behind({}, "fraud", 2)
    clock.time += 0.5

    assert (before, gateways.behind({}, "fraud", 2)) == (["g1"], [])


def test_a_gateway_that_has_been_seen_again_is_waited_for_by_the_lease_of_that_moment() -> None:
    clock = Clock()
    gateways = Gateways(clock)
    gateways.see({"token": "g1"}, 40 * LEASE_S)

    gateways.see({"token": "g1"}, LEASE_S)
    clock.time += LEASE_S

    assert gateways.behind({}, "fraud", 2) == []


def test_a_lease_that_is_gone_from_redis_still_holds_for_whoever_heard_of_it() -> None:
    clock = Clock()
    gateways = Gateways(clock)
    gateways.see({"token": "g1"}, LEASE_S)

    gateways.remember()
    gateways.see({}, 0.0)
    clock.time += LEASE_S - 0.5
    before = gateways.behind({}, "fraud", 2)
    clock.time += 0.5

    assert (before, gateways.behind({}, "fraud", 2)) == (["g1"], [])


def test_a_gateway_that_went_while_nothing_was_heard_may_have_the_lease_that_redis_has_afterwards() -> None:
    clock = Clock()
    gateways = Gateways(clock)
    gateways.see({"token": "g1"}, LEASE_S)
    clock.time += 3600.0
    gateways.remember()

    gateways.see({}, LEASE_S)
    clock.time += LEASE_S - 0.5
    before = gateways.behind({}, "fraud", 2)
    gateways.remember()
    gateways.see({}, LEASE_S)
    clock.time += 0.5

    assert (before, gateways.behind({}, "fraud", 2)) == (["g1"], [])


def test_a_gateway_that_comes_back_is_judged_by_what_it_has_acknowledged() -> None:
    gateways = Gateways(Clock())
    gateways.see({"token": "g1"}, LEASE_S)
    gateways.see({}, LEASE_S)

    assert gateways.behind({}, "fraud", 2) == ["g1"]
    assert gateways.behind({"token": ("g1", 1)}, "fraud", 2) == ["g1"]
    assert gateways.behind({"token": ("g1", 2)}, "fraud", 2) == []


@pytest.mark.parametrize("leased_s", [0.0, LEASE_S])
def test_a_gateway_that_left_is_not_waited_for(leased_s: float) -> None:
    gateways = Gateways(Clock())
    gateways.see({"token": "g1"}, leased_s)

    gateways.see_left("token")
    left = gateways.behind({}, "fraud", 2)
    gateways.remember()
    gateways.see({}, leased_s)

    assert (left, gateways.behind({}, "fraud", 2)) == ([], [])


def test_of_a_gateway_here_what_it_said_here_counts() -> None:
    gateways = Gateways(Clock())
    gateways.join("g1", nothing)
    token = gateways.here()[0].token
    gateways.acknowledge("g1", "fraud", 4)

    assert gateways.behind({token: ("g1", 2)}, "fraud", 4) == []
    assert gateways.behind({}, "fraud", 5) == ["g1"]
