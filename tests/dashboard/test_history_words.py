"""What the history says of events, and the files it writes."""

import csv
import json
from io import StringIO
from typing import Any

import pytest

from serinus.core.events import EventKind
from serinus.dashboard.history import exports, reading, words
from serinus.dashboard.history.reading import Filter

EVENT: dict[str, Any] = {
    "id": 7,
    "deployment": "risk",
    "at": "2026-03-01T12:00:00+00:00",
    "kind": "traffic_adjusted",
    "actor": "ada",
    "reason": "more of it",
    "rollout": "risk:1",
    "generation": 3,
    "data": {"from": 5.0, "to": 20.0, "metrics": [{"name": "errors"}], "warnings": ["thal may be missing"]},
}


def test_every_kind_of_event_has_an_icon_of_its_own() -> None:
    icons = [words.icon(kind.value) for kind in EventKind]

    assert len(set(icons)) == len(icons)
    assert words.icon("a_kind_of_a_newer_server") not in icons


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"from": 5.0, "to": 20.0}, "5 % → 20 %"),
        ({"from": "risk@1", "to": "risk@2"}, "risk@1 → risk@2"),
        ({"canary": "risk@2", "weight": 5.0}, "risk@2"),
        ({"baseline": "risk@1"}, "risk@1"),
    ],
)
def test_a_line_says_what_changed(data: dict[str, Any], said: str) -> None:
    assert words.changed(EVENT | {"data": data}) == [said]


def test_a_line_says_when_what_who_and_why() -> None:
    line = words.line(EVENT, with_name=True)

    for each in ("risk", "**traffic adjusted**", "5 % → 20 %", "by ada", "more of it"):
        assert each in line


def test_what_others_wrote_stays_text_in_a_line() -> None:
    hostile = EVENT | {"actor": "**me** [x](http://y) :material/bolt: $a$", "reason": "# <b>\n- :red[no]"}

    line = words.line(hostile, with_name=False).replace("**traffic adjusted**", "")

    for mark in "*[](:$#<>":
        assert line.count(mark) == line.count(f"\\{mark}")
    assert "\n" not in line


def test_evidence_is_what_is_more_than_a_word() -> None:
    assert words.evidence(EVENT) == {"metrics": [{"name": "errors"}]}
    facts = words.facts(EVENT | {"reason": "<script>"})
    assert "thal may be missing" in facts
    assert "&lt;script&gt;" in facts


def test_production_is_said_as_it_was() -> None:
    was = {
        "baseline": "risk@1",
        "canary": "risk@2",
        "weight": 20.0,
        "status": "canary",
        "since": EVENT["at"],
        "event": EVENT,
    }

    said = words.production(was, "risk")

    assert "<strong>risk@2</strong> with 20 % of the traffic" in said
    assert "traffic adjusted by ada" in said
    assert "did not exist yet" in words.production({}, "risk")
    table = words.production_of_all(
        {"deployments": [{"deployment": "a", "production": was}, {"deployment": "b", "production": None}]}
    )
    assert "not there yet" in table


def test_a_csv_file_has_a_line_for_each_event_and_no_formula() -> None:
    events = [EVENT, EVENT | {"id": 8, "reason": "=HYPERLINK(1)", "actor": "@ada", "data": {"köln": "\ud800"}}]

    lines = list(csv.DictReader(StringIO(exports.as_csv(events).read().decode())))

    assert [line["id"] for line in lines] == ["7", "8"]
    assert (lines[1]["reason"], lines[1]["actor"]) == ("'=HYPERLINK(1)", "'@ada")
    assert json.loads(lines[0]["data"]) == EVENT["data"]


def test_a_json_file_is_the_documents_as_they_came() -> None:
    assert json.loads(exports.as_json([EVENT, EVENT | {"id": 8}]).read()) == [EVENT, EVENT | {"id": 8}]
    assert json.loads(exports.as_json([]).read()) == []


class Timeline:
    """A client whose server has events 1 to ``many``."""

    def __init__(self, many: int) -> None:
        self.many = many
        self.asked: list[int] = []

    def events(self, name: str | None, *, after: int, limit: int, **_: object) -> dict[str, Any]:
        self.asked.append(limit)
        newest = after - 1 if after else self.many
        ids = list(range(newest, max(newest - limit, 0), -1))
        return {"events": [{"id": each} for each in ids], "next": ids[-1] if ids and ids[-1] > 1 else None}


@pytest.mark.parametrize(("many", "most", "written"), [(0, 10, 0), (2500, 10_000, 2500), (2500, 1200, 1200)])
def test_a_file_is_written_page_by_page_up_to_its_bound(many: int, most: int, written: int) -> None:
    client: Any = Timeline(many)

    found = [each["id"] for each in reading.everything(client, Filter("risk"), most)]

    assert found == list(range(many, many - written, -1))
    assert max(client.asked) <= reading.WRITTEN_AT_ONCE
