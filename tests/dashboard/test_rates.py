import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from serinus.dashboard.rates import MOST, SPAN_S, Series

START = datetime(2026, 11, 23, 12, tzinfo=UTC)


def totals(requests: int, errors: int = 0, timeouts: int = 0, *, canary: bool = True) -> dict[str, Any]:
    arm = {"requests": requests, "model_errors": errors, "timeouts": timeouts}
    return {"rollout": "r:1", "baseline": arm, "canary": arm if canary else None}


def seen(*documents: dict[str, Any], every_s: float = 1.0) -> Series:
    series = Series()
    for number, document in enumerate(documents):
        series.add(document["rollout"], START + timedelta(seconds=number * every_s), document)
    return series


def test_a_rate_is_the_difference_of_totals_over_the_time_between() -> None:
    latest = seen(totals(0), totals(50), totals(100)).latest()

    assert latest["canary"].requests == pytest.approx(50)
    assert latest["baseline"].errors == 0


def test_what_a_model_failed_and_what_it_kept_waiting_are_errors() -> None:
    assert seen(totals(0), totals(100, errors=3, timeouts=1)).latest()["canary"].errors == pytest.approx(4)


def test_one_look_tells_no_rate() -> None:
    assert seen(totals(1000)).latest() == {}


def test_another_rollout_begins_anew() -> None:
    series = seen(totals(0), totals(500), totals(10) | {"rollout": "r:2"})

    assert series.latest() == {}


def test_totals_that_fell_begin_anew() -> None:
    assert seen(totals(500), totals(20)).latest() == {}


def test_a_canary_that_is_not_there_has_no_rate() -> None:
    assert set(seen(totals(0, canary=False), totals(10, canary=False)).latest()) == {"baseline"}


def test_however_long_one_looks_on_only_what_is_shown_is_kept() -> None:
    series = seen(*(totals(number) for number in range(1000)))

    assert len(series.samples) <= MOST
    assert (series.samples[-1][0] - series.samples[0][0]).total_seconds() <= 2 * SPAN_S


def test_the_axis_is_as_long_as_what_is_shown_from_the_first_look_on() -> None:
    columns = seen(totals(0), totals(7)).columns()

    assert max(columns["at"]) - min(columns["at"]) == timedelta(seconds=SPAN_S)
    assert math.isnan(columns["requests"][0])
