"""Values that more than one test of the core needs."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from hypothesis import strategies as st

from serinus.core.commands import Command, Create, Promote, StartCanary
from serinus.core.deployment import Deployment
from serinus.core.errors import InvalidInput
from serinus.core.evidence import Counts, bucket_of
from serinus.core.lifecycle import apply
from serinus.core.names import VersionRef
from serinus.core.policy import Settings

T = TypeVar("T")

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STABLE, CANARY, LATER = VersionRef("churn", 1), VersionRef("churn", 2), VersionRef("churn", 3)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**400])
    | st.floats()
    | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
"""Anything that a JSON parser may hand over: NaN, infinities, huge integers and lone surrogates among it."""


def attempted(act: Callable[[], T]) -> T | InvalidInput:
    """Give what ``act`` gives, or the refusal it meets; any other error passes."""
    try:
        return act()
    except InvalidInput as refused:
        return refused


def lived(*commands: Command, settings: Settings | None = None) -> Deployment:
    """Give a deployment of ``STABLE`` after these commands, a minute apart."""
    created = Create(name="churn-prod", baseline=STABLE, settings=settings or Settings())
    state, _ = apply(None, created, NOW)
    for minute, command in enumerate(commands, start=1):
        state, _ = apply(state, command, NOW + timedelta(minutes=minute))
    return state


def promoted(times: int) -> Deployment:
    """Give a deployment that promoted versions 2, 3 … one after the other."""
    versions = [VersionRef("churn", number) for number in range(2, times + 2)]
    return lived(*(c for version in versions for c in (StartCanary(canary=version, weight=50), Promote())))


def counted(requests: int, *, failed: int = 0, at_ms: Mapping[float, int] | float = 20.0) -> Counts:
    """Give an arm's counts; ``at_ms`` is one latency for all requests, or how many had which."""
    latencies = at_ms if isinstance(at_ms, Mapping) else {at_ms: requests}
    latency: dict[int, int] = {}
    for ms, count in latencies.items():
        latency[bucket_of(ms)] = latency.get(bucket_of(ms), 0) + count
    return Counts(requests=requests, model_errors=failed, latency={i: n for i, n in latency.items() if n})
