"""A forecast as people see it."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from serinus.cli.display.forecast import forecast_view
from serinus.cli.display.screen import Screen
from serinus.core.forecast import forecast, of_forecast
from serinus.core.mean_path import Baseline
from serinus.core.policy import SequentialPolicy

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WIDE, NARROW = 110, 60

DOCUMENT: dict[str, Any] = {
    "rate": 12.5,
    "baseline_error_rate": 0.002,
    "p95_ms": 35.0,
    "policy": {"name": "sequential", "horizon_s": 86_400.0},
    "weights": [
        {
            "weight": 5,
            "found": {
                "19": {"seconds": 337.0, "canary_requests": 17, "limit": 11},
                "5": {"seconds": 1620.0, "canary_requests": 1080, "limit": 80},
                "2": {"seconds": None, "canary_requests": None, "limit": 458},
                "1": {"seconds": None, "canary_requests": None, "limit": None},
            },
            "promoted": {"seconds": 7980.0, "canary_requests": 138, "limit": 103},
        }
    ],
    "warnings": ["There is hardly any traffic."],
}


def shown(document: dict[str, Any], *, width: int = WIDE, unicode: bool = True) -> str:
    stream = io.StringIO()
    screen = Screen(width, unicode, NOW)
    console = Console(file=stream, width=width, markup=False, emoji=False, highlight=False)
    console.print(forecast_view(document, screen))
    return stream.getvalue()


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_share_is_shown_with_what_is_found_and_promoted_when(width: int) -> None:
    told = shown(DOCUMENT, width=width)

    for fact in ("5 %", "27 min", "1 080 req.", "6 min", "2 h 13 min", "138 req."):
        assert fact in told


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_what_it_rests_on_is_shown(width: int) -> None:
    told = " ".join(shown(DOCUMENT, width=width).split())

    for fact in ("12.5 requests per second", "baseline errors 0.2 %", "p95 35.0 ms"):
        assert fact in told
    assert "p95 not known" in " ".join(shown(DOCUMENT | {"p95_ms": None}, width=width).split())


def test_the_effects_are_in_the_order_of_their_size() -> None:
    heading = shown(DOCUMENT).splitlines()[2]

    places = [
        heading.index(name) for name in ("canary", "+1 point ", "+2 points", "+5 points", "+19 points", "promoted")
    ]
    assert places == sorted(places)


def test_what_takes_too_long_is_told_apart_from_what_is_not_looked_for() -> None:
    lines = shown(DOCUMENT, width=NARROW).splitlines()

    assert any(line.strip() == "+2 points: not within 24 h" for line in lines)
    assert any(line.strip() == "+1 point: -" for line in lines)


def test_warnings_are_shown_with_their_mark() -> None:
    assert "! There is hardly any traffic." in shown(DOCUMENT, unicode=False)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"steps": [], "finished_s": 1800.0, "weight": 100}, "The plan would take a good canary 30 min."),
        ({"steps": [], "finished_s": None, "weight": 5}, "The plan would not be finished in time, and stay at 5 %."),
    ],
)
def test_a_plan_is_told_with_its_end(plan: dict[str, Any], said: str) -> None:
    assert said in shown(DOCUMENT | {"plan": plan})


def test_a_forecast_of_the_core_is_shown_whole() -> None:
    told = forecast(SequentialPolicy(), 1.0, Baseline(0.002, 35.0), [1.0, 20.0], plan=[(1.0, 60.0), (100.0, 0.0)])

    lines = " ".join(shown(of_forecast(told)).split())

    assert "1 request per second" in lines
    assert all(" ".join(warning.split()) in lines for warning in told.warnings)


@pytest.mark.parametrize("unicode", [True, False])
def test_where_only_ascii_gets_through_nothing_else_is_shown(unicode: bool) -> None:  # noqa: FBT001
    assert shown(DOCUMENT, unicode=unicode).isascii() is not unicode


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def some(names: list[str], **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Documents with some of these names, each with anything, or with what belongs there."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, JSON) | {n: JSON | p for n, p in parts.items()})


REACHED = some(["seconds", "canary_requests", "limit"])
SHARE = some(
    ["weight"],
    found=st.dictionaries(st.sampled_from(["1", "5", "2.5", "nan", "more"]), JSON | REACHED),
    promoted=REACHED,
)


@given(
    document=some(
        ["deployment", "rate", "baseline_error_rate", "p95_ms", "warnings"],
        policy=some(["name", "horizon_s"]),
        weights=st.lists(SHARE, max_size=3),
        plan=some(["steps", "finished_s", "weight"]),
    ),
    width=st.sampled_from([20, 60, 100]),
    unicode=st.booleans(),
)
def test_whatever_a_server_sends_is_shown(document: dict[str, Any], width: int, unicode: bool) -> None:  # noqa: FBT001
    assert shown(document, width=width, unicode=unicode)
