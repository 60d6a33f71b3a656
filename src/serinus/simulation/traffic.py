"""Made-up traffic of many rollouts at once: what both roles do between two looks, drawn at random from a seed."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from serinus.simulation.evidence import Floats, Ints, Latencies, Mask, Window
from serinus.simulation.latency import Latency, window_of


@dataclass(frozen=True, slots=True)
class Incidents:
    """Troubles that both roles share: so many an hour, each so long, with so many more errors and slower answers."""

    per_hour: float = 0.5
    lasts_s: float = 120.0
    errors: float = 0.10
    slower: float = 2.0


@dataclass(frozen=True, slots=True)
class Entities:
    """Sticky traffic: a population of callers that come in bursts, each with its own rate of errors.

    ``count`` callers; a burst is of ``burst`` requests on average (geometric), which fail all or none; callers' error
    rates vary with the beta distribution of ``evenness`` (the less, the more they differ). ``first_touch``: only the
    first request of a caller is counted; otherwise all are.
    """

    count: int = 20_000
    burst: float = 10.0
    evenness: float = 2.0
    first_touch: bool = True


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a rollout meets.

    ``per_s``: requests a second (Poisson), of both roles. ``shares``: the canary's, from a second on, ramps included.
    ``errors``: the baseline's rate of errors, from a second on; linear between two. ``effect``: how much more the
    canary fails, as a difference of rates; ``slower_ms``: by how much its p95 is slower (all its answers take longer by
    the same factor); both from ``breaks_at_s`` on.
    """

    per_s: float = 10.0
    shares: tuple[tuple[float, float], ...] = ((0.0, 0.20),)
    errors: tuple[tuple[float, float], ...] = ((0.0, 0.002),)
    effect: float = 0.0
    slower_ms: float = 0.0
    breaks_at_s: float = 0.0
    latency: Latency = field(default_factory=Latency)
    incidents: Incidents | None = None
    entities: Entities | None = None

    def share_at(self, second: float) -> float:
        """Give the canary's share from that second on."""
        return next(share for begins, share in reversed(self.shares) if begins <= second)

    def errors_at(self, second: float) -> float:
        """Give the baseline's error rate at that second, without incidents."""
        seconds, rates = ([point[place] for point in self.errors] for place in (0, 1))
        return float(np.interp(second, seconds, rates))


class Tick:
    """What happened between two looks, under one split. Latencies are drawn when they are asked for."""

    def __init__(  # what a tick is made of, by the one that makes it
        self,
        source: "Source",
        second: float,
        lasts_s: float,
        share: float,
        counts: tuple[Ints, Ints, Ints, Ints],
        troubled: Mask,
    ) -> None:
        self.second, self.lasts_s, self.share = second, lasts_s, share
        self.canary, self.canary_failed, self.baseline, self.baseline_failed = counts
        self._source, self._troubled = source, troubled

    @cached_property
    def _broken(self) -> bool:
        return self.second >= self._source.traffic.breaks_at_s

    def canary_beyond(self, tolerated: Ints, critical: Ints) -> tuple[Ints, Ints]:
        """Draw how many of the canary's answers are beyond one bucket, and how many of these beyond another one."""
        table = self._source.beyond[int(self._broken)]
        state = self._troubled.astype(np.int64)
        first, second = table[state, tolerated], table[state, critical]
        slow = self._source.random.binomial(self.canary, first)
        ratio = np.divide(second, first, out=np.zeros_like(second), where=first > 0.0)
        return slow, self._source.random.binomial(slow, ratio)

    def baseline_latencies(self, window: Window) -> Latencies:
        """Draw the baseline's answers, told apart inside of a window."""
        return self._drawn(self.baseline, self._source.beyond[0], window)

    def canary_latencies(self, window: Window) -> Latencies:
        """Draw the canary's answers, told apart inside of a window."""
        return self._drawn(self.canary, self._source.beyond[int(self._broken)], window)

    def _drawn(self, requests: Ints, beyond: Floats, window: Window) -> Latencies:
        random, state = self._source.random, self._troubled.astype(np.int64)
        slow = random.binomial(requests, beyond[state, window.first])
        if slow.sum() > len(slow) * window.cells:
            return self._counted(requests, slow, beyond, window)
        row = np.repeat(np.arange(len(requests)), slow)
        bucket = np.empty(len(row), np.int64)
        for troubled in (0, 1) if self._troubled.any() else (0,):
            at = state[row] == troubled
            survival = beyond[troubled]
            point = random.random(int(at.sum())) * survival[window.first]
            # The bucket i with beyond[i] <= point < beyond[i - 1].
            bucket[at] = np.searchsorted(-survival, -point, side="left")
        fast = requests - slow
        return Latencies(
            np.concatenate([np.arange(len(requests)), row]),
            np.concatenate([np.full(len(requests), window.first), bucket]),
            np.concatenate([fast, np.ones(len(row), np.int64)]),
        )

    def _counted(self, requests: Ints, slow: Ints, beyond: Floats, window: Window) -> Latencies:
        """Draw how many of the slow ones are in each bucket, where these are fewer than they."""
        cells = np.zeros((len(requests), window.cells), np.int64)
        for troubled in (False, True):
            rows = self._troubled == troubled
            survival = beyond[int(troubled), window.first : window.last + 1].copy()
            survival[-1] = 0.0  # what is slower still is in the last one
            chances = -np.diff(survival) / survival[0]
            cells[rows, 1:] = self._source.random.multinomial(slow[rows], chances)
        cells[:, 0] = requests - slow
        row, cell = np.indices(cells.shape)
        return Latencies(row.reshape(-1), (cell + window.first).reshape(-1), cells.reshape(-1))


class Source:
    """Draws the ticks of many rollouts, one after the other."""

    def __init__(self, traffic: Traffic, rollouts: int, seed: int) -> None:
        self.traffic = traffic
        self.random = np.random.Generator(np.random.SFC64(seed))
        trouble = traffic.incidents.slower if traffic.incidents else 1.0
        slowed = traffic.latency.slowed(traffic.slower_ms)
        # By whether the canary is broken, whether there is an incident, and bucket.
        self.beyond: Floats = np.array(
            [[traffic.latency.buckets_beyond(own * shared) for shared in (1.0, trouble)] for own in (1.0, slowed)]
        )
        self.window = window_of([*self.beyond[0]])
        self._troubled_until = np.full(rollouts, -1.0)
        self._entities = _Population(traffic, rollouts, self.random) if traffic.entities else None

    @property
    def rollouts(self) -> int:
        """How many go on."""
        return len(self._troubled_until)

    def tick(self, second: float, lasts_s: float) -> Tick:
        """Draw what happens from a second on, for so long, under the split of that second."""
        share, troubled = self.traffic.share_at(second), self._troubles(second, lasts_s)
        baseline = np.full(len(troubled), self.traffic.errors_at(second + lasts_s / 2))
        if self.traffic.incidents:
            baseline = np.minimum(baseline + self.traffic.incidents.errors * troubled, 1.0)
        effect = self.traffic.effect if second >= self.traffic.breaks_at_s else 0.0
        if self._entities:
            counts = self._entities.counts(share, baseline, effect, lasts_s)
        else:
            counts = self._counts(share, baseline, np.clip(baseline + effect, 0.0, 1.0), lasts_s)
        return Tick(self, second, lasts_s, share, counts, troubled)

    def past(self, lasts_s: float) -> Tick:
        """Draw what the baselines did before the rollouts began: all traffic was theirs, without incidents."""
        nothing = np.zeros(len(self._troubled_until), np.int64)
        baseline = self.random.poisson(self.traffic.per_s * lasts_s, len(nothing))
        failed = self.random.binomial(baseline, self.traffic.errors_at(0.0))
        return Tick(self, -lasts_s, lasts_s, 0.0, (nothing, nothing, baseline, failed), nothing > 0)

    def keep(self, rows: Mask) -> None:
        """Go on with some rollouts alone."""
        self._troubled_until = self._troubled_until[rows]
        if self._entities:
            self._entities.keep(rows)

    def _troubles(self, second: float, lasts_s: float) -> Mask:
        incidents = self.traffic.incidents
        if incidents is not None:
            begins = self.random.random(len(self._troubled_until)) < incidents.per_hour * lasts_s / 3600.0
            self._troubled_until[begins] = second + incidents.lasts_s
        return np.asarray(self._troubled_until > second)

    def _counts(self, share: float, baseline: Floats, canary: Floats, lasts_s: float) -> tuple[Ints, Ints, Ints, Ints]:
        expected = self.traffic.per_s * lasts_s
        of_canary = self.random.poisson(expected * share, len(baseline))
        of_baseline = self.random.poisson(expected * (1.0 - share), len(baseline))
        return (
            of_canary,
            self.random.binomial(of_canary, canary),
            of_baseline,
            self.random.binomial(of_baseline, baseline),
        )


class _Population:
    """Callers that stay with the role they were given, by rollout and role (canary, baseline)."""

    def __init__(self, traffic: Traffic, rollouts: int, random: np.random.Generator) -> None:
        entities = traffic.entities
        if entities is None:
            raise AssertionError(traffic)
        self.random, self.per_s, self.entities = random, traffic.per_s, entities
        of_canary = random.binomial(entities.count, traffic.share_at(0.0), rollouts)
        self.size = np.stack([of_canary, entities.count - of_canary])
        self.unseen = self.size.copy()
        # The mean of n beta(a, b) rates, as normal: n is large, and what matters is that the roles differ for good.
        p = traffic.errors_at(0.0)
        deviation = np.sqrt(p * (1.0 - p) / (1.0 + entities.evenness) / np.maximum(self.size, 1))
        self.shift = random.normal(size=self.size.shape) * deviation

    def counts(self, share: float, baseline: Floats, effect: float, lasts_s: float) -> tuple[Ints, Ints, Ints, Ints]:
        """Draw requests and failures of both roles, counted as they are told to be."""
        rates = np.clip(np.stack([baseline + effect, baseline]), 0.0, 1.0)
        bursts_each = self.per_s * lasts_s / self.entities.burst / self.entities.count
        if self.entities.first_touch:
            seen = self.random.binomial(self.unseen, -np.expm1(-bursts_each))
            self.unseen -= seen
            failed = self.random.binomial(seen, rates)
        else:
            bursts = self.random.poisson(bursts_each * self.size)
            failing = self.random.binomial(bursts, np.clip(rates + self.shift, 0.0, 1.0))
            failed = self._requests(failing)
            seen = failed + self._requests(bursts - failing)
        return seen[0], failed[0], seen[1], failed[1]

    def keep(self, rows: Mask) -> None:
        """Go on with some rollouts alone."""
        self.size, self.unseen, self.shift = self.size[:, rows], self.unseen[:, rows], self.shift[:, rows]

    def _requests(self, bursts: Ints) -> Ints:
        further = np.zeros_like(bursts)
        some = bursts > 0
        further[some] = self.random.negative_binomial(bursts[some], 1.0 / self.entities.burst)
        return bursts + further
