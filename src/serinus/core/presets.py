"""Plans that are there from the start, by name."""

from collections.abc import Mapping
from types import MappingProxyType

from serinus.core.plan import Plan, Step, StepKind

_MINUTE, _HOUR = 60.0, 3600.0


def _weight(percent: float) -> Step:
    return Step(StepKind.SET_WEIGHT, weight=percent)


def _pause(duration_s: float, min_samples: int) -> Step:
    return Step(StepKind.PAUSE, duration_s=duration_s, min_samples=min_samples)


_APPROVAL = Step(StepKind.APPROVAL)
_PROMOTE = Step(StepKind.PROMOTE)

_CAREFUL = Plan(
    "careful",
    (
        _weight(1.0),
        _pause(15 * _MINUTE, 500),
        _weight(5.0),
        _pause(30 * _MINUTE, 1000),
        _weight(10.0),
        _pause(_HOUR, 2000),
        _weight(25.0),
        _pause(_HOUR, 2000),
        _weight(50.0),
        _pause(2 * _HOUR, 5000),
        _APPROVAL,
        _weight(100.0),
        _PROMOTE,
    ),
    holdback_weight=10.0,
    holdback_s=_HOUR,
)
_STANDARD = Plan(
    "standard",
    (
        _weight(1.0),
        _pause(2 * _MINUTE, 50),
        _weight(5.0),
        _pause(5 * _MINUTE, 200),
        _weight(20.0),
        _pause(5 * _MINUTE, 500),
        _weight(50.0),
        _pause(5 * _MINUTE, 500),
        _weight(100.0),
        _PROMOTE,
    ),
    holdback_s=10 * _MINUTE,
)
_FAST = Plan("fast", (_weight(10.0), _weight(50.0), _weight(100.0), _PROMOTE))
_ARTICLE = Plan(
    "article",
    (_weight(20.0), _APPROVAL, _weight(50.0), _APPROVAL, _weight(100.0), _PROMOTE),
    policy={"name": "threshold"},
    holdback_weight=0.0,
)

PRESETS: Mapping[str, Plan] = MappingProxyType({plan.name: plan for plan in (_CAREFUL, _STANDARD, _FAST, _ARTICLE)})
ABOUT: Mapping[str, str] = MappingProxyType(
    {
        "careful": "five hours of small steps, and a person's word before the last",
        "standard": "a good quarter of an hour, as far as the evidence goes along",
        "fast": "as fast as the evidence allows",
        "article": "the shares of the article by a person's word, and its rule",
    }
)
"""What each of them is for."""
