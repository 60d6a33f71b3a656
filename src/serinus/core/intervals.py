"""Bounds that hold at every look at once, to be shown beside a verdict; no decision rests on them.

A mixture of likelihood ratios over all rates, Beta(1/2, 1/2), is a test martingale for the rate p that a stream has, so
that by Ville's inequality it reaches 1/a with probability at most a; the rates that it has not refused are the bounds.
Where the rate moves, they bound its average so far (the ratio is linear in each request's rate, and a product of such
factors is at most that at their mean). For a quantile the stream is "at most the quantile", whose rate is known.

Sources: Robbins, Statistical methods related to the law of the iterated logarithm (1970); Howard and Ramdas, Sequential
estimation of quantiles (arXiv 1906.09712).
"""

import math
from collections.abc import Callable, Mapping

from serinus.core.evidence import GROWTH, LAST_BUCKET

Interval = tuple[float, float]
_STEPS = 40


def rate_interval(ones: float, requests: float, alpha: float) -> Interval:
    """Bound the rate of a stream with ``ones`` among its ``requests``, wrongly with probability alpha at most, ever."""
    if not requests:
        return 0.0, 1.0
    found = ones / requests
    allowed = _mixture(ones, requests) - math.log(1.0 / alpha)
    return _crossing(found, 0.0, ones, requests, allowed), _crossing(found, 1.0, ones, requests, allowed)


def difference(canary: Interval, baseline: Interval) -> Interval:
    """Bound the difference of two numbers; where each is wrong with probability a, this is with 2 a at most."""
    return canary[0] - baseline[1], canary[1] - baseline[0]


def quantile_interval(latency: Mapping[int, float], q: float, alpha: float) -> Interval | None:
    """Bound a quantile of latencies in log buckets, in milliseconds; None while there is no bound on one side.

    The lower bound is a bucket's lower edge, the upper bound an upper one.
    """
    requests = sum(latency.values())
    least, most = _ranks(requests, q, alpha)
    if least < 1.0 or most > requests:
        return None
    low = high = None
    seen = 0.0
    for index, count in sorted(latency.items()):
        seen += count
        if low is None and seen >= least:
            low = GROWTH ** (index - 1) if index else 0.0
        if high is None and seen >= most and index < LAST_BUCKET:  # the last has no upper edge
            high = GROWTH**index
    return None if low is None or high is None else (round(low, 3), round(high, 3))


def _ranks(requests: float, q: float, alpha: float) -> tuple[float, float]:
    """Give the least and the greatest number of requests that may be at most the quantile."""
    limit = math.log(1.0 / alpha)

    def refused(ones: float) -> bool:
        return _mixture(ones, requests) - _likelihood(q, ones, requests) >= limit

    if not requests:
        return 0.0, 1.0
    least = _edge(0.0, q * requests, refused) if refused(0.0) else 0.0
    most = _edge(requests, q * requests, refused) if refused(requests) else requests + 1.0
    return math.floor(least), math.ceil(most)


def _edge(outside: float, inside: float, refused: Callable[[float], bool]) -> float:
    for _ in range(_STEPS):
        middle = 0.5 * (outside + inside)
        if refused(middle):
            outside = middle
        else:
            inside = middle
    return outside


def _crossing(inside: float, outside: float, ones: float, requests: float, allowed: float) -> float:
    """Find the rate between what was found and an end, from which on the stream speaks against it."""
    if _likelihood(outside, ones, requests) >= allowed:
        return outside
    for _ in range(_STEPS):
        middle = 0.5 * (inside + outside)
        if _likelihood(middle, ones, requests) >= allowed:
            inside = middle
        else:
            outside = middle
    return outside


def _mixture(ones: float, requests: float) -> float:
    """Give the logarithm of the mean likelihood over Beta(1/2, 1/2)."""
    zeros = requests - ones
    return math.lgamma(ones + 0.5) + math.lgamma(zeros + 0.5) - math.lgamma(requests + 1.0) - math.log(math.pi)


def _likelihood(rate: float, ones: float, requests: float) -> float:
    zeros = requests - ones
    if (ones and rate <= 0.0) or (zeros and rate >= 1.0):
        return -math.inf
    return (ones * math.log(rate) if ones else 0.0) + (zeros * math.log1p(-rate) if zeros else 0.0)
