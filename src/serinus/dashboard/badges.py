"""States as a symbol and a word."""

from serinus.dashboard.markup import Badge

_STATUS = {
    "stable": Badge("●", "stable", "good"),
    "canary": Badge("◐", "canary", "watch"),
    "paused": Badge("‖", "paused", "held"),
    "baking": Badge("◑", "baking", "good"),
}
_HEALTH = {
    "healthy": Badge("✓", "healthy", "good"),
    "degraded": Badge("▴", "degraded", "watch"),
    "critical": Badge("✗", "critical", "bad"),
    "inconclusive": Badge("?", "inconclusive", "open"),
}
_FINDINGS = {
    "pass": Badge("✓", "pass", "good"),
    "fail": Badge("✗", "fail", "bad"),
    "inconclusive": Badge("?", "inconclusive", "open"),
    "error": Badge("!", "error", "watch"),
}


def status(value: object) -> Badge:
    """Show a deployment's status."""
    return _STATUS.get(str(value), _unknown(value))


def health(value: object) -> Badge:
    """Show a verdict; nothing measured is shown as nothing, never as good."""
    return Badge("-", "not judged yet", "open") if value is None else _HEALTH.get(str(value), _unknown(value))


def finding(value: object) -> Badge:
    """Show what is known of a metric."""
    return _FINDINGS.get(str(value), _unknown(value))


def _unknown(value: object) -> Badge:
    return Badge("•", str(value), "open")
