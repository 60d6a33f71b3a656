"""Spans of time as documents have them: 30s, 5m, 1h30m."""

import re
from decimal import Decimal

from serinus.core.errors import InvalidInput

_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,30})?"
PATTERN = rf"^(?:{_NUMBER}[smhd])+$"
"""What a duration looks like; one unit or more, each of them once or oftener, added up."""
_PART = re.compile(rf"({_NUMBER})([smhd])")
_SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


def read_duration(text: str) -> float:
    """Read a duration as seconds; InvalidInput for anything else."""
    if not re.fullmatch(PATTERN[1:-1], text):
        raise InvalidInput(f"{text!r} is not a duration.", remedy="Give a number and its unit: 30s, 5m, 1h30m or 2d.")
    return float(sum(Decimal(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))


def write_duration(seconds: float) -> str:
    """Write seconds so that they are read again as the same number."""
    if seconds != int(seconds):
        return f"{Decimal(repr(seconds)):f}s"
    left, parts = int(seconds), []
    for unit, length in _SECONDS.items():
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
