"""The sample-ratio guard: whether the canary gets the share of requests that it should get.

Under a working split each request is drawn to the canary with the probability of its share. If requests of one role
are lost, counted twice or drawn otherwise, the two roles do not see the same traffic, and nothing can be concluded from
them. The guard is an e-process against "the share is as set": a mixture of likelihood ratios with its logit moved.
"""

import math
from dataclasses import dataclass

from serinus.core.eprocess import log_mean

SHIFTS = tuple(sign * shift for shift in (0.05, 0.1, 0.2, 0.5) for sign in (-1.0, 1.0))
"""How far the logit of the share may be off, each with the same weight."""
ALARM = math.log(1e4)
"""From this evidence on the split is taken for broken: of 10,000 that work, one at most is ever."""


@dataclass(frozen=True, slots=True)
class RatioGuard:
    """The logarithms of the evidence so far, one for each of ``SHIFTS``."""

    logs: tuple[float, ...] = (0.0,) * len(SHIFTS)

    @property
    def log(self) -> float:
        """The logarithm of the evidence that the split does not work as set."""
        return log_mean(self.logs, [1.0 / len(SHIFTS)] * len(SHIFTS))

    @property
    def alarmed(self) -> bool:
        """Whether the split is taken for broken."""
        return self.log >= ALARM

    def after(self, share: float, canary: float, baseline: float) -> "RatioGuard":
        """Take in the requests of both roles under one share, in (0, 1)."""
        logit = math.log(share / (1.0 - share))
        moved = []
        for log, shift in zip(self.logs, SHIFTS, strict=True):
            other = 1.0 / (1.0 + math.exp(-(logit + shift)))
            worth = canary * math.log(other / share) + baseline * math.log((1.0 - other) / (1.0 - share))
            moved.append(log + worth)
        return RatioGuard(tuple(moved))
