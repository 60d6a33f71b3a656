"""An entity is new once, and which ones are taken for one another says nothing of their roles."""

from serinus.core.deployment import ALL
from serinus.core.routing import Role, Split, assign, sticky_point
from serinus.gateway.touched import BITS, Touched

POINTS = [sticky_point(b"key", "credit:1", str(number)) for number in range(20_000)]


def test_an_entity_is_new_once() -> None:
    touched = Touched()

    assert [touched.first(POINTS[0]) for _ in range(3)] == [True, False, False]


def test_entities_are_told_apart() -> None:
    touched = Touched()
    new = sum(touched.first(point) for point in POINTS)

    assert new >= 0.99 * len(POINTS)
    assert not any(touched.first(point) for point in POINTS)


def test_no_two_rollouts_share_what_they_have_seen() -> None:
    one, other = Touched(), Touched()
    one.first(POINTS[0])

    assert other.first(POINTS[0])


def test_the_points_at_both_ends_have_their_places() -> None:
    touched = Touched()

    assert touched.first(0.0)
    assert touched.first((2**53 - 1) / 2**53)
    assert not touched.first(2.0**-BITS * 0.0)


def test_entities_that_are_taken_for_one_have_their_roles_by_chance() -> None:
    split = Split("credit", 1, "credit:1", 1, 20.0)
    touched, taken_for_another = Touched(), []
    for number in range(300_000):
        point = sticky_point(b"key", "credit:1", str(number))
        if not touched.first(point):
            taken_for_another.append(assign(split, point))

    share = ALL * taken_for_another.count(Role.CANARY) / len(taken_for_another)
    assert 18.0 < share < 22.0


def test_points_that_differ_in_role_alone_share_a_place() -> None:
    touched = Touched()
    touched.first(0.25)

    assert not touched.first(0.75)
