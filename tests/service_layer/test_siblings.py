"""The workers of one server show their counts as one."""

import asyncio
from pathlib import Path

import pytest
from tests.service_layer.doubles import NOW, until
from tests.service_layer.samples import readings

from serinus.core.evidence import Counts, Key, bucket_of
from serinus.core.routing import Role
from serinus.siblings import Siblings
from serinus.telemetry import CheckerReading, Readings, ServedArm, TargetReading

KEY = Key("fraud:1", "risk@2", 1, Role.CANARY)
OTHER = Key("fraud:1", "risk@1", 1, Role.BASELINE)


async def shown(folder: Path, boot: str, readings: Readings) -> None:
    """Let a worker show its counts, and end."""
    keeping = asyncio.ensure_future(Siblings(folder, boot).keep(lambda: readings))
    await until((folder / f"{boot}.json").exists)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_the_counts_of_all_workers_are_added_up_whichever_is_asked(tmp_path: Path) -> None:
    first = readings(
        {KEY: Counts(requests=5, model_errors=1, latency={bucket_of(20.0): 5}, latency_sum_ms=100.0)},
        failovers={"fraud": 1},
        forced={"fraud": 2},
        log_pending=3,
        log_written=4,
        log_dropped=5,
        journal_bytes=600,
    )
    second = readings(
        {KEY: Counts(requests=7, latency={bucket_of(20.0): 7}, latency_sum_ms=140.0), OTHER: Counts(requests=2)},
        failovers={"fraud": 10, "spam": 1},
        log_written=40,
        journal_bytes=7,
    )
    for boot, shows in (("a", first), ("b", second)):
        await shown(tmp_path, boot, shows)

    together = Siblings(tmp_path, "a").together(first)

    assert together == Siblings(tmp_path, "b").together(second)
    assert together.evidence[KEY] == Counts(12, 1, latency={bucket_of(20.0): 12}, latency_sum_ms=240.0)
    assert together.evidence[OTHER] == Counts(requests=2)
    assert (together.failovers, together.forced) == ({"fraud": 11, "spam": 1}, {"fraud": 2})
    assert (together.log_pending, together.log_written, together.log_dropped) == (3, 44, 5)
    assert together.journal_bytes == 607


async def test_what_is_no_count_is_shown_as_the_worker_that_is_asked_sees_it(tmp_path: Path) -> None:
    arms = (ServedArm("fraud", "risk@1", Role.BASELINE, 0.9),)
    checker = CheckerReading(leads=True, ticked_at=NOW, failures=1)
    own = readings({}, arms=arms, weights={"fraud": 5.0}, leased=False, rollouts={"fraud": NOW}, checker=checker)
    await shown(tmp_path, "b", readings({}, weights={"fraud": 50.0}, dependencies={"store": False}))

    assert Siblings(tmp_path, "a").together(own) == own


async def test_a_worker_that_is_alone_shows_its_own_counts(tmp_path: Path) -> None:
    own = readings({KEY: Counts(requests=5)}, failovers={"fraud": 1})

    assert Siblings(tmp_path, "a").together(own) == own


async def test_a_workers_own_counts_are_the_present_ones_and_not_those_it_last_showed(tmp_path: Path) -> None:
    await shown(tmp_path, "a", readings({KEY: Counts(requests=5)}))

    together = Siblings(tmp_path, "a").together(readings({KEY: Counts(requests=6)}))

    assert together.evidence[KEY].requests == 6


async def test_what_a_worker_counted_stays_when_it_has_ended_and_a_new_one_counts_for_itself(tmp_path: Path) -> None:
    await shown(tmp_path, "a", readings({KEY: Counts(requests=5)}))
    await shown(tmp_path, "b", readings({KEY: Counts(requests=1)}))

    together = Siblings(tmp_path, "c").together(readings({KEY: Counts(requests=10)}))

    assert together.evidence[KEY].requests == 16


async def test_a_worker_shows_its_counts_again_and_again_and_a_last_time_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serinus.siblings.INTERVAL_S", 0.001)
    requests = 1
    keeping = asyncio.ensure_future(Siblings(tmp_path, "a").keep(lambda: readings({KEY: Counts(requests=requests)})))
    seen = Siblings(tmp_path, "b")
    await until(lambda: seen.together(readings({})).evidence.get(KEY))

    requests = 2
    await until(lambda: seen.together(readings({})).evidence[KEY].requests == 2)
    monkeypatch.setattr("serinus.siblings.INTERVAL_S", 3600.0)
    await asyncio.sleep(0.01)
    requests = 3
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping

    assert seen.together(readings({})).evidence[KEY].requests == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"evidence": 3}'], ids=str)
async def test_what_cannot_be_read_is_left_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "torn.json").write_bytes(content)
    await shown(tmp_path, "b", readings({KEY: Counts(requests=5)}))

    assert Siblings(tmp_path, "a").together(readings({})).evidence[KEY].requests == 5


async def test_a_folder_that_is_gone_ends_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serinus.siblings.INTERVAL_S", 0.001)
    folder = tmp_path / "workers"
    keeping = asyncio.ensure_future(Siblings(folder, "a").keep(lambda: readings({KEY: Counts(requests=5)})))
    for _ in range(3):
        await asyncio.sleep(0.001)

    folder.mkdir()
    await until((folder / "a.json").exists)

    assert Siblings(folder, "b").together(readings({})).evidence[KEY].requests == 5
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_what_targets_were_told_is_added_up_and_what_waits_is_known_by_who_tells_them(tmp_path: Path) -> None:
    own = readings({}, targets={"a": TargetReading({"delivered": 1}, None)})
    other = readings({}, targets={"a": TargetReading({"delivered": 2, "failed": 1}, 3), "b": TargetReading({}, 0)})
    await shown(tmp_path, "b", other)

    assert Siblings(tmp_path, "a").together(own).targets == {
        "a": TargetReading({"delivered": 3, "failed": 1}, 3),
        "b": TargetReading({}, 0),
    }
