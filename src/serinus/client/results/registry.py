"""The server, model versions and what they take and give."""

from datetime import datetime
from typing import Any

import msgspec

from serinus.client.results.values import Values


class ServerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How the server does; ``uptime_s`` in seconds."""

    status: str
    version: str = ""
    deployments: int = 0
    uptime_s: float = 0.0


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A model file that was uploaded; ``size`` in bytes."""

    digest: str
    size: int = 0


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A model and how far its versions go; ``latest`` is ``NAME@NUMBER``."""

    name: str
    versions: int
    latest: str
    updated_at: datetime


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One input of a model: int, float, str or bool; ``nullable`` where it may be missing."""

    name: str
    dtype: str
    nullable: bool = False


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What a model predicts: a ``class``, one of ``classes``, or a ``number``."""

    kind: str
    classes: tuple[Any, ...] = ()
    class_names: tuple[str, ...] = ()


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """What a model takes, in training order, and gives."""

    features: tuple[Feature, ...]
    output: Output


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where a version comes from: digest of its training data, training run, git commit, parent version."""

    dataset_digest: str = ""
    run_id: str = ""
    git_commit: str = ""
    parent: str = ""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A model version; ``ref`` is ``NAME@NUMBER``, ``size`` in bytes, ``examples`` how many rows it keeps."""

    model: str
    version: int
    ref: str
    digest: str
    format: str
    signature: Signature
    created_at: datetime
    size: int = 0
    examples: int = 0
    metrics: dict[str, float] = msgspec.field(default_factory=dict)
    parameters: Values = msgspec.field(default_factory=dict)
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    description: str = ""
    lineage: Lineage = msgspec.field(default_factory=Lineage)
    created_by: str = ""
