"""A look of a sequential test: what came in since the last one, and what the test has come to with it.

What a look took in is kept, so that a rollout can be judged again, by its own policy or by another.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from serinus.core.assess import assess
from serinus.core.deployment import ALL, Rollout
from serinus.core.errors import InvalidInput
from serinus.core.evidence import NOTHING, Counts, Evidence, since
from serinus.core.expected import Expected, decoded_expected, encoded_expected
from serinus.core.judge import Verdict
from serinus.core.policy import SequentialPolicy
from serinus.core.routing import Role
from serinus.core.sequential import SequentialTest, Slice

LARGEST_HISTORY = 2_000.0
"""What the baseline did before a canary counts as so many requests at most in what is expected of it."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look took in: seconds since the last, whether the split changed, and what every split did meanwhile.

    ``begins`` is what was expected of the baseline where a test began with this look, else None; ``at`` when it was.
    """

    elapsed_s: float
    changed: bool
    slices: tuple[Slice, ...]
    begins: Expected | None = None
    at: datetime | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing came in."""
        return not any(each.canary.requests or each.baseline.requests for each in self.slices)


@dataclass(frozen=True, slots=True)
class Tested:
    """How far the test of a rollout has come, and the cumulative evidence it has taken in.

    ``canary`` and ``baseline`` are what each role did since the test began. A restart goes on from here, and neither
    loses nor repeats anything.
    """

    rollout: str
    policy: SequentialPolicy
    test: SequentialTest
    seen: Evidence
    begun: Evidence
    at: datetime
    split_version: int

    @property
    def canary(self) -> Counts:
        """What the canary did since the test began."""
        return self._of(Role.CANARY)

    @property
    def baseline(self) -> Counts:
        """What the baseline did since the test began."""
        return self._of(Role.BASELINE)

    @property
    def verdict(self) -> Verdict:
        """What the test has come to."""
        return assess(self.policy, self.test, self.baseline, self.canary, self.at)

    def _of(self, role: Role) -> Counts:
        total = NOTHING
        for key, counts in self.seen.items():
            if key.role is role and key.split_version:
                total += counts - self.begun.get(key, NOTHING)
        return total


def first(rollout: Rollout, policy: SequentialPolicy, history: Counts) -> Tested:
    """Begin to test a rollout; what the baseline did before is what is expected of it, and no evidence."""
    expected = _expected(history)
    test = SequentialTest(expected=expected)
    return Tested(rollout.id, policy, test, {}, {}, rollout.started_at, rollout.split_version)


def begun_anew(tested: Tested, policy: SequentialPolicy) -> Tested:
    """Begin again under another policy: the evidence so far was weighed against other claims."""
    return replace(tested, policy=policy, test=tested.test.begun_anew(), begun=tested.seen)


def taken_in(
    tested: Tested, rollout: Rollout, totals: Evidence, at: datetime, *, each_counts: float = 1.0
) -> tuple[Tested, Look]:
    """Take a look.

    Args:
        tested: how far it has come. rollout: its state, which knows the share under each split.
        totals: the cumulative evidence of the rollout. at: now.
        each_counts: what one request weighs, in (0, 1]; see ``Slice``.
    """
    elapsed_s = max((at - tested.at).total_seconds(), 0.0)
    look = Look(
        elapsed_s=elapsed_s,
        changed=rollout.split_version != tested.split_version,
        slices=_slices(rollout, since(totals, tested.seen), each_counts),
        begins=None if tested.test.looks else tested.test.expected,
        at=at,
    )
    test = tested.test.after(tested.policy, look.slices, look.elapsed_s, changed=look.changed)
    seen = _seen(rollout, totals, tested.seen)
    return replace(tested, test=test, seen=seen, at=at, split_version=rollout.split_version), look


@dataclass(frozen=True, slots=True)
class Judged:
    """What a rollout was judged to be at a look that is replayed."""

    elapsed_s: float
    look: Look
    test: SequentialTest
    verdict: Verdict


def replayed(looks: Iterable[Look], policies: Iterable[SequentialPolicy]) -> Iterator[Judged]:
    """Judge looks again, oldest first, each by the policy beside it; what was taken in is all that is needed."""
    test, canary, baseline, elapsed_s = SequentialTest(), NOTHING, NOTHING, 0.0
    for look, policy in zip(looks, policies, strict=False):
        if look.begins is not None:
            test, canary, baseline = SequentialTest(expected=look.begins), NOTHING, NOTHING
        test = test.after(policy, look.slices, look.elapsed_s, changed=look.changed)
        for each in look.slices:
            canary, baseline = canary + each.canary, baseline + each.baseline
        elapsed_s += look.elapsed_s
        yield Judged(elapsed_s, look, test, assess(policy, test, baseline, canary, look.at))


def _seen(rollout: Rollout, totals: Evidence, before: Evidence) -> Evidence:
    """Give what has been taken in; of a split whose share is not known (not yet, or no more) nothing is."""
    return {
        key: counts if not key.split_version or rollout.weight_of(key.split_version) is not None else before[key]
        for key, counts in totals.items()
        if not key.split_version or rollout.weight_of(key.split_version) is not None or key in before
    }


def _slices(rollout: Rollout, fresh: Evidence, each_counts: float) -> tuple[Slice, ...]:
    """Put together what came in under each split whose share is known; split version 0 holds what was not drawn."""
    found = []
    for split_version in sorted({key.split_version for key in fresh}):
        weight = rollout.weight_of(split_version)
        if weight is None:
            continue
        canary, baseline = (_arm(fresh, role, split_version) for role in (Role.CANARY, Role.BASELINE))
        if canary.requests or baseline.requests:
            found.append(Slice(weight / ALL, canary, baseline, each_counts))
    return tuple(found)


def _arm(fresh: Evidence, role: Role, split_version: int) -> Counts:
    total = NOTHING
    for key, counts in fresh.items():
        if key.role is role and key.split_version == split_version:
            total += counts
    # What no judgement looks at is not kept.
    return replace(total, client_errors=0, platform_errors=0, latency_sum_ms=0.0)


def _expected(history: Counts) -> Expected:
    part = min(1.0, LARGEST_HISTORY / history.requests) if history.requests else 0.0
    latency = {index: round(count * part, 2) for index, count in sorted(history.latency.items())}
    return Expected(history.requests * part, history.failed * part, latency if part else {})


# ------------------------------------------------------------------------------------------- on record


def encoded_look(look: Look) -> list[object]:
    """Give a look as compact JSON values."""
    slices = [[each.share, each.each_counts, _encoded(each.canary), _encoded(each.baseline)] for each in look.slices]
    begins = None if look.begins is None else encoded_expected(look.begins)
    return [look.elapsed_s, look.changed, slices, begins, look.at and look.at.isoformat()]


def decoded_look(raw: object) -> Look:
    """Read what ``encoded_look`` gave; InvalidInput if it is something else."""
    try:
        elapsed_s, changed, slices, begins, at = _parts(raw, 5)
        return Look(
            float(elapsed_s),
            bool(changed),
            tuple(_slice(each) for each in slices),
            None if begins is None else decoded_expected(begins),
            None if at is None else datetime.fromisoformat(at),
        )
    except (TypeError, ValueError, KeyError) as wrong:
        raise InvalidInput("A look on record cannot be read.", field="look") from wrong


def _slice(raw: object) -> Slice:
    share, each_counts, canary, baseline = _parts(raw, 4)
    return Slice(float(share), _decoded(canary), _decoded(baseline), float(each_counts))


def _encoded(counts: Counts) -> list[object]:
    return [counts.requests, counts.model_errors, counts.timeouts, [list(pair) for pair in counts.latency.items()]]


def _decoded(raw: object) -> Counts:
    requests, errors, timeouts, latency = _parts(raw, 4)
    buckets: Mapping[int, int] = {int(index): int(count) for index, count in latency}
    return Counts(requests=int(requests), model_errors=int(errors), timeouts=int(timeouts), latency=buckets)


def _parts(raw: object, number: int) -> Sequence[Any]:
    if not isinstance(raw, list) or len(raw) != number:
        raise ValueError(raw)
    return raw
