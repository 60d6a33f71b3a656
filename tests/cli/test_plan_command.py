"""`canary plan`, without a server."""

import io
import json
import sys
from pathlib import Path

import pytest
import yaml
from tests.cli.conftest import Canary
from tests.cli.terminal import run

from serinus.core.presets import PRESETS
from serinus.plans import read_plan, shipped_schema, to_document

GOOD = """\
apiVersion: serinus/v1
kind: RolloutPlan
metadata: {name: mine}
spec:
  policy: {name: threshold, minRequests: 50}
  progressDeadline: 2h
  steps:
    - setWeight: 5
    - pause: {duration: 5m, minSamples: 200}
    - setWeight: 100
    - promote: {}
  freeze:
    - {from: Fri 16:00, to: Mon 08:00, timeZone: Europe/Berlin}
"""
DOUBTFUL = GOOD.replace("setWeight: 5\n", "setWeight: 60\n")
WRONG = GOOD.replace("setWeight: 5\n", "setWeight: 500\n").replace("5m", "5")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a plan that is good, one that is doubtful, and one that is wrong."""
    for name, text in (("good", GOOD), ("doubtful", DOUBTFUL), ("wrong", WRONG)):
        (tmp_path / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", ["list", "show", "lint", "schema"])
def test_each_command_explains_itself_with_an_example(canary: Canary, command: str) -> None:
    ran = canary("plan", command, "--help")
    assert ran.code == 0
    assert f"Example: canary plan {command}" in ran.out


def test_without_a_command_there_is_help(canary: Canary) -> None:
    ran = canary("plan")
    assert ran.code == 2
    assert "Example: canary plan show" in ran.out + ran.err


def test_all_presets_are_listed(canary: Canary) -> None:
    for name in PRESETS:
        assert name in canary("plan", "list").out
    listed = canary("plan", "list", "-o", "json").document["plans"]
    assert {plan["name"]: plan["weights"] for plan in listed}["standard"] == [1, 5, 20, 50, 100]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_shown_step_by_step(canary: Canary, name: str) -> None:
    ran = canary("plan", "show", name)
    assert ran.code == 0
    for step in PRESETS[name].steps:
        assert str(step) in ran.out


def test_the_odds_that_a_share_wants_are_shown(canary: Canary) -> None:
    out = canary("plan", "show", "standard").out
    assert "odds of 2.51 to 1" in out
    assert "odds of 100 to 1" in out


def test_what_holds_for_all_steps_is_shown(canary: Canary, folder: Path) -> None:
    out = canary("plan", "show", "good.yaml").out
    for fact in ("threshold, minRequests 50", "pauses after 2 h", "5 % on the old version", "Fri 16:00 to Mon 08:00"):
        assert fact in out


@pytest.mark.parametrize("output", ["yaml", "json"])
def test_what_is_shown_as_a_document_can_be_read_again(canary: Canary, output: str) -> None:
    assert read_plan(canary("plan", "show", "careful", "-o", output).out) == PRESETS["careful"]


def test_a_file_is_shown_as_the_document_that_it_is(canary: Canary, folder: Path) -> None:
    assert canary("plan", "show", "good.yaml", "-o", "json").document == to_document(read_plan(GOOD))


def test_a_plan_comes_from_stdin_too(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD.encode())))
    assert canary("plan", "show", "-", "-o", "json").document["metadata"] == {"name": "mine"}


def test_what_is_neither_a_name_nor_a_file_exits_with_3_and_names_those_that_are(canary: Canary, folder: Path) -> None:
    ran = canary("plan", "show", "standart")
    assert (ran.code, ran.out) == (3, "")
    assert "standart" in ran.err
    assert "standard" in ran.err


def test_a_plan_that_is_wrong_is_not_shown_and_exits_with_2(canary: Canary, folder: Path) -> None:
    ran = canary("plan", "show", "wrong.yaml")
    assert (ran.code, ran.out) == (2, "")
    assert "Line 8: spec.steps[0].setWeight is 500." in ran.err


def test_good_plans_exit_with_0_and_so_does_advice(canary: Canary, folder: Path) -> None:
    assert canary("plan", "lint", "good.yaml").code == 0
    doubtful = canary("plan", "lint", "good.yaml", "doubtful.yaml")
    assert doubtful.code == 0
    assert "begins with 60 %" in doubtful.out


def test_a_wrong_plan_exits_with_2_after_all_have_been_checked(canary: Canary, folder: Path) -> None:
    ran = canary("plan", "lint", "wrong.yaml", "good.yaml", "doubtful.yaml", "-o", "json")
    assert ran.code == 2
    reports = {report["file"]: report for report in ran.document["files"]}
    assert [(name, report["valid"]) for name, report in reports.items()] == [
        ("wrong.yaml", False),
        ("good.yaml", True),
        ("doubtful.yaml", True),
    ]
    assert [(each["field"], each["line"]) for each in reports["wrong.yaml"]["problems"]] == [
        ("spec.steps[0].setWeight", 8),
        ("spec.steps[1].pause.duration", 9),
    ]
    assert [(each["field"], each["line"]) for each in reports["doubtful.yaml"]["warnings"]] == [
        ("spec.steps[0].setWeight", 8)
    ]


def test_the_lines_of_what_is_wrong_are_shown(canary: Canary, folder: Path) -> None:
    out = canary("plan", "lint", "wrong.yaml").out
    assert "line 8  spec.steps[0].setWeight is 500. Give 100 at most." in out


def test_what_cannot_be_read_is_an_error(canary: Canary, folder: Path) -> None:
    (folder / "latin.yaml").write_bytes("größe: 1".encode("latin-1"))
    assert canary("plan", "lint", "none.yaml").code == 3
    assert canary("plan", "lint", ".").code == 2
    ran = canary("plan", "lint", "latin.yaml")
    assert ran.code == 2
    assert "UTF-8" in ran.err


def test_the_schema_is_printed_as_json_or_yaml(canary: Canary) -> None:
    assert json.loads(canary("plan", "schema").out) == shipped_schema()
    assert yaml.safe_load(canary("plan", "schema", "-o", "yaml").out) == shipped_schema()


@pytest.mark.parametrize("columns", ["60", "100"])
def test_no_line_is_wider_than_the_terminal(
    canary: Canary, folder: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for arguments in (["show", "careful"], ["list"], ["lint", "wrong.yaml", "doubtful.yaml"]):
        assert max(map(len, canary("plan", *arguments).out.splitlines())) <= int(columns)


def test_plans_can_be_checked_where_only_ascii_gets_through(folder: Path) -> None:
    ran = run("plan", "lint", "good.yaml", "wrong.yaml", PYTHONIOENCODING="ascii")
    assert ran.returncode == 2
    assert ran.stdout.isascii()
    assert "?" not in ran.stdout
