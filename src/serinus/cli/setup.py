"""Commands that make and configure deployments."""

from typing import Annotated

import typer

from serinus.cli import switches
from serinus.cli.session import DeploymentName, Output, Reason, Url, connected
from serinus.core.errors import InvalidInput
from serinus.core.names import VersionRef


def deploy(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name that callers will use.")],
    version: Annotated[str, typer.Argument(metavar="MODEL@VERSION", help="The version to serve.")],
    *,
    sticky: switches.Sticky = None,
    allow_forced: switches.AllowForced = None,
    failover: switches.Failover = None,
    auto_rollback: switches.AutoRollback = None,
    auto_promote: switches.AutoPromote = None,
    dry_run: switches.DryRun = None,
    feature_service: switches.FeatureService = None,
    feature_entity: switches.FeatureEntity = None,
    promote_from_weight: switches.PromoteFromWeight = None,
    policy: switches.Policy = None,
    error_margin: switches.ErrorMargin = None,
    error_tolerance: switches.ErrorTolerance = None,
    p95_margin_ms: switches.P95Margin = None,
    p95_tolerance_ms: switches.P95Tolerance = None,
    alpha: switches.Alpha = None,
    beta: switches.Beta = None,
    horizon: switches.Horizon = None,
    bake: switches.Bake = None,
    error_role: switches.ErrorRole = None,
    p95_role: switches.P95Role = None,
    error_delta: switches.ErrorDelta = None,
    p95_delta_ms: switches.P95Delta = None,
    min_requests: switches.MinRequests = None,
    window: switches.Window = None,
    interval: switches.Interval = None,
    reason: Reason = None,
    output: Output = None,
    url: Url = None,
) -> None:
    """Serve a model version under a name of its own.

    Its canaries are judged by a test with a guarantee, or with --policy threshold by the article's rule.

    Example: canary deploy heart-prod heart@1 --sticky
    """
    rule = switches.policy_of(
        policy=policy,
        error_margin=error_margin,
        error_tolerance=error_tolerance,
        p95_margin_ms=p95_margin_ms,
        p95_tolerance_ms=p95_tolerance_ms,
        alpha=alpha,
        beta=beta,
        horizon=horizon,
        bake=bake,
        error_role=error_role,
        p95_role=p95_role,
        error_delta=error_delta,
        p95_delta_ms=p95_delta_ms,
        min_requests=min_requests,
        window=window,
        interval=interval,
    )
    settings = switches.settings_of(
        rule,
        sticky=sticky,
        allow_forced=allow_forced,
        failover=failover,
        auto_rollback=auto_rollback,
        auto_promote=auto_promote,
        dry_run=dry_run,
        feature_service=feature_service,
        feature_entity=feature_entity,
        promote_from_weight=promote_from_weight,
    )
    switches.check_policy(rule, switches.DEFAULT_POLICY)
    baseline = VersionRef.parse(version)
    with connected(ctx, url, output) as session, switches.naming_options():
        session.show_deployment(session.client.deploy(name, baseline, settings, reason=reason))
        session.hint(f"Next: canary predict {name} JSON, or canary start {name} VERSION --weight 20")


def configure(
    ctx: typer.Context,
    deployment: DeploymentName,
    *,
    sticky: switches.Sticky = None,
    allow_forced: switches.AllowForced = None,
    failover: switches.Failover = None,
    auto_rollback: switches.AutoRollback = None,
    auto_promote: switches.AutoPromote = None,
    dry_run: switches.DryRun = None,
    feature_service: switches.FeatureService = None,
    feature_entity: switches.FeatureEntity = None,
    promote_from_weight: switches.PromoteFromWeight = None,
    policy: switches.Policy = None,
    error_margin: switches.ErrorMargin = None,
    error_tolerance: switches.ErrorTolerance = None,
    p95_margin_ms: switches.P95Margin = None,
    p95_tolerance_ms: switches.P95Tolerance = None,
    alpha: switches.Alpha = None,
    beta: switches.Beta = None,
    horizon: switches.Horizon = None,
    bake: switches.Bake = None,
    error_role: switches.ErrorRole = None,
    p95_role: switches.P95Role = None,
    error_delta: switches.ErrorDelta = None,
    p95_delta_ms: switches.P95Delta = None,
    min_requests: switches.MinRequests = None,
    window: switches.Window = None,
    interval: switches.Interval = None,
    reason: Reason = None,
    output: Output = None,
    url: Url = None,
) -> None:
    """Change the settings of a deployment; what is not given stays.

    Options of a policy that it does not have want --policy, which begins at that policy's defaults.

    Example: canary configure heart-prod --no-auto-promote --error-margin 2%
    """
    rule = switches.policy_of(
        policy=policy,
        error_margin=error_margin,
        error_tolerance=error_tolerance,
        p95_margin_ms=p95_margin_ms,
        p95_tolerance_ms=p95_tolerance_ms,
        alpha=alpha,
        beta=beta,
        horizon=horizon,
        bake=bake,
        error_role=error_role,
        p95_role=p95_role,
        error_delta=error_delta,
        p95_delta_ms=p95_delta_ms,
        min_requests=min_requests,
        window=window,
        interval=interval,
    )
    settings = switches.settings_of(
        rule,
        sticky=sticky,
        allow_forced=allow_forced,
        failover=failover,
        auto_rollback=auto_rollback,
        auto_promote=auto_promote,
        dry_run=dry_run,
        feature_service=feature_service,
        feature_entity=feature_entity,
        promote_from_weight=promote_from_weight,
    )
    if not settings:
        raise InvalidInput(
            "There is nothing to change.", remedy="Give a setting; `canary configure --help` lists them."
        )
    with connected(ctx, url, output) as session, switches.naming_options():
        if switches.wants_a_policy(rule):
            from serinus.cli.display.words import mapped

            present = mapped(session.client.deployment(deployment).get("settings"))
            switches.check_policy(rule, str(mapped(present.get("policy")).get("name")))
        session.show_deployment(session.client.configure(deployment, settings, reason=reason))
