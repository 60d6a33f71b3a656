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
from serinus.core.expected import HALF_LIFE_S, NEAREST, Expected, Slow, decoded_expected, encoded_expected, inside
from serinus.core.policy import SequentialPolicy
from serinus.core.ratio import RatioGuard

EFFECTS = (0.004, 0.01, 0.025, 0.06, 0.15, 0.35, 0.80)
"""How much more than the tolerance a bad canary may fail, as differences of rates; each has the same weight."""
HARMLESS = ((1.0, 0.0, 0.6), (1.0, 0.25, 0.2), (0.5, 0.0, 0.2))
"""What a good canary's error rate may be: times the baseline's, plus so much of the margin; and the weight of that."""
SLOWER = (1.3, 1.7, 2.5, 4.0, 8.0, 20.0)
"""How many times the odds of a slow answer of a bad canary may be as great as the baseline's."""
FASTER = (1 / 2, 1 / 4, 1 / 8, 1 / 20)
"""How many times those of a good canary, to be slower by the whole margin, may be as great."""

AT_THE_START, AT_CHANGES, LATER = 0.74, 0.02, 0.237
"""Prior mass of a break: at the start, shared by the first changes of split, and spread over the horizon."""
CHANGES = 4
ERRORS_WEIGHT, LATENCY_WEIGHT = 0.6, 0.4


_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Slice:
    """What both roles did under one split since the last look.

    ``share`` is the canary's, in [0, 1]; with one that is 0 or 1 there is nothing to compare. ``each_counts`` is what
    one request weighs, in (0, 1]: less than 1 where several counts may be of one entity.
    """

    share: float
    canary: Counts
    baseline: Counts
    each_counts: float = 1.0


@dataclass(frozen=True, slots=True)
class Rise:
    """Since when there has been evidence against a canary without a break, and how often it was bad itself since."""

    since_s: float
    seen: float


@dataclass(frozen=True, slots=True)
class SequentialTest:
    """How far the evidence has come; ``worse`` and ``slower`` speak for a rollback, ``sound`` and ``fast`` against one.

    ``recent`` is what the canary did of late, decayed as what is ``expected`` of the baseline is. ``guard`` watches the
    split itself. ``changes`` counts the changes of split, ``elapsed_s`` the seconds up to the last look;
    ``worse_rise`` and ``slower_rise`` tell of the growth of the evidence against the canary, and ``seen_s`` when each
    role (the canary, the baseline) last had a request. ``alone``: the canary has all of the traffic, so that there is
    nothing to compare it with but what the baseline did before.
    """

    worse: Mixture = field(default_factory=lambda: Mixture.of(len(EFFECTS)))
    sound: Mixture = field(default_factory=lambda: Mixture.of(len(HARMLESS)))
    slower: Mixture = field(default_factory=lambda: Mixture.of(len(SLOWER)))
    fast: Mixture = field(default_factory=lambda: Mixture.of(len(FASTER)))
    expected: Expected = field(default_factory=Expected)
    recent: tuple[float, float] = (0.0, 0.0)
    guard: RatioGuard = field(default_factory=RatioGuard)
    looks: int = 0
    changes: int = 0
    elapsed_s: float = 0.0
    worse_rise: Rise | None = None
    slower_rise: Rise | None = None
    seen_s: tuple[float, float] = (0.0, 0.0)
    alone: bool = False

    @property
    def compares_latency(self) -> bool:
        """Whether enough is known of the baseline's latency to compare with it."""
        return self.slower.unspent < 1.0

    @property
    def recent_difference(self) -> float:
        """How much more the canary fails than the baseline of late, as a difference of rates."""
        requests, errors = self.recent
        more = errors / requests if requests else 0.0
        return more - (self.expected.errors / self.expected.requests if self.expected.requests else 0.0)

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
        """Take in a look; what a split did that gives one role nothing is no evidence.

        Args:
            policy: margins and tolerances, which stay the same over a rollout.
            slices: what came since the last look, one for each split; the order does not matter to the guarantee.
            elapsed_s: seconds since the last look. changed: whether the split changed since.
        """
        prior = self._prior(policy, elapsed_s, changed=changed)
        worse, sound = self.worse.begun(prior), self.sound.begun(prior)
        slower, fast, slow = self.slower, self.fast, self.expected.slow()
        if slow is not None:  # a comparison that begins later has all of its prior before it
            first = prior if self.compares_latency else max(prior, AT_THE_START)
            slower, fast = slower.begun(first), fast.begun(first)
        expected = self.expected.after(NOTHING, elapsed_s)
        rate, guard, now_s = self.expected.error_rate, self.guard, self.elapsed_s + elapsed_s
        kept = 0.5 ** (elapsed_s / HALF_LIFE_S)
        requests, errors = (count * kept for count in self.recent)
        seen_s, failed, slowed, alone = self.seen_s, 0.0, 0.0, self.alone
        for each in slices:
            seen_s = (now_s if each.canary.requests else seen_s[0], now_s if each.baseline.requests else seen_s[1])
            alone = each.share >= 1.0
            if not 0.0 < each.share < 1.0:
                expected = expected.after(each.baseline, 0.0)
                requests, errors = requests + each.canary.requests, errors + each.canary.failed
                continue
            seen = _errors(each)
            failed += seen.canary_ones
            worse = worse.after(_above(_worse(policy, rate), each.share, policy.tolerated_errors, seen))
            sound = sound.after(_below(_sound(policy, rate), each.share, policy.error_margin, seen))
            if slow is not None:
                tolerated = _slow(each, slow, _tolerated(policy, slow.bucket))
                critical = _slow(each, slow, _critical(policy, slow.bucket))
                slowed += tolerated.canary_ones
                slower = slower.after(_above(_odds(slow.tail, SLOWER), each.share, 0.0, tolerated))
                fast = fast.after(_below(_odds(slow.tail, FASTER), each.share, 0.0, critical))
            weight = each.each_counts
            guard = guard.after(each.share, weight * each.canary.requests, weight * each.baseline.requests)
            requests, errors = requests + each.canary.requests, errors + each.canary.failed
            expected = expected.after(each.baseline, 0.0)
        looked = replace(
            self,
            worse=worse,
            sound=sound,
            slower=slower,
            fast=fast,
            expected=expected,
            recent=(requests, errors),
            guard=guard,
            looks=self.looks + 1,
            changes=self.changes + changed,
            elapsed_s=now_s,
            seen_s=seen_s,
            alone=alone,
        )
        return replace(
            looked,
            worse_rise=_rise(self.worse_rise, looked.errors_against, failed, self.elapsed_s),
            slower_rise=_rise(self.slower_rise, looked.latency_against, slowed, self.elapsed_s),
        )

    def begun_anew(self) -> "SequentialTest":
        """Begin another test, with all that is known of the baseline, and no evidence."""
        return SequentialTest(expected=self.expected)

    def _prior(self, policy: SequentialPolicy, elapsed_s: float, *, changed: bool) -> float:
        """Give the prior mass of a break at this look; over a horizon it adds up to less than 1."""
        if not self.looks:
            return AT_THE_START
        at_change = AT_CHANGES / CHANGES if changed and self.changes < CHANGES else 0.0
        left_s = max(policy.horizon_s - self.elapsed_s, 0.0)
        return at_change + LATER * min(elapsed_s, left_s) / policy.horizon_s


def _rise(before: Rise | None, against: float, seen: float, started_s: float) -> Rise | None:
    if against <= NEAREST:
        return None
    return Rise(started_s, seen) if before is None else replace(before, seen=before.seen + seen)


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
    return [Alternative(inside(rate + policy.tolerated_errors + effect), inside(rate)) for effect in EFFECTS]


def _sound(policy: SequentialPolicy, rate: float) -> list[Alternative]:
    return [Alternative(inside(rate * times + policy.error_margin * part), inside(rate)) for times, part, _ in HARMLESS]


def _odds(tail: float, multiples: Sequence[float]) -> list[Alternative]:
    odds = tail / (1.0 - tail)
    return [Alternative(inside(odds * times / (1.0 + odds * times)), tail) for times in multiples]


def _errors(seen: Slice) -> Outcomes:
    canary, baseline = seen.canary, seen.baseline
    return Outcomes(
        canary.failed, canary.requests - canary.failed, baseline.failed, baseline.requests - baseline.failed
    ).weighing(seen.each_counts)


def _slow(seen: Slice, slow: Slow, canarys: int) -> Outcomes:
    """Count the baseline's requests that are slow, and the canary's beyond a bucket."""
    canary, baseline = _beyond(seen.canary, canarys), _beyond(seen.baseline, slow.bucket)
    baseline += slow.part * seen.baseline.latency.get(slow.bucket, 0)
    of_canary, of_baseline = sum(seen.canary.latency.values()), sum(seen.baseline.latency.values())
    return Outcomes(canary, of_canary - canary, baseline, of_baseline - baseline).weighing(seen.each_counts)


def _beyond(counts: Counts, bucket: int) -> float:
    return sum(count for index, count in counts.latency.items() if index > bucket)


def _tolerated(policy: SequentialPolicy, bucket: int) -> int:
    """Give the bucket beyond which an answer is slower than tolerated: its edge is rounded up."""
    return math.ceil(_index(GROWTH**bucket + policy.tolerated_p95_ms) - _ROUNDING)


def _critical(policy: SequentialPolicy, bucket: int) -> int:
    """Give the bucket beyond which an answer may be slower by the margin: its edge is rounded down."""
    return math.floor(_index(GROWTH**bucket + policy.p95_margin_ms) + _ROUNDING)


def _index(ms: float) -> float:
    return math.log(ms) / math.log(GROWTH)


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
        "expected": encoded_expected(test.expected),
        "recent": list(test.recent),
        "guard": list(test.guard.logs),
        "rises": [each and [each.since_s, each.seen] for each in (test.worse_rise, test.slower_rise)],
        "seen": list(test.seen_s),
        "alone": test.alone,
    }
    for name in _MIXTURES:
        mixture: Mixture = getattr(test, name)
        logs = [None if log == -math.inf else log for log in mixture.logs]
        document[name] = {"logs": logs, "unspent": mixture.unspent}
    return document


def decoded(document: object) -> SequentialTest:
    """Read what was kept; InvalidInput where it is of another version, or no test."""
    if not isinstance(document, Mapping) or document.get("version") != VERSION or document.get("version") is True:
        version = document.get("version") if isinstance(document, Mapping) else None
        raise InvalidInput(
            f"The evidence on record is of version {version!r}, and not of {VERSION}.",
            field="test",
            remedy="Let the release that wrote it go on, or start the canary anew.",
        )
    try:
        worse_rise, slower_rise = document["rises"]
        fresh = SequentialTest()
        return SequentialTest(
            **{name: _mixture(document[name], len(getattr(fresh, name).logs)) for name in _MIXTURES},
            expected=decoded_expected(document["expected"]),
            recent=_pair(document["recent"]),
            guard=_guard(document["guard"]),
            worse_rise=worse_rise and Rise(*_pair(worse_rise)),
            slower_rise=slower_rise and Rise(*_pair(slower_rise)),
            seen_s=_pair(document["seen"]),
            alone=bool(document["alone"]),
            looks=int(document["looks"]),
            changes=int(document["changes"]),
            elapsed_s=float(document["elapsed_s"]),
        )
    except (KeyError, TypeError, ValueError) as wrong:
        raise InvalidInput(
            "The evidence on record cannot be read.", field="test", remedy="Start the canary anew."
        ) from wrong


def _pair(values: Sequence[float]) -> tuple[float, float]:
    one, other = values
    return float(one), float(other)


def _guard(logs: Sequence[float]) -> RatioGuard:
    if len(logs) != len(RatioGuard().logs):
        raise ValueError(logs)
    return RatioGuard(tuple(float(log) for log in logs))


def _mixture(document: Mapping[str, Any], alternatives: int) -> Mixture:
    logs = tuple(-math.inf if log is None else float(log) for log in document["logs"])
    if len(logs) != alternatives:
        raise ValueError(logs)
    return Mixture(logs, float(document["unspent"]))
