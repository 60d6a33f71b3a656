"""GET /metrics: the article's families, from the first moment of a rollout, never going down."""

from collections.abc import Callable, Mapping

import httpx2
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.models import KNOWN, STABLE
from tests.server import eventually

from serinus.client import DocumentClient

STATUSES = {"success", "error", "timeout", "client_error", "platform_error"}
BUCKETS = ["1", "5", "10", "25", "50", "100", "200", "500", "1000", "2500", "5000", "+Inf"]
Sample = tuple[str, frozenset[tuple[str, str]]]


def families(http: httpx2.Client) -> dict[str, Metric]:
    answer = http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def samples(http: httpx2.Client, deployment: str) -> dict[Sample, float]:
    """Read every sample of a deployment by its name and its other labels."""
    found = (sample for family in families(http).values() for sample in family.samples)
    return {
        (sample.name, frozenset(sample.labels.items() - {("deployment", deployment)})): sample.value
        for sample in found
        if sample.labels.get("deployment") == deployment
    }


def of(found: Mapping[Sample, float], sample: str, **labels: str) -> float:
    return found[sample, frozenset(labels.items())]


def ask(http: httpx2.Client, name: str, times: int) -> None:
    for _ in range(times):
        assert http.post(f"/predict/{name}", json={"features": KNOWN}).status_code == 200


def test_both_roles_stand_at_zero_from_the_start_of_a_rollout(
    http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE)
    client.start(name, 2, 20)

    found = samples(http, name)

    for version, role, accuracy in (("risk@1", "baseline", 0.85), ("risk@2", "canary", 0.9)):
        arm = {"model_version": version, "model_role": role}
        for status in STATUSES:
            assert of(found, "prediction_requests_total", **arm, status=status) == 0
        for edge in BUCKETS:
            assert of(found, "prediction_latency_ms_bucket", **arm, le=edge) == 0
        assert of(found, "prediction_latency_ms_count", **arm) == 0
        assert of(found, "prediction_latency_ms_sum", **arm) == 0
        assert of(found, "model_accuracy", **arm) == accuracy
    assert of(found, "canary_traffic_pct") == 20


def test_the_families_are_of_the_kinds_that_dashboards_expect(
    http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE)

    found = families(http)

    assert {name: found[name].type for name in ("prediction_requests", "prediction_latency_ms")} == {
        "prediction_requests": "counter",
        "prediction_latency_ms": "histogram",
    }
    assert found["canary_traffic_pct"].type == found["model_accuracy"].type == "gauge"
    assert all(family.documentation for family in found.values())


def test_the_share_follows_the_rollout(http: httpx2.Client, client: DocumentClient, name: str) -> None:
    client.deploy(name, STABLE)
    shares = [of(samples(http, name), "canary_traffic_pct")]
    acts: list[Callable[[], object]] = [
        lambda: client.start(name, 2, 12.5),
        lambda: client.set_weight(name, 70),
        lambda: client.rollback(name),
    ]
    for act in acts:
        act()
        shares.append(of(samples(http, name), "canary_traffic_pct"))

    assert shares == [0, 12.5, 70, 0]


@pytest.mark.parametrize("version", [2, 3])
def test_prometheus_and_the_api_count_the_same(
    http: httpx2.Client, client: DocumentClient, name: str, version: int
) -> None:
    client.deploy(name, STABLE, {"auto_rollback": False})
    client.start(name, version, 50)

    ask(http, name, 60)
    for _ in range(7):
        http.post(f"/predict/{name}", json={"features": {}})

    def metrics_agree() -> bool:
        told, found = client.metrics(name), samples(http, name)
        arms = [("baseline", "risk@1"), ("canary", f"risk@{version}")]
        for role, ref in arms:
            arm, counts = {"model_version": ref, "model_role": role}, told[role]
            assert counts["version"] == ref
            pairs = [
                (of(found, "prediction_requests_total", **arm, status="error"), counts["model_errors"]),
                (of(found, "prediction_requests_total", **arm, status="timeout"), counts["timeouts"]),
                (of(found, "prediction_requests_total", **arm, status="client_error"), counts["client_errors"]),
                (
                    of(found, "prediction_requests_total", **arm, status="success"),
                    counts["requests"] - counts["model_errors"] - counts["timeouts"],
                ),
                (of(found, "prediction_latency_ms_count", **arm), counts["requests"]),
            ]
            if any(ours != theirs for ours, theirs in pairs):
                return False
        return sum(int(told[role]["requests"]) for role, _ in arms) == 60

    assert eventually(metrics_agree)
    found, told = samples(http, name), client.metrics(name)
    failed = told["canary"]["model_errors"]
    assert (failed > 0) == (version == 3)
    assert of(found, "serinus_failovers_total") == failed
    assert told["baseline"]["model_errors"] == 0
    assert told["baseline"]["client_errors"] + told["canary"]["client_errors"] == 7


def test_a_failover_is_charged_to_the_canary_and_not_counted_for_the_baseline(
    http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE, {"auto_rollback": False})
    client.start(name, 3, 100)

    ask(http, name, 5)

    found = samples(http, name)
    canary = {"model_version": "risk@3", "model_role": "canary"}
    baseline = {"model_version": "risk@1", "model_role": "baseline"}
    assert of(found, "prediction_requests_total", **canary, status="error") == 5
    assert of(found, "prediction_requests_total", **baseline, status="success") == 0
    assert of(found, "serinus_failovers_total") == 5


def test_no_counter_ever_goes_down_over_rollouts(http: httpx2.Client, client: DocumentClient, name: str) -> None:
    client.deploy(name, STABLE)
    steps: list[Callable[[], object]] = [
        lambda: client.start(name, 2, 50),
        lambda: ask(http, name, 20),
        lambda: client.set_weight(name, 80),
        lambda: ask(http, name, 20),
        lambda: client.rollback(name),
        lambda: ask(http, name, 10),
        lambda: client.start(name, 2, 100),
        lambda: ask(http, name, 10),
        lambda: client.promote(name),
        lambda: ask(http, name, 10),
        lambda: client.undo(name),
        lambda: ask(http, name, 10),
        lambda: client.start(name, 2, 0),
        lambda: client.rollback(name),
    ]
    seen: dict[Sample, float] = {}

    for step in steps:
        step()
        found = samples(http, name)
        counters = {key: value for key, value in found.items() if key[0].endswith(("_total", "_bucket", "_count"))}
        assert seen.keys() <= counters.keys()
        assert all(counters[key] >= value for key, value in seen.items())
        seen = counters

    answered = sum(
        value
        for (sample, labels), value in seen.items()
        if sample == "prediction_requests_total" and ("status", "success") in labels
    )
    assert answered == 80


def test_the_log_says_how_much_of_it_is_written(http: httpx2.Client, client: DocumentClient, name: str) -> None:
    client.deploy(name, STABLE)
    ask(http, name, 3)

    def written() -> float:
        return families(http)["serinus_prediction_log_written"].samples[0].value

    assert eventually(lambda: written() >= 3)
    assert families(http)["serinus_prediction_log_dropped"].samples[0].value == 0
    assert eventually(lambda: families(http)["serinus_prediction_log_pending"].samples[0].value == 0)
