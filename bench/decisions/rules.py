"""Rules of other systems, at the defaults or the examples of their documentation, for many rollouts at once.

Each looks at errors alone but Flagger's, which has a limit for p99 as well.
"""

import math
from dataclasses import dataclass

import numpy as np

from serinus.core.eprocess import Alternative, factors
from serinus.simulation.evidence import Floats, Ints, Mask
from serinus.simulation.rollout import PROMOTED, ROLLED_BACK
from serinus.simulation.traffic import Source, Tick

ALPHA = 0.01


class Totals:
    """A rule that looks at the totals of a rollout so far: ``evidence`` gives the rows to roll back."""

    def __init__(self, source: Source) -> None:
        self.canary, self.canary_failed, self.baseline, self.baseline_failed = np.zeros((4, source.rollouts))

    def look(self, tick: Tick) -> Ints:
        """Add a tick, and decide."""
        self.canary += tick.canary
        self.canary_failed += tick.canary_failed
        self.baseline += tick.baseline
        self.baseline_failed += tick.baseline_failed
        with np.errstate(divide="ignore", invalid="ignore"):
            found = self.found(tick)
        return np.where(found, ROLLED_BACK, 0)

    def keep(self, rows: Mask) -> None:
        """Go on with some rows alone."""
        for name in ("canary", "canary_failed", "baseline", "baseline_failed"):
            setattr(self, name, getattr(self, name)[rows])

    def found(self, tick: Tick) -> Mask:
        """Say which canaries are worse."""
        raise NotImplementedError

    @property
    def difference(self) -> Floats:
        """How much more the canaries failed."""
        return np.asarray(self.canary_failed / self.canary - self.baseline_failed / self.baseline)

    @property
    def variance(self) -> Floats:
        """Of that difference."""
        c, b = self.canary_failed / self.canary, self.baseline_failed / self.baseline
        return np.asarray(c * (1 - c) / self.canary + b * (1 - b) / self.baseline)


class GrowthBook(Totals):
    """An asymptotic confidence sequence for the difference (Waudby-Smith et al., arXiv 2103.06476, equations 9, 161).

    As growthbook/growthbook 612b7308, packages/stats/gbstats/frequentist/tests.py does it, with the tuning parameter
    5000. Two-sided; a canary is rolled back when all of the interval is above 0.
    """

    TUNING = 5000.0

    def found(self, tick: Tick) -> Mask:
        n = self.canary + self.baseline
        rho2 = (-2.0 * math.log(ALPHA) + math.log(-2.0 * math.log(ALPHA) + 1.0)) / self.TUNING
        spread = n * rho2 + 1.0
        half = np.sqrt(self.variance * n * 2.0 * spread * np.log(np.sqrt(spread) / ALPHA) / (n**2 * rho2))
        return np.asarray((self.variance > 0.0) & (self.difference > half))


class MixtureSprt(Totals):
    """The mixture SPRT of Johari et al. (arXiv 1512.04922), a normal mixture of differences around 0.

    Its standard deviation is two points; a canary is rolled back when the likelihood ratio reaches 1/alpha and it
    fails more.
    """

    TAU2 = 0.02**2

    def found(self, tick: Tick) -> Mask:
        variance, difference = self.variance, self.difference
        log = 0.5 * np.log(variance / (variance + self.TAU2))
        log += self.TAU2 * difference**2 / (2.0 * variance * (variance + self.TAU2))
        return np.asarray((variance > 0.0) & (difference > 0.0) & (log >= -math.log(ALPHA)))


class LindonMalek(Totals):
    """The sequential multinomial test of Lindon and Malek (arXiv 2011.03567) on errors alone.

    Under the null each error is the canary's with the probability of its share; a Dirichlet of concentration 100 is
    mixed over. Each split begins anew, and the evidence of all is multiplied.
    """

    CONCENTRATION = 100.0

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.share = math.nan
        self.past, self.log, self.canary_before, self.baseline_before = np.zeros((4, source.rollouts))

    def found(self, tick: Tick) -> Mask:
        if tick.share != self.share:
            self.share = tick.share
            self.past = self.past + self.log
            self.canary_before = self.canary_failed - tick.canary_failed
            self.baseline_before = self.baseline_failed - tick.baseline_failed
        canary, baseline = self.canary_failed - self.canary_before, self.baseline_failed - self.baseline_before
        self.log = log_multinomial(canary, baseline, tick.share, self.CONCENTRATION)
        more = self.canary_failed / self.canary > self.baseline_failed / self.baseline
        return np.asarray(more & (self.past + self.log >= -math.log(ALPHA)))

    def keep(self, rows: Mask) -> None:
        super().keep(rows)
        for name in ("past", "log", "canary_before", "baseline_before"):
            setattr(self, name, getattr(self, name)[rows])


def log_multinomial(canary: Floats, baseline: Floats, share: float, concentration: float) -> Floats:
    """Give the logarithm of the evidence that errors are not shared as requests are."""
    a, b = concentration * share, concentration * (1.0 - share)
    ratio = _log_beta(a + canary, b + baseline) - _log_beta(np.asarray(a), np.asarray(b))
    return np.asarray(ratio - canary * math.log(share) - baseline * math.log(1.0 - share))


def _log_beta(a: Floats, b: Floats) -> Floats:
    gamma = np.vectorize(math.lgamma, otypes=[float])
    return np.asarray(gamma(a) + gamma(b) - gamma(a + b))


class Oracle(Totals):
    """Wald's test that is told both rates: nothing is faster, and nobody can have it."""

    def __init__(self, source: Source, alternative: Alternative, tolerance: float = 0.005) -> None:
        super().__init__(source)
        self.alternative, self.tolerance, self.log = alternative, tolerance, np.zeros(source.rollouts)

    def found(self, tick: Tick) -> Mask:
        worth = factors(self.alternative, tick.share, self.tolerance)
        self.log = self.log + tick.canary_failed * worth.canary_one + tick.baseline_failed * worth.baseline_one
        self.log += (tick.canary - tick.canary_failed) * worth.canary_zero
        self.log += (tick.baseline - tick.baseline_failed) * worth.baseline_zero
        return np.asarray(self.log >= -math.log(ALPHA))

    def keep(self, rows: Mask) -> None:
        super().keep(rows)
        self.log = self.log[rows]


@dataclass
class Flagger:
    """Each minute: the canary's own success rate below 99 %, or its p99 above 500 ms, is a failed check.

    Failed checks add up and never reset; no traffic is one. At ``threshold`` of them it is rolled back, after
    ``passes`` good ones promoted (the documented example: 5, and ten steps of 5 %). fluxcd/flagger 15bd6ad5,
    pkg/controller/scheduler.go and scheduler_metrics.go.
    """

    rollouts: int
    threshold: int = 5
    passes: int = 10

    def __post_init__(self) -> None:
        self.failed, self.passed = np.zeros((2, self.rollouts), np.int64)

    def look(self, tick: Tick) -> Ints:
        slow = np.full(len(tick.canary), 314)  # the bucket that ends at 502 ms
        beyond, _ = tick.canary_beyond(slow, slow)
        bad = (tick.canary == 0) | (tick.canary_failed > 0.01 * tick.canary) | (beyond > 0.01 * tick.canary)
        self.failed += bad
        self.passed += ~bad
        decided = np.where(self.passed >= self.passes, PROMOTED, 0)
        return np.where(self.failed >= self.threshold, ROLLED_BACK, decided)

    def keep(self, rows: Mask) -> None:
        self.failed, self.passed = self.failed[rows], self.passed[rows]


@dataclass
class Argo:
    """Every five minutes the canary's success rate over these is 95 % at least, or the measurement has failed.

    The documented example (argoproj/argo-rollouts 010ad554, docs/features/analysis.md): with ``failureLimit`` 3 the
    fourth failure ends it; ten measurements promote. No data is an error; the fifth in a row ends it (the default
    limit is 4).
    """

    rollouts: int
    failure_limit: int = 3
    count: int = 10

    def __post_init__(self) -> None:
        self.failed, self.errors, self.measured = np.zeros((3, self.rollouts), np.int64)

    def look(self, tick: Tick) -> Ints:
        nothing = tick.canary == 0
        self.errors = np.where(nothing, self.errors + 1, 0)
        self.failed += ~nothing & (tick.canary_failed > 0.05 * tick.canary)
        self.measured += ~nothing
        decided = np.where(self.measured >= self.count, PROMOTED, 0)
        return np.where((self.failed > self.failure_limit) | (self.errors > 4), ROLLED_BACK, decided)  # noqa: PLR2004

    def keep(self, rows: Mask) -> None:
        self.failed, self.errors, self.measured = self.failed[rows], self.errors[rows], self.measured[rows]


@dataclass
class Kayenta:
    """Mann-Whitney of the error rates of each minute, every half an hour over all of them; promoted after three hours.

    High, and so rolled back where the metric is critical: the lower end of the 98 % interval of the shift is above a
    quarter of its Hodges-Lehmann estimate. spinnaker/kayenta, kayenta-judge/src/main/scala/com/netflix/kayenta/judge:
    NetflixACAJudge.scala at 8a754a16 (0.25, 0.98), classifiers/metric/MannWhitneyClassifier.scala at 5e8bc1a6. The
    interval is the normal approximation on the ordered differences, as R's wilcox.test has it from 50 values on,
    without its correction for ties.
    """

    rollouts: int
    every: int = 30
    lasts: int = 180
    Z98 = 2.3263478740408408

    def __post_init__(self) -> None:
        self.series: list[Floats] = []

    def look(self, tick: Tick) -> Ints:
        with np.errstate(divide="ignore", invalid="ignore"):
            rates = np.stack([tick.canary_failed / tick.canary, tick.baseline_failed / tick.baseline])
        self.series.append(np.nan_to_num(rates))
        minutes = len(self.series)
        if minutes % self.every:
            return np.zeros(len(tick.canary), np.int64)
        whole = np.stack(self.series, axis=2)
        high = np.array([self._high(canary, baseline) for canary, baseline in zip(*whole, strict=True)])
        return np.where(high, ROLLED_BACK, PROMOTED if minutes >= self.lasts else 0)

    def keep(self, rows: Mask) -> None:
        self.series = [each[:, rows] for each in self.series]

    def _high(self, canary: Floats, baseline: Floats) -> bool:
        n = len(canary)
        differences = np.sort((canary[:, None] - baseline).reshape(-1))
        place = int(n * n / 2 - self.Z98 * math.sqrt(n * n * (2 * n + 1) / 12))
        return bool(differences[max(place, 0)] > 0.25 * abs(np.median(differences)))
