"""The sequential test of a rollout: what each look at the evidence adds, and how much it all says so far.

It takes in what every split did since the last look, compares the two roles inside that slice alone, and remembers
logarithms of e-values; so it may look as often as it likes, and neither a common drift nor a ramp misleads it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from serinus.core.eprocess import Alternative, Mixture, Outcomes, factors, log_mean
from serinus.core.errors import InvalidInput
from serinus.core.evidence import GROWTH, NOTHING, Counts
from serinus.core.policy import SequentialPolicy

EFFECTS = (0.004, 0.01, 0.025, 0.06, 0.15, 0.35, 0.80)
"""How much more than the tolerance a bad canary may fail, as differences of rates; each has the same weight."""
HARMLESS = ((1.0, 0.0, 0.6), (1.0, 0.25, 0.2), (0.5, 0.0, 0.2))
"""What a good canary's error rate may be: times the baseline's, plus so much of the margin; and the weight of that."""
SLOWER = (1.3, 1.7, 2.5, 4.0, 8.0, 20.0)
"""How many times the odds of a slow answer of a bad canary may be as great as the baseline's."""
FASTER = (1 / 2, 1 / 4, 1 / 8, 1 / 20)
"""How many times those of a good canary, to be slower by the whole margin, may be as great."""

AT_THE_START, AT_CHANGES, LATER = 0.80, 0.05, 0.147
"""Prior mass of a break: at the start, shared by the first changes of split, and spread over the horizon."""
CHANGES = 4
ERRORS_WEIGHT, LATENCY_WEIGHT = 0.6, 0.4

HALF_LIFE_S = 600.0
"""What the baseline did counts half after so long in what is expected of it next."""
PRIOR_ERRORS, PRIOR_REQUESTS = 1.0, 50.0
LEAST_RATE = 1e-4
QUANTILE = 0.95
WARM = 100
"""Baseline requests from which on its p95 is known well enough to compare latencies with it."""
_NEAREST = 1e-6
_ROUNDING = 1e-9
_NOTICED = 1e-3


@dataclass(frozen=True, slots=True)
class Slice:
    """What both roles did under one split since the last look; ``share`` is the canary's, in (0, 1)."""

    share: float
    canary: Counts
    baseline: Counts


@dataclass(frozen=True, slots=True)
class Expected:
    """What the baseline's past says of its next requests: decayed counts of requests, errors and latency buckets."""

    requests: float = 0.0
    errors: float = 0.0
    latency: Mapping[int, float] = field(default_factory=dict)

    @property
    def error_rate(self) -> float:
        """The rate of errors that is expected."""
        return max((self.errors + PRIOR_ERRORS) / (self.requests + PRIOR_REQUESTS), LEAST_RATE)

    def after(self, seen: Counts, elapsed_s: float) -> "Expected":
        """Let time pass, and take in what the baseline did meanwhile."""
        kept = 0.5 ** (elapsed_s / HALF_LIFE_S)
        latency = {index: count * kept for index, count in self.latency.items() if count * kept > _NOTICED}
        for index, count in seen.latency.items():
            latency[index] = latency.get(index, 0.0) + count
        return Expected(
            self.requests * kept + seen.requests, self.errors * kept + seen.failed, dict(sorted(latency.items()))
        )

    def slow(self) -> tuple[int, float] | None:
        """Give the bucket that holds the p95, and the share of requests beyond it; None while too few are known."""
        total = sum(self.latency.values())
        if total < WARM:
            return None
        rank, below = QUANTILE * total, 0.0
        for index, count in self.latency.items():
            below += count
            if below >= rank:
                return index, _inside((total - below + 1.0) / (total + 20.0))
        raise AssertionError(rank)  # the counts add up to their total


@dataclass(frozen=True, slots=True)
class SequentialTest:
    """How far the evidence has come; ``worse`` and ``slower`` speak for a rollback, ``sound`` and ``fast`` against one.

    ``changes`` counts the changes of split, ``elapsed_s`` the time since the first look.
    """

    worse: Mixture = field(default_factory=lambda: Mixture.of(len(EFFECTS)))
    sound: Mixture = field(default_factory=lambda: Mixture.of(len(HARMLESS)))
    slower: Mixture = field(default_factory=lambda: Mixture.of(len(SLOWER)))
    fast: Mixture = field(default_factory=lambda: Mixture.of(len(FASTER)))
    expected: Expected = field(default_factory=Expected)
    looks: int = 0
    changes: int = 0
    elapsed_s: float = 0.0

    @property
    def errors_against(self) -> float:
        """The logarithm of the evidence that it fails more than tolerated."""
        return self.worse.log([1.0 / len(EFFECTS)] * len(EFFECTS))

    @property
    def latency_against(self) -> float:
        """The logarithm of the evidence that its p95 is slower than tolerated."""
        return self.slower.log([1.0 / len(SLOWER)] * len(SLOWER))

    @property
    def against(self) -> float:
        """The logarithm of the evidence that the canary is worse than tolerated, by errors or by latency."""
        return log_mean([self.errors_against, self.latency_against], [ERRORS_WEIGHT, LATENCY_WEIGHT])

    @property
    def errors_for(self) -> float:
        """The logarithm of the evidence that it fails less than the margin more."""
        return self.sound.log([weight for *_, weight in HARMLESS])

    @property
    def latency_for(self) -> float:
        """The logarithm of the evidence that its p95 is less than the margin slower."""
        return self.fast.log([1.0 / len(FASTER)] * len(FASTER))

    def after(
        self, policy: SequentialPolicy, slices: Sequence[Slice], elapsed_s: float, *, changed: bool
    ) -> "SequentialTest":
        """Take in a look.

        Args:
            policy: margins and tolerances, which stay the same over a rollout.
            slices: what came since the last look, one for each split; the order does not matter to the guarantee.
            elapsed_s: seconds since the last look. changed: whether the split changed since.
        """
        prior = self._prior(policy, elapsed_s, changed=changed)
        worse, sound = self.worse.begun(prior), self.sound.begun(prior)
        slower, fast, slow = self.slower, self.fast, self.expected.slow()
        if slow is not None:  # a comparison that begins later has all of its prior before it
            first = prior if self._compares_latency else max(prior, AT_THE_START)
            slower, fast = slower.begun(first), fast.begun(first)
        expected = self.expected.after(NOTHING, elapsed_s)
        rate = self.expected.error_rate
        for each in slices:
            seen = _errors(each)
            worse = worse.after(_above(_worse(policy, rate), each.share, policy.tolerated_errors, seen))
            sound = sound.after(_below(_sound(policy, rate), each.share, policy.error_margin, seen))
            if slow is not None:
                bucket, tail = slow
                tolerated = _slow(each, bucket, _tolerated(policy, bucket))
                critical = _slow(each, bucket, _critical(policy, bucket))
                slower = slower.after(_above(_odds(tail, SLOWER), each.share, 0.0, tolerated))
                fast = fast.after(_below(_odds(tail, FASTER), each.share, 0.0, critical))
            expected = expected.after(each.baseline, 0.0)
        return replace(
            self,
            worse=worse,
            sound=sound,
            slower=slower,
            fast=fast,
            expected=expected,
            looks=self.looks + 1,
            changes=self.changes + changed,
            elapsed_s=self.elapsed_s + elapsed_s,
        )

    @property
    def _compares_latency(self) -> bool:
        return self.slower.unspent < 1.0

    def _prior(self, policy: SequentialPolicy, elapsed_s: float, *, changed: bool) -> float:
        """Give the prior mass of a break at this look; over a horizon it adds up to less than 1."""
        if not self.looks:
            return AT_THE_START
        at_change = AT_CHANGES / CHANGES if changed and self.changes < CHANGES else 0.0
        left_s = max(policy.horizon_s - self.elapsed_s, 0.0)
        return at_change + LATER * min(elapsed_s, left_s) / policy.horizon_s


def _above(alternatives: Sequence[Alternative], share: float, gap: float, seen: Outcomes) -> list[float]:
    """Weigh what was seen against the claim that the canary's rate is at most ``gap`` above the baseline's."""
    # Near 1 there is no room for some alternatives: inside of the null they would be no evidence.
    outside = [each.canary > each.baseline + gap for each in alternatives]
    return [factors(each, share, gap).of(seen) if out else 0.0 for each, out in zip(alternatives, outside, strict=True)]


def _below(alternatives: Sequence[Alternative], share: float, gap: float, seen: Outcomes) -> list[float]:
    """Weigh what was seen against the claim that the canary's rate is at least ``gap`` above the baseline's."""
    outside = [each.canary < each.baseline + gap < 1.0 for each in alternatives]
    return [factors(each, share, gap).of(seen) if out else 0.0 for each, out in zip(alternatives, outside, strict=True)]


def _worse(policy: SequentialPolicy, rate: float) -> list[Alternative]:
    return [Alternative(_inside(rate + policy.tolerated_errors + effect), _inside(rate)) for effect in EFFECTS]


def _sound(policy: SequentialPolicy, rate: float) -> list[Alternative]:
    return [
        Alternative(_inside(rate * times + policy.error_margin * part), _inside(rate)) for times, part, _ in HARMLESS
    ]


def _odds(tail: float, multiples: Sequence[float]) -> list[Alternative]:
    odds = tail / (1.0 - tail)
    return [Alternative(_inside(odds * times / (1.0 + odds * times)), tail) for times in multiples]


def _errors(seen: Slice) -> Outcomes:
    canary, baseline = seen.canary, seen.baseline
    return Outcomes(
        canary.failed, canary.requests - canary.failed, baseline.failed, baseline.requests - baseline.failed
    )


def _slow(seen: Slice, bucket: int, canarys: int) -> Outcomes:
    """Count the baseline's requests beyond a bucket, and the canary's beyond another."""
    canary, baseline = _beyond(seen.canary, canarys), _beyond(seen.baseline, bucket)
    of_canary, of_baseline = sum(seen.canary.latency.values()), sum(seen.baseline.latency.values())
    return Outcomes(canary, of_canary - canary, baseline, of_baseline - baseline)


def _beyond(counts: Counts, bucket: int) -> int:
    return sum(count for index, count in counts.latency.items() if index > bucket)


def _tolerated(policy: SequentialPolicy, bucket: int) -> int:
    """Give the bucket beyond which an answer is slower than tolerated: its edge is rounded up."""
    return math.ceil(_index(GROWTH**bucket + policy.tolerated_p95_ms) - _ROUNDING)


def _critical(policy: SequentialPolicy, bucket: int) -> int:
    """Give the bucket beyond which an answer may be slower by the margin: its edge is rounded down."""
    return math.floor(_index(GROWTH**bucket + policy.p95_margin_ms) + _ROUNDING)


def _index(ms: float) -> float:
    return math.log(ms) / math.log(GROWTH)


def _inside(probability: float) -> float:
    return min(max(probability, _NEAREST), 1.0 - _NEAREST)


# ------------------------------------------------------------------------------------------- on record

VERSION = 1
"""Of what ``encoded`` gives; evidence of another version is refused, never misread."""

_MIXTURES = ("worse", "sound", "slower", "fast")


def encoded(test: SequentialTest) -> dict[str, object]:
    """Give the plain mapping that is kept with a check; reading it back gives the same test to the last bit."""
    document: dict[str, object] = {
        "version": VERSION,
        "looks": test.looks,
        "changes": test.changes,
        "elapsed_s": test.elapsed_s,
        "expected": [test.expected.requests, test.expected.errors],
        "latency": [[index, count] for index, count in test.expected.latency.items()],
    }
    for name in _MIXTURES:
        mixture: Mixture = getattr(test, name)
        logs = [None if log == -math.inf else log for log in mixture.logs]
        document[name] = {"logs": logs, "unspent": mixture.unspent}
    return document


def decoded(document: object) -> SequentialTest:
    """Read what was kept; InvalidInput where it is of another version, or no test."""
    if not isinstance(document, Mapping) or document.get("version") != VERSION:
        version = document.get("version") if isinstance(document, Mapping) else None
        raise InvalidInput(
            f"The evidence on record is of version {version!r}, and not of {VERSION}.",
            field="test",
            remedy="Let the release that wrote it go on, or start the canary anew.",
        )
    try:
        requests, errors = document["expected"]
        latency = {int(index): float(count) for index, count in document["latency"]}
        fresh = SequentialTest()
        return SequentialTest(
            **{name: _mixture(document[name], len(getattr(fresh, name).logs)) for name in _MIXTURES},
            expected=Expected(float(requests), float(errors), latency),
            looks=int(document["looks"]),
            changes=int(document["changes"]),
            elapsed_s=float(document["elapsed_s"]),
        )
    except (KeyError, TypeError, ValueError) as wrong:
        raise InvalidInput(
            "The evidence on record cannot be read.", field="test", remedy="Start the canary anew."
        ) from wrong


def _mixture(document: Mapping[str, Any], alternatives: int) -> Mixture:
    logs = tuple(-math.inf if log is None else float(log) for log in document["logs"])
    if len(logs) != alternatives:
        raise ValueError(logs)
    return Mixture(logs, float(document["unspent"]))
