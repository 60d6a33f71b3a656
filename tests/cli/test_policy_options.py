"""Both policies as options of `canary deploy` and `canary configure`."""

import json

import pytest
from tests.cli.conftest import Canary
from tests.client.fake_server import FakeServer

from serinus.cli.switches import OPTIONS, MetricRole, PolicyName
from serinus.core.policy import POLICIES, ROLES, ThresholdPolicy, policy_values

SEQUENTIAL = [
    *("--error-margin", "5%", "--error-tolerance", "1%", "--p95-margin-ms", "80", "--p95-tolerance-ms", "8"),
    *("--alpha", "0.1%", "--beta", "2%", "--horizon", "12h", "--bake", "5m", "--interval", "2s"),
    *("--error-role", "signal", "--p95-role", "dry-run"),
]


def test_every_field_of_every_policy_has_an_option(canary: Canary) -> None:
    told = canary("configure", "--help").out

    assert {name for kind in POLICIES.values() for name in policy_values(kind())} == set(OPTIONS)
    assert all(option in told for option in OPTIONS.values())


def test_the_choices_are_those_of_the_core() -> None:
    assert {each.value for each in PolicyName} == set(POLICIES)
    assert {each.value for each in MetricRole} == set(ROLES)


@pytest.mark.parametrize("command", [["deploy", "heart-test", "heart@2"], ["configure", "heart-prod"]])
def test_a_sequential_policy_can_be_given_in_full(canary: Canary, server: FakeServer, command: list[str]) -> None:
    ran = canary(*command, *SEQUENTIAL, "-o", "json")

    assert ran.code == 0
    assert ran.document["settings"]["policy"] == {
        "name": "sequential",
        "error_margin": 0.05,
        "error_tolerance": 0.01,
        "p95_margin_ms": 80.0,
        "p95_tolerance_ms": 8.0,
        "alpha": 0.001,
        "beta": 0.02,
        "horizon_s": 43_200.0,
        "bake_s": 300.0,
        "interval_s": 2.0,
        "error_role": "signal",
        "p95_role": "dry-run",
    }


def test_another_policy_begins_at_its_defaults(canary: Canary, server: FakeServer) -> None:
    ran = canary("configure", "heart-prod", "--policy", "threshold", "--min-requests", "7", "-o", "json")

    assert ran.document["settings"]["policy"] == policy_values(ThresholdPolicy(min_requests=7))


def test_only_what_is_given_is_sent(canary: Canary, server: FakeServer) -> None:
    canary("configure", "heart-prod", "--interval", "5s")

    assert json.loads(server.seen[-1].body) == {"settings": {"policy": {"interval_s": 5.0}}}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--policy", "sequential", "--error-delta", "5%"], "--error-delta"),
        (["--policy", "threshold", "--alpha", "1%"], "--alpha"),
        (["--error-margin", "5%", "--window", "5m"], "--window"),
    ],
)
@pytest.mark.parametrize("command", [["deploy", "heart-test", "heart@2"], ["configure", "heart-prod"]])
def test_an_option_of_another_policy_is_refused_by_its_name_before_anything_is_sent(
    canary: Canary, server: FakeServer, command: list[str], given: list[str], named: str
) -> None:
    ran = canary(*command, *given)

    assert (ran.code, ran.out) == (2, "")
    assert named in ran.err
    assert server.seen == []


def test_deploy_takes_the_other_policys_options_only_with_its_name(canary: Canary, server: FakeServer) -> None:
    ran = canary("deploy", "heart-test", "heart@2", "--min-requests", "50")

    assert ran.code == 2
    assert "--min-requests belongs to the policy 'threshold'" in ran.err
    assert "--policy threshold" in ran.err


def test_configure_knows_the_policy_of_the_deployment(canary: Canary, server: FakeServer) -> None:
    refused = canary("configure", "heart-prod", "--window", "5m")
    canary("configure", "heart-prod", "--policy", "threshold")
    taken = canary("configure", "heart-prod", "--window", "1m", "-o", "json")

    assert refused.code == 2
    assert "--window belongs to the policy 'threshold', and 'sequential' judges" in refused.err
    assert taken.document["settings"]["policy"]["window_s"] == 60.0


def test_a_value_that_the_server_refuses_is_named_by_its_option(canary: Canary, server: FakeServer) -> None:
    ran = canary("configure", "heart-prod", "--alpha", "0.5")

    assert ran.code == 2
    assert "--alpha" in ran.err


@pytest.mark.parametrize("option", ["--error-margin", "--error-tolerance", "--alpha", "--beta", "--error-delta"])
def test_a_plain_number_that_is_no_rate_is_asked_back(canary: Canary, server: FakeServer, option: str) -> None:
    ran = canary("configure", "heart-prod", option, "5")

    assert ran.code == 2
    assert "5%" in ran.err
    assert server.seen == []


def test_roles_are_those_that_there_are(canary: Canary, server: FakeServer) -> None:
    assert canary("configure", "heart-prod", "--error-role", "boss").code == 2


def test_the_policy_is_shown_as_a_sentence(canary: Canary, server: FakeServer) -> None:
    sequential = " ".join(canary("status", "heart-prod").out.split())
    threshold = " ".join(canary("configure", "heart-prod", "--policy", "threshold").out.split())

    assert (
        "sequential: worse than 0.5 points more errors or p95 10 ms slower rolls back at odds 100 to 1; "
        "within 5 points and 100 ms promotes, 1 min old at least; false alarms 1 % in 24 h at most"
    ) in sequential
    assert "threshold: at most 5 points more errors and 100 ms slower" in threshold
