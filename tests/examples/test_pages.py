"""What the demo says of a canary, from documents as the API gives them."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from tests.examples.leftovers import console, written

from serinus.cli.display.screen import Screen
from serinus.examples.heart_disease import pages
from serinus.examples.heart_disease.story import Document, Look, Move
from serinus.examples.heart_disease.traffic import Tally

SCREEN = Screen(80, unicode=True, now=datetime(2026, 1, 1, tzinfo=UTC))
METRICS: list[Document] = [
    {"name": "errors", "role": "guardrail", "odds_for": math.log(12), "odds_against": -math.log(5)},
    {"name": "p95", "role": "guardrail", "odds_for": math.log(40), "odds_against": math.log(2)},
]
COUNTS: Document = {
    "baseline": {"requests": 200, "model_errors": 1, "timeouts": 0},
    "canary": {"requests": 50, "model_errors": 2, "timeouts": 1},
}


def line(health: Document) -> str:
    return pages.line(Look("heart@3", 20.0, "running", health, COUNTS, Tally()))


def told(kind: str, data: Mapping[str, object]) -> str:
    event: Document = {"kind": kind, "reason": "this is why", "data": dict(data)}
    verdict: Document = {"canary": {"requests": 50, "errors": 3}, "metrics": METRICS}
    out = console()
    out.print(pages.move(Move(event, verdict, 4.25), "heart@3", SCREEN))
    return written(out)


def test_a_canary_that_was_not_checked_yet_has_no_odds() -> None:
    assert line({"metrics": []}) == " 20 %  failed: canary 3/50, baseline 1/200; no check yet"


def test_the_odds_of_a_line_are_the_worst_of_all_metrics() -> None:
    assert line({"metrics": METRICS}).endswith("odds 2:1 against it, 12:1 for it")


def test_a_step_is_told_with_its_reason_its_evidence_and_the_odds_that_it_wants() -> None:
    step = told("traffic_adjusted", {"from": 20.0, "to": 50.0})

    assert "4.2 s  ⇄ traffic adjusted  this is why" in step
    assert "heart@3 failed 3 of 50; odds for it: errors 12:1, p95 40:1 (10:1 wanted)" in step


def test_a_promotion_wants_all_of_the_evidence() -> None:
    assert "(100:1 wanted)" in told("promoted", {"from": "heart@1", "to": "heart@3"})


def test_nothing_is_said_for_a_canary_that_was_rolled_back() -> None:
    end = told("rolled_back", {"canary": "heart@3", "baseline": "heart@1", "weight": 50.0})

    assert "heart@3 failed 3 of 50" in end
    assert "for it" not in end
