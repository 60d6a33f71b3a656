"""Evidence as Redis keeps it: which of it has to be written, and reading it, whatever is found."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from serinus.core.evidence import Counts, Evidence, Key
from serinus.core.records import EvidenceReport, decoded_evidence, encoded_evidence

WHOLE_S = 2.0
"""How often all evidence is written, changed or not, so that a Redis that was emptied is whole again."""


@dataclass(slots=True)
class _Written:
    """What was last written of one process: evidence and its text by rollout, and when all of it was."""

    rollouts: dict[str, tuple[Evidence, str]] = field(default_factory=dict)
    whole_at: float = -math.inf


@dataclass(frozen=True, slots=True)
class Writing:
    """What is to be written of a report: text by rollout."""

    report: EvidenceReport
    rollouts: Mapping[str, tuple[Evidence, str]]
    changed: tuple[str, ...]

    @property
    def field(self) -> str:
        """The name under which a process's evidence stands."""
        return json.dumps([self.report.gateway, self.report.boot])

    def arguments(self) -> list[str]:
        """Give size and evidence of each changed rollout, as the script takes them."""
        chosen = [self.rollouts[rollout] for rollout in self.changed]
        return [each for evidence, text in chosen for each in (str(_size(evidence)), text)]


class Reported:
    """Remembers what was written of each process."""

    def __init__(self) -> None:
        self._written: dict[tuple[str, str], _Written] = {}

    def writing(self, report: EvidenceReport, now: float) -> Writing:
        """Give what has to be written: what has changed, or everything if it is time."""
        written = self._written.get((report.gateway, report.boot), _Written())
        whole = now - written.whole_at >= WHOLE_S
        rollouts, changed = {}, []
        for rollout, evidence in _by_rollout(report.evidence).items():
            last = written.rollouts.get(rollout)
            if last is not None and last[0] == evidence:
                rollouts[rollout] = last
            else:
                rollouts[rollout] = (evidence, json.dumps(encoded_evidence(evidence), separators=(",", ":")))
            if whole or rollouts[rollout] is not last:
                changed.append(rollout)
        return Writing(report, rollouts, tuple(changed))

    def done(self, writing: Writing, now: float) -> None:
        """Note that it was written."""
        written = self._written.setdefault((writing.report.gateway, writing.report.boot), _Written())
        written.rollouts = dict(writing.rollouts)
        if len(writing.changed) == len(writing.rollouts):
            written.whole_at = now


def read(rollout: str, name: str, value: str) -> EvidenceReport:
    """Read one process's evidence of a rollout; ValueError or TypeError if it is something else."""
    try:
        gateway, boot = json.loads(name)
        _, _, raw = json.loads(value)
    except RecursionError as depth:
        raise ValueError(depth) from depth
    if not isinstance(gateway, str) or not isinstance(boot, str):
        message = f"{name!r} is not a gateway process"
        raise TypeError(message)
    evidence = decoded_evidence(raw)
    if not all(key.rollout == rollout and math.isfinite(counts.latency_sum_ms) for key, counts in evidence.items()):
        message = f"it is not the evidence of {rollout!r}"
        raise ValueError(message)
    return EvidenceReport(gateway, boot, evidence)


def _by_rollout(evidence: Evidence) -> dict[str, dict[Key, Counts]]:
    parts: dict[str, dict[Key, Counts]] = {}
    for key, counts in evidence.items():
        parts.setdefault(key.rollout, {})[key] = counts
    return parts


def _size(evidence: Evidence) -> int:
    return EvidenceReport("", "", evidence).size
