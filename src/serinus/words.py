"""Facts of the API as words: shares, times, sizes. Whatever a newer server sends becomes some text, never an error."""

import math
from datetime import UTC, datetime
from typing import Any

MISSING = "-"
SMALL_RATE = 0.001
"""Below this a rate is written with two significant digits."""
THOUSAND = 1000
HUNDREDTH = 0.01
MILLION = 1e6


def plain(value: object) -> str:
    """Give a value as text in which nothing can steer the terminal."""
    if value is None:
        return MISSING
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in str(value))


def mapped(value: object) -> dict[str, Any]:
    """Read a JSON object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list[Any]:
    """Read a JSON array; an empty one for anything else."""
    return value if isinstance(value, list) else []


def rows(document: object, name: str) -> list[dict[str, Any]]:
    """Read an array of objects from a document."""
    return [row for row in listed(mapped(document).get(name)) if isinstance(row, dict)]


def number(value: object) -> float | None:
    """Read a JSON number; None for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def count(value: object) -> str:
    """Write a count with its thousands apart."""
    n = number(value)
    return MISSING if n is None else f"{n:,.0f}".replace(",", " ")


def weight(value: object) -> str:
    """Write a share of traffic, which is in percent already."""
    n = number(value)
    return MISSING if n is None else f"{n:g} %"


def rate(value: object) -> str:
    """Write a rate in [0, 1] in percent, with enough digits to tell a small one from none."""
    n = number(value)
    if n is None:
        return MISSING
    return f"{n * 100:.1f} %" if n == 0 or abs(n) >= SMALL_RATE else f"{n * 100:.2g} %"


def milliseconds(value: object) -> str:
    """Write a duration in milliseconds."""
    n = number(value)
    if n is None:
        return MISSING
    return f"{n:.0f} ms" if abs(n) >= THOUSAND else f"{n:.1f} ms"


def points(value: object) -> str:
    """Write a difference of rates in points, without its sign."""
    n = number(value)
    if n is None:
        return MISSING
    return "1 point" if n == HUNDREDTH else f"{n * 100:.4g} points"


def odds(value: object) -> str:
    """Write evidence, whose natural logarithm is given, as odds: 412:1, or 1:49 where it speaks for the contrary."""
    log = number(value)
    if log is None:
        return MISSING
    many = ">1e6" if abs(log) > math.log(MILLION) else count(math.exp(abs(log)))
    return f"{many}:1" if log >= 0 else f"1:{many}"


def seconds(value: object) -> str:
    """Write a span of seconds in the unit that fits."""
    n = number(value)
    if n is None:
        return MISSING
    for size, unit in ((3600, "h"), (60, "min")):
        if n >= size and n % size == 0:
            return f"{n / size:g} {unit}"
    return f"{n:g} s"


def size(value: object) -> str:
    """Write a number of bytes."""
    n = number(value)
    if n is None:
        return MISSING
    for unit in ("B", "kB", "MB"):
        if n < THOUSAND:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= THOUSAND
    return f"{n:.1f} GB"


def read_time(value: object) -> datetime | None:
    """Read an ISO 8601 time; one without a zone is UTC. None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def ago(value: object, now: datetime) -> str:
    """Write how long ago something was; a clock that is ahead of ours gives "just now"."""
    moment = read_time(value)
    if moment is None:
        return plain(value)
    passed = (now - moment).total_seconds()
    if passed < 1:
        return "just now"
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if passed >= length:
            return f"{passed // length:.0f} {unit} ago"
    return f"{passed // 1:.0f} s ago"


def ahead(value: object, now: datetime) -> str:
    """Write how long it is until something; what should have been is due now."""
    moment = read_time(value)
    if moment is None:
        return plain(value)
    left = (moment - now).total_seconds()
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if left >= 2 * length:
            return f"in {left // length:.0f} {unit}"
    return f"in {left:.0f} s" if left >= 1 else "now"


def clock(value: object) -> str:
    """Write when something was, in local time."""
    moment = read_time(value)
    return plain(value) if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def scalar(value: Any) -> str:
    """Write a metric, a parameter or a setting."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return plain(value)


def pairs(values: object) -> str:
    """Write ``{name: value}`` on one line."""
    if not isinstance(values, dict) or not values:
        return MISSING
    return ", ".join(f"{plain(name)} {scalar(value)}" for name, value in values.items())
