"""What the charts of a comparison show, from documents of the API."""

import math
from itertools import pairwise
from typing import Any

import altair as alt
import pytest

from serinus.core.evidence import bucket_of
from serinus.dashboard.comparison import charts, words

ERRORS = {"name": "errors", "role": "guardrail", "tolerance": 0.005, "margin": 0.05}
P95 = {"name": "p95", "role": "guardrail", "tolerance": 10.0, "margin": 100.0}
METRIC = {"name": "errors", "difference": 0.012, "low": -0.02, "high": 0.04, "baseline": 0.01, "canary": 0.022}


def point(minute: int, against: float, for_: float) -> dict[str, Any]:
    metrics = [{"name": name, "odds_against": against, "odds_for": for_} for name in ("errors", "p95")]
    reports = {
        "baseline": {"requests": 900, "errors": 9, "error_rate": 0.01, "p95_ms": 20.0},
        "canary": {"requests": 100, "errors": 3, "error_rate": 0.03, "p95_ms": 90.0},
    }
    return {"at": f"2026-03-01T12:{minute:02}:00+00:00", "weight": 10.0, "metrics": metrics, **reports}


def held(chart: alt.Chart | alt.LayerChart, **wanted: object) -> list[dict[str, Any]]:
    """Give the data of a chart that are as wanted."""
    values: list[dict[str, Any]] = chart.to_dict()["data"]["values"]
    return [each for each in values if wanted.items() <= each.items()]


def test_a_difference_stands_with_its_interval_against_tolerance_and_margin_in_its_unit() -> None:
    chart = charts.difference(METRIC, ERRORS)

    assert [(each["name"], each["at"]) for each in held(chart, what="limit")] == [
        ("tolerance 0.5 points", 0.5),
        ("margin 5 points", 5.0),
        ("no difference", 0.0),
    ]
    assert [(each["low"], each["high"]) for each in held(chart, what="interval")] == [(-2.0, 4.0)]
    assert [each["at"] for each in held(chart, what="difference")] == [1.2]


def test_an_interval_that_says_little_ends_at_the_edge() -> None:
    chart = charts.difference({"name": "p95", "difference": 2.0, "low": -4000.0, "high": 60_000.0}, P95)

    (interval,) = held(chart, what="interval")
    assert (interval["low"], interval["high"]) == (-300.0, 300.0)


@pytest.mark.parametrize("metric", [{"name": "errors"}, {"name": "p95", "difference": None, "low": None, "high": None}])
def test_what_is_not_known_is_not_drawn(metric: dict[str, Any]) -> None:
    chart = charts.difference(metric, P95)

    assert {each["what"] for each in held(chart)} == {"limit"}
    assert len(chart.to_dict()["layer"]) == 1


def test_odds_are_drawn_as_powers_of_ten_with_those_that_decide() -> None:
    history = {"points": [point(0, 0.0, -700.0), point(1, math.log(100.0), math.log(1e9))]}

    against, for_ = (
        charts.evidence(history, "odds_against", 100.0, "rolled back"),
        charts.evidence(history, "odds_for", 50.0, "may be promoted"),
    )

    assert [round(each["log"], 9) for each in held(against, what="odds", metric="errors")] == [0.0, 2.0]
    assert [each["log"] for each in held(for_, what="odds", metric="p95")] == [charts.LEAST_ODDS, charts.MOST_ODDS]
    assert [(each["metric"], each["log"]) for each in held(against, what="wanted")] == [("rolled back at 100:1", 2.0)]
    assert [each["at"] for each in held(against, metric="p95")] == [1_772_366_400_000.0, 1_772_366_460_000.0]


def test_differences_over_time_stand_against_what_holds_and_what_rolls_back() -> None:
    chart = charts.differences({"points": [point(0, 0, 0)]}, "p95", {"name": "p95", "hold": 50.0, "rollback": 100.0})

    assert [each["value"] for each in held(chart, what="difference")] == [70.0]
    assert [each["name"] for each in held(chart, what="limit")] == ["holds 50 ms", "rolls back 100 ms"]


def arm(*latencies: float, failed: int = 0) -> dict[str, Any]:
    counts: dict[int, int] = {}
    for each in latencies:
        counts[bucket_of(each)] = counts.get(bucket_of(each), 0) + 1
    return {
        "requests": len(latencies),
        "model_errors": failed,
        "timeouts": 0,
        "client_errors": 1,
        "platform_errors": 0,
    } | {
        "latency": [{"low_ms": 1.02 ** (index - 1) if index else 0.0, "count": many} for index, many in counts.items()]
    }


def test_a_distribution_has_all_of_the_requests_without_gaps() -> None:
    steps = charts.distribution(arm(0.3, 0.7, 3.0, 3.1, 500.0)["latency"])

    assert sum(share for _, _, share in steps) == pytest.approx(1.0)
    assert all(high == pytest.approx(low) for (_, high, _), (low, _, _) in pairwise(steps))
    assert (steps[0][2], steps[-1][2]) == (0.0, 0.0)
    (fast,) = [(low, high) for low, high, share in steps if share == pytest.approx(0.4) and high < 2]
    assert fast == pytest.approx((1.02**-8, 1.0))
    assert next(low <= 500.0 <= high * 1.02 for low, high, share in reversed(steps) if share)


def test_roles_are_set_side_by_side_as_shares_of_their_own_requests() -> None:
    metrics = {"baseline": arm(*[10.0] * 8, failed=2), "canary": arm(*[20.0] * 2, failed=1)}

    latencies, failures = charts.latencies(metrics), charts.failures(metrics)

    assert max(each["share"] for each in held(latencies, role="baseline")) == 1.0
    assert max(each["share"] for each in held(latencies, role="canary")) == 1.0
    assert [each["rate"] for each in held(failures, kind="model errors")] == [250.0, 500.0]


def test_without_a_canary_the_baseline_stands_alone() -> None:
    metrics = {"baseline": arm(10.0), "canary": None}

    assert {each["role"] for each in held(charts.latencies(metrics))} == {"baseline"}
    assert {each["role"] for each in held(charts.failures(metrics))} == {"baseline"}


def test_by_thresholds_the_two_reports_make_the_difference() -> None:
    history = {
        "last": point(0, 0, 0) | {"metrics": []},
        "thresholds": {
            "metrics": [{"name": "errors", "hold": 0.01, "rollback": 0.05}, {"name": "p95", "hold": 80, "rollback": 90}]
        },
    }

    (errors, _), (p95, _) = words.guardrails(history)

    assert errors["difference"] == pytest.approx(0.02)
    assert p95["difference"] == 70.0
    table = words.table_of_guardrails(history)
    assert "inconclusive" in table
    assert "pass" in table
    assert "interval" not in table


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (
            [
                {"at": "2026-03-01T12:00:30Z", "action": "promoted", "canary": {"requests": 1234}},
                {"action": "bake_ended"},
            ],
            "promoted after 30 s and 1 234 requests of the canary.",
        ),
        ([{"at": "2026-03-01T12:00:30Z", "action": "continued"}], "rolled back after 4 min."),
        ([], "rolled back after 4 min."),
    ],
)
def test_of_a_rollout_that_ended_the_time_is_said_that_it_took(points: list[dict[str, Any]], said: str) -> None:
    rollout = {"phase": "rolled_back", "started_at": "2026-03-01T12:00:00Z", "ended_at": "2026-03-01T12:04:00Z"}

    assert words.time_taken({"rollout": rollout, "points": points}) == said


def test_the_time_to_a_decision_is_said_for_the_share_and_the_margin() -> None:
    forecast = {
        "rate": 20.0,
        "weights": [{"weight": 5.0, "found": {"5": {"seconds": 95.0}}, "promoted": {"seconds": 7300.0}}],
    }
    history = {"thresholds": {"metrics": [ERRORS]}}

    assert words.time_to_decision(forecast, history) == (
        "At 5 % of 20 requests a second, from its start: a canary that fails 5 points more is rolled back in about 95 s"
        ", a good one has the evidence for its promotion in about 2 h."
    )
    forecast["weights"][0]["promoted"] = {"seconds": None}  # type: ignore[index]
    assert "more time than the policy looks ahead" in words.time_to_decision(forecast, history)
