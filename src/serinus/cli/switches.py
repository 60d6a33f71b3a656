"""The switches of a deployment as command-line options, for `deploy` and `configure`."""

from typing import Annotated, Any

import typer

from serinus.cli import values

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
ErrorDelta = Annotated[
    str | None,
    typer.Option("--error-delta", metavar="RATE", help="More errors than the baseline allowed: 0.05 or 5%."),
]
P95Delta = Annotated[
    float | None,
    typer.Option("--p95-delta-ms", metavar="MS", help="More milliseconds of p95 latency allowed."),
]
MinRequests = Annotated[
    int | None,
    typer.Option("--min-requests", metavar="N", help="Canary requests that a promotion needs."),
]
Window = Annotated[str | None, typer.Option("--window", metavar="TIME", help="What is looked back at: 300, 30s, 5m.")]
Interval = Annotated[
    str | None, typer.Option("--interval", metavar="TIME", help="Time between two checks: 30, 10s, 1m.")
]
PromoteFromWeight = Annotated[
    str | None,
    typer.Option("--promote-from-weight", metavar="PERCENT", help="Share from which a promotion by itself is wanted."),
]


def settings_of(
    *,
    error_delta: str | None,
    p95_delta_ms: float | None,
    min_requests: int | None,
    window: str | None,
    interval: str | None,
    promote_from_weight: str | None,
    **switches: bool | None,
) -> dict[str, Any]:
    """Give the settings that were given, as the API takes them; the others are left out."""
    policy = _given(
        error_delta=None if error_delta is None else values.rate(error_delta),
        p95_delta_ms=p95_delta_ms,
        min_requests=min_requests,
        window_s=None if window is None else values.span(window),
        interval_s=None if interval is None else values.span(interval),
    )
    weight = None if promote_from_weight is None else values.percent(promote_from_weight)
    return _given(**switches, promote_from_weight=weight, policy=policy or None)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
