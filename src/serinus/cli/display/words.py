"""Facts as words, at a terminal: those of ``serinus.words``, and what is typed here."""

from serinus.words import (
    MISSING,
    ago,
    ahead,
    clock,
    count,
    listed,
    mapped,
    milliseconds,
    number,
    odds,
    pairs,
    plain,
    points,
    rate,
    read_time,
    rows,
    scalar,
    seconds,
    size,
    weight,
)

__all__ = [
    "MISSING",
    "ago",
    "ahead",
    "clock",
    "commands",
    "count",
    "listed",
    "mapped",
    "milliseconds",
    "number",
    "odds",
    "pairs",
    "plain",
    "points",
    "rate",
    "read_time",
    "rows",
    "scalar",
    "seconds",
    "size",
    "weight",
]

_TYPED = {"set weight": "traffic"}
"""What is typed here for a command that the API names otherwise."""


def commands(possible: object) -> str:
    """Write the commands that a server allows as they are typed here."""
    return ", ".join(plain(_TYPED.get(str(name), name)) for name in listed(possible))
