"""How fast a line of requests moves on, and so whether it is worth waiting in. No I/O here."""

PATIENCE_SHARE = 0.5
"""The part of its time that a request may be expected to wait behind others; who would wait longer is refused."""
_NEWEST = 0.2
"""How much the newest measurement counts."""


class Pace:
    """The moving average of how long each request takes while others wait for it: without, it says nothing of waiting.

    Of a model that never answers nothing is known, so its requests wait, are late, and speak against it.
    """

    def __init__(self) -> None:
        self._each_s: float | None = None

    def note(self, each_s: float) -> None:
        """Take a measurement in, of requests that were answered while others waited."""
        known = self._each_s
        self._each_s = each_s if known is None else known + _NEWEST * (each_s - known)

    def is_too_slow(self, waiting: int, timeout_s: float) -> bool:
        """Say whether the last of so many would wait for too much of its time."""
        return self._each_s is not None and waiting * self._each_s > timeout_s * PATIENCE_SHARE
