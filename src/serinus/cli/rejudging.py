"""A rollout judged again from the looks on record: by its own policy, to the same verdicts, or by another one."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, repeat, tee
from typing import Any

from serinus.core.errors import InvalidInput
from serinus.core.evidence import NOTHING, Counts
from serinus.core.judge import Recommendation, Verdict, judge
from serinus.core.looks import Look, decoded_look, replayed
from serinus.core.policy import Policy, SequentialPolicy, ThresholdPolicy, policy_over
from serinus.core.verdicts import encoded_verdict

Document = dict[str, Any]


@dataclass
class Course:
    """What verdicts asked for, look by look: the first promotion, the first rollback, and how it stood at the end."""

    policy: object = None
    promotion: Document | None = None
    rollback: Document | None = None
    last: Document = field(default_factory=dict)

    def take(self, row: Mapping[str, Any], verdict: Mapping[str, Any], started_at: object) -> None:
        """Take in the verdict of a look."""
        if self.policy is None:
            self.policy = verdict.get("policy")
        told = {"at": row.get("at"), "after_s": _after_s(row, started_at), "look": row.get("id")}
        told["reason"] = verdict.get("reason")
        wanted = verdict.get("recommendation")
        if wanted == Recommendation.PROMOTE and self.promotion is None:
            self.promotion = told
        if wanted == Recommendation.ROLLBACK and self.rollback is None:
            self.rollback = told
        self.last = {"at": row.get("at"), "health": verdict.get("health"), "reason": verdict.get("reason")}

    def document(self) -> Document:
        """Give it as JSON values."""
        return {"policy": self.policy, "promotion": self.promotion, "rollback": self.rollback, "last": self.last}


def rejudged(rows: Iterable[Document], started_at: object, read_other: Callable[[Policy], Policy] | None) -> Document:
    """Judge a rollout again.

    Args:
        rows: its looks, oldest first, as the API gives them.
        started_at: when it began, in ISO 8601.
        read_other: gives another policy to judge it by, from the one by which it began to be judged.

    Returns:
        How many looks there were, how many of the verdicts on record are the same to the byte (``same``), the
        ``first_difference``, what was asked for on record (``recorded``) and under the other policy (``other``).
    """
    looks, same, difference = 0, 0, None
    recorded, other = Course(), Course()
    # All of them go forward together, so that no more than a page is ever held.
    rows, own, policies, others = tee(rows, 4)
    again = replayed((look_in(row) for row in own), (sequential_in(row) for row in policies))
    for row, judged, otherwise in zip(rows, again, _otherwise(others, read_other), strict=True):
        on_record, verdict = row.get("verdict") or {}, encoded_verdict(judged.verdict)
        looks += 1
        if _text(verdict) == _text(on_record):
            same += 1
        elif difference is None:
            difference = {"look": row.get("id"), "at": row.get("at"), "recorded": on_record, "replayed": verdict}
        recorded.take(row, on_record, started_at)
        if otherwise is not None:
            other.take(row, encoded_verdict(otherwise), started_at)
    return {
        "looks": looks,
        "same": same,
        "first_difference": difference,
        "recorded": recorded.document() if looks else None,
        "other": other.document() if read_other else None,
    }


def _otherwise(rows: Iterator[Document], read_other: Callable[[Policy], Policy] | None) -> Iterator[Verdict | None]:
    if read_other is None:
        yield from (None for _ in rows)
        return
    for first in rows:
        policy = read_other(sequential_in(first))
        yield from judged_by(policy, (look_in(row) for row in chain([first], rows)))


def judged_by(policy: Policy, looks: Iterable[Look]) -> Iterator[Verdict]:
    """Give the verdict that a policy comes to at each look."""
    if isinstance(policy, SequentialPolicy):
        return (judged.verdict for judged in replayed(looks, repeat(policy)))
    if isinstance(policy, ThresholdPolicy):
        return _by_window(policy, looks)
    raise InvalidInput(f"The policy {policy.name!r} cannot be replayed.", field="--policy")


def _by_window(policy: ThresholdPolicy, looks: Iterable[Look]) -> Iterator[Verdict]:
    """Judge what came in during the window before each check; between two checks the last verdict stands."""
    window: deque[tuple[float, Counts, Counts]] = deque()
    canary, baseline, elapsed_s, due_s = NOTHING, NOTHING, 0.0, 0.0
    verdict: Verdict | None = None
    for look in looks:
        elapsed_s += look.elapsed_s
        came = [sum((getattr(each, role) for each in look.slices), NOTHING) for role in ("canary", "baseline")]
        window.append((elapsed_s, came[0], came[1]))
        canary, baseline = canary + came[0], baseline + came[1]
        while window[0][0] <= elapsed_s - policy.window_s:
            _, gone_canary, gone_baseline = window.popleft()
            canary, baseline = canary - gone_canary, baseline - gone_baseline
        if verdict is None or elapsed_s >= due_s:
            verdict, due_s = judge(policy, baseline, canary), elapsed_s + policy.interval_s
        yield verdict


def look_in(row: Mapping[str, Any]) -> Look:
    """Read what a look took in; InvalidInput if it is something else."""
    return decoded_look(row.get("look"))


def sequential_in(row: Mapping[str, Any]) -> SequentialPolicy:
    """Read the policy that a look was judged by; InvalidInput if it is none that can be replayed."""
    values = row.get("policy")
    policy = policy_over(SequentialPolicy(), values) if isinstance(values, Mapping) else None
    if not isinstance(policy, SequentialPolicy):
        raise InvalidInput(
            f"Look {row.get('id')} was not judged by a sequential policy.",
            field="rollout",
            remedy="Only what a sequential policy has judged can be replayed.",
        )
    return policy


def _text(verdict: Mapping[str, Any]) -> str:
    return json.dumps(verdict, sort_keys=True)


def _after_s(row: Mapping[str, Any], started_at: object) -> float | None:
    try:
        return (datetime.fromisoformat(str(row.get("at"))) - datetime.fromisoformat(str(started_at))).total_seconds()
    except (TypeError, ValueError):
        return None
