"""Every chart of the Grafana dashboard has something to show."""

import json
from itertools import combinations
from typing import Any

import pytest
from tests.deploy.exposition import Day, shown
from tests.deploy.files import DASHBOARD, read_yaml
from tests.deploy.monitoring import monitoring
from tests.server import REPOSITORY, eventually

SHOWN = json.loads(DASHBOARD.read_text())
PANELS: list[dict[str, Any]] = SHOWN["panels"]
PROVISIONING = REPOSITORY / "deploy" / "grafana" / "provisioning"


def with_values(expression: str) -> str:
    """Put values in for Grafana's variables, as Grafana does."""
    return expression.replace("$deployment", ".*").replace("$__rate_interval", "1m")


def test_every_query_is_answered_by_prometheus() -> None:
    asked = [with_values(target["expr"]) for panel in PANELS for target in panel["targets"]]
    with shown(Day(is_good=True)) as address, monitoring(gateway=address, checker=address) as prometheus:
        unanswered = list(asked)

        def all_answered() -> bool:
            unanswered[:] = [expression for expression in unanswered if not prometheus.ask(expression)]
            return not unanswered

        assert eventually(all_answered, every_s=0.5), unanswered
        assert prometheus.ask(SHOWN["templating"]["list"][1]["query"]["query"].split("(")[1].split(",")[0])


def test_no_variable_is_used_that_is_not_there() -> None:
    assert not [target for panel in PANELS for target in panel["targets"] if "$" in with_values(target["expr"])]
    assert {each["name"] for each in SHOWN["templating"]["list"]} == {"datasource", "deployment"}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_each_chart_is_explained_and_has_a_unit(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert all(target["legendFormat"] for target in panel["targets"])


def test_no_chart_covers_another() -> None:
    places = [panel["gridPos"] for panel in PANELS]

    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert not [
        (one, other)
        for one, other in combinations(places, 2)
        if one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    ]


def test_grafana_finds_the_dashboard_where_compose_puts_it() -> None:
    compose = read_yaml(REPOSITORY / "compose.yaml")
    mounted = dict(volume.split(":")[:2] for volume in compose["services"]["grafana"]["volumes"])
    source = read_yaml(PROVISIONING / "datasources" / "prometheus.yml")["datasources"][0]
    provider = read_yaml(PROVISIONING / "dashboards" / "serinus.yml")["providers"][0]

    assert mounted["./deploy/grafana/serinus.json"] == f"{provider['options']['path']}/serinus.json"
    assert mounted["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    assert source["url"] == "http://prometheus:9090"
