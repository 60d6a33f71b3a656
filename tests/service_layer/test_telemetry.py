from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.service_layer.doubles import NOW
from tests.service_layer.samples import readings

from serinus.core.evidence import Counts, Key, bucket_of
from serinus.core.routing import Role
from serinus.telemetry import CheckerReading, Readings, ServedArm, TargetReading, Telemetry

LABELS = ("deployment", "model_version", "model_role", "status", "le", "dependency", "target", "result")
ODD = 'a"b\\c\nd é'


def samples(shown: Readings, name: str) -> dict[tuple[str, ...], float]:
    """Give the samples of a name by their labels' values (in the order of ``LABELS``), as Prometheus reads them."""
    text = Telemetry(lambda: shown).exposition().decode()
    return {
        tuple(sample.labels[name] for name in LABELS if name in sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def key(role: Role = Role.CANARY, rollout: str = "fraud:1", version: str = "risk@2", split: int = 1) -> Key:
    return Key(rollout, version, split, role)


def test_requests_are_counted_by_how_they_ended() -> None:
    counts = Counts(requests=10, model_errors=2, timeouts=1, client_errors=4, platform_errors=3)

    found = samples(readings({key(): counts}), "prediction_requests_total")

    assert {labels[-1]: value for labels, value in found.items()} == {
        "success": 7,
        "error": 2,
        "timeout": 1,
        "client_error": 4,
        "platform_error": 3,
    }
    assert {labels[:3] for labels in found} == {("fraud", "risk@2", "canary")}


def test_rollouts_and_splits_are_added_up() -> None:
    evidence = {
        key(rollout="fraud:0", split=0): Counts(requests=1),
        key(rollout="fraud:1", split=1): Counts(requests=10),
        key(rollout="fraud:1", split=2): Counts(requests=100),
        key(rollout="fraud:1", role=Role.BASELINE): Counts(requests=5),
    }

    found = samples(readings(evidence), "prediction_requests_total")

    assert found["fraud", "risk@2", "canary", "success"] == 111
    assert found["fraud", "risk@2", "baseline", "success"] == 5


def test_buckets_are_cumulative_and_the_last_holds_all() -> None:
    latencies = {0.5: 1, 7.0: 2, 40.0: 3, 300.0: 4, 9000.0: 5}
    latency = {bucket_of(ms): count for ms, count in latencies.items()}
    counts = Counts(requests=15, latency=latency, latency_sum_ms=46334.5)
    shown = readings({key(): counts})

    buckets = samples(shown, "prediction_latency_ms_bucket")

    assert {labels[-1]: value for labels, value in buckets.items()} == {
        "1": 1, "5": 1, "10": 3, "25": 3, "50": 6, "100": 6, "200": 6,
        "500": 10, "1000": 10, "2500": 10, "5000": 10, "+Inf": 15,
    }  # fmt: skip
    assert samples(shown, "prediction_latency_ms_count") == {("fraud", "risk@2", "canary"): 15}
    assert samples(shown, "prediction_latency_ms_sum") == {("fraud", "risk@2", "canary"): 46334.5}


def test_a_version_in_service_has_its_series_before_its_first_request() -> None:
    shown = readings(arms=(ServedArm("fraud", "risk@1", Role.BASELINE, None),))

    found = samples(shown, "prediction_requests_total")

    assert set(found.values()) == {0}
    assert {labels[-1] for labels in found} == {"success", "error", "timeout", "client_error", "platform_error"}
    assert samples(shown, "prediction_latency_ms_count") == {("fraud", "risk@1", "baseline"): 0}


def test_the_share_of_the_canary_and_the_registered_accuracy_are_shown() -> None:
    arms = (
        ServedArm("fraud", "risk@1", Role.BASELINE, 0.91),
        ServedArm("fraud", "risk@2", Role.CANARY, None),
    )
    shown = readings(arms=arms, weights={"fraud": 12.5, "spam": 0.0})

    assert samples(shown, "canary_traffic_pct") == {("fraud",): 12.5, ("spam",): 0.0}
    assert samples(shown, "model_accuracy") == {("fraud", "risk@1", "baseline"): 0.91}


def test_further_counts_are_shown() -> None:
    shown = readings(
        failovers={"fraud": 3}, forced={"fraud": 4}, log_pending=5, log_written=6, log_dropped=7, journal_bytes=8
    )

    found = {
        name: samples(shown, name)
        for name in (
            "serinus_failovers_total",
            "serinus_forced_requests_total",
            "serinus_prediction_log_pending",
            "serinus_prediction_log_written_total",
            "serinus_prediction_log_dropped_total",
            "serinus_journal_bytes",
        )
    }

    assert list(found.values()) == [{("fraud",): 3}, {("fraud",): 4}, {(): 5}, {(): 6}, {(): 7}, {(): 8}]


@pytest.mark.parametrize("leased", [True, False])
def test_whether_canaries_may_have_traffic_is_shown(*, leased: bool) -> None:
    assert samples(readings(leased=leased), "serinus_canary_leased") == {(): leased}


def test_a_rollout_under_way_is_shown_with_the_time_of_its_last_change() -> None:
    shown = readings(rollouts={"fraud": NOW, "spam": None})

    assert samples(shown, "serinus_rollout_active") == {("fraud",): 1, ("spam",): 0}
    assert samples(shown, "serinus_rollout_changed_timestamp_seconds") == {("fraud",): NOW.timestamp()}


def test_whether_what_is_needed_answers_is_shown_by_its_name() -> None:
    shown = readings(dependencies={"store": True, "board": False})

    assert samples(shown, "serinus_dependency_up") == {("store",): 1, ("board",): 0}


def test_a_checker_is_shown_with_its_rounds_and_failures() -> None:
    shown = readings(checker=CheckerReading(leads=True, ticked_at=NOW + timedelta(milliseconds=250), failures=3))

    assert samples(shown, "serinus_checker_leading") == {(): 1}
    assert samples(shown, "serinus_checker_round_timestamp_seconds") == {(): NOW.timestamp() + 0.25}
    assert samples(shown, "serinus_checker_failures_total") == {(): 3}


def test_a_checker_that_stands_by_and_has_not_made_a_round_is_shown_too() -> None:
    shown = readings(checker=CheckerReading(leads=False, ticked_at=None, failures=0))

    assert samples(shown, "serinus_checker_leading") == {(): 0}
    assert samples(shown, "serinus_checker_round_timestamp_seconds") == {(): 0}


def test_a_process_that_checks_nothing_shows_no_checker() -> None:
    text = Telemetry(readings).exposition().decode()

    assert "serinus_checker" not in text


def test_odd_characters_in_a_label_are_escaped() -> None:
    shown = readings({key(rollout=f"{ODD}:1", version=ODD): Counts(requests=1)}, weights={ODD: 1.0})

    assert samples(shown, "prediction_requests_total")[ODD, ODD, "canary", "success"] == 1
    assert samples(shown, "canary_traffic_pct") == {(ODD,): 1.0}


def test_the_families_are_there_when_nothing_is_served() -> None:
    text = Telemetry(readings).exposition().decode()

    names = {family.name for family in text_string_to_metric_families(text)}

    assert {"prediction_requests", "prediction_latency_ms", "canary_traffic_pct", "model_accuracy"} <= names


def test_each_exposition_reads_anew() -> None:
    shown = [readings(log_written=1), readings(log_written=2)]
    telemetry = Telemetry(lambda: shown.pop(0))

    first, second = telemetry.exposition(), telemetry.exposition()

    assert b"serinus_prediction_log_written_total 1.0" in first
    assert b"serinus_prediction_log_written_total 2.0" in second


def test_what_targets_were_told_is_shown_and_what_waits_by_the_one_process_that_tells_them() -> None:
    targets = {
        "webhook:a": TargetReading({"delivered": 5, "failed": 2}, 3),
        "slack:b": TargetReading({"delivered": 1}, None),
    }
    shown = readings(targets=targets)

    assert samples(shown, "serinus_notifications_total") == {
        ("webhook:a", "delivered"): 5,
        ("webhook:a", "failed"): 2,
        ("slack:b", "delivered"): 1,
    }
    assert samples(shown, "serinus_notifications_pending") == {("webhook:a",): 3}
