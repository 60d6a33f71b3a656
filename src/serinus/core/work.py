"""What a predictor has done, as running counts."""

from dataclasses import dataclass


@dataclass(slots=True)
class Work:
    """Counts since a version was loaded.

    ``requests`` were handed to the model in ``batches``; they had waited for it ``waited_s`` seconds in all, and the
    model itself took ``took_s``. ``ends``: how often a process of it ended by itself. ``offline``: whether it has no
    network.
    """

    requests: int = 0
    batches: int = 0
    waited_s: float = 0.0
    took_s: float = 0.0
    ends: int = 0
    offline: bool = False

    def __add__(self, other: "Work") -> "Work":
        """Add the counts of two."""
        return Work(
            self.requests + other.requests,
            self.batches + other.batches,
            self.waited_s + other.waited_s,
            self.took_s + other.took_s,
            self.ends + other.ends,
            other.offline,
        )
