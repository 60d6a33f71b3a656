"""What each part of the prediction path costs in this process, in microseconds a call."""

import random
import statistics
import time
from collections.abc import Callable

from serinus.core.evidence import Key
from serinus.core.ledger import Ledger
from serinus.core.routing import Role, Split, assign, sticky_point
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.predictions import HashKey

FEATURES = 13
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


def parts() -> dict[str, float]:
    """Measure each part."""
    split = Split("heart-prod", 3, "heart-prod:1", 2, 20.0)
    key, ledger = HashKey(b"0123456789abcdef0123456789abcdef"), Ledger(2.0)
    counted = Key("heart-prod:1", "heart@2", 2, Role.CANARY)
    return {
        "draw and assign": microseconds(lambda: assign(split, random.random())),
        "place an entity (sticky)": microseconds(lambda: sticky_point(key.secret, split.rollout, "patient-17")),
        f"check {FEATURES} features, order them": microseconds(lambda: SIGNATURE.row(INPUTS)),
        "count in the evidence": microseconds(lambda: ledger.end(ledger.begin(0.0), counted, "", 12.5)),
        "hash the inputs (off the path)": microseconds(lambda: key.of_inputs(INPUTS), calls=2_000),
    }
