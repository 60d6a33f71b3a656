"""The HealthChecker: gather, judge, decide, act, record."""

from serinus.checker.checker import HealthChecker
from serinus.checker.watch import KEPT_IN_MEMORY, Watch

__all__ = ["KEPT_IN_MEMORY", "HealthChecker", "Watch"]
