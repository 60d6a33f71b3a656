"""What is measured is what is watched: the rules and the scrape configuration, in a real Prometheus."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.deploy.exposition import Day, shown
from tests.deploy.files import ALERTS, ALERTS_TEST, PROMETHEUS, alerts, assert_passes, metrics_in, program, rules
from tests.deploy.monitoring import NOBODY, monitoring
from tests.server import eventually
from tests.services import Prometheus

from serinus.telemetry import Telemetry

WORDS_IN_A_SUMMARY = 3


def promtool() -> str:
    return program("promtool", Prometheus.remedy)


def exposed() -> set[str]:
    """Give the names of everything that a server shows."""
    text = Telemetry(Day(is_good=True).readings).exposition().decode()
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


def test_prometheus_accepts_its_configuration() -> None:
    assert_passes([promtool(), "check", "config", PROMETHEUS])


def test_prometheus_accepts_the_rules() -> None:
    assert_passes([promtool(), "check", "rules", "--lint-fatal", ALERTS])


def test_alerts_fire_when_they_should_and_only_then() -> None:
    assert_passes([promtool(), "test", "rules", ALERTS_TEST])


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_each_alert_is_tried_in_the_unit_tests(alert: dict[str, Any]) -> None:
    tested = ALERTS_TEST.read_text()

    assert f'alertname="{alert["alert"]}", alertstate="firing"' in tested or (
        f'alertstate="firing", alertname="{alert["alert"]}"' in tested
    )


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_each_alert_says_what_is_wrong_how_badly_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"].keys() == {"summary", "description", "runbook"}
    assert "$value" in alert["annotations"]["description"]
    assert all(len(text.split()) >= WORDS_IN_A_SUMMARY for text in alert["annotations"].values())


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule.get("alert") or rule["record"]))
def test_each_rule_reads_only_what_a_server_shows(rule: dict[str, Any]) -> None:
    recorded = {each["record"] for each in rules() if "record" in each}

    assert metrics_in(rule["expr"]) <= exposed() | recorded | {"up"}


def test_on_a_good_day_nobody_is_called() -> None:
    with shown(Day(is_good=True)) as address, monitoring(gateway=address, checker=address) as prometheus:
        assert eventually(lambda: prometheus.ask('count_over_time(up{job="gateway"}[1m]) > 3'), every_s=0.2)

        assert eventually(lambda: not prometheus.alerts(), every_s=0.2), prometheus.alerts()


def test_on_a_bad_day_every_alert_is_raised_in_plain_words() -> None:
    day = Day(is_good=False)
    expected = {alert["alert"] for alert in alerts()}
    with shown(day) as address, monitoring(gateway=NOBODY, checker=address) as prometheus:
        assert eventually(lambda: prometheus.alerts().keys() >= expected - {"SerinusNoCheckerLeads"}, every_s=0.2), (
            expected - prometheus.alerts().keys()
        )
        raised = prometheus.alerts()

        day.leads = False
        assert eventually(lambda: "SerinusNoCheckerLeads" in prometheus.alerts(), every_s=0.2)
        raised |= prometheus.alerts()

    said = [text for alert in raised.values() for text in alert["annotations"].values()]
    assert not [text for text in said if "<error" in text or "<no value>" in text or "{{" in text or "%!" in text]
    assert all(
        "fraud" in alert["annotations"]["summary"] for alert in raised.values() if "deployment" in alert["labels"]
    )
