"""The rules of others that the benchmark compares with, on numbers that can be checked."""

import numpy as np
import pytest
from bench.decisions.rules import Argo, Flagger, GrowthBook, Kayenta, Oracle, log_multinomial

from serinus.core.eprocess import Alternative
from serinus.simulation import PROMOTED, ROLLED_BACK, Results, Traffic
from serinus.simulation.rollout import run


def ended(make: object, *, every: float = 60.0, seconds: float = 7200.0, **canary: float) -> Results:
    traffic = Traffic(per_s=20.0, **canary)  # type: ignore[arg-type]
    return run(make, traffic, rollouts=20, seconds=seconds, seed=1, pace=((0.0, every),))  # type: ignore[arg-type]


def test_the_multinomial_test_gives_the_published_number() -> None:
    evidence = log_multinomial(np.array([10.0]), np.array([10.0]), 0.2, 100.0)

    assert evidence[0] == pytest.approx(0.714011, abs=1e-6)


def test_flagger_rolls_back_at_its_fifth_failed_minute_and_promotes_after_ten_good_ones() -> None:
    bad, good = (ended(lambda source: Flagger(source.rollouts), effect=effect) for effect in (0.5, -0.002))

    assert set(bad.seconds) == {300.0}
    assert bad.share(ROLLED_BACK) == 1.0
    assert good.share(PROMOTED) == 1.0
    assert good.seconds.min() >= 600.0


def test_argo_rolls_back_at_the_fourth_failed_measurement() -> None:
    bad = ended(lambda source: Argo(source.rollouts), every=300.0, effect=0.5)

    assert set(bad.seconds) == {1200.0}


def test_kayenta_finds_what_is_always_worse_in_half_an_hour() -> None:
    bad = ended(lambda source: Kayenta(source.rollouts), effect=0.5)

    assert set(bad.seconds) == {1800.0}
    assert bad.share(ROLLED_BACK) == 1.0


def test_a_confidence_sequence_finds_a_great_difference() -> None:
    assert ended(GrowthBook, every=1.0, effect=0.5).share(ROLLED_BACK) == 1.0


def test_who_knows_the_rates_is_quickest() -> None:
    oracle = ended(lambda source: Oracle(source, Alternative(0.052, 0.002)), every=1.0, effect=0.05)
    other = ended(GrowthBook, every=1.0, effect=0.05)

    assert oracle.seconds.mean() < other.seconds.mean()
