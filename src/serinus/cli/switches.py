"""The switches and the policy of a deployment as command-line options, for `deploy` and `configure`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from enum import StrEnum
from typing import Annotated, Any

import typer

from serinus.cli import values
from serinus.core.errors import InvalidInput
from serinus.core.policy import POLICIES


class PolicyName(StrEnum):
    """By which rule a canary is judged."""

    SEQUENTIAL = "sequential"
    THRESHOLD = "threshold"


class MetricRole(StrEnum):
    """What a metric of the sequential policy is for."""

    GUARDRAIL = "guardrail"
    SIGNAL = "signal"
    DRY_RUN = "dry-run"


Sticky = Annotated[bool | None, typer.Option("--sticky/--no-sticky", help="Route by entity instead of by request.")]
AllowForced = Annotated[
    bool | None, typer.Option("--allow-forced/--no-allow-forced", help="Obey the request header X-Canary.")
]
Failover = Annotated[
    bool | None,
    typer.Option("--failover/--no-failover", help="Let the baseline answer where the canary fails."),
]
AutoRollback = Annotated[
    bool | None,
    typer.Option("--auto-rollback/--no-auto-rollback", help="Roll a critical canary back by itself."),
]
AutoPromote = Annotated[
    bool | None,
    typer.Option("--auto-promote/--no-auto-promote", help="Promote a healthy canary by itself."),
]
DryRun = Annotated[
    bool | None, typer.Option("--dry-run/--no-dry-run", help="Judge and record, but do nothing by itself.")
]
FeatureService = Annotated[
    str | None,
    typer.Option(
        "--feature-service",
        metavar="NAME",
        help="Look up what callers do not send, by --entity, in this service of Feast; '' for none.",
    ),
]
FeatureEntity = Annotated[
    str | None,
    typer.Option("--feature-entity", metavar="KEY", help="The join key of entities there. [default: entity_id]"),
]
Policy = Annotated[
    PolicyName | None,
    typer.Option("--policy", help="By which rule a canary is judged. [default: sequential]", show_default=False),
]
ErrorMargin = Annotated[
    str | None,
    typer.Option("--error-margin", metavar="RATE", help="sequential: failing so much more is not promoted: 5%."),
]
ErrorTolerance = Annotated[
    str | None,
    typer.Option("--error-tolerance", metavar="RATE", help="sequential: failing so much more is tolerated: 0.5%."),
]
P95Margin = Annotated[
    float | None,
    typer.Option("--p95-margin-ms", metavar="MS", help="sequential: so much slower is not promoted."),
]
P95Tolerance = Annotated[
    float | None,
    typer.Option("--p95-tolerance-ms", metavar="MS", help="sequential: so much slower is tolerated."),
]
Alpha = Annotated[
    str | None,
    typer.Option("--alpha", metavar="RATE", help="sequential: how often a good canary may be rolled back: 1%."),
]
Beta = Annotated[
    str | None,
    typer.Option("--beta", metavar="RATE", help="sequential: how often a bad canary may be promoted: 1%."),
]
Horizon = Annotated[
    str | None, typer.Option("--horizon", metavar="TIME", help="sequential: for how long alpha holds: 24h.")
]
Bake = Annotated[
    str | None, typer.Option("--bake", metavar="TIME", help="sequential: nothing is promoted earlier: 60, 5m.")
]
ErrorRole = Annotated[
    MetricRole | None, typer.Option("--error-role", help="sequential: whether errors decide, or are only shown.")
]
P95Role = Annotated[
    MetricRole | None, typer.Option("--p95-role", help="sequential: whether latency decides, or is only shown.")
]
ErrorDelta = Annotated[
    str | None,
    typer.Option("--error-delta", metavar="RATE", help="threshold: more errors than the baseline allowed: 5%."),
]
P95Delta = Annotated[
    float | None,
    typer.Option("--p95-delta-ms", metavar="MS", help="threshold: more milliseconds of p95 latency allowed."),
]
MinRequests = Annotated[
    int | None,
    typer.Option("--min-requests", metavar="N", help="threshold: canary requests that a promotion needs."),
]
Window = Annotated[
    str | None, typer.Option("--window", metavar="TIME", help="threshold: what is looked back at: 300, 30s, 5m.")
]
Interval = Annotated[
    str | None, typer.Option("--interval", metavar="TIME", help="Time between two checks: 1, 10s, 1m.")
]
PromoteFromWeight = Annotated[
    str | None,
    typer.Option("--promote-from-weight", metavar="PERCENT", help="Share from which a promotion by itself is wanted."),
]


OPTIONS = {
    "name": "--policy",
    "error_margin": "--error-margin",
    "error_tolerance": "--error-tolerance",
    "p95_margin_ms": "--p95-margin-ms",
    "p95_tolerance_ms": "--p95-tolerance-ms",
    "alpha": "--alpha",
    "beta": "--beta",
    "horizon_s": "--horizon",
    "bake_s": "--bake",
    "error_role": "--error-role",
    "p95_role": "--p95-role",
    "error_delta": "--error-delta",
    "p95_delta_ms": "--p95-delta-ms",
    "min_requests": "--min-requests",
    "window_s": "--window",
    "interval_s": "--interval",
}
"""The option of each field of a policy."""


def policy_of(
    *,
    policy: PolicyName | None,
    error_margin: str | None,
    error_tolerance: str | None,
    p95_margin_ms: float | None,
    p95_tolerance_ms: float | None,
    alpha: str | None,
    beta: str | None,
    horizon: str | None,
    bake: str | None,
    error_role: MetricRole | None,
    p95_role: MetricRole | None,
    error_delta: str | None,
    p95_delta_ms: float | None,
    min_requests: int | None,
    window: str | None,
    interval: str | None,
) -> dict[str, Any]:
    """Give the fields of a policy that were given, as the API takes them.

    Raises:
        InvalidInput: an option of a policy beside another policy, or one that cannot be read.
    """
    given = _given(
        name=policy and policy.value,
        error_margin=_read(values.rate, error_margin),
        error_tolerance=_read(values.rate, error_tolerance),
        p95_margin_ms=p95_margin_ms,
        p95_tolerance_ms=p95_tolerance_ms,
        alpha=_read(values.rate, alpha),
        beta=_read(values.rate, beta),
        horizon_s=_read(values.span, horizon),
        bake_s=_read(values.span, bake),
        error_role=error_role and error_role.value,
        p95_role=p95_role and p95_role.value,
        error_delta=_read(values.rate, error_delta),
        p95_delta_ms=p95_delta_ms,
        min_requests=min_requests,
        window_s=_read(values.span, window),
        interval_s=_read(values.span, interval),
    )
    _check_one_policy(given)
    return given


def settings_of(
    policy: dict[str, Any], *, promote_from_weight: str | None, **switches: bool | str | None
) -> dict[str, Any]:
    """Give the settings that were given, as the API takes them; the others are left out."""
    weight = _read(values.percent, promote_from_weight)
    return _given(**switches, promote_from_weight=weight, policy=policy or None)


DEFAULT_POLICY = PolicyName(next(iter(POLICIES)))


def wants_a_policy(policy: dict[str, Any]) -> bool:
    """Whether fields that only one policy has are given without its name."""
    return "name" not in policy and any(len(_policies_with(field)) == 1 for field in policy)


def check_policy(policy: dict[str, Any], judges: str) -> None:
    """Refuse fields of another policy than the one that judges if none is chosen; InvalidInput names the option."""
    if wants_a_policy(policy) and judges in POLICIES:
        _check_one_policy({"name": judges, **policy}, chosen="judges where no --policy is given")


@contextmanager
def naming_options() -> Iterator[None]:
    """Let an error about a field of the policy name the option that was given for it."""
    from serinus.client import InvalidError

    try:
        yield
    except InvalidError as error:
        place, _, field = error.field.rpartition(".")
        if place == "settings.policy":
            error.field = OPTIONS.get(field, error.field)
        raise


def _check_one_policy(given: dict[str, Any], *, chosen: str = "is chosen") -> None:
    name, of_one = given.get("name"), [field for field in given if len(_policies_with(field)) == 1]
    wrong = next((field for field in of_one if name is not None and name not in _policies_with(field)), None)
    if wrong is not None:
        raise InvalidInput(
            f"{OPTIONS[wrong]} belongs to the policy {_policies_with(wrong)[0]!r}, and {name!r} {chosen}.",
            field=OPTIONS[wrong],
            remedy=f"Leave it out, or give --policy {_policies_with(wrong)[0]}.",
        )
    others = [field for field in of_one if _policies_with(field) != _policies_with(of_one[0])]
    if others:
        raise InvalidInput(
            f"{OPTIONS[of_one[0]]} belongs to the policy {_policies_with(of_one[0])[0]!r}, and {OPTIONS[others[0]]} to "
            f"{_policies_with(others[0])[0]!r}.",
            field=OPTIONS[others[0]],
            remedy="Leave one of them out: a deployment has one policy.",
        )


def _policies_with(field: str) -> list[str]:
    return [name for name, kind in POLICIES.items() if field in {each.name for each in fields(kind)}]


def _read(read: Callable[[str], float], text: str | None) -> float | None:
    return None if text is None else read(text)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
