"""What a deployment's owner chooses: how traffic is split and by which rule a canary is judged."""

from dataclasses import asdict, dataclass, field, fields

from serinus.core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class ThresholdPolicy:
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
class Settings:
    """The switches of a deployment.

    ``sticky``: route by entity instead of by request. ``allow_forced``: obey the header ``X-Canary``.
    ``failover``: answer with the baseline where the canary failed. ``auto_rollback`` and ``auto_promote``: act on a
    verdict; ``dry_run``: record what would be done, and do nothing. ``promote_from_weight``: the share in percent from
    which an automatic promotion is wanted (0, the article's rule: at any share).
    """

    sticky: bool = False
    allow_forced: bool = False
    failover: bool = True
    auto_rollback: bool = True
    auto_promote: bool = True
    dry_run: bool = False
    promote_from_weight: float = 0.0
    policy: ThresholdPolicy = field(default_factory=ThresholdPolicy)

    def __post_init__(self) -> None:
        """Refuse a share that is none."""
        _between(self.promote_from_weight, 0.0, 100.0, "settings.promote_from_weight")

    def changes_from(self, old: "Settings") -> dict[str, object]:
        """Give what differs from ``old`` as ``{name: {"from": …, "to": …}}``, JSON values only."""
        before, after = _flat(old), _flat(self)
        return {name: {"from": before[name], "to": after[name]} for name in after if after[name] != before[name]}


def _flat(settings: Settings) -> dict[str, object]:
    flat = {f.name: getattr(settings, f.name) for f in fields(settings) if f.name != "policy"}
    return flat | {f"policy.{name}": value for name, value in asdict(settings.policy).items()}


def _between(value: float, low: float, high: float, name: str) -> None:
    if not low <= value <= high:  # NaN is not, either
        raise InvalidInput(f"{name} is {value!r}.", field=name, remedy=f"Give a number from {low:g} to {high:g}.")
