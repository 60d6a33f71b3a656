"""What may replace what on a board, decided on values alone; the boards only keep it and tell of it."""

from dataclasses import replace

from serinus.core.errors import Deposed
from serinus.core.routing import Cut, Split


def published(present: object, new: Split, promoted: str = "") -> Split | None:
    """Give the split to put up in place of what a board keeps now; None if that is to stay.

    A newer generation stays, and so does a promised cut of the rollout that the new split makes the baseline of. What
    is malformed stands in nobody's way. A cut that is up stays for as long as its rollout does.
    """
    up = Split.decoded(present)
    if up is None:
        return new
    if up.generation > new.generation:
        return None
    if promoted and up.rollout == promoted and up.cut is not None and up.cut.promised:
        return None
    return replace(new, cut=up.cut) if up.cut is not None and up.rollout == new.rollout else new


def cut_off(present: object, cut: Cut, expected_generation: int | None) -> Split | None:
    """Give the split with its canary cut off, by this cut or the one before it; None if there is nothing to cut."""
    up = Split.decoded(present)
    if up is None or not up.rollout or expected_generation not in {None, up.generation}:
        return None
    return up if up.cut is not None else replace(up, cut=cut)


def promised(present: object, cut: Cut) -> Split | None:
    """Give the split with its cut as promised; None where another cut is up, or none."""
    up = Split.decoded(present)
    if up is None or up.cut is None or not cut.is_repeated_by(up.cut):
        return None
    return replace(up, cut=replace(up.cut, promised=True))


def deposed(term: int, newest: int) -> Deposed:
    """Give the error for a checker of an older term."""
    return Deposed(
        f"The checker of term {term} leads no more: term {newest} has begun.",
        remedy="Nothing is to be done: the one that leads now goes on.",
        term=term,
        newest=newest,
    )
