import pytest
from tests.cli.conftest import Canary
from tests.client.fake_server import FakeServer


def test_deploy_serves_a_version_under_a_name(canary: Canary, server: FakeServer) -> None:
    ran = canary("deploy", "heart-test", "heart@2")

    assert ran.code == 0
    assert str(server.states["heart-test"].baseline) == "heart@2"
    assert "heart-test" in ran.out
    assert "stable" in ran.out


def test_deploy_takes_all_switches(canary: Canary, server: FakeServer) -> None:
    ran = canary(
        *("deploy", "heart-test", "heart@2", "--sticky", "--allow-forced", "--no-failover", "--no-auto-rollback"),
        *("--no-auto-promote", "--dry-run", "--promote-from-weight", "50%"),
        *("--feature-service", "patients", "--feature-entity", "patient"),
        *("--policy", "threshold", "--error-delta", "2%"),
        *("--p95-delta-ms", "30", "--min-requests", "500", "--window", "10m", "--interval", "5s", "-o", "json"),
    )

    assert ran.code == 0
    assert ran.document["settings"] == {
        "sticky": True,
        "allow_forced": True,
        "failover": False,
        "auto_rollback": False,
        "auto_promote": False,
        "dry_run": True,
        "promote_from_weight": 50.0,
        "policy": {
            "name": "threshold",
            "error_delta": 0.02,
            "p95_delta_ms": 30.0,
            "min_requests": 500,
            "window_s": 600.0,
            "interval_s": 5.0,
        },
        "feature_service": "patients",
        "feature_entity": "patient",
    }


def test_a_name_that_is_taken_is_a_conflict(canary: Canary, server: FakeServer) -> None:
    assert canary("deploy", "heart-prod", "heart@2").code == 4


def test_a_version_without_a_number_exits_with_2(canary: Canary, server: FakeServer) -> None:
    ran = canary("deploy", "heart-test", "heart")

    assert ran.code == 2
    assert "NAME@NUMBER" in ran.err


def test_configure_changes_what_is_given_and_nothing_else(canary: Canary, server: FakeServer) -> None:
    ran = canary("configure", "heart-prod", "--no-auto-promote", "--error-margin", "0.01", "-o", "json")

    assert ran.code == 0
    settings = ran.document["settings"]
    assert (settings["auto_promote"], settings["auto_rollback"]) == (False, True)
    assert (settings["policy"]["error_margin"], settings["policy"]["p95_margin_ms"]) == (0.01, 100.0)


def test_configure_without_a_setting_exits_with_2(canary: Canary, server: FakeServer) -> None:
    ran = canary("configure", "heart-prod")

    assert ran.code == 2
    assert server.seen == []


@pytest.mark.parametrize("option", ["--error-delta", "--window", "--interval", "--promote-from-weight"])
def test_a_value_that_cannot_be_read_exits_with_2(canary: Canary, server: FakeServer, option: str) -> None:
    ran = canary("configure", "heart-prod", option, "lots")

    assert ran.code == 2
    assert "'lots'" in ran.err


def test_settings_other_than_the_defaults_are_shown_in_words(canary: Canary, server: FakeServer) -> None:
    ran = canary("configure", "heart-prod", "--sticky", "--no-auto-promote")

    assert "sticky by entity, no auto-promotion" in ran.out
