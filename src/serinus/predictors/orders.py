"""What runners are told: how many there are, what an operator lets them load, and what they are to load."""

from collections.abc import Iterable
from dataclasses import dataclass

from serinus.core.records import ModelVersion
from serinus.predictors.frames import Order

BATCH_ROWS = 64

_MODULES = {
    "skops": ["skops.io", "sklearn.pipeline", "sklearn.compose", "sklearn.ensemble", "sklearn.linear_model"],
    "onnx": ["onnxruntime"],
    "xgboost": ["xgboost"],
    "lightgbm": ["lightgbm"],
    "torchscript": ["torch"],
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """What an operator lets models be; see ``formats.Formats``."""

    allow_pickle: bool = False
    trusted_types: Iterable[str] = frozenset()
    allow_torchscript: bool = False


@dataclass(frozen=True, slots=True)
class Size:
    """How many runners a version has, how many requests may wait for them, and how many rows are a batch at most."""

    runners: int = 1
    queue: int = 4096
    batch_rows: int = BATCH_ROWS


def order_of(version: ModelVersion, allowed: Allowed, threads: int) -> Order:
    """Say what a runner of a version is to load; native libraries then use ``threads`` threads."""
    return Order(
        label=str(version.ref),
        format=version.draft.format,
        signature=version.signature.encoded(),
        allow_pickle=allowed.allow_pickle,
        allow_torchscript=allowed.allow_torchscript,
        trusted_types=sorted(allowed.trusted_types),
        threads=threads,
    )


def modules_of(version: ModelVersion) -> list[str]:
    """Name what is imported once for all runners of a format; what is missing here, each imports for itself."""
    return _MODULES.get(version.draft.format, [])
