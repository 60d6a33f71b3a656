"""Exact evidence: its mean is at most 1 wherever the claim is true, and it grows as fast as any can where it is not."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from serinus.core.eprocess import Alternative, Mixture, Outcomes, factors, growth, information_limit, projected

RATES = st.floats(1e-4, 1 - 1e-4)
SHARES = st.floats(0.001, 0.999)
GAPS = st.floats(-0.5, 0.5)
LOGS = st.floats(-50, 50)


def mean(factor: object, share: float, canary: float, baseline: float) -> float:
    """Give the mean of what one request multiplies the evidence by."""
    canary_one, canary_zero, baseline_one, baseline_zero = (
        math.exp(getattr(factor, name)) for name in ("canary_one", "canary_zero", "baseline_one", "baseline_zero")
    )
    of_canary = canary * canary_one + (1 - canary) * canary_zero
    return share * of_canary + (1 - share) * (baseline * baseline_one + (1 - baseline) * baseline_zero)


@given(RATES, RATES, SHARES, GAPS, RATES, st.floats(0, 1))
def test_where_the_claim_is_true_the_evidence_does_not_grow(
    pc: float, pb: float, share: float, gap: float, baseline: float, place: float
) -> None:
    assume(abs(pc - pb - gap) > 1e-3)
    bound = baseline + gap
    assume(0.0 < bound < 1.0)
    canary = bound * place if pc > pb + gap else bound + (1.0 - bound) * place

    assert mean(factors(Alternative(pc, pb), share, gap), share, canary, baseline) <= 1 + 1e-9


@given(RATES, RATES, SHARES, GAPS)
def test_under_the_alternative_it_grows_by_what_its_information_says(
    pc: float, pb: float, share: float, gap: float
) -> None:
    assume(max(0.0, -gap) + 1e-6 < min(1.0, 1.0 - gap) - 1e-6)
    alternative = Alternative(pc, pb)
    factor = factors(alternative, share, gap)
    of_canary = pc * factor.canary_one + (1 - pc) * factor.canary_zero
    of_baseline = pb * factor.baseline_one + (1 - pb) * factor.baseline_zero

    expected = growth(alternative, share, gap)

    assert share * of_canary + (1 - share) * of_baseline == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert expected >= -1e-12


@given(RATES, RATES, SHARES, GAPS)
def test_the_projection_is_the_nearest_point_of_the_claim(pc: float, pb: float, share: float, gap: float) -> None:
    low, high = max(0.0, -gap), min(1.0, 1.0 - gap)
    assume(high - low > 1e-3)
    alternative = Alternative(pc, pb)
    p = projected(alternative, share, gap)

    def distance(at: float) -> float:
        q = at + gap
        canary = pc * math.log(pc / q) + (1 - pc) * math.log((1 - pc) / (1 - q))
        baseline = pb * math.log(pb / at) + (1 - pb) * math.log((1 - pb) / (1 - at))
        return share * canary + (1 - share) * baseline

    assert low < p < high
    for step in (-1e-4, 1e-4):
        if low < p + step < high:
            assert distance(p) <= distance(p + step) + 1e-12


def test_the_numbers_of_a_worked_example() -> None:
    alternative = Alternative(canary=0.07, baseline=0.02)

    assert projected(alternative, 0.2, 0.005) == pytest.approx(0.02790521, abs=5e-9)
    assert growth(alternative, 0.2, 0.005) == pytest.approx(0.00431380, abs=5e-9)


@pytest.mark.parametrize(
    ("baseline", "more", "limits"),
    [
        (0.002, 0.01, (3169, 3404, 4489)),
        (0.002, 0.02, (458, 510, 787)),
        (0.002, 0.05, (80, 98, 186)),
        (0.002, 0.19, (11, 17, 36)),
        (0.02, 0.01, (9974, 11594, 17808)),
        (0.02, 0.02, (1235, 1458, 2324)),
        (0.02, 0.05, (174, 214, 367)),
        (0.02, 0.19, (18, 25, 47)),
    ],
)
def test_the_information_limit_at_shares_of_5_20_and_50_percent(
    baseline: float, more: float, limits: tuple[int, ...]
) -> None:
    alternative = Alternative(baseline + more, baseline)

    for share, limit in zip((0.05, 0.2, 0.5), limits, strict=True):
        assert math.floor(information_limit(alternative, share, 0.005, 0.01)) == pytest.approx(limit, abs=1)


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4), st.lists(st.integers(0, 50), min_size=4, max_size=4))
def test_what_gateways_saw_can_be_added_up_before(one: list[int], other: list[int]) -> None:
    factor = factors(Alternative(0.07, 0.02), 0.2, 0.005)
    together = Outcomes(*(a + b for a, b in zip(one, other, strict=True)))

    assert factor.of(together) == pytest.approx(factor.of(Outcomes(*one)) + factor.of(Outcomes(*other)), abs=1e-9)


# ------------------------------------------------------------------------------------------ mixtures


def test_without_evidence_a_mixture_is_one() -> None:
    assert Mixture.of(3).log([0.2, 0.3, 0.5]) == 0.0
    assert Mixture.of(3).begun(0.8).log([0.2, 0.3, 0.5]) == pytest.approx(0.0, abs=1e-12)


@given(st.lists(st.tuples(st.floats(0, 0.4), LOGS), max_size=20))
def test_a_mixture_is_the_sum_over_all_times_of_the_break(looks: list[tuple[float, float]]) -> None:
    breaks: list[float] = []
    mixture, unspent = Mixture.of(1), 1.0
    for prior, worth in looks:
        mixture = mixture.begun(prior).after([worth])
        spent = min(prior, unspent)
        unspent -= spent
        breaks = [mass + worth for mass in [*breaks, *([math.log(spent)] if spent > 0 else [])]]

    expected = sum(math.exp(mass) for mass in breaks) + unspent

    assert mixture.log([1.0]) == pytest.approx(math.log(expected), rel=1e-6, abs=1e-6)


def test_a_mixture_spends_no_more_than_it_has() -> None:
    mixture = Mixture.of(1).begun(0.8).begun(0.8)

    assert mixture.unspent == 0.0
    assert mixture.log([1.0]) == pytest.approx(0.0, abs=1e-12)
