"""Deployments, their rollouts and settings, and what they answer."""

from datetime import datetime

import msgspec

from serinus.client.results.values import Values


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The switches of a deployment; ``promote_from_weight`` in percent, ``policy`` its own one by name and values.

    ``feature_service`` is the Feast feature service of what callers do not send, by the join key ``feature_entity``.
    """

    sticky: bool = False
    allow_forced: bool = False
    failover: bool = True
    auto_rollback: bool = True
    auto_promote: bool = True
    dry_run: bool = False
    promote_from_weight: float = 0.0
    feature_service: str = ""
    feature_entity: str = ""
    policy: Values = msgspec.field(default_factory=dict)


class RolloutPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan that a rollout follows: ``step`` is the index of the one that it is at, since ``step_at``."""

    name: str
    steps: tuple[str, ...]
    step: int
    step_at: datetime
    waiting_for_approval: bool = False
    document: Values = msgspec.field(default_factory=dict)


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout of ``canary`` against ``baseline`` (``NAME@NUMBER``); ``phase`` says how far it is, or how it ended."""

    id: str
    canary: str
    baseline: str
    weight: float
    phase: str
    started_at: datetime
    split_version: int = 0
    ended_at: datetime | None = None
    reason: str = ""
    plan: RolloutPlan | None = None
    bake_until: datetime | None = None


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment; ``rollout`` is the active one or the last that ended.

    ``policy`` is the one in force. After a command, ``unacknowledged`` are gateways that may still route as before,
    and ``recorded`` is false where the record follows.
    """

    name: str
    status: str
    generation: int
    baseline: str
    created_at: datetime
    settings: Settings
    previous: tuple[str, ...] = ()
    policy: Values = msgspec.field(default_factory=dict)
    rollout: Rollout | None = None
    possible: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unacknowledged: tuple[str, ...] = ()
    recorded: bool = True


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of the traffic, in percent."""

    baseline: float
    canary: float


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment would be after a start; ``replaces`` is the rollout that would be rolled back first."""

    generation: int
    status: str
    split: Split
    rollout: Rollout | None = None
    replaces: str | None = None


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What the start of a canary would come to; nothing was changed."""

    deployment: str
    would: Outlook
    warnings: tuple[str, ...] = ()


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, and whose it is.

    ``model_role`` is baseline or canary, ``failover`` true where the baseline answered for a canary that failed.
    """

    prediction_id: str
    prediction: bool | int | float | str
    model_role: str = ""
    model_version: str = ""
    prediction_class: str | None = None
    confidence: float | None = None
    latency_ms: float = 0.0
    failover: bool = False


class RowAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one of several rows."""

    prediction: bool | int | float | str
    prediction_class: str | None = None
    confidence: float | None = None


class Predictions(msgspec.Struct, frozen=True, kw_only=True):
    """The answers to all rows of a request, in their order, and whose they are; see ``Prediction``.

    The first row is logged under ``prediction_id``, the k-th after it under ``<prediction_id>-<k>``.
    """

    prediction_id: str
    predictions: tuple[RowAnswer, ...]
    model_role: str = ""
    model_version: str = ""
    latency_ms: float = 0.0
    failover: bool = False
