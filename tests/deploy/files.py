"""The files that are shipped for running Serinus, and the programs that check them."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.server import REPOSITORY
from tests.service import Missing, find_program

COMPOSE = REPOSITORY / "compose.yaml"
DOCKERFILE = REPOSITORY / "Dockerfile"
HAPROXY = REPOSITORY / "deploy" / "haproxy" / "haproxy.cfg"
PROMETHEUS = REPOSITORY / "prometheus" / "prometheus.yml"
ALERTS = REPOSITORY / "prometheus" / "alerts.yml"
ALERTS_TEST = REPOSITORY / "prometheus" / "alerts_test.yml"
DASHBOARD = REPOSITORY / "deploy" / "grafana" / "serinus.json"

# What is left of PromQL without matchers, label lists and durations: words, of which those before "(" are functions.
_NO_METRIC = re.compile(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)")
_WORD = re.compile(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()")
_OPERATORS = {"and", "or", "unless", "bool", "by", "on", "group_left"}


def program(name: str, remedy: str) -> str:
    """Find a program; where it is missing the test is skipped, but fails where ``CI`` is set."""
    try:
        return find_program(name, remedy)
    except Missing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


def assert_passes(command: Sequence[str | Path], **environment: str) -> None:
    """Run a checker of files; what it says is shown if it is not content."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    assert done.returncode == 0, done.stdout + done.stderr


def read_yaml(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


def rules() -> list[dict[str, Any]]:
    """Give the rules, recording and alerting."""
    return [rule for group in read_yaml(ALERTS)["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def metrics_in(expression: str) -> set[str]:
    """Give the names of the metrics that a PromQL expression reads."""
    return set(_WORD.findall(_NO_METRIC.sub("", expression))) - _OPERATORS
