"""What a deployment's owner chooses: how traffic is split and by which rule a canary is judged."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import blake2b
from typing import cast

from serinus.core.errors import InvalidInput

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
GUARDRAIL, SIGNAL, DRY_RUN = "guardrail", "signal", "dry-run"
"""What a metric is for: it decides; it is only shown; or what it would decide is put on record, and not done."""
ROLES = (GUARDRAIL, SIGNAL, DRY_RUN)


class Policy:
    """The rule by which a canary is judged, every ``interval_s`` seconds; each kind has a name."""

    __slots__ = ()

    name: str
    interval_s: float


@dataclass(frozen=True, slots=True)
class ThresholdPolicy(Policy):
    """The article's rule: deltas against the baseline over a sliding window.

    ``error_delta`` is a difference of rates (0.05 = five points), ``p95_delta_ms`` milliseconds, ``window_s`` and
    ``interval_s`` seconds; a promotion needs ``min_requests`` canary requests in the window.
    """

    name: str = "threshold"
    error_delta: float = 0.05
    p95_delta_ms: float = 100.0
    min_requests: int = 100
    window_s: float = 300.0
    interval_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuse values that no rule can be made of."""
        if self.name != "threshold":
            raise InvalidInput(
                f"There is no policy {self.name!r}.", field="settings.policy.name", remedy="Use 'threshold'."
            )
        _between(self.error_delta, 0.0, 1.0, "settings.policy.error_delta")
        _between(self.p95_delta_ms, 0.0, 600_000.0, "settings.policy.p95_delta_ms")
        _between(self.min_requests, 1, 1_000_000_000, "settings.policy.min_requests")
        _between(self.window_s, 1.0, 86_400.0, "settings.policy.window_s")
        _between(self.interval_s, 0.1, 86_400.0, "settings.policy.interval_s")


@dataclass(frozen=True, slots=True)
class SequentialPolicy(Policy):
    """A test with a guarantee, whenever it is looked at: alpha and beta hold for the whole rollout.

    A canary no worse than the baseline plus the tolerance is rolled back with a probability of ``alpha`` at most, one
    that is worse by the margin or more is promoted with a probability of ``beta`` at most. Errors are differences of
    rates (0.05 = five points), p95 is in milliseconds; a tolerance that is None is a tenth of its margin. The budget of
    false alarms is for ``horizon_s`` seconds; nothing is promoted before ``bake_s``. ``error_role`` and ``p95_role``
    say what a metric is for: a "guardrail" decides, a "signal" is only shown, and what one in "dry-run" would decide is
    put on record, and not done.
    """

    name: str = "sequential"
    error_margin: float = 0.05
    error_tolerance: float | None = None
    p95_margin_ms: float = 100.0
    p95_tolerance_ms: float | None = None
    alpha: float = 0.01
    beta: float = 0.01
    horizon_s: float = 86_400.0
    bake_s: float = 60.0
    interval_s: float = 1.0
    error_role: str = GUARDRAIL
    p95_role: str = GUARDRAIL

    def __post_init__(self) -> None:
        """Refuse values that no test can be made of."""
        if self.name != "sequential":
            raise InvalidInput(
                f"There is no policy {self.name!r}.", field="settings.policy.name", remedy="Use 'sequential'."
            )
        _between(self.error_margin, 0.001, 0.9, "settings.policy.error_margin")
        _between(self.tolerated_errors, 0.0, self.error_margin / 2, "settings.policy.error_tolerance")
        _between(self.p95_margin_ms, 1.0, 600_000.0, "settings.policy.p95_margin_ms")
        _between(self.tolerated_p95_ms, 0.0, self.p95_margin_ms / 2, "settings.policy.p95_tolerance_ms")
        _between(self.alpha, 1e-6, 0.2, "settings.policy.alpha")
        _between(self.beta, 1e-6, 0.2, "settings.policy.beta")
        _between(self.horizon_s, 60.0, 31_536_000.0, "settings.policy.horizon_s")
        _between(self.bake_s, 0.0, 86_400.0, "settings.policy.bake_s")
        _between(self.interval_s, 0.1, 3_600.0, "settings.policy.interval_s")
        for name in ("error_role", "p95_role"):
            if getattr(self, name) not in ROLES:
                raise InvalidInput(
                    f"settings.policy.{name} is {getattr(self, name)!r}.",
                    field=f"settings.policy.{name}",
                    remedy=f"Choose one of {', '.join(ROLES)}.",
                )

    @property
    def tolerated_errors(self) -> float:
        """How much higher the canary's error rate may be without being worse."""
        return self.error_margin / 10 if self.error_tolerance is None else self.error_tolerance

    @property
    def tolerated_p95_ms(self) -> float:
        """How much slower the canary's p95 may be without being worse, in milliseconds."""
        return self.p95_margin_ms / 10 if self.p95_tolerance_ms is None else self.p95_tolerance_ms


POLICIES: dict[str, type[ThresholdPolicy] | type[SequentialPolicy]] = {
    "sequential": SequentialPolicy,
    "threshold": ThresholdPolicy,
}
"""The kinds of policy by their names; the first is the default."""


def policy_over(present: Policy, given: Mapping[str, object]) -> Policy:
    """Give a policy with other values; another ``name`` begins at that policy's own values.

    InvalidInput names a value that cannot be, or one that the policy of that name does not have.
    """
    name = given.get("name", present.name)
    kind = POLICIES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InvalidInput(
            f"There is no policy {name!r}.",
            field="settings.policy.name",
            remedy=f"Use {' or '.join(repr(each) for each in POLICIES)}.",
        )
    for key in given:
        if key not in {field.name for field in fields(kind)}:
            others = [other for other, its in POLICIES.items() if key in {field.name for field in fields(its)}]
            raise InvalidInput(
                f"The policy {name!r} has no {key!r}.",
                field=f"settings.policy.{key}",
                remedy=f"Choose the policy {others[0]!r} as well (name), or leave it out."
                if others
                else f"It has {', '.join(field.name for field in fields(kind))}.",
            )
    base = present if isinstance(present, kind) else kind()
    return replace(cast("ThresholdPolicy", base), **given)  # type: ignore[arg-type]  # __post_init__ checks values


def policy_values(policy: Policy) -> dict[str, object]:
    """Give a policy as plain values, its name among them."""
    return asdict(cast("ThresholdPolicy", policy))


def policy_digest(policy: Policy) -> str:
    """Tell a policy from another by 12 hex digits: BLAKE2b of its values in the order of their names."""
    values = sorted(policy_values(policy).items())
    return blake2b(repr(values).encode(), digest_size=6).hexdigest()


@dataclass(frozen=True, slots=True)
class Settings:
    """The switches of a deployment.

    ``sticky``: route by entity instead of by request. ``allow_forced``: obey the header ``X-Canary``.
    ``failover``: answer with the baseline where the canary failed. ``auto_rollback`` and ``auto_promote``: act on a
    verdict; ``dry_run``: record what would be done, and do nothing. ``promote_from_weight``: the share in percent from
    which an automatic promotion is wanted (0, the article's rule: at any share). ``feature_service``: where features
    come from that a caller does not send, by the entity, whose join key there is ``feature_entity``; "" for nowhere.
    """

    sticky: bool = False
    allow_forced: bool = False
    failover: bool = True
    auto_rollback: bool = True
    auto_promote: bool = True
    dry_run: bool = False
    promote_from_weight: float = 0.0
    policy: Policy = field(default_factory=SequentialPolicy)
    feature_service: str = ""
    feature_entity: str = "entity_id"

    def __post_init__(self) -> None:
        """Refuse a share that is none, and names that are none."""
        _between(self.promote_from_weight, 0.0, 100.0, "settings.promote_from_weight")
        _name(self.feature_service or "none", "settings.feature_service")
        _name(self.feature_entity, "settings.feature_entity")

    def changes_from(self, old: "Settings") -> dict[str, object]:
        """Give what differs from ``old`` as ``{name: {"from": …, "to": …}}``, JSON values only."""
        before, after = _flat(old), _flat(self)
        names = dict.fromkeys((*before, *after))
        return {
            name: {"from": before.get(name), "to": after.get(name)}
            for name in names
            if before.get(name) != after.get(name)
        }


def _flat(settings: Settings) -> dict[str, object]:
    flat = {f.name: getattr(settings, f.name) for f in fields(settings) if f.name != "policy"}
    return flat | {f"policy.{name}": value for name, value in policy_values(settings.policy).items()}


def _name(value: object, name: str) -> None:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidInput(
            f"{name} is {value!r}.", field=name, remedy="Give a name of letters, digits, dots, dashes and underscores."
        )


def _between(value: object, low: float, high: float, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:  # nor is NaN
        raise InvalidInput(f"{name} is {value!r}.", field=name, remedy=f"Give a number from {low:g} to {high:g}.")
