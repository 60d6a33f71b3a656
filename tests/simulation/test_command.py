"""`canary simulate` without a server: what it reads, and what it says."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from serinus.cli.simulate import points_of, policy_of, simulate
from serinus.core.errors import InvalidInput
from serinus.core.policy import SequentialPolicy, ThresholdPolicy

app = typer.Typer()
app.command()(simulate)
SMALL = ("--rollouts", "20", "--hours", "0.1", "--rate", "50")


def test_the_document_has_a_row_for_each_effect() -> None:
    ran = CliRunner().invoke(app, [*SMALL, "--effects", "0,50", "-o", "json"])

    assert ran.exit_code == 0, ran.output
    document = json.loads(ran.stdout)
    assert [row["effect"] for row in document["effects"]] == [0.0, 50.0]
    assert document["effects"][1]["rolled_back"] == 20
    assert document["policy"]["name"] == "sequential"


def test_the_table_names_what_was_asked() -> None:
    ran = CliRunner().invoke(app, [*SMALL, "--effects", "50"])

    assert ran.exit_code == 0, ran.output
    assert "+50" in ran.stdout
    assert "50 requests/s" in ran.stdout


def test_what_nothing_was_decided_of_costs_nothing() -> None:
    ran = CliRunner().invoke(app, ["--rollouts", "3", "--hours", "0.01", "--rate", "0.1", "-o", "json"])

    assert ran.exit_code == 0, ran.output
    assert {row["mean_s"] for row in json.loads(ran.stdout)["effects"]} == {None}


def test_a_policy_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("name: threshold\nerror_delta: 0.02\n")

    assert policy_of(file) == ThresholdPolicy(error_delta=0.02)
    assert policy_of(None) == SequentialPolicy()


@pytest.mark.parametrize("text", ["[1, 2]", "alpha: [", "alpha: 7", "speed: 1", "1: 2"])
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)

    with pytest.raises(InvalidInput):
        policy_of(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        policy_of(tmp_path / "none.yaml")


@pytest.mark.parametrize("text", ["", "much", "1,,2", "101", "nan"])
def test_effects_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        points_of(text)


def test_more_than_can_be_simulated_in_reasonable_time_is_refused() -> None:
    ran = CliRunner().invoke(app, ["--rate", "10000", "--hours", "168", "--rollouts", "100000"])

    assert isinstance(ran.exception, InvalidInput)
