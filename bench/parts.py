"""What each part of the prediction path costs in this process, in microseconds a call."""

import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable

from serinus.core.assess import assess
from serinus.core.evidence import Counts, Key, bucket_of
from serinus.core.ledger import Ledger
from serinus.core.policy import SequentialPolicy
from serinus.core.routing import Role, Split, assign, sticky_point
from serinus.core.sequential import SequentialTest, Slice, encoded
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.hashing import HashKey, InputHasher

FEATURES = 13
ERRORS = 0.01
SIGNATURE = Signature(
    tuple(Feature(f"feature_{i}", Dtype.FLOAT if i % 2 else Dtype.INT) for i in range(FEATURES)),
    Output(OutputKind.CLASS, (0, 1)),
)
INPUTS: dict[str, int | float] = {f"feature_{i}": 1.5 * i if i % 2 else i for i in range(FEATURES)}


def microseconds(work: Callable[[], object], calls: int = 20_000, repeats: int = 7) -> float:
    """Give the median over repeats of a call's mean time."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        for _ in range(calls):
            work()
        times.append((time.perf_counter() - started) / calls * 1e6)
    return statistics.median(times)


def _rollout(looks: int = 200) -> tuple[SequentialTest, Slice]:
    """Give a test after some minutes at 100 requests a second, and what the next second brings."""
    chance, test = random.Random(7), SequentialTest()
    second = Slice(0.2, _seen(chance, 20), _seen(chance, 80))
    for _ in range(looks):
        second = Slice(0.2, _seen(chance, 20), _seen(chance, 80))
        test = test.after(SequentialPolicy(), [second], 1.0, changed=False)
    return test, second


def _seen(chance: random.Random, requests: int) -> Counts:
    latency = Counter(bucket_of(chance.lognormvariate(3.0, 0.6)) for _ in range(requests))
    return Counts(
        requests, sum(chance.random() < ERRORS for _ in range(requests)), latency=dict(sorted(latency.items()))
    )


def _look() -> Callable[[], object]:
    test, second = _rollout()
    policy, total = SequentialPolicy(), second.canary + second.baseline
    return lambda: assess(policy, test.after(policy, [second], 1.0, changed=False), total, total)


def state_bytes() -> int:
    """Give how long the state of a test is on record, after some minutes."""
    return len(json.dumps(encoded(_rollout()[0]), separators=(",", ":")))


def parts() -> dict[str, float]:
    """Measure each part."""
    split = Split("heart-prod", 3, "heart-prod:1", 2, 20.0)
    key, ledger = HashKey(b"0123456789abcdef0123456789abcdef"), Ledger(2.0)
    counted = Key("heart-prod:1", "heart@2", 2, Role.CANARY)
    hashed, row = InputHasher(key, SIGNATURE.names).of, SIGNATURE.row(INPUTS)
    return {
        "draw and assign": microseconds(lambda: assign(split, random.random())),
        "place an entity (sticky)": microseconds(lambda: sticky_point(key.secret, split.rollout, "patient-17")),
        f"check {FEATURES} features, order them": microseconds(lambda: SIGNATURE.row(INPUTS)),
        "count in the evidence": microseconds(lambda: ledger.end(ledger.begin(0.0), counted, "", 12.5)),
        "a look of the sequential test (off the path)": microseconds(_look(), calls=500),
        "hash the inputs": microseconds(lambda: hashed(row)),
    }
